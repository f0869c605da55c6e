//! What requests on one shard's connections are answered with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use hubgate_core::Location;
use hubgate_core::id::ShardAddress;
use hubgate_wire::token::{Resource, TokenError};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connections::HttpConnections;
use super::tokens::VerifiedTokens;
use crate::client::HttpClients;
use crate::entrant::Entrant;
use crate::inbox::{LocalMessage, UpgradedClient};
use crate::peers::ANSWER_TIMEOUT;
use crate::refusal::Refusal;
use crate::shard::ShardHandle;
use crate::shared::{Shared, unix_seconds};
use crate::tunnels::Tunnels;
use crate::upgraded::UpgradedStream;
use crate::verified_token::VerifiedToken;
use crate::websocket;

pub(crate) struct Service {
    shard: ShardHandle,
    clients: Rc<HttpClients>,
    connections: Rc<HttpConnections>,
    tokens: RefCell<VerifiedTokens>,
    tunnels: Rc<Tunnels>,
}

impl Service {
    pub(crate) fn new(shard: ShardHandle, clients: Rc<HttpClients>) -> Service {
        let tunnels = Rc::new(Tunnels::new(shard.shared().clone(), shard.index()));
        if shard.shared().cluster.is_some() {
            shard.tasks().spawn_vital("what waits for tunnels", tunnels.clone().hear_of_easing());
        }
        Service { shard, clients, connections: Rc::default(), tokens: RefCell::default(), tunnels }
    }

    pub(crate) fn shard(&self) -> &ShardHandle {
        &self.shard
    }

    pub(crate) fn shared(&self) -> &Shared {
        self.shard.shared()
    }

    /// Clients on Server-Sent Events and long polling.
    pub(crate) fn clients(&self) -> &Rc<HttpClients> {
        &self.clients
    }

    /// The ways of requests to other nodes, and of theirs to here.
    pub(crate) fn tunnels(&self) -> &Rc<Tunnels> {
        &self.tunnels
    }

    pub(crate) fn connections(&self) -> &Rc<HttpConnections> {
        &self.connections
    }

    /// The claims of a token that is signed with one of the gateway's keys, is valid now, and opens `resource`.
    pub(crate) fn verify(&self, token: &str, resource: Resource<'_>) -> Result<Arc<VerifiedToken>, TokenError> {
        self.tokens.borrow_mut().verify(token, resource, &self.shared().settings(), unix_seconds())
    }

    /// Keys or endpoints may be others.
    pub(crate) fn forget_tokens(&self) {
        self.tokens.borrow_mut().forget();
    }

    /// Waits for an answer of a shard that may take its time, as long as it shows signs of life; `None` if whoever was to answer is
    /// gone.
    pub(crate) async fn answered<T>(
        &self,
        shard: ShardAddress,
        mut answered: oneshot::Receiver<T>,
    ) -> Result<Option<T>, Refusal> {
        let shard = match self.shard.neighbours().locate(shard) {
            Location::Here => self.shard.index(),
            Location::OtherShard(shard) => shard,
            Location::OtherNode | Location::Nowhere => return Ok(None),
        };
        loop {
            match timeout(ANSWER_TIMEOUT, &mut answered).await {
                Ok(answer) => return Ok(answer.ok()),
                Err(_) if self.shared().vitals.shard(usize::from(shard.0)).is_silent() => {
                    return Err(Refusal::NoAnswer);
                }
                Err(_) => {}
            }
        }
    }

    /// Serves a client whose upgrade was answered here, or hands it to the shard that it is to live on.
    pub(crate) async fn upgraded(&self, stream: UpgradedStream, unread: Vec<u8>, entrant: Entrant) {
        match self.shard.neighbours().locate(entrant.lives_at()) {
            Location::Here => websocket::serve_client(self.shard.clone(), stream, unread, entrant).await,
            Location::OtherShard(owner) => {
                let stream = match stream.detach() {
                    Ok(stream) => stream,
                    Err(error) => return tracing::debug!(%error, "a connection was lost while it was upgraded"),
                };
                let client = Box::new(UpgradedClient { stream, unread, entrant });
                if self.shard.peers().hand(owner, LocalMessage::Adopt(client)).await.is_err() {
                    tracing::warn!(
                        shard = owner.0,
                        "a client that has connected is dropped: its worker thread does not answer"
                    );
                }
            }
            // Whatever it has negotiated with, it is to live on a shard of this gateway.
            Location::OtherNode | Location::Nowhere => {}
        }
    }
}
