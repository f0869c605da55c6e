//! Hubs for operators: how they are, their modes, and messages for their clients.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use hubgate_core::delivery::Target;
use hubgate_core::id::{ConnectionId, GroupName, HubName, METHOD_TOO_LONG, UserId, is_short_enough};
use hubgate_core::mode::Mode;
use hubgate_core::{HubStatus, ListedClients, Outgoing};
use hubgate_wire::payload::{JsonText, Payload};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::{is_dry_run, read_json};
use super::outcome::{Denial, Reply};
use super::{Admin, clients, hub_settings};
use crate::inbox::LocalMessage;
use crate::metrics;
use crate::order_answer::Caller;
use crate::orders::{ModeChange, OperatorOrder};
use crate::refusal::Refusal;

const NO_HUB: &str = "The configuration does not name this hub, and nobody uses it.";

/// How long a shard may take to send.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The hub that a path names.
fn hub_name(escaped: &str) -> Result<HubName, Denial> {
    HubName::parse(&percent_decode_str(escaped).decode_utf8_lossy())
        .map_err(|_| Denial::new(StatusCode::NOT_FOUND, "That is not a hub's name."))
}

/// `GET /admin/hubs`.
pub(super) async fn list(admin: &Admin) -> Reply {
    let met = metrics::sum(admin.shards.statuses().await.hubs);
    let core = admin.shared.settings().core.clone();
    let named = core.named_hubs().into_iter().map(|hub| {
        let mode = core.hub(&hub).mode;
        HubStatus::unused(hub, mode)
    });
    // Of a hub that is in both, the later counts.
    let hubs: serde_json::Map<String, Value> =
        named.chain(met).map(|status| (status.hub.to_string(), shown(&status))).collect();
    Reply::Json(json!({ "hubs": hubs }))
}

/// `GET /admin/hubs/{hub}`.
pub(super) async fn get(admin: &Admin, name: &str) -> Result<Reply, Denial> {
    let name = hub_name(name)?;
    let met = metrics::sum(admin.shards.statuses().await.hubs).into_iter().find(|status| status.hub == name);
    let settings = admin.shared.settings();
    let status = match met {
        Some(status) => status,
        None if settings.core.names(&name) => HubStatus::unused(name.clone(), settings.core.hub(&name).mode),
        None => return Err(Denial::new(StatusCode::NOT_FOUND, NO_HUB)),
    };
    let mut hub = shown(&status);
    hub["settings"] = hub_settings::shown(&settings, &name);
    Ok(Reply::Json(hub))
}

fn shown(status: &HubStatus) -> Value {
    json!({
        "mode": status.mode.name(),
        "clients": status.client_count(),
        "waitingClients": status.waiting_clients,
        "serverConnections": status.server_connections,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMode {
    mode: ModeName,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    Default,
    Serverless,
    Classic,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Mode {
        match name {
            ModeName::Default => Mode::Default,
            ModeName::Serverless => Mode::Serverless,
            ModeName::Classic => Mode::Classic,
        }
    }
}

/// `PUT /admin/hubs/{hub}`.
pub(super) async fn set_mode(
    admin: &Admin,
    name: &str,
    request: &mut Request<Incoming>,
    (operator, caller): (IpAddr, Caller),
) -> Result<Reply, Denial> {
    let hub = hub_name(name)?;
    let dry_run = is_dry_run(request.uri())?;
    let mode = Mode::from(read_json::<NewMode>(admin, request).await?.mode);
    let not_fit = ListedClients { hub: Some(hub.clone()), not_fit_for: Some(mode), ..ListedClients::default() };
    let (_, closes) = clients::gather(admin, not_fit, 0).await?;
    let stopping =
        |what: &str| Denial::new(StatusCode::SERVICE_UNAVAILABLE, format!("The gateway is stopping: {what}."));
    let (answer, answered) = oneshot::channel();
    let change = ModeChange { hub: hub.clone(), mode, dry_run, operator, caller, answer };
    if admin.orders.send(OperatorOrder::SetMode(change)).await.is_err() {
        return Err(stopping("the hub's mode stays"));
    }
    match answered.await {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => {
            return Err(Denial::new(StatusCode::CONFLICT, format!("The mode of hub {hub} stays: {refusal}")));
        }
        Err(_) => return Err(stopping("it is not known whether the hub's mode was changed")),
    }
    let rate = admin.shared.settings().core.limits.mode_switch_closes.max(1);
    let done = if dry_run { "could have" } else { "has" };
    let told = format!("hub {hub} {done} mode {}, which closes {closes} clients", mode.name());
    Ok(Reply::Changed(json!({ "closes": closes, "seconds": closes.div_ceil(rate) }), told))
}

/// A call of a method of clients.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    to: To,
    method: String,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    All,
    User(String),
    Group(String),
    Connection(String),
}

impl To {
    /// None if no connection can have the id.
    fn target(&self) -> Result<Option<Target>, Denial> {
        let invalid = |error: &dyn std::fmt::Display| Denial::bad_request(format!("`to`: {error}"));
        Ok(match self {
            To::All => Some(Target::All),
            To::User(user) => Some(Target::User(UserId::parse(user).map_err(|error| invalid(&error))?)),
            To::Group(group) => Some(Target::Group(GroupName::parse(group).map_err(|error| invalid(&error))?)),
            To::Connection(id) => ConnectionId::parse(id).map(Target::Connection),
        })
    }
}

impl Call {
    fn message(self) -> Result<Outgoing, Denial> {
        if self.method.is_empty() || !is_short_enough(&self.method) {
            let why = if self.method.is_empty() { "It is empty." } else { METHOD_TOO_LONG };
            return Err(Denial::bad_request(format!("`method`: {why}")));
        }
        let arguments = match self.arguments {
            None => Payload::no_arguments(),
            Some(array) => {
                let array = JsonText::parse_array(Bytes::copy_from_slice(array.get().as_bytes()));
                Payload::Json(array.map_err(|error| Denial::bad_request(format!("`arguments` {error}")))?)
            }
        };
        Ok(Outgoing::call(self.method, arguments))
    }
}

/// `POST /admin/hubs/{hub}/send`.
pub(super) async fn send(admin: &Admin, name: &str, request: &mut Request<Incoming>) -> Result<Reply, Denial> {
    let hub = hub_name(name)?;
    let call: Call = read_json(admin, request).await?;
    let (to, message) = (call.to.target()?, call.message()?);
    let recipients = match to {
        Some(to) => {
            let (answer, answered) = oneshot::channel();
            let send = LocalMessage::Send { hub: hub.clone(), to, message, answer };
            let inbox = admin.shards.responsive();
            let sent = async {
                inbox.send(send.into()).await.map_err(|_| Refusal::NoAnswer)?;
                answered.await.unwrap_or(Err(Refusal::NoAnswer))
            };
            timeout(SEND_TIMEOUT, sent).await.unwrap_or(Err(Refusal::NoAnswer))?
        }
        None => 0,
    };
    let told = format!("it was for {recipients} connections of hub {hub}");
    Ok(Reply::Changed(json!({ "recipients": recipients }), told))
}
