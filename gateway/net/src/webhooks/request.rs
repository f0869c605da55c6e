//! The request that tells a webhook of an event.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use hubgate_core::event::{ConnectionFacts, UpstreamEvent};
use hubgate_core::pairs::Pairs;
use hubgate_core::settings::{ClaimNames, Webhook};
use hubgate_wire::service::long_name;
use hubgate_wire::signalr::HubProtocol;
use hubgate_wire::token::AccessKey;
use hubgate_wire::webhook;

use super::error::WebhookError;
use super::signature::signature;

/// The request for `event` of `client`, signed with `keys`.
pub(super) fn request(
    webhook: &Webhook,
    client: &ConnectionFacts,
    event: &UpstreamEvent,
    keys: &[AccessKey],
) -> Result<Request<Full<Bytes>>, WebhookError> {
    let (category, name) = names(event);
    let url = webhook.url.expand(client.hub.as_str(), category, name).ok_or(WebhookError::BadEvent)?;
    let (content_type, body) = match event {
        UpstreamEvent::Connected => ("application/json", Bytes::from_static(webhook::CONNECTED)),
        UpstreamEvent::Disconnected { reason } => ("application/json", webhook::disconnected(reason.as_deref()).into()),
        UpstreamEvent::Invocation { target, arguments, invocation_id, headers } => {
            let (id, headers) = (invocation_id.as_deref(), written(headers));
            let body = webhook::invocation(client.protocol, id, target, arguments.borrow(), headers);
            (message_type(client.protocol), body.into())
        }
        UpstreamEvent::StreamCall(call) => {
            let (id, target, arguments) = (&*call.invocation_id, &*call.target, call.arguments.borrow());
            let body = webhook::stream_call(client.protocol, id, target, arguments, written(&call.headers));
            (message_type(client.protocol), body.into())
        }
        // The core tells plugins alone of streams.
        UpstreamEvent::Stream(_) => return Err(WebhookError::BadEvent),
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().map_err(|_| WebhookError::BadEvent)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    describe(webhook, client, category, name, headers)?;
    set(headers, "x-asrs-signature", &signature(keys, client.id.as_str()))?;
    Ok(request)
}

/// The type of a hub message in a body.
fn message_type(protocol: HubProtocol) -> &'static str {
    match protocol {
        HubProtocol::Json | HubProtocol::AspNet => "application/json",
        HubProtocol::MessagePack | HubProtocol::BlazorPack => "application/x-msgpack",
    }
}

fn written(headers: &Pairs) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    headers.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// An event's category and name.
pub(super) fn names(event: &UpstreamEvent) -> (&'static str, &str) {
    match event {
        UpstreamEvent::Connected => ("connections", "connected"),
        UpstreamEvent::Disconnected { .. } => ("connections", "disconnected"),
        UpstreamEvent::Invocation { target, .. } => ("messages", target),
        UpstreamEvent::StreamCall(call) => ("messages", &call.target),
        UpstreamEvent::Stream(_) => ("messages", "stream"),
    }
}

/// Adds the headers that say whom the event is about, in the bytes of UTF-8.
fn describe(
    webhook: &Webhook,
    client: &ConnectionFacts,
    category: &str,
    event: &str,
    headers: &mut HeaderMap,
) -> Result<(), WebhookError> {
    set(headers, "x-asrs-connection-id", client.id.as_str())?;
    set(headers, "x-asrs-hub", client.hub.as_str())?;
    set(headers, "x-asrs-category", category)?;
    if !webhook::is_header_value(event) {
        return Err(WebhookError::Unsendable("method's name"));
    }
    set(headers, "x-asrs-event", event)?;
    if let Some(user) = &client.user_id {
        if !webhook::is_header_value(user.as_str()) {
            return Err(WebhookError::Unsendable("user id"));
        }
        set(headers, "x-asrs-user-id", user.as_str())?;
    }
    let claims = match webhook.claim_names {
        ClaimNames::Token => webhook::claims_header(client.claims.iter()),
        ClaimNames::Dotnet => {
            webhook::claims_header(client.claims.iter().map(|(name, value)| (long_name(name), value)))
        }
    };
    if !claims.is_empty() {
        set(headers, "x-asrs-user-claims", &claims)?;
    }
    if !client.query.is_empty() {
        set(headers, "x-asrs-client-query", &format!("?{}", client.query))?;
    }
    Ok(())
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), WebhookError> {
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| WebhookError::Unsendable(name))?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}
