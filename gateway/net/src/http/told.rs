//! Requests as the resource log tells of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::USER_AGENT;
use http::request::Parts;

use super::Service;
use super::doors::{self, Door};
use super::forwarded::{client_address, path_below};
use crate::resource_log::{Answered, ResourceLog};
use crate::settings::LogCategory;

/// A request that the log is told of once it is answered.
#[derive(Debug)]
pub(super) struct Told {
    log: Arc<ResourceLog>,
    operation: &'static str,
    begun: Instant,
}

impl Told {
    /// `None`: the request is none of the log's, or there is no such log.
    pub(super) fn begin(service: &Service, request: &Parts) -> Option<Told> {
        let log = service.shared().resource_log.as_ref().filter(|log| log.wants(LogCategory::HttpRequests))?;
        let path = path_below(&service.shared().settings(), request.uri.path()).into_owned();
        let operation = match doors::find(&path)?.0.door {
            Door::Rest => "RestApiRequest",
            Door::ClientNegotiation | Door::HubNegotiation => "NegotiateRequest",
            Door::HubRefresh => "RefreshRequest",
            Door::AspNetClient if path.ends_with("/negotiate") => "NegotiateRequest",
            Door::Client | Door::Server | Door::AspNetClient | Door::AspNetServer | Door::Health | Door::Ready => {
                return None;
            }
        };
        Some(Told { log: log.clone(), operation, begun: Instant::now() })
    }

    pub(super) fn answered(self, service: &Service, request: &Parts, remote: SocketAddr, status: StatusCode) {
        let address = client_address(&service.shared().settings(), remote.ip(), &request.headers).to_string();
        self.log.answered(&Answered {
            operation: self.operation,
            method: request.method.as_str(),
            path: request.uri.path(),
            user_agent: request.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()),
            address: &address,
            status,
            took: self.begun.elapsed(),
        });
    }
}
