//! The REST API: how an application sends to clients, manages groups, and asks who is there, without a connection.
//!
//! Source: Azure SignalR Service, "Data plane REST API", in its versions v1-preview (`/api/v1-preview/hub/{hub}`), v1 (`/api/v1/hubs/{hub}`),
//! 2022-06-01 and 2024-12-01 (`/api/hubs/{hub}`), and of 2026-07-01 refreshed claims. The last three have the same operations here; `api-version`
//! is not looked at.

mod invocation;
mod items;
mod members;
mod message;
mod moment;
mod openapi;
mod operation;
#[cfg(test)]
mod page;
mod refresh;
mod streams;
mod table;
mod traced;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use hubgate_core::id::{GroupName, HubName, UserId, is_short_enough};
use hubgate_wire::token::Resource;
use serde_json::json;

use super::answer::{Answer, empty, text, with_type};
use super::authorization::bearer_token;
use super::body::RequestBody;
use super::forwarded::endpoint;
use super::query::Query;
use super::refused;
use crate::http::Service;
use crate::http_places::HttpPlace;
use crate::refusal::Refusal;
use crate::telemetry::Span;
use operation::{Done, Operation};
use table::{MOST_NAMES, Names, Segment, Version, WithoutHub};

/// The code of an error. The .NET management SDK reads a 404 as "no" only where it says what is not there.
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// How many connections of this gateway a send has reached, where its caller has asked.
const RECIPIENTS: HeaderName = HeaderName::from_static("x-hubgate-recipients");

/// Answers a request below `/api`; `path` is its path below the endpoint's.
pub(crate) async fn answer(
    service: &Rc<Service>,
    request: &Parts,
    body: &mut RequestBody,
    path: &str,
    remote: SocketAddr,
) -> Answer {
    if let Some(found) = table::without_hub(path) {
        return answer_without_hub(service, request, remote, found);
    }
    match operate(service, (request, remote.ip()), body, path).await {
        Ok((status, Done::Changed)) => empty(status),
        Ok((status, Done::Reached(recipients))) => {
            let mut answer = empty(status);
            answer.headers_mut().insert(RECIPIENTS, recipients.into());
            answer
        }
        Ok((status, Done::Listed(page))) => {
            let settings = service.shared().settings();
            let url = format!("{}{path}", endpoint(&settings, remote.ip(), request));
            with_type(status, "application/json", page.body(&url, Query::of(&request.uri)).to_string())
        }
        Ok((status, Done::Told(body))) => with_type(status, "application/json", body.to_string()),
        Ok((status, Done::Granted(token))) => {
            with_type(status, "application/json", json!({ "token": token }).to_string())
        }
        Ok((status, Done::Answered(result))) => {
            with_type(status, "application/json", invocation::body(result.as_ref()))
        }
        Ok((status, Done::Unanswered(why))) => error(status, invocation::FAILED, &why),
        Err(refusal) => refuse(service, request, &refusal),
    }
}

fn answer_without_hub(service: &Rc<Service>, request: &Parts, remote: SocketAddr, found: WithoutHub) -> Answer {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return refuse(service, request, &Refusal::method_not_allowed("GET, HEAD"));
    }
    match found {
        WithoutHub::Health => text(StatusCode::OK, ""),
        WithoutHub::AccessKey => refuse(service, request, &Refusal::NotImplemented(NO_IDENTITIES)),
        WithoutHub::Document => {
            let settings = service.shared().settings();
            let document = openapi::document(&endpoint(&settings, remote.ip(), request).to_string());
            with_type(StatusCode::OK, "application/json", document)
        }
    }
}

/// Refuses a request, in the service's form of an error.
pub(super) fn refuse(service: &Service, request: &Parts, refusal: &Refusal) -> Answer {
    refused::note(service, request, None, refusal);
    let mut answer = error(refusal.status(), &code(refusal.status()), &refusal.to_string());
    refusal.add_headers(answer.headers_mut());
    if let Refusal::Absent(absent) = refusal {
        answer.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(absent.code()));
    }
    answer
}

async fn operate(
    service: &Rc<Service>,
    (request, remote): (&Parts, IpAddr),
    body: &mut RequestBody,
    path: &str,
) -> Result<(StatusCode, Done), Refusal> {
    let (version, rest) = Version::of(path).ok_or(Refusal::NotFound(NOT_AN_OPERATION.into()))?;
    check_token(service, &request.headers, path)?;
    let _carrying = HttpPlace::of(&request.extensions).carry();
    let segments = decode(rest)?;
    let (hub, segments) = segments.split_first().ok_or(Refusal::NotFound(NOT_AN_OPERATION.into()))?;
    let query = Query::of(&request.uri);
    let hub = effective_hub(&hub.text, query)?;
    let (route, names) = table::find(version, &request.method, segments)?;
    check_names(&names)?;
    let operation = Operation::new(route, names, query)?;
    let span = traced::span(service, request, &hub, route.operation.name);
    let done = operation.run(service, &hub, (request, remote), body, span.as_ref().map(Span::mark)).await;
    let counted = match &done {
        Err(refusal) => refusal.status(),
        Ok(Done::Unanswered(_)) => StatusCode::BAD_REQUEST,
        Ok(_) => version.success(route),
    };
    service.shared().metrics.rest_request(route.operation.name, counted);
    if let Some(span) = &span {
        traced::answered(span, counted);
    }
    done.map(|done| (counted, done))
}

const NOT_AN_OPERATION: &str = "No operation of the REST API has this path.";

/// Why nobody gets an access key here.
const NO_IDENTITIES: &str = "The gateway knows no Entra identities, for which this operation has access keys: use a connection string with one of \
                             `server.access-keys`.";

/// The token must be for the very path that it is sent to.
fn check_token(service: &Service, headers: &HeaderMap, path: &str) -> Result<(), Refusal> {
    let token = bearer_token(headers).ok_or(Refusal::NoRestToken)?;
    service.verify(token, Resource::Rest { path })?;
    Ok(())
}

/// The path's segments as they were before they were escaped: a `/` inside a name does not part it.
fn decode(path: &str) -> Result<Vec<Segment<'_>>, Refusal> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let decode = |escaped| Segment::decode(escaped).ok_or_else(|| Refusal::bad_request("The path is not UTF-8."));
    path.split('/').map(decode).collect()
}

/// `{application}_{hub}`, where an application is named.
fn effective_hub(hub: &str, query: Query<'_>) -> Result<HubName, Refusal> {
    let hub = HubName::parse(hub)?;
    match query.get("application") {
        None => Ok(hub),
        Some(application) => {
            let application = HubName::parse(&application).map_err(|_| Refusal::bad_request(INVALID_APPLICATION))?;
            Ok(HubName::parse(&format!("{application}_{hub}"))?)
        }
    }
}

const INVALID_APPLICATION: &str = "Invalid value of 'application'. Valid application name should be in between 1 and 128 \
                                   characters long. The first character must be a letter, other characters can be \
                                   letters, digits or the following symbols _`,.[]";

fn check_names(names: &Names<'_>) -> Result<(), Refusal> {
    if names.groups().chain(names.users()).nth(MOST_NAMES).is_some() {
        return Err(Refusal::bad_request(format!(
            "The path names more than {MOST_NAMES} groups or users: send to them in parts."
        )));
    }
    for group in names.groups() {
        GroupName::parse(&group).map_err(|error| Refusal::bad_request(error.to_string()))?;
    }
    if names.connection.is_some_and(str::is_empty) {
        let text = "Invalid connection id. Valid connection id should be more than 1 characters long";
        return Err(Refusal::bad_request(text));
    }
    for user in names.users() {
        if user.is_empty() {
            return Err(Refusal::bad_request("Invalid user id. Valid user id should be at least 1 character long."));
        }
        UserId::parse(&user).map_err(|error| Refusal::bad_request(error.to_string()))?;
    }
    if names.stream.is_some_and(|stream| stream.is_empty() || !is_short_enough(stream)) {
        return Err(Refusal::bad_request("Invalid stream id. It should be 1 to 1024 characters long."));
    }
    Ok(())
}

/// The service's form of an error. Its code is in a header, too: the answer to a HEAD has nothing else.
fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({ "code": code, "message": message });
    let mut answer = with_type(status, "application/json", body.to_string());
    answer.headers_mut().insert(ERROR_CODE, HeaderValue::from_str(code).expect("codes are ASCII"));
    answer
}

/// The code of errors that have none of their own.
fn code(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Error").split([' ', '-']).collect()
}
