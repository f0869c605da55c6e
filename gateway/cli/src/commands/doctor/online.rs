//! What the gateway at a URL says itself.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::place::{Kind, Place};
use super::{Case, Finding, Findings};

/// How long a token lives that is made for one question, in seconds.
const LIFETIME: u64 = 60;

/// Asks the gateway at the URL; with `is_known`, only whether it is there.
pub(super) async fn look_at(case: &Case<'_>, is_known: bool, findings: &mut Findings) {
    let Some(place) = &case.place else { return };
    let health = format!("{}/healthz", place.base);
    match hubgate_net::ask("GET", &health, &[]).await {
        Ok(answer) if answer.status == 200 && answer.body.trim() == "ok" => {}
        Ok(answer) => {
            let text =
                format!("{health} is answered with {}, as no gateway answers: what listens there?", answer.status);
            return findings.push(Finding::error("--url", text));
        }
        Err(error) => return findings.push(Finding::error("--url", format!("{}: no answer: {error}", place.base))),
    }
    if is_known {
        return;
    }
    let (Kind::Client | Kind::Open, Some(hub)) = (place.kind, &place.hub) else { return };
    findings.extend(negotiate(case, place, hub).await);
}

/// Negotiates as a client does.
async fn negotiate(case: &Case<'_>, place: &Place, hub: &str) -> Vec<Finding> {
    let (url, token) = match place.kind {
        Kind::Open => (format!("{}/hubs/{hub}/negotiate?negotiateVersion=1", place.base), None),
        _ => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("hub", hub).finish();
            let url = format!("{}/client/negotiate?{query}&negotiateVersion=1", place.base);
            match case.arguments.token.clone().or_else(|| own_token(case, place, hub)) {
                Some(token) => (url, Some(token)),
                // Nothing can be said of a door without a key to it.
                None => return Vec::new(),
            }
        }
    };
    let authorization = token.as_ref().map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = [
        authorization.as_deref().map(|value| ("Authorization", value)),
        case.arguments.origin.as_deref().map(|origin| ("Origin", origin)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let answer = match hubgate_net::ask("POST", &url, &headers).await {
        Ok(answer) => answer,
        Err(error) => return vec![Finding::error("--url", format!("negotiation is not answered: {error}"))],
    };
    let mut findings = Vec::new();
    if answer.status != 200 {
        let subject = if case.arguments.token.is_some() { "--token" } else { "--url" };
        let text = format!("negotiation is answered with {}: {}", answer.status, answer.body.trim());
        findings.push(Finding::error(subject, text));
    }
    if let Some(origin) = &case.arguments.origin {
        match answer.allowed_origin.as_deref() {
            Some(allowed) if allowed == origin => {}
            Some(allowed) => {
                let text = format!("the answer is for pages of \"{allowed}\", without credentials where that is \"*\"");
                findings.push(Finding::warning("--origin", text));
            }
            None => {
                let text =
                    "the answer allows no page of it: browsers hide it (`hubs.NAME.cors-origins`, or a proxy between)";
                findings.push(Finding::error("--origin", text));
            }
        }
    }
    findings
}

/// A client's token as the configuration's first key signs it.
fn own_token(case: &Case<'_>, place: &Place, hub: &str) -> Option<String> {
    let key = case.config?.net.access_keys.first()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims: Map<String, Value> = Map::from_iter([
        ("aud".to_owned(), format!("{}/client/?hub={hub}", place.base).into()),
        ("exp".to_owned(), (now + LIFETIME).into()),
    ]);
    Some(key.sign(&claims))
}
