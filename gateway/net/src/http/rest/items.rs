//! The items of a query that operations read.

use std::num::{IntErrorKind, NonZero};

use hubgate_core::id::{ConnectionId, UserId};

use super::super::query::Query;
use crate::refusal::Refusal;

/// The longest id in a list of exclusions, in characters. The service's ids are shorter, too.
const LONGEST_ID: usize = 128;

/// The connections that get nothing. What can be an id, but is none of this gateway's, excludes nobody.
pub(super) fn excluded(query: Query<'_>) -> Result<Vec<ConnectionId>, Refusal> {
    let mut excluded = Vec::new();
    for value in query.list("excluded") {
        for id in value.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            if id.len() > LONGEST_ID || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Refusal::bad_request(format!(
                    "Invalid value of 'excluded'. It takes connection ids, which have up to {LONGEST_ID} visible ASCII characters: \
                     repeat it for each, or put commas between them."
                )));
            }
            excluded.extend(ConnectionId::parse(id));
        }
    }
    Ok(excluded)
}

/// Refuses a send to those whom an expression selects: nobody here can read one, and without it the send would reach others.
pub(super) fn refuse_filter(query: Query<'_>) -> Result<(), Refusal> {
    match query.get("filter").or_else(|| query.get("$filter")) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad_request(
            "Invalid value of 'filter'. No send of this gateway has a filter: name a group, a user or a connection in the path.",
        )),
    }
}

/// What closed clients are told.
pub(super) fn reason(query: Query<'_>) -> Option<String> {
    query.get("reason").filter(|reason| !reason.is_empty()).map(|reason| reason.into_owned())
}

/// The error with which a stream ends; none, if it ends well. The service's documents call it `reason`, its SDK `error`.
pub(super) fn stream_error(query: Query<'_>) -> Option<String> {
    reason(query).or_else(|| query.get("error").filter(|error| !error.is_empty()).map(|error| error.into_owned()))
}

/// Whether an item is the last of its stream.
pub(super) fn completed(query: Query<'_>) -> Result<bool, Refusal> {
    match query.get("completed").map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("false") => Ok(false),
        Some("" | "true") => Ok(true),
        Some(_) => Err(Refusal::bad_request("Invalid value of 'completed'. It should be true or false.")),
    }
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

/// Who is to come with a token; nobody in particular if it is not said.
pub(super) fn user_id(query: Query<'_>) -> Result<Option<UserId>, Refusal> {
    let user = query.get("userId").filter(|user| !user.is_empty());
    user.map(|user| UserId::parse(&user)).transpose().map_err(|error| Refusal::bad_request(error.to_string()))
}

/// How long a token lasts.
pub(super) fn lifetime_seconds(query: Query<'_>) -> Result<u64, Refusal> {
    const DEFAULT_MINUTES: u32 = 60;
    let minutes = match query.get("minutesToExpire").filter(|minutes| !minutes.is_empty()) {
        None => DEFAULT_MINUTES,
        Some(minutes) => minutes.parse::<NonZero<u32>>().map(NonZero::get).map_err(|_| {
            Refusal::bad_request("Invalid value of 'minutesToExpire'. It should be a number of minutes, 1 or more.")
        })?,
    };
    Ok(u64::from(minutes) * 60)
}
