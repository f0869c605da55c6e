//! The connections of operators: so many at once, and whoever has no token cannot keep operators out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use super::Admin;
use super::access::Token;
use crate::listeners::Listener;
use crate::patience::PatientStream;
use crate::peer_task::PeerTask;

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;

/// Serves all connections.
pub(crate) async fn serve(mut listener: Listener, admin: Admin) -> Infallible {
    let mut tasks = JoinSet::new();
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            (stream, remote) = listener.accept() => {
                if connections.make_room() {
                    let rank = Rank::default();
                    let task = tasks.spawn(serve_one(admin.clone(), stream, remote, rank.clone()));
                    connections.0.push_back(Connection { task, rank });
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

/// Serves one connection, and notes whose it is.
async fn serve_one(admin: Admin, stream: TcpStream, remote: SocketAddr, rank: Rank) {
    let timeouts = admin.shared.settings().timeouts.clone();
    let stream = PatientStream::new(stream, timeouts.write);
    let patience = stream.patience();
    let service = service_fn(|request| {
        let (admin, rank, patience) = (&admin, &rank, &patience);
        async move {
            let mut answer = admin.answer(request, remote, |token| rank.raise(token)).await;
            answer.body_mut().be_watched_by(patience);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    let connection = builder
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.header)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection broke off");
    }
}

/// The connections that are open, the oldest first.
#[derive(Debug, Default)]
struct Connections(VecDeque<Connection>);

#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    rank: Rank,
}

/// The highest of the tokens that have come on a connection, as a number.
#[derive(Debug, Clone, Default)]
struct Rank(Arc<AtomicU8>);

impl Rank {
    const STRANGER: u8 = 0;
    const READER: u8 = 1;
    const OPERATOR: u8 = 2;

    fn raise(&self, token: Token) {
        let rank = match token {
            Token::Read => Rank::READER,
            Token::Admin => Rank::OPERATOR,
        };
        self.0.fetch_max(rank, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Connections {
    /// Makes room for one more, if need be at the expense of the oldest one on which no token has come, or else of the oldest one that only
    /// reads.
    fn make_room(&mut self) -> bool {
        self.0.retain(|connection| !connection.task.is_finished());
        if self.0.len() < MAX_CONNECTIONS {
            return true;
        }
        let oldest = |rank| self.0.iter().position(|connection| connection.rank.get() == rank);
        let least = oldest(Rank::STRANGER).or_else(|| oldest(Rank::READER));
        let Some(least) = least.and_then(|index| self.0.remove(index)) else {
            tracing::warn!(
                connections = MAX_CONNECTIONS,
                "a connection to `admin.listen` is refused: operators have all"
            );
            return false;
        };
        least.task.abort();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that stays open.
    fn connection(tasks: &mut JoinSet<()>, token: Option<Token>) -> Connection {
        let rank = Rank::default();
        token.into_iter().for_each(|token| rank.raise(token));
        Connection { task: tasks.spawn(std::future::pending()), rank }
    }

    #[tokio::test]
    async fn the_oldest_stranger_gives_way_then_the_oldest_reader_and_no_operator_does() {
        let (mut tasks, mut connections) = (JoinSet::new(), Connections::default());
        for number in 0..MAX_CONNECTIONS {
            let token = match number {
                7 | 9 => None,
                3 => Some(Token::Read),
                _ => Some(Token::Admin),
            };
            assert!(connections.make_room());
            connections.0.push_back(connection(&mut tasks, token));
        }
        let leaving = [7, 9, 3].map(|index| connections.0[index].task.clone());
        for least in &leaving {
            assert!(!least.is_finished() && connections.make_room());
            connections.0.push_back(connection(&mut tasks, Some(Token::Admin)));
            assert!(tasks.join_next().await.is_some_and(|ended| ended.is_err()) && least.is_finished());
        }
        assert!(!connections.make_room(), "all are operators'");
        connections.0[3].task.abort();
        assert!(tasks.join_next().await.is_some() && connections.make_room(), "one has left");
    }

    #[test]
    fn a_connection_stays_an_operators_whatever_comes_on_it_later() {
        let rank = Rank::default();
        rank.raise(Token::Admin);
        rank.raise(Token::Read);
        assert_eq!(rank.get(), Rank::OPERATOR);
    }
}
