//! Its transient transport: a request for each call.

use std::net::SocketAddr;

use http::Method;
use hubgate_wire::messagepack::{write_binary, write_map, write_text};
use serde_json::{Value, json};

use super::{Change, Member, Payloads, Question, Thrown, To};
use crate::gateway::Gateway;
use crate::http::{Answer, Request, escaped};
use crate::token::Token;

/// The version of the API that each request names.
const API_VERSION: &str = "api-version=2024-12-01";
pub(super) const USER_AGENT: &str = "Microsoft.Azure.SignalR.Management/1.34.0-rtm+9c449f38 (.NET 10.0.12; Linux; X64)";

#[derive(Debug)]
pub(super) struct Rest {
    address: SocketAddr,
    /// As in the connection string.
    endpoint: String,
    key: String,
    application: Option<String>,
    hub: String,
}

/// What a send carries.
#[derive(Debug, Clone)]
pub(super) enum Body<'a> {
    Json { method: &'a str, arguments: Value },
    Payloads(&'a Payloads),
}

impl Rest {
    pub(super) fn new(gateway: &Gateway, key: &str, application: Option<&str>, hub: &str) -> Rest {
        Rest {
            address: gateway.address(),
            endpoint: gateway.url(),
            key: key.to_owned(),
            application: application.map(str::to_owned),
            hub: hub.to_lowercase(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The hub's name after that of the application.
    pub(super) fn full_hub(&self) -> String {
        match &self.application {
            Some(application) => format!("{}_{}", application.to_lowercase(), self.hub),
            None => self.hub.clone(),
        }
    }

    /// The URL of a path, as it is in tokens: without the port.
    pub(super) fn audience(&self, path: &str) -> String {
        let without_port = self.endpoint.rsplit_once(':').expect("gateways of tests have a port").0;
        format!("{without_port}{path}")
    }

    pub(super) async fn send(&self, to: To<'_>, body: Body<'_>) -> Result<(), Thrown> {
        // Several targets are as many requests.
        let paths = match to {
            To::All | To::AllExcept(_) => vec![String::new()],
            To::Client(connection) => vec![format!("/connections/{}", escaped(connection))],
            To::Clients(connections) => all("connections", connections),
            To::Group(group) | To::GroupExcept(group, _) => vec![format!("/groups/{}", escaped(group))],
            To::Groups(groups) => all("groups", groups),
            To::User(user) => vec![format!("/users/{}", escaped(user))],
            To::Users(users) => all("users", users),
        };
        let excluded = match to {
            To::AllExcept(excluded) | To::GroupExcept(_, excluded) => excluded,
            _ => &[],
        };
        let excluded: Vec<_> = excluded.iter().map(|id| ("excluded", (*id).to_owned())).collect();
        for path in paths {
            let request = self.request(Method::POST, &format!("{path}/:send"), &excluded);
            let request = request.header("X-ASRS-Message-Tracing-Id", "4294967297");
            outcome(&with_body(request, body.clone()).send().await, None)?;
        }
        Ok(())
    }

    pub(super) async fn change(&self, change: Change<'_>) -> Result<(), Thrown> {
        let (method, path, query) = change.request();
        outcome(&self.request(method, &path, &query).send().await, change.absent()).map(drop)
    }

    pub(super) async fn ask(&self, question: Question<'_>) -> Result<bool, Thrown> {
        let (method, path) = question.request();
        outcome(&self.request(method, &path, &[]).send().await, Some(question.absent()))
    }

    pub(super) async fn connections_in_group(
        &self,
        group: &str,
        top: Option<i64>,
        page_size: Option<i64>,
    ) -> Result<Vec<Member>, Thrown> {
        let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        let query = [("top", number(top)), ("maxPageSize", number(page_size))];
        let mut request = self.request(Method::GET, &format!("/groups/{}/connections", escaped(group)), &query);
        let mut members = Vec::new();
        loop {
            let answer = request.send().await;
            outcome(&answer, None)?;
            let page = answer.json();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            for member in page["value"].as_array().expect("a page has a list") {
                members.push((text(&member["connectionId"]).expect("a member has an id"), text(&member["userId"])));
            }
            let Some(next) = page["nextLink"].as_str() else {
                return Ok(members);
            };
            // The link is asked as it is; its token is for its URL without the query.
            let path = next.strip_prefix(&self.endpoint).expect("the link is an absolute URL of the endpoint");
            let audience = self.audience(path.split('?').next().unwrap_or_default());
            request = self.signed(Request::new(Method::GET, self.address, path), &audience);
        }
    }

    pub(super) async fn invoke(&self, connection: &str, body: Body<'_>) -> Result<Value, Thrown> {
        let path = format!("/connections/{}/:invoke", escaped(connection));
        let request = self.request(Method::POST, &path, &[]).header("X-ASRS-Protocol", "json");
        let answer = with_body(request, body).send().await;
        outcome(&answer, None)?;
        Ok(answer.json()["result"].clone())
    }

    pub(super) async fn is_service_healthy(&self) -> Result<bool, Thrown> {
        let path = format!("/api/health?{API_VERSION}");
        let request = Request::new(Method::HEAD, self.address, &path);
        let answer = self.signed(request, &self.audience(&path)).send().await;
        match answer.status {
            200..300 => Ok(true),
            500.. => Ok(false),
            _ => outcome(&answer, None),
        }
    }

    /// A request below the hub. What is in the query beside the application and the version is not in the token.
    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> Request {
        let application = self.application.as_ref().map(|name| format!("application={}&", escaped(name)));
        let path = format!("/api/hubs/{}{path}?{}{API_VERSION}", escaped(&self.hub), application.unwrap_or_default());
        let audience = self.audience(&path);
        let more: String = query.iter().map(|(name, value)| format!("&{name}={}", escaped(value))).collect();
        self.signed(Request::new(method, self.address, &format!("{path}{more}")), &audience)
    }

    fn signed(&self, request: Request, audience: &str) -> Request {
        let token = Token::new(audience, &self.key).claim("iss", "azure-signalr");
        request.bearer(&token.sign()).header("Asrs-User-Agent", USER_AGENT)
    }
}

fn all(kind: &str, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("/{kind}/{}", escaped(name))).collect()
}

fn with_body(request: Request, body: Body<'_>) -> Request {
    match body {
        Body::Json { method, arguments } => {
            let body = json!({ "Target": method, "Arguments": arguments });
            request.chunked("application/json; charset=utf-8", body.to_string())
        }
        Body::Payloads(payloads) => {
            let mut body = Vec::new();
            write_map(payloads.len(), &mut body);
            for (protocol, payload) in payloads {
                write_text(protocol, &mut body);
                write_binary(payload, &mut body);
            }
            request.chunked("application/octet-stream", body)
        }
    }
}

/// What comes of an answer. Whether something is there is what 200 says, and a 404 with the code `absent` in its header.
fn outcome(answer: &Answer, absent: Option<&str>) -> Result<bool, Thrown> {
    let has_code = |code: &str| answer.header("x-ms-error-code").eq_ignore_ascii_case(code);
    match answer.status {
        200..300 => Ok(answer.status == 200),
        400 => Err(Thrown::InvalidArgument(answer.body.clone())),
        401 => Err(Thrown::Unauthorized),
        404 if absent.is_some_and(has_code) => Ok(false),
        status => Err(Thrown::Runtime(status, answer.body.clone())),
    }
}
