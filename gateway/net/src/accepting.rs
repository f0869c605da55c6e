//! The front door: accepts connections and deals them out to the shards in turn.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Instant;

use tokio::net::TcpStream;

use crate::http_places::{HttpLimit, HttpPlace, Newcomer};
use crate::inbox::LocalMessage;
use crate::listeners::{Descriptors, Listener, Supply};
use crate::shards::Shards;
use crate::shared::Shared;

/// What accepting needs.
#[derive(Debug)]
pub(crate) struct Accepting<'a> {
    pub(crate) listener: Listener,
    pub(crate) descriptors: Descriptors,
    pub(crate) shared: &'a Shared,
    pub(crate) shards: &'a Shards,
}

impl Accepting<'_> {
    /// Accepts until `end`, and everybody who has come before; gives what came of `end`. The socket is closed then, if nobody
    /// else has it.
    pub(crate) async fn until<T>(self, end: impl Future<Output = T>) -> T {
        let Accepting { mut listener, mut descriptors, shared, shards } = self;
        let (mut end, mut turn) = (pin!(end), 0);
        let mut let_in = async |stream: TcpStream, remote: SocketAddr| {
            if let Some(accepted) = admit(shared, &mut descriptors, stream, remote) {
                shards.deal(&mut turn, accepted).await;
            }
        };
        let ended = loop {
            listener.notice_dead_peers(shared.settings().core.timeouts.client.into());
            tokio::select! {
                biased;
                ended = end.as_mut() => break ended,
                (stream, remote) = listener.accept() => let_in(stream, remote).await,
            }
        };
        for (stream, remote) in listener.rest() {
            let_in(stream, remote).await;
        }
        ended
    }
}

/// Gives a connection its place. One that there is no place for is closed without a word: an answer would wait for a request.
fn admit(
    shared: &Shared,
    descriptors: &mut Descriptors,
    stream: TcpStream,
    remote: SocketAddr,
) -> Option<LocalMessage> {
    #[cfg(test)]
    shared.faults.strike(crate::faults::Fault::Accepting);
    let place = match place(shared, remote, descriptors.supply(&stream)) {
        Ok(place) => place,
        Err(limit) => {
            shared.metrics.refused(limit.key());
            return None;
        }
    };
    match stream.into_std() {
        Ok(stream) => Some(LocalMessage::Accepted { stream, remote, place }),
        Err(error) => {
            tracing::debug!(%error, "an accepted connection is lost");
            None
        }
    }
}

/// The place of a connection that was accepted, if there is one.
fn place(shared: &Shared, remote: SocketAddr, supply: Supply) -> Result<HttpPlace, HttpLimit> {
    let settings = shared.settings();
    let (address, is_surplus) = (remote.ip(), supply != Supply::Enough);
    let newcomer = Newcomer { address, is_proxy: settings.is_trusted(address), is_surplus };
    let place = shared.http_places.enter(&settings.limits, settings.timeouts.header, newcomer, Instant::now());
    match supply {
        Supply::Enough | Supply::Short => place,
        // Somebody gives way all the same, so that the next one finds a descriptor.
        Supply::Out => place.and(Err(HttpLimit::Descriptors)),
    }
}
