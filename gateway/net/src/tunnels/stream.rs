//! An end of a tunnel, as what is served on it reads and writes it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hubgate_cluster::codec::TunnelPart;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::end::{End, Told};
use super::{Key, Tunnels};

/// The tunnel breaks off when this is dropped before both ends have ended.
#[derive(Debug)]
pub(crate) struct TunnelStream {
    tunnels: Rc<Tunnels>,
    key: Key,
    end: Rc<RefCell<End>>,
}

impl TunnelStream {
    pub(super) fn new(tunnels: Rc<Tunnels>, key: Key, end: Rc<RefCell<End>>) -> TunnelStream {
        TunnelStream { tunnels, key, end }
    }

    /// Hears what whoever serves the tunnel is to be told.
    pub(crate) fn watch(&self) -> TunnelWatch {
        TunnelWatch { tunnels: self.tunnels.clone(), key: self.key, end: self.end.clone() }
    }
}

/// What whoever serves a tunnel hears of it, and says.
#[derive(Debug)]
pub(crate) struct TunnelWatch {
    tunnels: Rc<Tunnels>,
    key: Key,
    end: Rc<RefCell<End>>,
}

impl TunnelWatch {
    /// Until there is something. To be waited for by the task that serves the tunnel.
    pub(crate) async fn told(&self) -> Told {
        poll_fn(|cx| self.end.borrow_mut().poll_told(cx)).await
    }

    /// Lets the other end bring to its end what is said there, because this node stops.
    pub(crate) fn leave(&self) {
        self.tunnels.say(self.key, TunnelPart::Leaves);
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        self.tunnels.remove(self.key);
        if self.end.borrow().is_open() {
            self.tunnels.say(self.key, TunnelPart::BreaksOff);
        }
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.end.borrow_mut().poll_read(cx, buffer);
        read.map_ok(|told| told.into_iter().for_each(|told| self.tunnels.say(self.key, told)))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let may_pass = self.tunnels.may_pass();
        let written = self.end.borrow_mut().poll_write(cx, bytes, may_pass);
        written.map_ok(|piece| {
            let length = piece.len();
            self.tunnels.say(self.key, TunnelPart::Bytes(piece));
            length
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end.borrow_mut().end() {
            self.tunnels.say(self.key, TunnelPart::Ends);
        }
        Poll::Ready(Ok(()))
    }
}
