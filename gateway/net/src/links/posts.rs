//! What a client posts: one body at a time, in the order in which the requests came.

use std::cell::Cell;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Posts of one client that wait for their turn. Most official clients send one at a time, the Java client up to five; `@aspnet/signalr` 1.x
/// sends all that its page says at once, each in a request of its own. What a waiting post takes is that of its request, whose connection or
/// stream is counted elsewhere.
const WAITING: usize = 256;

/// The posts of one client.
#[derive(Debug)]
pub(crate) struct Posts {
    turn: Semaphore,
    waiting: Cell<usize>,
}

/// Why a post does not get its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// As many as may wait do so already.
    Crowded,
    /// The client is gone.
    Over,
}

/// Nobody else's post is read meanwhile.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
}

impl Posts {
    pub(crate) fn new() -> Posts {
        Posts { turn: Semaphore::new(1), waiting: Cell::new(0) }
    }

    /// Waits until all posts that came before are read.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, NoTurn> {
        let _waiting = Waiting::begin(&self.waiting).ok_or(NoTurn::Crowded)?;
        self.all_before().await.ok_or(NoTurn::Over)
    }

    /// The same for what is no post, and does not count as one; `None` when the client is gone.
    pub(crate) async fn all_before(&self) -> Option<Turn<'_>> {
        Some(Turn { _permit: self.turn.acquire().await.ok()? })
    }

    /// The client is gone: what waits has waited in vain.
    pub(crate) fn end(&self) {
        self.turn.close();
    }
}

/// One post that waits.
struct Waiting<'a>(&'a Cell<usize>);

impl Waiting<'_> {
    fn begin(count: &Cell<usize>) -> Option<Waiting<'_>> {
        if count.get() >= WAITING {
            return None;
        }
        count.set(count.get() + 1);
        Some(Waiting(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Asking<'a> = Pin<Box<dyn Future<Output = Result<Turn<'a>, NoTurn>> + 'a>>;

    fn ask<'a>(posts: &'a Posts) -> (Asking<'a>, Poll<Result<Turn<'a>, NoTurn>>) {
        let mut asking: Asking<'a> = Box::pin(posts.turn());
        let polled = look(&mut asking);
        (asking, polled)
    }

    fn look<'a>(asking: &mut Asking<'a>) -> Poll<Result<Turn<'a>, NoTurn>> {
        asking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn posts_get_their_turn_one_by_one_in_their_order() {
        let posts = Posts::new();
        let Poll::Ready(Ok(first)) = ask(&posts).1 else { panic!("nobody is before it") };
        let (mut second, waits) = ask(&posts);
        assert!(waits.is_pending());
        let (mut third, waits) = ask(&posts);
        assert!(waits.is_pending());
        drop(first);
        assert!(look(&mut third).is_pending());
        assert!(matches!(look(&mut second), Poll::Ready(Ok(_))));
        assert!(matches!(look(&mut third), Poll::Ready(Ok(_))));
    }

    #[test]
    fn no_more_than_a_number_of_posts_waits_and_one_that_gives_up_leaves_its_place() {
        let posts = Posts::new();
        let Poll::Ready(Ok(_first)) = ask(&posts).1 else { panic!("nobody is before it") };
        let mut waiting: Vec<Asking<'_>> = (0..WAITING).map(|_| ask(&posts).0).collect();
        assert!(matches!(ask(&posts).1, Poll::Ready(Err(NoTurn::Crowded))));
        waiting.pop();
        assert!(ask(&posts).1.is_pending());
    }

    #[test]
    fn posts_of_a_client_that_is_gone_wait_no_longer() {
        let posts = Posts::new();
        let Poll::Ready(Ok(_first)) = ask(&posts).1 else { panic!("nobody is before it") };
        let (mut waiting, _) = ask(&posts);
        posts.end();
        assert!(matches!(look(&mut waiting), Poll::Ready(Err(NoTurn::Over))));
        assert!(matches!(ask(&posts).1, Poll::Ready(Err(NoTurn::Over))));
    }
}
