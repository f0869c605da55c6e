//! The admin listener: what the gateway is doing, for operators and tools.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use http::{Request, StatusCode};
use hubgate_core::HubStatus;
use hubgate_core::id::HubName;
use hubgate_plugin_host::{PluginHost, PluginStatus, RollbackError};
use hubgate_wire::token::AccessKey;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::cluster_link::ClusterLink;
use crate::http::{
    AdminDoor, Answer, asked_host, bearer_token, check_host, check_network, find_admin, note_refusal, refuse, text,
    with_type,
};
use crate::key_regeneration::{KeyPlace, KeyRegeneration};
use crate::listeners::Listener;
use crate::metrics;
use crate::network_rules::RequestKind;
use crate::patience::PatientStream;
use crate::peer_task::PeerTask;
use crate::settings::Settings;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::tasks::on_a_thread;

const NOTHING_HERE: &str = "Nothing is here. Operators have /admin/plugins, /admin/hubs, /admin/hubs/NAME, /admin/cluster, \
                            /admin/keys, /metrics, POST /admin/plugins/NAME/rollback, and POST /admin/keys/primary:regenerate or \
                            secondary:regenerate.\n";
const NO_HUB: &str = "The configuration does not name this hub, and nobody uses it.\n";

const ALONE: &str = "This gateway serves alone: its configuration has no [cluster].\n";

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;

/// Answers operators, with what the shards and the plugin host know.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plugins: PluginHost,
    pub(crate) shards: Shards,
    /// To whoever keeps the access keys.
    pub(crate) regenerations: mpsc::Sender<KeyRegeneration>,
}

/// Serves all connections.
pub(crate) async fn serve(mut listener: Listener, admin: Admin) -> Infallible {
    let mut tasks = JoinSet::new();
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            (stream, remote) = listener.accept() => {
                if connections.make_room() {
                    let is_operators = Arc::default();
                    let task = tasks.spawn(admin.clone().serve(stream, remote, Arc::clone(&is_operators)));
                    connections.0.push_back(Connection { task, is_operators });
                }
            }
            Some(ended) = tasks.join_next() => {
                if ended.is_err_and(|error| error.is_panic()) {
                    admin.shared.metrics.task_panicked(PeerTask::Admin);
                }
            }
        }
    }
}

/// The connections that are open, the oldest first.
#[derive(Debug, Default)]
struct Connections(VecDeque<Connection>);

#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    /// Whether a request with the admin token has come on it.
    is_operators: Arc<AtomicBool>,
}

impl Connections {
    /// Makes room for one more, if need be at the expense of the oldest one on which the admin token has never come: whoever
    /// does not have it cannot keep operators out.
    fn make_room(&mut self) -> bool {
        self.0.retain(|connection| !connection.task.is_finished());
        if self.0.len() < MAX_CONNECTIONS {
            return true;
        }
        let stranger = self.0.iter().position(|connection| !connection.is_operators.load(Ordering::Relaxed));
        let Some(stranger) = stranger.and_then(|index| self.0.remove(index)) else {
            tracing::warn!(
                connections = MAX_CONNECTIONS,
                "a connection to `admin.listen` is refused: operators have all"
            );
            return false;
        };
        stranger.task.abort();
        true
    }
}

impl Admin {
    /// Serves one connection, and notes whether it is an operator's.
    async fn serve(self, stream: TcpStream, remote: SocketAddr, is_operators: Arc<AtomicBool>) {
        let timeouts = self.shared.settings().timeouts.clone();
        let service = service_fn(|request| {
            let (admin, is_operators) = (&self, &is_operators);
            async move {
                if admin.is_authorized(&request) {
                    is_operators.store(true, Ordering::Relaxed);
                }
                Ok::<_, Infallible>(admin.answer(&request, remote).await)
            }
        });
        let mut builder = http1::Builder::new();
        let connection = builder
            .timer(TokioTimer::new())
            .header_read_timeout(timeouts.header)
            .serve_connection(TokioIo::new(PatientStream::new(stream, timeouts.write)), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an admin connection broke off");
        }
    }

    async fn answer(&self, request: &Request<Incoming>, remote: SocketAddr) -> Answer {
        if let Err(refusal) = check_host(request.version(), request.headers()) {
            return refuse(&refusal);
        }
        let allowed = check_network(&self.shared.settings(), RequestKind::Admin, remote.ip(), request.headers());
        if let Err(refusal) = allowed {
            note_refusal(&self.shared, request.uri().path(), None, &refusal);
            return refuse(&refusal);
        }
        if !self.is_for_us(request) {
            let why = "The Host of the request is not this listener's: add it to `admin.hosts` if it should be.\n";
            return text(StatusCode::FORBIDDEN, why);
        }
        let found = find_admin(request.uri().path());
        let door = found.map(|(row, _)| row.door);
        let is_open = door == Some(AdminDoor::Metrics) && self.shared.settings().admin.metrics_open;
        if !is_open && !self.is_authorized(request) {
            let mut answer = text(StatusCode::UNAUTHORIZED, "The admin token is missing or wrong.\n");
            answer.headers_mut().insert(http::header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
            return answer;
        }
        let Some((row, name)) = found else {
            return text(StatusCode::NOT_FOUND, NOTHING_HERE);
        };
        if let Err(refusal) = row.check(request.method()) {
            return refuse(&refusal);
        }
        match row.door {
            AdminDoor::Metrics => match self.metrics().await {
                Ok(metrics) => {
                    with_type(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics)
                }
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written.\n"),
            },
            AdminDoor::Plugins => {
                let plugins: Vec<Value> = self.plugins.statuses().into_iter().map(plugin).collect();
                reply(&json!({ "plugins": plugins }))
            }
            AdminDoor::Rollback => self.roll_back(name).await,
            AdminDoor::Hubs => {
                let hubs: serde_json::Map<String, Value> = metrics::sum(self.shards.statuses().await.hubs)
                    .iter()
                    .map(|status| (status.hub.to_string(), hub(status)))
                    .collect();
                reply(&json!({ "hubs": hubs }))
            }
            AdminDoor::Hub => self.hub(name).await,
            AdminDoor::Cluster => self.cluster(),
            AdminDoor::Keys => self.keys(),
            AdminDoor::Regenerate(key) => self.regenerate(key, remote.ip()).await,
        }
    }

    /// Brings back the version of a plugin that served before the present one.
    async fn roll_back(&self, name: &str) -> Answer {
        let plugins = self.plugins.clone();
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        let said = |status, error: &dyn std::fmt::Display| text(status, format!("Nothing was rolled back: {error}.\n"));
        // That version may have to be read and loaded.
        let working = match on_a_thread("rollback", move || plugins.roll_back(&name)) {
            Ok(working) => working,
            Err(error) => return said(StatusCode::SERVICE_UNAVAILABLE, &error),
        };
        match working.await {
            Ok(Ok(status)) => reply(&plugin(status)),
            Ok(Err(error @ RollbackError::NoPlugin)) => said(StatusCode::NOT_FOUND, &error),
            Ok(Err(error @ RollbackError::NoVersionBefore)) => said(StatusCode::CONFLICT, &error),
            Err(error) => said(StatusCode::INTERNAL_SERVER_ERROR, &error),
        }
    }

    async fn hub(&self, name: &str) -> Answer {
        let Ok(name) = HubName::parse(&percent_decode_str(name).decode_utf8_lossy()) else {
            return text(StatusCode::NOT_FOUND, "That is not a hub's name.\n");
        };
        let met = metrics::sum(self.shards.statuses().await.hubs).into_iter().find(|status| status.hub == name);
        let core = self.shared.settings().core.clone();
        match met {
            Some(status) => reply(&hub(&status)),
            None if core.names(&name) => {
                let mode = core.hub(&name).mode;
                reply(&hub(&HubStatus::unused(name, mode)))
            }
            None => text(StatusCode::NOT_FOUND, NO_HUB),
        }
    }

    /// The nodes that serve as one.
    fn cluster(&self) -> Answer {
        match &self.shared.cluster {
            Some(cluster) => reply(&cluster.status().to_json()),
            None => text(StatusCode::NOT_FOUND, ALONE),
        }
    }

    /// The access keys, for whoever sets up those who use them.
    fn keys(&self) -> Answer {
        let settings = self.shared.settings();
        let keys: Vec<Value> = KeyPlace::ALL
            .into_iter()
            .zip(&settings.access_keys)
            .map(|(place, key)| shown_key(&settings, place, key))
            .collect();
        reply(&json!({ "keys": keys }))
    }

    /// Has a new key made; clients and hub servers that are connected stay.
    async fn regenerate(&self, key: KeyPlace, operator: IpAddr) -> Answer {
        let stopping =
            |what: &str| text(StatusCode::SERVICE_UNAVAILABLE, format!("The gateway is stopping: {what}.\n"));
        let (answer, answered) = oneshot::channel();
        if self.regenerations.send(KeyRegeneration { key, operator, answer }).await.is_err() {
            return stopping("no key was made");
        }
        match answered.await {
            Ok(Ok(new)) => reply(&shown_key(&self.shared.settings(), key, &new)),
            Ok(Err(refusal)) => text(StatusCode::CONFLICT, format!("The {} key stays: {refusal}\n", key.name())),
            Err(_) => {
                stopping("it is not known whether a key was made. `hubgate keys` lists the keys when it runs again")
            }
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

    /// A page of a browser must not reach the listener through a name that it made point here.
    fn is_for_us(&self, request: &Request<Incoming>) -> bool {
        let Some(host) = asked_host(request.uri(), request.headers()) else {
            return false;
        };
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &host,
        };
        let own = self.shared.admin_address.ip();
        let own_name = if own.is_ipv6() { format!("[{own}]") } else { own.to_string() };
        let settings = self.shared.settings();
        let hosts = &settings.admin.hosts;
        ["localhost", "127.0.0.1", "[::1]", &own_name].contains(&name)
            || hosts.iter().any(|each| each == name || *each == host)
    }

    fn is_authorized(&self, request: &Request<Incoming>) -> bool {
        let settings = self.shared.settings();
        let expected = settings.admin.token.as_bytes();
        let is_expected =
            |token: &str| aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), expected).is_ok();
        bearer_token(request.headers()).is_some_and(is_expected)
    }
}

fn reply(body: &Value) -> Answer {
    with_type(StatusCode::OK, "application/json", body.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that stays open.
    fn connection(tasks: &mut JoinSet<()>, is_operators: bool) -> Connection {
        Connection { task: tasks.spawn(std::future::pending()), is_operators: Arc::new(is_operators.into()) }
    }

    #[tokio::test]
    async fn the_oldest_stranger_gives_way_and_no_operator_does() {
        let (mut tasks, mut connections) = (JoinSet::new(), Connections::default());
        for number in 0..MAX_CONNECTIONS {
            assert!(connections.make_room());
            connections.0.push_back(connection(&mut tasks, number != 7 && number != 9));
        }
        let strangers = [7, 9].map(|index| connections.0[index].task.clone());
        for stranger in &strangers {
            assert!(!stranger.is_finished() && connections.make_room());
            connections.0.push_back(connection(&mut tasks, true));
            assert!(tasks.join_next().await.is_some_and(|ended| ended.is_err()) && stranger.is_finished());
        }
        assert!(!connections.make_room(), "all are operators'");
        connections.0[3].task.abort();
        assert!(tasks.join_next().await.is_some() && connections.make_room(), "one has left");
    }
}
