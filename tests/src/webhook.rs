//! A webhook that answers only once it is told to.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Listens on a port of its own until the test ends.
#[derive(Debug)]
pub struct Webhook {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// The paths that were asked for, in their order.
    heard: Mutex<Vec<String>>,
    is_answering: watch::Sender<bool>,
}

impl Webhook {
    /// Every request waits for its answer until [`Webhook::answer`].
    pub async fn silent() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State { heard: Mutex::default(), is_answering: watch::Sender::new(false) });
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("the gateway connects");
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                // The gateway may end the connection when it likes.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Webhook { port, state }
    }

    /// The template of its URLs: each event has the path `/CATEGORY/EVENT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{{category}}/{{event}}", self.port)
    }

    /// Answers what waits, and all that comes from now on.
    pub fn answer(&self) {
        self.state.is_answering.send_replace(true);
    }

    /// How often it was asked for a path.
    pub fn count(&self, path: &str) -> usize {
        let heard = self.state.heard.lock().expect("no test panics while it counts");
        heard.iter().filter(|each| *each == path).count()
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    // A request that breaks off has no answer.
    drop(request.into_body().collect().await);
    state.heard.lock().expect("no test panics while it counts").push(path);
    // Its sender lives as long as `state`.
    drop(state.is_answering.subscribe().wait_for(|is_answering| *is_answering).await);
    Ok(Response::new(Empty::new()))
}
