//! The admin listener: what the gateway is doing, for operators and tools, and what they change.

mod access;
mod body;
mod clients;
mod console;
mod hub_settings;
mod hubs;
mod listener;
mod openapi;
mod operations;
mod outcome;
mod plugins;
mod trace;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, StatusCode};
use hubgate_plugin_host::PluginHost;
use hubgate_wire::token::AccessKey;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use self::access::Token;
pub(crate) use self::listener::serve;
use self::operations::{Door, Found, Needs, Operation};
use self::outcome::{Denial, Reply};
use crate::http::{Answer, check_host, check_network, note_refusal, readiness, refuse};
use crate::key_regeneration::{KeyPlace, KeyRegeneration};
use crate::network_rules::RequestKind;
use crate::order_answer::Caller;
use crate::orders::OperatorOrder;
use crate::peer_task::PeerTask;
use crate::settings::Settings;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::tasks::{Caught, spawn_awaited};

const ALONE: &str = "This gateway serves alone: its configuration has no [cluster].";

/// Answers operators, with what the shards and the plugin host know.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plugins: PluginHost,
    pub(crate) shards: Shards,
    /// To whoever keeps the configuration.
    pub(crate) orders: mpsc::Sender<OperatorOrder>,
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
        match self.reply(request, remote.ip(), token).await {
            Ok(reply) => reply.into(),
            Err(denial) => denial.into(),
        }
    }

    async fn reply(
        &self,
        mut request: Request<Incoming>,
        operator: IpAddr,
        token: Option<Token>,
    ) -> Result<Reply, Denial> {
        if !access::is_for_us(self, &request) {
            let why = "The Host of the request is not this listener's: add it to `admin.hosts` if it should be.";
            return Err(Denial::new(StatusCode::FORBIDDEN, why));
        }
        if let Some(answer) = console::answer(&request, &self.shared.settings().endpoints) {
            return answer.map(|answer| Reply::Page(Box::new(answer)));
        }
        let uri = request.uri().clone();
        let found = operations::find(request.method(), uri.path());
        let is_open = match &found {
            Found::Operation(operation, _) if operation.door == Door::Metrics => {
                self.shared.settings().admin.metrics_open
            }
            Found::Operation(operation, _) => operation.needs == Needs::Nothing,
            Found::OtherMethods(_) | Found::Nothing => false,
        };
        if token.is_none() && !is_open {
            return Err(Denial::new(StatusCode::UNAUTHORIZED, "The admin token is missing or wrong."));
        }
        let (operation, name) = match found {
            Found::Operation(operation, name) => (operation, name),
            Found::OtherMethods(methods) => return Err(Denial::other_methods(methods)),
            Found::Nothing => return Err(Denial::new(StatusCode::NOT_FOUND, operations::listed())),
        };
        let allowed = access::check(operation, token, &request, &self.shared.settings().admin);
        let allowed = allowed.and_then(|()| operation.check_query(&uri));
        match (operation.needs, token) {
            (Needs::ToChange, Some(token)) => {
                if let Err(denial) = allowed {
                    let refused = Err(denial);
                    outcome::log_change(operation, &uri, (token, operator), &refused);
                    return refused;
                }
                self.change(operation, name, request, (token, operator)).await
            }
            _ => {
                allowed?;
                let (_waiting, caller) = Caller::waiting();
                self.operate(operation.door, name, &mut request, (token, operator, caller)).await
            }
        }
    }

    /// Carries out a change and logs it in a task, which goes on when whoever asked hangs up: the future of a request ends with its connection.
    async fn change(
        &self,
        operation: &'static Operation,
        name: &str,
        mut request: Request<Incoming>,
        (token, operator): (Token, IpAddr),
    ) -> Result<Reply, Denial> {
        let (admin, name, uri) = (self.clone(), name.to_owned(), request.uri().clone());
        let (_waiting, caller) = Caller::waiting();
        let changing = spawn_awaited(async move {
            let operating = admin.operate(operation.door, &name, &mut request, (Some(token), operator, caller));
            let outcome = Caught::new(operating).await.unwrap_or_else(|panicked| {
                admin.shared.metrics.task_panicked(PeerTask::Admin);
                Err(Denial::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("It is not known what came of it: {panicked}."),
                ))
            });
            outcome::log_change(operation, &uri, (token, operator), &outcome);
            outcome
        });
        let stopping = |_| {
            let text = "The gateway is stopping: it is not known what came of it.";
            Err(Denial::new(StatusCode::SERVICE_UNAVAILABLE, text))
        };
        changing.await.unwrap_or_else(stopping)
    }

    async fn operate(
        &self,
        door: Door,
        name: &str,
        request: &mut Request<Incoming>,
        (token, operator, caller): (Option<Token>, IpAddr, Caller),
    ) -> Result<Reply, Denial> {
        match door {
            Door::Session => Ok(self.session(token)),
            Door::Metrics => self
                .shards
                .metrics()
                .await
                .map(Reply::Metrics)
                .map_err(|_| Denial::new(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written.")),
            Door::Ready => {
                let (status, text) = readiness(self.shared.vitals.readiness());
                Ok(Reply::Text(status, text))
            }
            Door::Document => Ok(Reply::Json(openapi::document())),
            Door::Plugins => Ok(plugins::list(self)),
            Door::PluginLog => plugins::log(self, name),
            Door::Swap => plugins::swap(self, name, request).await,
            Door::Rollback => plugins::roll_back(self, name).await,
            Door::Hubs => Ok(hubs::list(self).await),
            Door::Hub => hubs::get(self, name).await,
            Door::SetMode => hubs::set_mode(self, name, request, (operator, caller)).await,
            Door::Send => hubs::send(self, name, request).await,
            Door::Clients => clients::list(self, request.uri()).await,
            Door::CloseClient => clients::close(self, name, request.uri()).await,
            Door::Trace => trace::watch(self, request),
            Door::Cluster => self.cluster(),
            Door::Keys => Ok(self.keys()),
            Door::Regenerate(key) => self.regenerate(key, (operator, caller)).await,
        }
    }

    /// What the token of whoever asks is good for, and at which gateway.
    fn session(&self, token: Option<Token>) -> Reply {
        Reply::Json(json!({
            "token": token.map(Token::short_name),
            "readOnly": self.shared.settings().admin.read_only,
            "version": env!("CARGO_PKG_VERSION"),
            "node": self.shared.cluster.as_ref().map(|cluster| cluster.status().node()),
        }))
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
    async fn regenerate(&self, key: KeyPlace, (operator, caller): (IpAddr, Caller)) -> Result<Reply, Denial> {
        let stopping =
            |what: &str| Denial::new(StatusCode::SERVICE_UNAVAILABLE, format!("The gateway is stopping: {what}."));
        let (answer, answered) = oneshot::channel();
        let order = OperatorOrder::RegenerateKey(KeyRegeneration { key, operator, caller, answer });
        if self.orders.send(order).await.is_err() {
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
}

/// The first endpoint is that of connection strings.
fn shown_key(settings: &Settings, place: KeyPlace, key: &AccessKey) -> Value {
    json!({ "key": place.name(), "connectionString": key.connection_string(&settings.endpoints[0]) })
}

/// A moment as RFC 3339 text in UTC.
fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}
