//! What the gateway at a URL says itself.

use std::time::{SystemTime, UNIX_EPOCH};

use hubgate_net::WebAnswer;
use serde_json::{Map, Value};

use super::place::{Kind, Place};
use super::{Case, Finding, Findings, token};

/// How long a token lives that is made for one question, in seconds.
const LIFETIME: u64 = 60;
/// As the SDK of hub servers introduces itself: its connections alone are refused by hubs in serverless mode.
const SERVER_SDK: &str = "Microsoft.Azure.SignalR/doctor";

/// What the gateway itself has said something about.
#[derive(Debug, Default)]
struct Answered {
    token: bool,
    origin: bool,
}

/// Asks the gateway at the URL; with `is_known`, only whether it is there. What neither it nor a configuration has been asked about
/// is said.
pub(super) async fn look_at(case: &Case<'_>, is_known: bool, findings: &mut Findings) {
    let answered = match &case.place {
        Some(place) => ask(case, place, is_known, findings).await,
        None => Answered::default(),
    };
    if case.config.is_some() {
        return;
    }
    if case.arguments.token.is_some() && !answered.token {
        let text = "its signature was not checked: that needs --config, or --url with the path that the token is for";
        findings.push(Finding::warning("--token", text));
    }
    if case.arguments.origin.is_some() && !answered.origin && !findings.has_errors() {
        let text = "it was not tried: that needs --config, or --url with a hub, such as https://HOST/client/?hub=NAME";
        findings.push(Finding::warning("--origin", text));
    }
}

async fn ask(case: &Case<'_>, place: &Place, is_known: bool, findings: &mut Findings) -> Answered {
    if let Err(text) = is_there(place).await {
        findings.push(Finding::error("--url", text));
        return Answered::default();
    }
    let Some(question) = Question::of(case, place).filter(|_| !is_known) else { return Answered::default() };
    let (what, is_for_pages) = match place.kind {
        Kind::Client | Kind::Open => ("negotiation", true),
        Kind::Base | Kind::Server | Kind::Rest => ("the request", false),
    };
    let authorization = question.token.as_ref().map(|token| format!("Bearer {token}"));
    let headers = [
        authorization.as_deref().map(|value| ("Authorization", value)),
        case.arguments.origin.as_deref().map(|origin| ("Origin", origin)),
        (place.kind == Kind::Server).then_some(("Asrs-User-Agent", SERVER_SDK)),
    ];
    let headers: Vec<(&str, &str)> = headers.into_iter().flatten().collect();
    let answer = match hubgate_net::ask(question.method, &question.url, &headers).await {
        Ok(answer) => answer,
        Err(error) => {
            findings.push(Finding::error("--url", format!("{what} is not answered: {error}")));
            return Answered::default();
        }
    };
    let is_refused = is_refused(place.kind, &answer);
    // Nothing can be said of a door without a key to it.
    let lacks_token = question.token.is_none() && place.kind != Kind::Open && answer.status == 401;
    if is_refused && !lacks_token {
        let is_token = case.arguments.token.is_some() && matches!(answer.status, 400 | 401 | 403 | 413 | 431);
        let subject = if is_token { "--token" } else { "--url" };
        // The configuration may have told as much.
        if !findings.has_text(answer.body.trim()) {
            let text = format!("{what} is answered with {}: {}", answer.status, answer.body.trim());
            findings.push(Finding::error(subject, text));
        }
    }
    if let Some(origin) = case.arguments.origin.as_deref().filter(|_| is_for_pages) {
        findings.extend(allowed(origin, &answer));
    }
    Answered { token: question.token.is_some() && (answer.status == 401 || !is_refused), origin: is_for_pages }
}

/// Whether a gateway is there.
async fn is_there(place: &Place) -> Result<(), String> {
    let health = format!("{}/healthz", place.base);
    match hubgate_net::ask("GET", &health, &[]).await {
        Ok(answer) if answer.status == 200 && answer.body.trim() == "ok" => Ok(()),
        // It is one, and has no such path.
        Ok(answer) if answer.status == 404 && answer.body.starts_with(NOTHING_HERE) => {
            Err(format!("{} leads nowhere: {}", place.base, answer.body.trim()))
        }
        Ok(answer) => {
            Err(format!("{health} is answered with {}, as no gateway answers: what listens there?", answer.status))
        }
        Err(error) => Err(match place.base.strip_prefix("http://") {
            Some(rest) if hubgate_net::speaks_tls(&health.replacen("http", "https", 1)).await => {
                format!("{}: this port speaks TLS: use https://{rest}", place.base)
            }
            Some(_) | None => format!("{}: no answer: {error}", place.base),
        }),
    }
}

/// How a gateway answers paths that it does not have, its admin listener apart.
const NOTHING_HERE: &str = "Nothing is here. Clients connect at";

/// A request that changes nothing, and that the gateway answers as it does the one that is made of the URL.
struct Question {
    method: &'static str,
    url: String,
    token: Option<String>,
}

impl Question {
    fn of(case: &Case<'_>, place: &Place) -> Option<Question> {
        let query = |hub: &str| form_urlencoded::Serializer::new(String::new()).append_pair("hub", hub).finish();
        let Place { as_given, path, .. } = place;
        let (method, url) = match (place.kind, &place.hub) {
            (Kind::Open, Some(hub)) => ("POST", format!("{as_given}/hubs/{hub}/negotiate?negotiateVersion=1")),
            (Kind::Client, Some(hub)) => {
                ("POST", format!("{as_given}/client/negotiate?{}&negotiateVersion=1", query(hub)))
            }
            // Without an upgrade nothing is connected.
            (Kind::Server, Some(hub)) => ("GET", format!("{as_given}/server/?{}", query(hub))),
            // The token is looked at before the method is, and nothing that is asked by GET acts.
            (Kind::Rest, _) => ("GET", format!("{as_given}{path}?{}", place.query)),
            (Kind::Base | Kind::Open | Kind::Client | Kind::Server, _) => return None,
        };
        let given = case.arguments.token.as_deref().map(|given| token::bare(given).to_owned());
        let token = match place.kind {
            Kind::Open => None,
            Kind::Base | Kind::Client | Kind::Server | Kind::Rest => given.or_else(|| own_token(case, place)),
        };
        Some(Question { method, url, token })
    }
}

/// Whether the answer says that what is made of the URL would not work.
fn is_refused(kind: Kind, answer: &WebAnswer) -> bool {
    match kind {
        Kind::Base | Kind::Client | Kind::Open => answer.status != 200,
        // Only what lacks nothing but the upgrade is told of it.
        Kind::Server => answer.status != 400,
        Kind::Rest => match answer.status {
            404 => ["No operation of", "Nothing is here"].iter().any(|text| answer.body.contains(text)),
            // Another method than the one that acts.
            405 => false,
            status => status >= 400,
        },
    }
}

/// Whether a browser hands the answer to pages of the origin.
fn allowed(origin: &str, answer: &WebAnswer) -> Option<Finding> {
    match answer.allowed_origin.as_deref() {
        Some(allowed) if allowed == origin => None,
        Some(allowed) => {
            let text = format!("the answer is for pages of \"{allowed}\", without credentials where that is \"*\"");
            Some(Finding::warning("--origin", text))
        }
        None => {
            let text =
                "the answer allows no page of it: browsers hide it (`hubs.NAME.cors-origins`, or a proxy between)";
            Some(Finding::error("--origin", text))
        }
    }
}

/// A token for the place as the configuration's first key signs it.
fn own_token(case: &Case<'_>, place: &Place) -> Option<String> {
    let key = case.config?.net.access_keys.first()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let hub = place.hub.as_deref().unwrap_or_default();
    let path = match place.kind {
        Kind::Rest => place.path.clone(),
        Kind::Server => format!("/server/?hub={hub}"),
        Kind::Base | Kind::Client | Kind::Open => format!("/client/?hub={hub}"),
    };
    let claims: Map<String, Value> = Map::from_iter([
        ("aud".to_owned(), format!("{}{path}", place.base).into()),
        ("exp".to_owned(), (now + LIFETIME).into()),
    ]);
    Some(key.sign(&claims))
}
