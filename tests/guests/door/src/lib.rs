//! An authorizer that does what requests tell it, by their headers. `x-do`: `trap`, `spin`, `fail`, `say` (sends `arrived` with the user to
//! all) or `show` (refuses, with what it is told of the request). `x-user`, or the cookie `user`, says whom it lets in; `nobody` is
//! refused, and so is a request without either. Then `x-claim` (`NAME=VALUE`, any number), `x-groups` (with commas between them) and
//! `x-lifetime`. The claim `door` has the version that it was built as.

use hubgate_plugin::authorizer::{Authorizer, Grant, Refusal, Request};
use hubgate_plugin::hub;
use serde_json::json;

struct Door;

impl Authorizer for Door {
    fn authorize(request: Request) -> Result<Grant, Refusal> {
        match request.header("x-do") {
            Some("trap") => panic!("told to"),
            Some("spin") => spin(),
            Some("fail") => return Err(Refusal::failed("a fault of the door")),
            Some("show") => return Err(Refusal::forbidden(shown(&request))),
            _ => {}
        }
        let user = request.header("x-user").or(request.cookie("user"));
        let user = user.ok_or(Refusal::unauthorized("Who are you?"))?;
        if user == "nobody" {
            return Err(Refusal::forbidden("Nobody may not come."));
        }
        if request.header("x-do") == Some("say") {
            hub::send_all("arrived", &(user,)).map_err(|error| Refusal::failed(format!("{error:?}")))?;
        }
        let mut grant = Grant::user(user).claim("door", option_env!("DOOR_VERSION").unwrap_or("1"));
        for claim in request.headers.iter().filter(|header| header.name == "x-claim") {
            let (name, value) = claim.value.split_once('=').unwrap_or((&claim.value, ""));
            grant = grant.claim(name, value);
        }
        for group in request.header("x-groups").into_iter().flat_map(|groups| groups.split(',')) {
            grant = grant.group(group);
        }
        match request.header("x-lifetime").and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) => Ok(grant.lifetime(seconds)),
            None => Ok(grant),
        }
    }
}

fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

fn shown(request: &Request) -> String {
    let pairs = |pairs: &[hubgate_plugin::contract::types::Pair]| -> Vec<(String, String)> {
        pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
    };
    let (headers, query) = (pairs(&request.headers), pairs(&request.query));
    json!({ "hub": request.hub, "headers": headers, "query": query, "address": request.remote_address }).to_string()
}

hubgate_plugin::export_authorizer!(Door);
