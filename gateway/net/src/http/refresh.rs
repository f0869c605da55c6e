//! Clients of a hub without a host that go on with a newer token.
//!
//! Source: ASP.NET Core SignalR, "Authentication refresh"; Azure SignalR SDK for .NET, `RefreshHandler`, whose names of errors these are.

use std::net::SocketAddr;
use std::rc::Rc;

use http::StatusCode;
use http::request::Parts;
use hubgate_core::id::{ConnectionId, HubName, UserId};
use hubgate_core::refresh::{NewEnd, NewUser, Refresh, RefreshRefusal};
use hubgate_wire::negotiate::RefreshError;
use hubgate_wire::token::Claims;

use super::answer::{Answer, json};
use super::authorization::connection_token;
use super::transport::SECONDS_TO_RENEW;
use super::{Service, negotiate};
use crate::questions::HubAccess;
use crate::refusal::Refusal;

/// Lets a client's connection go on with a token that it could negotiate with now.
pub(super) async fn answer(
    service: &Rc<Service>,
    request: &Parts,
    hub: &HubName,
    remote: SocketAddr,
) -> Result<Answer, Refusal> {
    let connection = connection_token(request).filter(|token| !token.is_empty());
    let connection = connection.ok_or(Refusal::NoConnectionToken)?.into_owned();
    let token = negotiate::own_token(service, request, hub, remote).await?;
    let connection = ConnectionId::parse(&*connection).ok_or(RefreshRefusal::NoSuchConnection)?;
    let refresh = refresh(connection, &token.claims())?;
    HubAccess::new(service.shard(), hub).refresh(refresh).await?;
    Ok(token.refreshed())
}

/// What the connection is to go on with: what it would have if it came with this token now.
fn refresh(connection: ConnectionId, claims: &Claims) -> Result<Refresh, Refusal> {
    let renewed_until = claims.expiry().saturating_add(SECONDS_TO_RENEW);
    let end = claims.connection_end().map_or(renewed_until, |end| end.min(renewed_until));
    Ok(Refresh {
        token: connection,
        claims: claims.flatten().collect(),
        user: NewUser::OfToken(claims.user_id()?.map(UserId::new)),
        end: NewEnd::At(end.saturating_mul(1_000)),
    })
}

/// A refusal as clients read it.
pub(super) fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = json(&RefreshError { error: name(refusal), message: &refusal.to_string() });
    *answer.status_mut() = refusal.status();
    refusal.add_headers(answer.headers_mut());
    answer
}

fn name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoConnectionToken => "missing_connection_token",
        Refusal::NotAnonymous(_) => "refresh_disabled",
        Refusal::NotRefreshed(RefreshRefusal::NoSuchConnection) => "connection_not_found",
        Refusal::NotRefreshed(RefreshRefusal::AnotherUser) | Refusal::NotLetIn(_) => "permission_change_rejected",
        refusal => match refusal.status() {
            StatusCode::UNAUTHORIZED => "invalid_token",
            status if status.is_server_error() => "internal_server_error",
            _ => "invalid_request",
        },
    }
}
