//! One end of a tunnel: what has come and is not read, and how much may be written.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use hubgate_cluster::codec::TunnelPart;
use hubgate_wire::websocket::FRAME_OVERHEAD;
use tokio::io::ReadBuf;

use crate::outboxes::Part;

/// What may be on its way in one direction, or wait to be read, in bytes.
const WINDOW: usize = 64 << 10;
/// Bytes that go in one piece. It is small enough to be copied out of the frame that it comes in.
const PIECE: usize = 8 << 10;

/// The other end says what no end may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misbehaved;

#[derive(Debug)]
pub(super) struct End {
    unread: VecDeque<Bytes>,
    /// What that takes up, in bytes.
    cost: usize,
    /// The same in the account of all that waits for peers.
    part: Part,
    /// How much more the other end may send.
    window: usize,
    /// What was read, and the other end has not been told of.
    taken: usize,
    /// How much this end may send.
    room: usize,
    /// The other end says no more.
    is_over: bool,
    /// Nothing passes any longer.
    is_broken: bool,
    /// This end has said that it says no more.
    has_ended: bool,
    /// The node of the other end stops.
    is_left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Whoever serves what is on the tunnel.
    keeper: Option<Waker>,
}

/// What ends a tunnel before its time, or is to bring it to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Too much waits for all peers together, and most of it for a few, of which this is one.
    MustGo,
    /// The node of the other end stops.
    IsLeft,
}

impl End {
    /// One of which nothing has passed. `part` is for what waits to be read.
    pub(super) fn new(part: Part) -> End {
        End {
            unread: VecDeque::new(),
            cost: 0,
            part,
            window: WINDOW,
            taken: 0,
            room: WINDOW,
            is_over: false,
            is_broken: false,
            has_ended: false,
            is_left: false,
            reader: None,
            writer: None,
            keeper: None,
        }
    }

    /// What the other end says.
    pub(super) fn hear(&mut self, part: TunnelPart) -> Result<(), Misbehaved> {
        match part {
            TunnelPart::Opens { .. } => return Err(Misbehaved),
            TunnelPart::Bytes(bytes) => {
                if self.is_over || bytes.is_empty() || bytes.len() > self.window {
                    return Err(Misbehaved);
                }
                self.window -= bytes.len();
                self.set_cost(self.cost + bytes.len() + FRAME_OVERHEAD);
                self.unread.push_back(bytes);
                self.wake_reader();
            }
            TunnelPart::Taken(bytes) => {
                let room = self.room + bytes as usize;
                if room > WINDOW {
                    return Err(Misbehaved);
                }
                self.room = room;
                self.wake_writer();
            }
            TunnelPart::Ends => {
                self.is_over = true;
                self.wake_reader();
            }
            TunnelPart::BreaksOff => self.break_off(),
            TunnelPart::Leaves => {
                self.is_left = true;
                self.wake_keeper();
            }
        }
        Ok(())
    }

    fn set_cost(&mut self, cost: usize) {
        self.cost = cost;
        self.part.settle(cost, cost, self.keeper.as_ref());
    }

    /// What whoever serves the tunnel is to be told. The end of the other node is told once.
    pub(super) fn poll_told(&mut self, cx: &Context<'_>) -> Poll<Told> {
        if self.part.must_go() {
            return Poll::Ready(Told::MustGo);
        }
        if std::mem::take(&mut self.is_left) {
            return Poll::Ready(Told::IsLeft);
        }
        self.keeper.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        Poll::Pending
    }

    /// Nothing passes any longer.
    pub(super) fn break_off(&mut self) {
        self.is_broken = true;
        self.wake_reader();
        self.wake_writer();
    }

    /// Whether the other end is still to hear of this one's end.
    pub(super) fn is_open(&self) -> bool {
        let is_over = self.has_ended && self.is_over && self.unread.is_empty();
        !(self.is_broken || is_over)
    }

    fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    /// It may write again, or nothing more.
    pub(super) fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    fn wake_keeper(&mut self) {
        self.keeper.iter().for_each(Waker::wake_by_ref);
    }

    /// Reads what has come. Gives what the other end is to be told of that.
    pub(super) fn poll_read(
        &mut self,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<TunnelPart>>> {
        if let Some(first) = self.unread.front_mut() {
            let length = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..length]);
            first.advance(length);
            let is_read = first.is_empty();
            if is_read {
                self.unread.pop_front();
            }
            self.set_cost(self.cost - length - if is_read { FRAME_OVERHEAD } else { 0 });
            self.taken += length;
            return Poll::Ready(Ok(self.tell_of_taken()));
        }
        if self.is_broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.is_over {
            return Poll::Ready(Ok(None));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A message for each piece would be one too many.
    fn tell_of_taken(&mut self) -> Option<TunnelPart> {
        if self.taken < WINDOW / 2 || self.is_over || self.is_broken {
            return None;
        }
        let taken = std::mem::take(&mut self.taken);
        self.window += taken;
        Some(TunnelPart::Taken(taken as u32))
    }

    /// Takes as many bytes as the other end has room for. `may_pass`: they would leave soon.
    pub(super) fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8], may_pass: bool) -> Poll<io::Result<Bytes>> {
        if self.is_broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.has_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = if may_pass { self.room } else { 0 };
        let length = bytes.len().min(room).min(PIECE);
        if length == 0 && !bytes.is_empty() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.room -= length;
        Poll::Ready(Ok(Bytes::copy_from_slice(&bytes[..length])))
    }

    /// Says no more; `false` if it has said so before, or nobody hears it.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.has_ended, true) && !self.is_broken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::outboxes::{Outboxes, Receiver};

    fn read(end: &mut End, most: usize) -> Poll<io::Result<(Vec<u8>, Option<TunnelPart>)>> {
        let mut bytes = vec![0; most];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = end.poll_read(&Context::from_waker(Waker::noop()), &mut buffer);
        read.map_ok(|told| (buffer.filled().to_vec(), told))
    }

    fn write(end: &mut End, bytes: &[u8]) -> Poll<io::Result<Bytes>> {
        end.poll_write(&Context::from_waker(Waker::noop()), bytes, true)
    }

    fn end() -> End {
        End::new(Arc::<Outboxes>::default().part(Receiver::Client))
    }

    /// What was read, if anything was.
    fn bytes(read: Poll<io::Result<(Vec<u8>, Option<TunnelPart>)>>) -> Option<(Vec<u8>, Option<TunnelPart>)> {
        match read {
            Poll::Ready(read) => Some(read.expect("it is not broken")),
            Poll::Pending => None,
        }
    }

    #[test]
    fn no_more_is_written_than_the_other_end_has_room_for_and_it_tells_what_it_has_taken() {
        let (mut writer, mut reader) = (end(), end());
        let (mut written, mut read_in_all) = (0, 0);
        for _ in 0..20 {
            while let Poll::Ready(piece) = write(&mut writer, &[7; 100_000]) {
                let piece = piece.expect("it is open");
                assert!(!piece.is_empty() && piece.len() <= PIECE);
                written += piece.len();
                assert_eq!(reader.hear(TunnelPart::Bytes(piece)), Ok(()));
            }
            assert_eq!(written - read_in_all, WINDOW - reader.taken, "all room is used");
            while let Some((bytes, told)) = bytes(read(&mut reader, 5_000)) {
                read_in_all += bytes.len();
                told.into_iter().for_each(|told| assert_eq!(writer.hear(told), Ok(())));
            }
            assert_eq!(read_in_all, written);
        }
        assert!(written > 10 * WINDOW);
    }

    #[test]
    fn what_came_before_the_end_is_read_first() {
        let mut end = end();
        assert!(read(&mut end, 9).is_pending());
        for part in [TunnelPart::Bytes(Bytes::from_static(b"abc")), TunnelPart::Ends] {
            assert_eq!(end.hear(part), Ok(()));
        }
        assert_eq!(bytes(read(&mut end, 2)), Some((b"ab".to_vec(), None)));
        assert_eq!(bytes(read(&mut end, 2)), Some((b"c".to_vec(), None)));
        assert_eq!(bytes(read(&mut end, 2)), Some((Vec::new(), None)));
        assert!(end.is_open() && end.end() && !end.end() && !end.is_open());
        assert!(matches!(write(&mut end, b"x"), Poll::Ready(Err(_))));
    }

    #[test]
    fn one_that_is_broken_neither_reads_nor_writes() {
        let mut end = end();
        assert_eq!(end.hear(TunnelPart::BreaksOff), Ok(()));
        assert!(
            matches!(read(&mut end, 9), Poll::Ready(Err(_))) && matches!(write(&mut end, b"x"), Poll::Ready(Err(_)))
        );
        assert!(!end.is_open() && !end.end());
    }

    #[test]
    fn what_is_not_read_is_on_the_account_of_all_and_a_tunnel_for_which_too_much_waits_is_to_go() {
        let all = Arc::new(Outboxes::new(100 << 10));
        let mut ends: Vec<End> = (0..3).map(|_| End::new(all.part(Receiver::Client))).collect();
        for end in &mut ends {
            assert!(end.poll_told(&Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(end.hear(TunnelPart::Bytes(vec![0; 40 << 10].into())), Ok(()));
        }
        assert_eq!(all.held(), 3 * ((40 << 10) + FRAME_OVERHEAD));
        let told = |end: &mut End| end.poll_told(&Context::from_waker(Waker::noop()));
        assert_eq!(ends.iter_mut().map(told).filter(|told| *told == Poll::Ready(Told::MustGo)).count(), 1);
        assert!(read(&mut ends[0], 30 << 10).is_ready());
        assert_eq!(all.held(), 3 * ((40 << 10) + FRAME_OVERHEAD) - (30 << 10));
        assert!(read(&mut ends[0], 30 << 10).is_ready());
        assert_eq!(all.held(), 2 * ((40 << 10) + FRAME_OVERHEAD));
        drop(ends);
        assert_eq!(all.held(), 0);
    }

    #[test]
    fn small_pieces_count_with_what_keeping_them_costs() {
        let all = Arc::new(Outboxes::new(1 << 20));
        let mut end = End::new(all.part(Receiver::Client));
        for _ in 0..1_000 {
            assert_eq!(end.hear(TunnelPart::Bytes(Bytes::from_static(b"x"))), Ok(()));
        }
        assert!(all.held() > 900 * FRAME_OVERHEAD, "{}", all.held());
    }

    #[test]
    fn nothing_is_taken_while_nothing_passes() {
        let mut end = end();
        let mut write = |may_pass| end.poll_write(&Context::from_waker(Waker::noop()), b"abc", may_pass);
        assert!(write(false).is_pending());
        assert!(matches!(write(true), Poll::Ready(Ok(bytes)) if bytes == "abc"));
    }

    #[test]
    fn that_the_node_of_the_other_end_stops_is_told_once_and_all_still_passes() {
        let mut end = end();
        assert_eq!(end.hear(TunnelPart::Leaves), Ok(()));
        let mut told = || end.poll_told(&Context::from_waker(Waker::noop()));
        assert_eq!((told(), told()), (Poll::Ready(Told::IsLeft), Poll::Pending));
        assert!(end.is_open() && write(&mut end, b"x").is_ready());
    }

    #[test]
    fn another_end_that_says_more_than_it_may_misbehaves() {
        let bytes = |length| TunnelPart::Bytes(Bytes::from(vec![0; length]));
        assert_eq!(end().hear(bytes(WINDOW)), Ok(()));
        assert_eq!(end().hear(bytes(WINDOW + 1)), Err(Misbehaved));
        assert_eq!(end().hear(TunnelPart::Taken(1)), Err(Misbehaved));
        assert_eq!(end().hear(bytes(0)), Err(Misbehaved));
        let mut over = end();
        assert_eq!((over.hear(TunnelPart::Ends), over.hear(bytes(1))), (Ok(()), Err(Misbehaved)));
    }
}
