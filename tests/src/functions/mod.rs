//! A function app with SignalR bindings: what the extension of Azure Functions does with events, and what it asks of a gateway. No function is
//! in a process of its own, and there is no host around them.
//!
//! Source: Azure/azure-sdk-for-net, `Microsoft.Azure.WebJobs.Extensions.SignalRService`: `SignalRTriggerDispatcher`, `SignalRRequestResolver`,
//! `SignalRTriggerUtils`, what executes each kind of trigger, and `AzureSignalRClient`. Two things are inferred: that headers are read as UTF-8, which is
//! Kestrel's doing, and that a function without a result gives null, which is that of WebJobs.

mod bindings;
mod trigger;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

pub use self::bindings::{Change, Member, SignalR, To};
pub use self::trigger::Trigger;

/// Where the extension waits for events, on every app.
const TRIGGERS: &str = "/runtime/webhooks/signalr";

/// What a function throws is the text.
type Function = Arc<dyn Fn(Trigger) -> BoxFuture<'static, Result<Value, String>> + Send + Sync>;

/// An app on a port of its own. It answers negotiations below every path that ends with `/negotiate`, and signs in whom the header
/// `x-ms-client-principal-name` names, which is how Azure tells an app who is signed in.
#[derive(Debug)]
pub struct FunctionApp {
    app: Arc<App>,
    address: SocketAddr,
    listening: Listening,
}

/// An app that does not run, and keeps its functions and its port.
#[derive(Debug)]
pub struct CrashedApp {
    app: Arc<App>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Listening {
    /// Dropped, it ends.
    stop: oneshot::Sender<Infallible>,
    /// Over when nothing of it is left.
    serving: JoinHandle<()>,
}

/// What is there whether the app runs or not.
struct App {
    hub: String,
    functions: Mutex<HashMap<Event, Function>>,
    settings: Mutex<Settings>,
    heard: Mutex<Vec<String>>,
}

/// Category and name of an event, in lower case: the extension compares both without regard to it.
type Event = (&'static str, String);

/// What the connection string says.
#[derive(Debug, Clone, Default)]
struct Settings {
    endpoint: String,
    access_key: String,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl FunctionApp {
    /// An app without functions, for this hub.
    pub async fn start(hub: &str) -> FunctionApp {
        let app = App {
            hub: hub.to_owned(),
            functions: Mutex::default(),
            settings: Mutex::default(),
            heard: Mutex::default(),
        };
        let app = Arc::new(app);
        let (address, listening) = listen("127.0.0.1:0".parse().expect("an address"), app.clone()).await;
        FunctionApp { app, address, listening }
    }

    /// Adds a function for a method that clients call.
    pub fn method<F, R>(&self, name: &str, function: F)
    where
        F: Fn(Trigger) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, String>> + Send + 'static,
    {
        self.function("messages", name, function);
    }

    /// Adds a function for `connected` or `disconnected`.
    pub fn connection_event<F, R>(&self, name: &str, function: F)
    where
        F: Fn(Trigger) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, String>> + Send + 'static,
    {
        self.function("connections", name, function);
    }

    fn function<F, R>(&self, category: &'static str, name: &str, function: F)
    where
        F: Fn(Trigger) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, String>> + Send + 'static,
    {
        let function: Function = Arc::new(move |trigger| Box::pin(function(trigger)));
        self.app.functions.lock().expect("no test panics with it").insert((category, name.to_lowercase()), function);
    }

    /// Gives it the connection string of a gateway: its functions are called and send with the access key in it from then on.
    pub fn connect(&self, connection_string: &str) {
        let field = |name: &str| {
            let mut fields = connection_string.split(';').filter_map(|field| field.split_once('='));
            let found = fields.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
            found.unwrap_or_else(|| panic!("the connection string has no {name}"))
        };
        *self.app.settings.lock().expect("no test panics with it") =
            Settings { endpoint: field("Endpoint"), access_key: field("AccessKey") };
    }

    /// What its functions send with.
    pub fn output(&self) -> SignalR {
        SignalR::of(self.app.clone())
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its triggers: the same for all events.
    pub fn trigger_url(&self) -> String {
        format!("{}{TRIGGERS}", self.url())
    }

    /// The events that it has answered, in their order, each with the status of the answer: `connected 404`.
    pub fn heard(&self) -> Vec<String> {
        self.app.heard.lock().expect("no test panics with it").clone()
    }

    /// Ends it at once: what it was doing is not answered.
    pub async fn crash(self) -> CrashedApp {
        drop(self.listening.stop);
        self.listening.serving.await.expect("it serves without a panic");
        CrashedApp { app: self.app, address: self.address }
    }
}

impl CrashedApp {
    /// Starts it again on the same port.
    pub async fn start(self) -> FunctionApp {
        let (address, listening) = listen(self.address, self.app.clone()).await;
        FunctionApp { app: self.app, address, listening }
    }
}

impl App {
    fn settings(&self) -> Settings {
        self.settings.lock().expect("no test panics with it").clone()
    }

    fn function(&self, hub: &str, category: &str, event: &str) -> Option<Function> {
        let category = ["connections", "messages"].into_iter().find(|each| each.eq_ignore_ascii_case(category))?;
        if hub.to_lowercase() != self.hub.to_lowercase() {
            return None;
        }
        self.functions.lock().expect("no test panics with it").get(&(category, event.to_lowercase())).cloned()
    }
}

async fn listen(address: SocketAddr, app: Arc<App>) -> (SocketAddr, Listening) {
    let listener = TcpListener::bind(address).await.expect("the port is free");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel();
    (address, Listening { stop, serving: tokio::spawn(serve(listener, app, stopped)) })
}

/// Serves until `stopped`, and ends with all connections.
async fn serve(listener: TcpListener, app: Arc<App>, mut stopped: oneshot::Receiver<Infallible>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("somebody connects").0,
            _ = &mut stopped => break,
        };
        let app = app.clone();
        let service = service_fn(move |request| answer(app.clone(), request));
        // The gateway may end the connection when it likes.
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
    drop(listener);
    connections.shutdown().await;
}

async fn answer(app: Arc<App>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // A request that breaks off has no answer.
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let (method, path) = (&head.method, head.uri.path());
    let answer = match (method, path) {
        (&Method::POST, TRIGGERS) => trigger::answer(&app, &head.headers, &body.to_bytes()).await,
        (&Method::POST, path) if path.ends_with("/negotiate") => {
            let user = trigger::text(&head.headers, "x-ms-client-principal-name");
            let answer = SignalR::of(app).connection_info(user.as_deref(), &[]).to_string();
            Response::new(Full::new(Bytes::from(answer)))
        }
        _ => status(StatusCode::NOT_FOUND),
    };
    Ok(answer)
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
