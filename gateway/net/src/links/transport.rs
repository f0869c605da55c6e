//! What a WebSocket runs over: a socket of its own, plain or with TLS, or a stream of a connection of HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::http_2_stream::Http2Stream;
use crate::tls::TlsSession;
use crate::upgraded::UpgradedStream;

/// The side that is read.
#[derive(Debug)]
pub(crate) enum Reader {
    Plain(OwnedReadHalf),
    Tls(OwnedReadHalf, Rc<TlsSession>),
    Http2(Rc<Http2Stream>),
}

/// The side that is written to.
#[derive(Debug)]
pub(crate) enum Writer {
    Plain(OwnedWriteHalf),
    Tls(OwnedWriteHalf, Rc<TlsSession>),
    Http2(Rc<Http2Stream>),
}

/// Both sides.
pub(crate) fn split(stream: UpgradedStream) -> (Reader, Writer) {
    match stream {
        UpgradedStream::Socket { tcp, tls: None } => {
            let (read, write) = tcp.into_split();
            (Reader::Plain(read), Writer::Plain(write))
        }
        UpgradedStream::Socket { tcp, tls: Some(session) } => {
            let (read, write) = tcp.into_split();
            let session = Rc::new(TlsSession::new(*session));
            (Reader::Tls(read, session.clone()), Writer::Tls(write, session))
        }
        UpgradedStream::Http2(stream) => {
            let stream = Rc::new(*stream);
            (Reader::Http2(stream.clone()), Writer::Http2(stream))
        }
    }
}

impl Reader {
    /// Reads what the other side wrote; nothing at its end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Reader::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Reader::Tls(tcp, session) => session.poll_read(cx, tcp, buffer),
            Reader::Http2(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl Writer {
    /// Takes bytes, if all that was taken before has left. They may not have left when this returns.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            // The kernel takes one buffer with less ado than a list of one.
            (Writer::Plain(tcp), [one]) => tcp.try_write(one),
            (Writer::Plain(tcp), many) => tcp.try_write_vectored(many),
            (Writer::Tls(tcp, session), slices) => session.try_write(tcp, slices),
            (Writer::Http2(stream), slices) => stream.try_write(slices),
        }
    }

    /// Sends what was taken, as far as the socket takes it.
    pub(crate) fn send(&self) -> io::Result<()> {
        match self {
            Writer::Tls(tcp, session) => session.send(tcp),
            Writer::Plain(_) | Writer::Http2(_) => Ok(()),
        }
    }

    /// Whether something that was taken has not left yet.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Writer::Tls(_, session) => session.has_unsent(),
            Writer::Plain(_) | Writer::Http2(_) => false,
        }
    }

    /// How much that was taken has not left yet, in bytes.
    pub(crate) fn unsent(&self) -> usize {
        match self {
            Writer::Tls(_, session) => session.unsent(),
            Writer::Plain(_) | Writer::Http2(_) => 0,
        }
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Writer::Plain(tcp) | Writer::Tls(tcp, _) => tcp.as_ref().poll_write_ready(cx),
            Writer::Http2(stream) => stream.poll_write_ready(cx),
        }
    }

    /// How much that the other side has written may not have been read, in bytes.
    pub(crate) fn unread(&self) -> usize {
        match self {
            // Of TLS it is what is encrypted, which is more.
            Writer::Plain(tcp) | Writer::Tls(tcp, _) => {
                usize::try_from(rustix::io::ioctl_fionread(tcp.as_ref()).unwrap_or_default()).unwrap_or(usize::MAX)
            }
            // Nobody says; a read that finds nothing is its end.
            Writer::Http2(_) => usize::MAX,
        }
    }

    /// Tells the other side that nothing more comes.
    pub(crate) fn say_goodbye(&self) {
        match self {
            Writer::Plain(_) => {}
            Writer::Tls(tcp, session) => session.say_goodbye(tcp),
            Writer::Http2(stream) => stream.say_goodbye(),
        }
    }
}
