//! What is left of a connection, or of a stream on it, when it has become a WebSocket. It may go to another thread.

use std::io;

use rustls::ServerConnection;
use tokio::net::TcpStream;

use crate::http_2_stream::Http2Stream;
use crate::tls::HttpSocket;

/// What a client's or a hub server's WebSocket runs over.
#[derive(Debug)]
pub(crate) enum UpgradedStream {
    Socket {
        tcp: TcpStream,
        tls: Option<Box<ServerConnection>>,
    },
    /// Of a connection of HTTP/2, which stays where it is.
    Http2(Box<Http2Stream>),
}

impl From<HttpSocket> for UpgradedStream {
    fn from(socket: HttpSocket) -> UpgradedStream {
        let (tcp, tls) = match socket {
            HttpSocket::Plain(tcp) => (tcp, None),
            HttpSocket::Tls(stream) => {
                let (tcp, session) = stream.into_inner();
                (tcp, Some(Box::new(session)))
            }
        };
        UpgradedStream::Socket { tcp: tcp.into_inner(), tls }
    }
}

impl UpgradedStream {
    /// Lets another thread have it: this one waits for its socket no more.
    pub(crate) fn detach(self) -> io::Result<DetachedStream> {
        match self {
            UpgradedStream::Socket { tcp, tls } => Ok(DetachedStream::Socket { tcp: tcp.into_std()?, tls }),
            UpgradedStream::Http2(stream) => Ok(DetachedStream::Http2(stream)),
        }
    }
}

/// An [`UpgradedStream`] on its way to another thread.
#[derive(Debug)]
pub(crate) enum DetachedStream {
    Socket { tcp: std::net::TcpStream, tls: Option<Box<ServerConnection>> },
    Http2(Box<Http2Stream>),
}

impl DetachedStream {
    /// Lets this thread wait for its socket.
    pub(crate) fn attach(self) -> io::Result<UpgradedStream> {
        match self {
            DetachedStream::Socket { tcp, tls } => Ok(UpgradedStream::Socket { tcp: TcpStream::from_std(tcp)?, tls }),
            DetachedStream::Http2(stream) => Ok(UpgradedStream::Http2(stream)),
        }
    }
}
