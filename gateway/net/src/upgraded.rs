//! What is left of a connection, or of a stream on it, when it has become a WebSocket. It may go to another thread.

use std::io;

use rustls::ServerConnection;

use crate::http_2_stream::Http2Stream;
use crate::tls::HttpSocket;

/// What a client's or a hub server's WebSocket runs over.
#[derive(Debug)]
pub(crate) enum UpgradedStream {
    Socket {
        tcp: std::net::TcpStream,
        tls: Option<Box<ServerConnection>>,
    },
    /// Of a connection of HTTP/2, which stays where it is.
    Http2(Box<Http2Stream>),
}

impl TryFrom<HttpSocket> for UpgradedStream {
    type Error = io::Error;

    fn try_from(socket: HttpSocket) -> io::Result<UpgradedStream> {
        let (tcp, tls) = match socket {
            HttpSocket::Plain(tcp) => (tcp, None),
            HttpSocket::Tls(stream) => {
                let (tcp, session) = stream.into_inner();
                (tcp, Some(Box::new(session)))
            }
        };
        Ok(UpgradedStream::Socket { tcp: tcp.into_inner().into_std()?, tls })
    }
}
