//! Negotiation, after the application has sent its client here.

use std::net::SocketAddr;
use std::rc::Rc;

use http::StatusCode;
use http::request::Parts;
use hubgate_core::{Negotiated, Reconnect};
use hubgate_wire::aspnet::{NegotiateAnswer, Version};

use super::asking::Connecting;
use super::requests::JSON;
use crate::http::answer::{Answer, with_type};
use crate::http::negotiate::{check_rate, new_id};
use crate::http::query::Query;
use crate::http::{Service, forwarded};
use crate::refusal::Refusal;

/// Gives a client the ids of its connection-to-be.
pub(super) async fn answer(
    service: &Rc<Service>,
    request: &Parts,
    client: &Connecting,
    remote: SocketAddr,
) -> Result<Answer, Refusal> {
    let settings = service.shared().settings().clone();
    client.check_hubs(&settings.core)?;
    check_rate(service)?;
    let hub = &client.asking.hub;
    if !service.shard().asp_net().has_servers(hub) {
        return Err(Refusal::NoAspNetServer(client.asking.application.clone()));
    }
    let owner = service.shard().neighbours().address_of(service.shared().loads.deal());
    let (id, token) = (new_id(owner), new_id(owner));
    service.shard().tokens().negotiated(hub.clone(), Negotiated { id, token, reconnect: Reconnect::No }).await?;
    let base = forwarded::endpoint(&settings, remote.ip(), request).base_path();
    let answer = NegotiateAnswer {
        url: &format!("{base}/aspnetclient"),
        connection_token: &client.seal(&settings, token)?,
        connection_id: id.as_str(),
        version: Version::of(Query::of(&request.uri).get("clientProtocol").as_deref()),
        // With several nodes it may come to another one, which can serve it by the other transports alone.
        try_web_sockets: service.shard().neighbours().nodes().is_empty(),
    };
    Ok(with_type(StatusCode::OK, JSON, answer.to_json()))
}
