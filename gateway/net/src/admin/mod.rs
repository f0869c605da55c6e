//! The admin listener: what the gateway is doing, for operators and tools, and what they change.

mod access;
mod clients;
mod listener;
mod operations;
mod outcome;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, StatusCode};
use hubgate_core::HubStatus;
use hubgate_core::id::HubName;
use hubgate_plugin_host::{PluginHost, PluginStatus, RollbackError};
use hubgate_wire::token::AccessKey;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use self::access::Token;
pub(crate) use self::listener::serve;
use self::operations::{Door, Found, Needs};
use self::outcome::{Denial, Reply};
use crate::cluster_link::ClusterLink;
use crate::http::{Answer, check_host, check_network, note_refusal, refuse};
use crate::key_regeneration::{KeyPlace, KeyRegeneration};
use crate::metrics;
use crate::network_rules::RequestKind;
use crate::settings::Settings;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::tasks::on_a_thread;

const NO_HUB: &str = "The configuration does not name this hub, and nobody uses it.";

const ALONE: &str = "This gateway serves alone: its configuration has no [cluster].";

/// Answers operators, with what the shards and the plugin host know.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plugins: PluginHost,
    pub(crate) shards: Shards,
    /// To whoever keeps the access keys.
    pub(crate) regenerations: mpsc::Sender<KeyRegeneration>,
}

impl Admin {
    /// Answers a request; `is_sent_with` is told of its token, if that is one of ours.
    async fn answer(&self, request: Request<Incoming>, remote: SocketAddr, is_sent_with: impl FnOnce(Token)) -> Answer {
        let token = Token::of(request.headers(), &self.shared.settings().admin);
        if let Some(token) = token {
            is_sent_with(token);
        }
        if let Err(refusal) = check_host(request.version(), request.headers()) {
            return refuse(&refusal);
        }
        let allowed = check_network(&self.shared.settings(), RequestKind::Admin, remote.ip(), request.headers());
        if let Err(refusal) = allowed {
            note_refusal(&self.shared, request.uri().path(), None, &refusal);
            return refuse(&refusal);
        }
        match self.reply(&request, remote.ip(), token).await {
            Ok(reply) => reply.into(),
            Err(denial) => denial.into(),
        }
    }

    async fn reply(
        &self,
        request: &Request<Incoming>,
        operator: IpAddr,
        token: Option<Token>,
    ) -> Result<Reply, Denial> {
        if !access::is_for_us(self, request) {
            let why = "The Host of the request is not this listener's: add it to `admin.hosts` if it should be.";
            return Err(Denial::new(StatusCode::FORBIDDEN, why));
        }
        let found = operations::find(request.method(), request.uri().path());
        let is_metrics = matches!(&found, Found::Operation(operation, _) if operation.door == Door::Metrics);
        if token.is_none() && !(is_metrics && self.shared.settings().admin.metrics_open) {
            return Err(Denial::new(StatusCode::UNAUTHORIZED, "The admin token is missing or wrong."));
        }
        let (operation, name) = match found {
            Found::Operation(operation, name) => (operation, name),
            Found::OtherMethods(methods) => return Err(Denial::other_methods(methods)),
            Found::Nothing => return Err(Denial::new(StatusCode::NOT_FOUND, operations::listed())),
        };
        let allowed = access::check(operation, token, request, &self.shared.settings().admin);
        let outcome = match allowed.and_then(|()| operation.check_query(request.uri())) {
            Ok(()) => self.operate(operation.door, name, request, operator).await,
            Err(denial) => Err(denial),
        };
        if let (Needs::ToChange, Some(token)) = (operation.needs, token) {
            outcome::log_change(operation, request.uri(), (token, operator), &outcome);
        }
        outcome
    }

    async fn operate(
        &self,
        door: Door,
        name: &str,
        request: &Request<Incoming>,
        operator: IpAddr,
    ) -> Result<Reply, Denial> {
        match door {
            Door::Metrics => self
                .metrics()
                .await
                .map(Reply::Metrics)
                .map_err(|_| Denial::new(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written.")),
            Door::Plugins => {
                let plugins: Vec<Value> = self.plugins.statuses().into_iter().map(plugin).collect();
                Ok(Reply::Json(json!({ "plugins": plugins })))
            }
            Door::Rollback => self.roll_back(name).await,
            Door::Hubs => {
                let hubs: serde_json::Map<String, Value> = metrics::sum(self.shards.statuses().await.hubs)
                    .iter()
                    .map(|status| (status.hub.to_string(), hub(status)))
                    .collect();
                Ok(Reply::Json(json!({ "hubs": hubs })))
            }
            Door::Hub => self.hub(name).await,
            Door::Clients => clients::list(self, request.uri()).await,
            Door::CloseClient => clients::close(self, name, request.uri()).await,
            Door::Cluster => self.cluster(),
            Door::Keys => Ok(self.keys()),
            Door::Regenerate(key) => self.regenerate(key, operator).await,
        }
    }

    /// Brings back the version of a plugin that served before the present one.
    async fn roll_back(&self, name: &str) -> Result<Reply, Denial> {
        let plugins = self.plugins.clone();
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        let denied =
            |status, error: &dyn std::fmt::Display| Denial::new(status, format!("Nothing was rolled back: {error}."));
        // That version may have to be read and loaded.
        let working = on_a_thread("rollback", move || plugins.roll_back(&name));
        let working = working.map_err(|error| denied(StatusCode::SERVICE_UNAVAILABLE, &error))?;
        match working.await {
            Ok(Ok(status)) => {
                let told = format!("generation {} serves", status.generation);
                Ok(Reply::Changed(plugin(status), told))
            }
            Ok(Err(error @ RollbackError::NoPlugin)) => Err(denied(StatusCode::NOT_FOUND, &error)),
            Ok(Err(error @ RollbackError::NoVersionBefore)) => Err(denied(StatusCode::CONFLICT, &error)),
            Err(error) => Err(denied(StatusCode::INTERNAL_SERVER_ERROR, &error)),
        }
    }

    async fn hub(&self, name: &str) -> Result<Reply, Denial> {
        let name = hub_name(name)?;
        let met = metrics::sum(self.shards.statuses().await.hubs).into_iter().find(|status| status.hub == name);
        let core = self.shared.settings().core.clone();
        match met {
            Some(status) => Ok(Reply::Json(hub(&status))),
            None if core.names(&name) => {
                let mode = core.hub(&name).mode;
                Ok(Reply::Json(hub(&HubStatus::unused(name, mode))))
            }
            None => Err(Denial::new(StatusCode::NOT_FOUND, NO_HUB)),
        }
    }

    /// The nodes that serve as one.
    fn cluster(&self) -> Result<Reply, Denial> {
        match &self.shared.cluster {
            Some(cluster) => Ok(Reply::Json(cluster.status().to_json())),
            None => Err(Denial::new(StatusCode::NOT_FOUND, ALONE)),
        }
    }

    /// The access keys, for whoever sets up those who use them.
    fn keys(&self) -> Reply {
        let settings = self.shared.settings();
        let keys: Vec<Value> = KeyPlace::ALL
            .into_iter()
            .zip(&settings.access_keys)
            .map(|(place, key)| shown_key(&settings, place, key))
            .collect();
        Reply::Json(json!({ "keys": keys }))
    }

    /// Has a new key made; clients and hub servers that are connected stay.
    async fn regenerate(&self, key: KeyPlace, operator: IpAddr) -> Result<Reply, Denial> {
        let stopping =
            |what: &str| Denial::new(StatusCode::SERVICE_UNAVAILABLE, format!("The gateway is stopping: {what}."));
        let (answer, answered) = oneshot::channel();
        if self.regenerations.send(KeyRegeneration { key, operator, answer }).await.is_err() {
            return Err(stopping("no key was made"));
        }
        match answered.await {
            Ok(Ok(new)) => {
                let told = format!("the {} key was made anew", key.name());
                Ok(Reply::Changed(shown_key(&self.shared.settings(), key, &new), told))
            }
            Ok(Err(refusal)) => {
                Err(Denial::new(StatusCode::CONFLICT, format!("The {} key stays: {refusal}", key.name())))
            }
            Err(_) => Err(stopping(
                "it is not known whether a key was made. `hubgate keys` lists the keys when it runs again",
            )),
        }
    }

    async fn metrics(&self) -> Result<String, std::fmt::Error> {
        let statuses = self.shards.statuses().await;
        self.shared.metrics.set_outboxes(self.shared.outboxes.held());
        let cluster = self.shared.cluster.as_ref().map(ClusterLink::status);
        let has_own_certificate = self.shared.settings().acme.is_some();
        let certificate = has_own_certificate.then_some(&*self.shared.certificate);
        self.shared.metrics.encode(statuses, &self.shared.directory, cluster.as_deref(), certificate)
    }
}

/// The hub that a path names.
fn hub_name(escaped: &str) -> Result<HubName, Denial> {
    HubName::parse(&percent_decode_str(escaped).decode_utf8_lossy())
        .map_err(|_| Denial::new(StatusCode::NOT_FOUND, "That is not a hub's name."))
}

/// The first endpoint is that of connection strings.
fn shown_key(settings: &Settings, place: KeyPlace, key: &AccessKey) -> Value {
    json!({ "key": place.name(), "connectionString": key.connection_string(&settings.endpoints[0]) })
}

fn hub(status: &HubStatus) -> Value {
    json!({
        "mode": status.mode.name(),
        "clients": status.client_count(),
        "waitingClients": status.waiting_clients,
        "serverConnections": status.server_connections,
    })
}

fn plugin(status: PluginStatus) -> Value {
    json!({
        "name": status.name.as_str(),
        "generation": status.generation,
        "digest": status.digest,
        "state": status.state.to_string(),
        "loadedAt": status.loaded_at.map(rfc3339),
        "calls": status.calls,
        "traps": status.traps,
        "memoryBytes": status.memory_bytes,
        "rolledBackFrom": status.rolled_back_from,
        "lastError": status.last_error.map(|error| json!({ "reason": error.reason, "at": rfc3339(error.at) })),
    })
}

/// A moment as RFC 3339 text in UTC.
fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}
