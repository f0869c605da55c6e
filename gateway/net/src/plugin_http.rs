//! HTTP for plugins: requests to what the configuration allows, and nothing else.
//!
//! Redirects are not followed, and a host that is allowed may not have an address inside of other networks than the internet
//! unless the configuration lists that, too: else whoever answers for its name could lead the gateway there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use std::vec;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hubgate_core::id::PluginName;
use hubgate_plugin_host::{AllowHttp, HttpAnswer, HttpCall, HttpFailure};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::shared::Shared;
use crate::tasks::spawn_awaited;
use crate::web_client::{self, WebClient, whole_text};

/// Headers that are the connection's business and not the plugin's.
const OWN_HEADERS: [&str; 8] =
    ["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Headers of one request, in number.
const MOST_HEADERS: usize = 100;
/// Hosts that one plugin of a shard looks up at a time, in number.
const LOOKUPS: usize = 16;

/// The web clients of one shard's plugins. Each plugin has its own: what another may reach is not for it.
pub(crate) struct PluginHttp {
    shared: Arc<Shared>,
    clients: RefCell<HashMap<PluginName, PluginClient>>,
}

/// A plugin's client, and what it was made to reach.
struct PluginClient {
    allowed: Arc<AllowHttp>,
    client: WebClient<AllowedAddresses>,
}

impl PluginHttp {
    pub(crate) fn new(shared: Arc<Shared>) -> PluginHttp {
        PluginHttp { shared, clients: RefCell::default() }
    }

    /// Makes a plugin's request and answers it.
    pub(crate) async fn serve(&self, mut call: HttpCall) {
        let answered = match self.request(&mut call) {
            // Not even begun: what a look-up of the host has begun goes on by itself.
            Ok(_) if call.deadline <= Instant::now() => Err(HttpFailure::TimedOut),
            Ok(request) => {
                let asked = self.ask(&call, request);
                tokio::time::timeout_at(call.deadline.into(), asked).await.unwrap_or(Err(HttpFailure::TimedOut))
            }
            Err(failure) => Err(failure),
        };
        self.shared.metrics.plugin_http(match &answered {
            Ok(_) => "ok",
            Err(HttpFailure::Denied(_)) => "denied",
            Err(HttpFailure::TimedOut) => "timed-out",
            Err(HttpFailure::TooLarge) => "too-large",
            Err(HttpFailure::Failed(_)) => "failed",
        });
        drop(call.answer.send(answered));
    }

    fn request(&self, call: &mut HttpCall) -> Result<Request<Full<Bytes>>, HttpFailure> {
        let failed = |reason: &str| HttpFailure::Failed(reason.to_owned());
        let uri: Uri = call.url.parse().map_err(|_| failed("it is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(failed("the URL needs a scheme and a host"));
        };
        let denied = |what: String| Err(HttpFailure::Denied(format!("{} {what}", call.allowed.key)));
        if authority.as_str().contains('@') || !call.allowed.has(scheme, authority.as_str()) {
            return denied(format!("does not list {scheme}://{}", authority.as_str().rsplit('@').next().unwrap_or("")));
        }
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| failed("it is not an HTTP method"))?;
        if method == Method::CONNECT {
            return Err(failed("CONNECT is not for plugins"));
        }
        let mut request = Request::new(Full::new(Bytes::from(std::mem::take(&mut call.body))));
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        if call.headers.len() > MOST_HEADERS {
            return Err(HttpFailure::Failed(format!("it has more than {MOST_HEADERS} headers")));
        }
        for (name, value) in std::mem::take(&mut call.headers) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| failed("a header's name is not valid"))?;
            let value = HeaderValue::from_str(&value).map_err(|_| failed("a header's value is not valid"))?;
            if OWN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
                return Err(HttpFailure::Failed(format!("the header {name} is not for plugins to set")));
            }
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }

    async fn ask(&self, call: &HttpCall, request: Request<Full<Bytes>>) -> Result<HttpAnswer, HttpFailure> {
        let client = self.client(&call.plugin, &call.allowed);
        let answer = client.request(request).await.map_err(|error| match forbidden(&error) {
            Some(reason) => HttpFailure::Denied(reason),
            None => HttpFailure::Failed(whole_text(&error)),
        })?;
        let (head, body) = answer.into_parts();
        let body = match Limited::new(body, call.longest_answer).collect().await {
            Ok(body) => body.to_bytes().into(),
            Err(error) if error.is::<LengthLimitError>() => return Err(HttpFailure::TooLarge),
            Err(error) => return Err(HttpFailure::Failed(error.to_string())),
        };
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(HttpAnswer { status: head.status.as_u16(), headers, body })
    }

    fn client(&self, plugin: &PluginName, allowed: &Arc<AllowHttp>) -> WebClient<AllowedAddresses> {
        let mut clients = self.clients.borrow_mut();
        if let Some(present) = clients.get(plugin)
            && present.allowed == *allowed
        {
            return present.client.clone();
        }
        let addresses = AllowedAddresses { allowed: allowed.clone(), lookups: Arc::new(Semaphore::new(LOOKUPS)) };
        let connector = HttpConnector::new_with_resolver(addresses);
        let client = web_client::builder().build(web_client::connector_with(connector, web_client::tls(&self.shared)));
        clients.insert(plugin.clone(), PluginClient { allowed: allowed.clone(), client: client.clone() });
        client
    }
}

/// Looks hosts up, and gives only the addresses that a plugin may reach. A host that is an address is not looked up: the
/// configuration lists it as it is.
#[derive(Debug, Clone)]
pub(crate) struct AllowedAddresses {
    allowed: Arc<AllowHttp>,
    lookups: Arc<Semaphore>,
}

/// A host has no address that a plugin may reach.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no address on the internet, and none in a network that `allow-http` lists")]
struct Forbidden(String);

impl Service<Name> for AllowedAddresses {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (allowed, lookups) = (self.allowed.clone(), self.lookups.clone());
        Box::pin(async move {
            let lookup = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let host = name.clone();
            // A task of its own, because nobody can end a look-up: it counts until it is over.
            let found = spawn_awaited(async move {
                let found = tokio::net::lookup_host((host.as_str(), 0)).await.map(Iterator::collect::<Vec<_>>);
                drop(lookup);
                found
            });
            let found = found.await.map_err(io::Error::other)??;
            let is_allowed = |address: &SocketAddr| allowed.has_address(name.as_str(), address.ip());
            let addresses: Vec<SocketAddr> = found.into_iter().filter(is_allowed).collect();
            match addresses.is_empty() {
                true => Err(io::Error::new(io::ErrorKind::PermissionDenied, Forbidden(name.as_str().to_owned()))),
                false => Ok(addresses.into_iter()),
            }
        })
    }
}

/// Why a host may not be reached, if that is what went wrong.
fn forbidden(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && let Some(forbidden) = error.get_ref().and_then(|inner| inner.downcast_ref::<Forbidden>())
        {
            return Some(forbidden.to_string());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_unless_the_network_is_listed() {
        let look_up = async |networks: &[&str]| {
            let networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
            let allowed = Arc::new(AllowHttp { networks, ..AllowHttp::default() });
            // This machine's address in a form that only the system reads as one.
            let name = "127.1".parse().expect("a name");
            AllowedAddresses { allowed, lookups: Arc::new(Semaphore::new(1)) }.call(name).await
        };
        let refused = look_up(&[]).await.expect_err("it is this machine");
        assert_eq!(
            forbidden(&refused).as_deref(),
            Some("127.1 has no address on the internet, and none in a network that `allow-http` lists")
        );
        let found: Vec<SocketAddr> = look_up(&["127.0.0.0/8", "::1/128"]).await.expect("it is listed").collect();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    }
}
