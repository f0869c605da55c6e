//! The items of a query that operations read.

use std::num::IntErrorKind;

use hubgate_core::id::ConnectionId;

use super::super::answer::Refusal;
use super::super::query::Query;

/// The connections that get nothing. An id that is none of ours excludes nobody.
pub(super) fn excluded(query: Query<'_>) -> Vec<ConnectionId> {
    query.all("excluded").filter_map(|id| ConnectionId::parse(&id)).collect()
}

/// What closed clients are told.
pub(super) fn reason(query: Query<'_>) -> Option<String> {
    query.get("reason").filter(|reason| !reason.is_empty()).map(|reason| reason.into_owned())
}

/// How long connections that the user makes later still join, in seconds; 136 years are as long as it gets.
pub(super) fn ttl(query: Query<'_>) -> Result<Option<u32>, Refusal> {
    match query.get("ttl") {
        None => Ok(None),
        Some(text) => match text.parse::<u32>() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => Ok(Some(u32::MAX)),
            Err(_) => Err(Refusal::bad_request("Invalid ttl. Valid ttl should be a number of seconds, 0 or more.")),
        },
    }
}
