//! Requests that want to become clients, as authorizers get them, and what these say.

use hubgate_core::event::UpstreamFailure;
use hubgate_core::pairs::Pairs;

use super::{group, user};
use crate::authorization::{AuthorizeCall, Grant, Refused};
use crate::bindings::exports::hubgate::plugin::authorizer;
use crate::bindings::hubgate::plugin::types;
use crate::limits::REASON_BYTES;
use crate::printable::printable;

/// Lends the names and values of a request to a guest.
pub(crate) fn lent_pairs(pairs: &Pairs) -> Vec<types::PairParam<'_>> {
    pairs.iter().map(|(name, value)| types::PairParam { name, value }).collect()
}

/// Lends a request to a guest.
pub(crate) fn request<'a>(
    call: &'a AuthorizeCall,
    headers: &'a [types::PairParam<'a>],
    query: &'a [types::PairParam<'a>],
) -> authorizer::Request<'a> {
    authorizer::Request { hub: call.hub.as_str(), headers, query, remote_address: &call.remote_address }
}

/// What a guest has said of a request.
pub(crate) fn authorization(answer: Result<authorizer::Grant, authorizer::Refusal>) -> Result<Grant, Refused> {
    match answer {
        Ok(granted) => grant(granted).map_err(|reason| Refused::Failed(UpstreamFailure::Failed(reason))),
        Err(authorizer::Refusal::Unauthorized(text)) => Err(Refused::Unauthorized(printable(&text, REASON_BYTES))),
        Err(authorizer::Refusal::Forbidden(text)) => Err(Refused::Forbidden(printable(&text, REASON_BYTES))),
        Err(authorizer::Refusal::Failed(text)) => Err(Refused::Failed(UpstreamFailure::Failed(text))),
    }
}

fn grant(granted: authorizer::Grant) -> Result<Grant, String> {
    let authorizer::Grant { user_id, claims, groups, lifetime_seconds } = granted;
    let wrong = |reason: String| format!("the grant of its authorizer is wrong: {reason}");
    if user_id.as_deref() == Some("") {
        return Err(wrong("the user id is empty; a client that is no user is granted none".to_owned()));
    }
    Ok(Grant {
        user_id: user_id.as_deref().map(user).transpose().map_err(wrong)?,
        claims: claims.into_iter().map(|claim| (claim.name, claim.value)).collect(),
        groups: groups.iter().map(|name| group(name)).collect::<Result<_, _>>().map_err(wrong)?,
        lifetime_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_user_id_is_no_grant() {
        let granted = |user_id: Option<&str>| authorizer::Grant {
            user_id: user_id.map(str::to_owned),
            claims: Vec::new(),
            groups: Vec::new(),
            lifetime_seconds: None,
        };
        assert!(grant(granted(Some(""))).is_err_and(|reason| reason.contains("the user id is empty")));
        assert_eq!(grant(granted(None)).map(|grant| grant.user_id), Ok(None));
        assert!(grant(granted(Some("ann"))).is_ok_and(|grant| grant.user_id.is_some()));
    }
}
