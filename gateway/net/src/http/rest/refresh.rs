//! Claims of a connection, read and refreshed by whoever has let it in.
//!
//! Source: Azure SignalR SDK for .NET, "Authentication Refresh for Serverless Mode".

use bytes::Bytes;
use hubgate_core::event::ConnectionFacts;
use hubgate_core::id::ConnectionId;
use hubgate_core::refresh::{NewEnd, NewUser, Refresh, RefreshRefusal, claims_for_next_token};
use hubgate_wire::service::{Timestamp, long_name};
use serde::Deserialize;
use serde_json::{Value, json};

use super::moment::parse_moment;
use crate::refusal::Refusal;

/// The body of both operations.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    connection_token: String,
    #[serde(default)]
    expire_time: Option<String>,
    #[serde(default)]
    claims: Option<Vec<Claim>>,
}

#[derive(Debug, Deserialize)]
struct Claim {
    #[serde(rename = "type")]
    name: String,
    value: String,
}

impl Named {
    pub(super) fn read(body: &Bytes) -> Result<Named, Refusal> {
        let malformed = |error| Refusal::bad_request(format!("The body must be JSON with `connectionToken`: {error}"));
        serde_json::from_slice(body).map_err(malformed)
    }

    /// The connection that it names. One that no connection can have names none.
    pub(super) fn connection(&self) -> Result<ConnectionId, Refusal> {
        Ok(ConnectionId::parse(&*self.connection_token).ok_or(RefreshRefusal::NoSuchConnection)?)
    }

    /// What the connection is to go on with.
    pub(super) fn refresh(self) -> Result<Refresh, Refusal> {
        let token = self.connection()?;
        let end = match self.expire_time {
            None => NewEnd::AsBefore,
            Some(text) => {
                let time: Timestamp = parse_moment(&text).ok_or_else(|| Refusal::bad_request(NO_TIME))?;
                Some(time).into()
            }
        };
        let claims = self.claims.unwrap_or_default().into_iter().map(|claim| (claim.name, claim.value)).collect();
        Ok(Refresh { token, claims, user: NewUser::InClaims, end })
    }
}

const NO_TIME: &str = "`expireTime` must be a time with its offset, such as \"2026-01-31T12:00:00Z\".";

/// The answer of both: claims under the names that hub servers know them by.
pub(super) fn claims_of(facts: &ConnectionFacts) -> Value {
    let claim = |(name, value): (&str, &str)| json!({ "type": long_name(name), "value": value });
    json!({ "claims": claims_for_next_token(facts).map(claim).collect::<Vec<_>>() })
}
