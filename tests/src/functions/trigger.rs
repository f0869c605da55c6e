//! What the extension makes of an event.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use hubgate_wire::payload::PayloadRef;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage, HubProtocol};
use hyper::body::Bytes;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;

use super::{App, Function, status};

/// What a function is told of (`InvocationContext`).
#[derive(Debug, Clone)]
pub struct Trigger {
    pub connection_id: String,
    pub user_id: Option<String>,
    /// One value for each type.
    pub claims: BTreeMap<String, String>,
    /// As it was sent, undecoded.
    pub query: Option<String>,
    pub arguments: Vec<Value>,
    /// Why a connection has ended; none where its client has left.
    pub error: Option<String>,
}

/// A call in the body of an event.
struct Call {
    protocol: HubProtocol,
    id: Option<String>,
    target: String,
    arguments: Vec<Value>,
}

/// Answers an event. The checks come in the order of the extension, which looks for a function before it looks at the signature.
pub(super) async fn answer(app: &App, headers: &HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
    let event = text(headers, "x-asrs-event").unwrap_or_default();
    let answer = dispatch(app, headers, body, &event).await.unwrap_or_else(status);
    app.heard.lock().expect("no test panics with it").push(format!("{event} {}", answer.status().as_u16()));
    answer
}

/// The answer, or the status of one without a body.
async fn dispatch(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
    event: &str,
) -> Result<Response<Full<Bytes>>, StatusCode> {
    let protocol = match text(headers, CONTENT_TYPE.as_str()).as_deref() {
        Some("application/json") => HubProtocol::Json,
        Some("application/x-msgpack") => HubProtocol::MessagePack,
        _ => return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    let named = |name| text(headers, name).filter(|text| !text.is_empty()).ok_or(StatusCode::BAD_REQUEST);
    let (hub, category, _) = (named("x-asrs-hub")?, named("x-asrs-category")?, named("x-asrs-event")?);
    let function = app.function(&hub, &category, event).ok_or(StatusCode::NOT_FOUND)?;
    let mut trigger = Trigger {
        connection_id: named("x-asrs-connection-id").map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?,
        user_id: text(headers, "x-asrs-user-id"),
        claims: claims(&text(headers, "x-asrs-user-claims").unwrap_or_default()),
        query: text(headers, "x-asrs-client-query"),
        arguments: Vec::new(),
        error: None,
    };
    if category.eq_ignore_ascii_case("messages") {
        let call = read_call(protocol, body).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        if call.target.to_lowercase() != event.to_lowercase() {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        trigger.arguments = call.arguments.clone();
        check_signature(app, headers, &trigger.connection_id)?;
        return Ok(invoke(&function, trigger, call).await);
    }
    let is_connected = event.eq_ignore_ascii_case("connected");
    if !is_connected {
        trigger.error = read_error(body).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    }
    check_signature(app, headers, &trigger.connection_id)?;
    match function(trigger).await {
        Err(_) if is_connected => Err(StatusCode::FORBIDDEN),
        _ => Ok(status(StatusCode::OK)),
    }
}

/// Every answer to a call is a success; what the function throws stands in the Completion.
async fn invoke(function: &Function, trigger: Trigger, call: Call) -> Response<Full<Bytes>> {
    let outcome = function(trigger).await;
    let Some(id) = call.id else { return status(StatusCode::OK) };
    let result = outcome.as_ref().map(Value::to_string).unwrap_or_default();
    let outcome = match &outcome {
        Ok(_) => CompletionOutcome::Result(PayloadRef::Json(&result)),
        Err(thrown) => CompletionOutcome::Error(thrown.into()),
    };
    let mut body = Vec::new();
    call.protocol.write(&HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome }, &mut body);
    // The extension says nothing of its type.
    Response::new(Full::new(body.into()))
}

fn read_call(protocol: HubProtocol, body: &[u8]) -> Option<Call> {
    let HubMessage::Invocation(call) = protocol.parse(body).ok()? else { return None };
    let arguments = serde_json::from_str(&call.arguments.to_json()).ok()?;
    Some(Call { protocol, id: call.invocation_id.map(Into::into), target: call.target.into(), arguments })
}

/// Why the connection has ended; the outer `None` where the body tells of no end.
fn read_error(body: &[u8]) -> Option<Option<String>> {
    let body: BTreeMap<String, Value> = serde_json::from_slice(body).ok()?;
    let body: BTreeMap<_, _> = body.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let error = body.get("error").and_then(Value::as_str).map(str::to_owned);
    (body.get("type")? == 11).then_some(error)
}

/// One of the signatures has to be that of the app's own access key.
fn check_signature(app: &App, headers: &HeaderMap, connection_id: &str) -> Result<(), StatusCode> {
    let key = EncodingKey::from_secret(app.settings().access_key.as_bytes());
    let mac = jsonwebtoken::crypto::sign(connection_id.as_bytes(), &key, Algorithm::HS256).expect("a key of its kind");
    let mac = URL_SAFE_NO_PAD.decode(mac).expect("it is base64");
    let expected = format!("sha256={}", mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    // Blanks around a signature belong to it.
    let signatures = text(headers, "x-asrs-signature").unwrap_or_default();
    match signatures.split(',').any(|each| each.eq_ignore_ascii_case(&expected)) {
        true => Ok(()),
        false => Err(StatusCode::UNAUTHORIZED),
    }
}

/// The first claim of each type; what is no pair is left out.
fn claims(header: &str) -> BTreeMap<String, String> {
    let mut claims = BTreeMap::new();
    for claim in header.split(',') {
        let parts: Vec<_> = claim.split(": ").filter(|part| !part.is_empty()).collect();
        if let [kind, value] = parts[..] {
            claims.entry(kind.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        }
    }
    claims
}

/// The first header of this name. Its bytes are UTF-8.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
