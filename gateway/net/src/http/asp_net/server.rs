//! Requests of hub servers of ASP.NET SignalR for a connection to the gateway.

use http::request::Parts;
use hubgate_core::id::HubName;
use hubgate_wire::token::Resource;

use crate::http::answer::Answer;
use crate::http::authorization::access_token;
use crate::http::query::Query;
use crate::http::server::{check_mode, let_in};
use crate::http::{Service, Upgrade};
use crate::refusal::Refusal;

/// Answers a request of `/aspnetserver`; the connection that it made is left in `upgraded`.
pub(crate) fn answer(service: &Service, request: &Parts, upgraded: &Upgrade) -> Result<Answer, Refusal> {
    let token = access_token(request).ok_or(Refusal::NoToken)?;
    let query = Query::of(&request.uri);
    let mut named = query.all("hub");
    let (Some(name), None) = (named.next(), named.next()) else {
        return Err(Refusal::NotOneHub);
    };
    let hub = HubName::asp_net(&name).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let claims = service.verify(&token, Resource::AspNetServer { hub: hub.configured() })?;
    check_mode(&service.shared().settings(), &hub)?;
    let_in(service, request, &hub, &claims, upgraded)
}
