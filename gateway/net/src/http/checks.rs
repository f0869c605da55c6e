//! The checks of requests by themselves, for whoever looks for a fault without a running gateway. Each error is the text that a client
//! would be told.

use hubgate_core::id::HubName;
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::token::Resource;

use super::tokens::VerifiedTokens;
use super::{negotiate, server};
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::shared::unix_seconds;

/// The public base URLs, with the one that a gateway has that is given none.
pub fn endpoints(settings: &Settings) -> Vec<Endpoint> {
    settings.clone().listening_at(settings.listen).endpoints
}

/// Whether a token opens `resource` now.
pub fn token(settings: &Settings, token: &str, resource: Resource<'_>) -> Result<(), String> {
    check_token(&settings.clone().listening_at(settings.listen), token, resource).map_err(|refusal| refusal.to_string())
}

/// What a client is told whose query does not name one hub.
pub fn no_hub() -> String {
    Refusal::NotOneHub.to_string()
}

/// Whether clients without a token may negotiate.
pub fn open_hub(settings: &Settings, hub: &HubName) -> Result<(), String> {
    negotiate::check_open(settings, hub).map_err(|refusal| refusal.to_string())
}

fn check_token(settings: &Settings, token: &str, resource: Resource<'_>) -> Result<(), Refusal> {
    let claims = VerifiedTokens::default().verify(token, resource, settings, unix_seconds())?;
    match resource {
        Resource::Client { hub } => {
            negotiate::check_user(settings, &claims, &HubName::parse(hub)?)?;
            claims.transports().map(drop).ok_or(Refusal::NoTransport)
        }
        Resource::Server { hub } => server::check_mode(settings, &HubName::parse(hub)?),
        Resource::AspNetServer { hub } => {
            let hub = HubName::asp_net(hub).map_err(|error| Refusal::bad_request(error.to_string()))?;
            server::check_mode(settings, &hub)
        }
        Resource::AspNetClient | Resource::Rest { .. } => Ok(()),
    }
}
