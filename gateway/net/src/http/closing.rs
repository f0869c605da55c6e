//! The end of an HTTP/1 connection. A peer that still writes loses what it has not read yet if the socket is closed.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::Service;
use crate::tls::HttpSocket;

/// How much is read of a peer that has got its last answer, in bytes.
const MOST_DISCARDED: usize = 16 << 20;
/// How long it is read.
const LONGEST_LINGER: Duration = Duration::from_secs(2);

/// Says that nothing more comes, and reads until the peer has heard it, within bounds.
pub(super) async fn linger(service: &Service, mut socket: HttpSocket) {
    let last_words = async {
        socket.shutdown().await?;
        let mut read = 0;
        while read < MOST_DISCARDED {
            match poll_fn(|cx| poll_discard(service, &mut socket, cx)).await? {
                0 => break,
                count => read += count,
            }
        }
        io::Result::Ok(())
    };
    // A peer that is gone needs no more.
    drop(tokio::time::timeout(LONGEST_LINGER, last_words).await);
}

/// Reads into the buffer that all connections of the shard share.
fn poll_discard(service: &Service, socket: &mut HttpSocket, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut buffer = service.shard().read_buffer().take();
    let mut read = ReadBuf::new(&mut buffer);
    let polled = Pin::new(socket).poll_read(cx, &mut read);
    let count = read.filled().len();
    service.shard().read_buffer().put_back(buffer);
    ready!(polled)?;
    Poll::Ready(Ok(count))
}
