//! Who asks: a client of an application, with the hubs that it names.

use std::sync::Arc;

use http::request::Parts;
use hubgate_core::id::{ConnectionId, HubName};
use hubgate_core::settings::Settings as CoreSettings;
use hubgate_wire::aspnet::{self, ConnectionOwner, ConnectionToken};
use hubgate_wire::token::Resource;

use crate::http::Service;
use crate::http::authorization::access_token;
use crate::http::negotiate::check_user;
use crate::http::query::Query;
use crate::http_places::HttpPlace;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::verified_token::VerifiedToken;

/// The claim that names the application.
const APPLICATION: &str = "asrs.s.apn";

/// A client whose token was verified.
pub(super) struct Asking {
    pub(super) claims: Arc<VerifiedToken>,
    pub(super) access_token: Box<str>,
    /// In lower case.
    pub(super) application: String,
    /// The hub of the application, where its clients live.
    pub(super) hub: HubName,
}

/// A client with the hubs that it names.
pub(super) struct Connecting {
    pub(super) asking: Asking,
    hubs: Vec<String>,
    /// Under the names that the gateway has for them.
    pub(super) also_in: Vec<HubName>,
}

impl Asking {
    pub(super) fn of(service: &Service, request: &Parts) -> Result<Asking, Refusal> {
        let token = access_token(request).ok_or(Refusal::NoToken)?;
        let claims = service.verify(&token, Resource::AspNetClient)?;
        let application = {
            let mut named = claims.flatten().filter(|(name, _)| *name == APPLICATION).map(|(_, value)| value);
            let (Some(application), None) = (named.next(), named.next()) else {
                let error = "The access token needs exactly one claim `asrs.s.apn`, the name of the application.";
                return Err(Refusal::bad_request(error));
            };
            application.to_ascii_lowercase()
        };
        let hub = container(&application, &application)?;
        check_user(&service.shared().settings(), &claims, &hub)?;
        HttpPlace::of(&request.extensions).vouch();
        Ok(Asking { claims, access_token: token.as_ref().into(), application, hub })
    }

    /// With the hubs that the query of the request names.
    pub(super) fn connecting(self, request: &Parts) -> Result<Connecting, Refusal> {
        let named = Query::of(&request.uri).get("connectionData").unwrap_or_default();
        let hubs = aspnet::hubs(&named).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let also_in = hubs.iter().map(|hub| container(&self.application, hub)).collect::<Result<_, _>>()?;
        Ok(Connecting { asking: self, hubs, also_in })
    }
}

impl Connecting {
    /// Whether clients of these hubs are let in.
    pub(super) fn check_hubs(&self, settings: &CoreSettings) -> Result<(), Refusal> {
        let hubs = || std::iter::once(&self.asking.hub).chain(&self.also_in);
        if let Some(hub) = hubs().find(|hub| !settings.hub(hub).mode.takes_hub_servers()) {
            return Err(Refusal::AspNetClientOfServerless(hub.clone()));
        }
        // A client may call every hub of its application, whether it names it or not.
        let of_application = format!("{}_", self.asking.application);
        let is_of_application = |hub: &&HubName| hub.configured().starts_with(&of_application);
        let mut filtered = settings.hubs.iter().filter(|(_, hub)| !hub.filters.is_empty()).map(|(name, _)| name);
        let by_name = filtered.find(is_of_application);
        match by_name.or_else(|| hubs().find(|hub| !settings.hub(hub).filters.is_empty())) {
            Some(hub) => Err(Refusal::AspNetClientOfFiltered(hub.clone())),
            None => Ok(()),
        }
    }

    fn owner(&self) -> Result<ConnectionOwner<'_>, Refusal> {
        let Asking { claims, application, .. } = &self.asking;
        Ok(ConnectionOwner { application, user: claims.user_id()?, hubs: &self.hubs })
    }

    /// The connection token for an id that this client has got.
    pub(super) fn seal(&self, settings: &Settings, id: ConnectionId) -> Result<String, Refusal> {
        let key = settings.access_keys.first().ok_or(Refusal::UnknownConnection)?;
        Ok(ConnectionToken::seal(key, id.as_str(), self.owner()?).expose())
    }

    /// What opens the transports of the connection that the request names, if that is this client's.
    pub(super) fn token(&self, settings: &Settings, request: &Parts) -> Result<ConnectionId, Refusal> {
        let query = Query::of(&request.uri);
        let text = query.get("connectionToken").filter(|text| !text.is_empty());
        let text = text.ok_or(Refusal::bad_request("Protocol error: Missing connection token."))?;
        let token = ConnectionToken::parse(&text).map_err(|_| Refusal::UnknownConnection)?;
        let owner = self.owner()?;
        let is_its = settings.access_keys.iter().any(|key| token.belongs_to(key, owner));
        ConnectionId::parse(token.id()).filter(|_| is_its).ok_or(Refusal::UnknownConnection)
    }
}

fn container(application: &str, hub: &str) -> Result<HubName, Refusal> {
    HubName::asp_net(&format!("{application}_{hub}")).map_err(|error| Refusal::bad_request(error.to_string()))
}
