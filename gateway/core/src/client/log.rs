//! What is kept of a client to be sent again, in the way of its protocol.

use hubgate_wire::websocket::Frame;

use super::kept::{KeptAccount, KeptFrame};
use super::link_log::{Bound, Link, LinkLog, Mark, Room};
use super::replay::Replay;
use crate::close_cause::CloseCause;
use crate::time::Millis;

/// What has passed between a client and the gateway, as far as it may have to be said again.
#[derive(Debug)]
pub(crate) enum Log {
    /// Of ASP.NET Core SignalR: both sides count and acknowledge.
    Core(LinkLog),
    /// Of ASP.NET SignalR: the client says where it was when it returns.
    AspNet(Replay),
}

impl Log {
    /// Whether a frame that is sent now has to be kept.
    pub(super) fn keeps(&self, frame: &Frame, link: Link) -> bool {
        match self {
            Log::Core(_) => true,
            Log::AspNet(replay) => replay.keeps(frame, link),
        }
    }

    /// Keeps a frame that is sent now, or once the client is back.
    pub(super) fn send(&mut self, kept: &KeptFrame, mark: Mark, bound: Bound) -> Room {
        match self {
            Log::Core(_) if kept.messages() == 0 => Room::Enough,
            Log::Core(log) => log.send(kept, mark, bound),
            Log::AspNet(replay) => replay.send(kept, bound),
        }
    }

    /// Whether the client may come by another transport when its own is gone for this cause.
    pub(super) fn outlives(&self, cause: CloseCause) -> bool {
        let broke = matches!(cause, CloseCause::TransportLost | CloseCause::PingTimeout);
        match self {
            Log::Core(log) => broke && !log.has_said_close(),
            // It says by another request that it leaves.
            Log::AspNet(_) => broke || cause == CloseCause::Normal,
        }
    }

    pub(super) fn core(&self) -> Option<&LinkLog> {
        match self {
            Log::Core(log) => Some(log),
            Log::AspNet(_) => None,
        }
    }

    pub(super) fn core_mut(&mut self) -> Option<&mut LinkLog> {
        match self {
            Log::Core(log) => Some(log),
            Log::AspNet(_) => None,
        }
    }

    pub(super) fn asp_net_mut(&mut self) -> Option<&mut Replay> {
        match self {
            Log::Core(_) => None,
            Log::AspNet(replay) => Some(replay),
        }
    }

    /// Whether the client may come by another transport now, and has not done so too often of late.
    pub(super) fn may_resume(&self, now: Millis) -> bool {
        match self {
            Log::Core(log) => log.may_resume(now),
            Log::AspNet(replay) => replay.may_return(now),
        }
    }

    /// What is kept takes up, in bytes, as if nobody shared it.
    pub(super) fn cost(&self) -> usize {
        match self {
            Log::Core(log) => log.cost(),
            Log::AspNet(replay) => replay.cost(),
        }
    }

    /// The client's part of that in what is kept for all.
    pub(super) fn part(&self) -> usize {
        match self {
            Log::Core(log) => log.part(),
            Log::AspNet(replay) => replay.part(),
        }
    }

    pub(super) fn account(&self) -> &KeptAccount {
        match self {
            Log::Core(log) => log.account(),
            Log::AspNet(replay) => replay.account(),
        }
    }
}
