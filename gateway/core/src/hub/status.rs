//! Hubs as an operator sees them.

use std::ops::AddAssign;
use std::sync::Arc;

use hubgate_wire::negotiate::Transport;

use crate::close_cause::CloseCause;
use crate::id::HubName;
use crate::mode::Mode;
use crate::refresh::{RefreshRefusal, Refreshed};
use crate::refusal::ResumeRefusal;

use super::directory::HubDirectory;

/// What a shard knows of hubs for an operator.
#[derive(Debug, Clone, Default)]
pub struct ShardStatus {
    pub hubs: Vec<HubStatus>,
    /// What was counted in hubs that are forgotten.
    pub forgotten: HubCounters,
}

/// A hub as one shard knows it.
#[derive(Debug, Clone)]
pub struct HubStatus {
    pub hub: HubName,
    pub mode: Mode,
    /// By the index of [`Transport`].
    pub clients: [usize; Transport::COUNT],
    /// Those among them that wait for another transport.
    pub waiting_clients: usize,
    /// Those that are open, of hub servers and of others that only send.
    pub server_connections: usize,
    /// Memberships of users, which all shards have together. One with long names counts as several.
    pub user_memberships: usize,
    pub counters: HubCounters,
    pub(crate) has_own_label: bool,
    pub(crate) directory: Option<Arc<HubDirectory>>,
}

impl HubStatus {
    /// That of a hub that nobody has used.
    pub fn unused(hub: HubName, mode: Mode) -> HubStatus {
        HubStatus {
            hub,
            mode,
            clients: [0; Transport::COUNT],
            waiting_clients: 0,
            server_connections: 0,
            user_memberships: 0,
            counters: HubCounters::default(),
            has_own_label: false,
            directory: None,
        }
    }

    /// Its clients, whatever transport they are on.
    pub fn client_count(&self) -> usize {
        self.clients.iter().sum()
    }

    /// Whether metrics count it under its own name. This can change until the next look: once all shards have said what they
    /// know, it is the same for all that speak of one hub.
    pub fn has_own_label(&self) -> bool {
        self.has_own_label && !self.is_forgotten()
    }

    /// Whether the hub is no longer known, though this shard has not noticed yet.
    pub fn is_forgotten(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.is_forgotten())
    }
}

/// What happened in a hub on this shard since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HubCounters {
    pub messages_in: u64,
    pub messages_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Groups that a connection did not get into because it is in too many.
    pub joins_refused: u64,
    /// Groups that a user did not get into because of a bound of memberships.
    pub memberships_refused: u64,
    /// Calls that were dropped because their clients had left and too much was waiting.
    pub calls_dropped: u64,
    /// How often a client was not read for a while because it had said too many messages.
    pub slowed: u64,
    /// The same because all clients of the hub had, together.
    pub slowed_by_hub: u64,
    /// Messages of hub servers that were not understood.
    pub server_messages_skipped: u64,
    /// By the index of [`crate::CloseCause`].
    pub closed: [u64; CloseCause::COUNT],
    /// By the index of [`ResumeOutcome`].
    pub resumes: [u64; ResumeOutcome::COUNT],
    /// By the index of [`RefreshOutcome`].
    pub refreshes: [u64; RefreshOutcome::COUNT],
}

/// What came of a client that may resume, once its transport was gone or another one came for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeOutcome {
    /// It goes on by another transport.
    Resumed,
    /// It did not come back in time.
    GraceEnded,
    /// Somebody came for a client that is over, or was never here.
    Unknown,
    /// Somebody came for a client that has one transport for its life.
    NotStateful,
    /// Somebody came for another user's client.
    OtherUser,
    /// It had come too often of late.
    TooOften,
}

impl ResumeOutcome {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [ResumeOutcome; 6] = [
        ResumeOutcome::Resumed,
        ResumeOutcome::GraceEnded,
        ResumeOutcome::Unknown,
        ResumeOutcome::NotStateful,
        ResumeOutcome::OtherUser,
        ResumeOutcome::TooOften,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            ResumeOutcome::Resumed => "resumed",
            ResumeOutcome::GraceEnded => "grace_ended",
            ResumeOutcome::Unknown => "unknown",
            ResumeOutcome::NotStateful => "not_stateful",
            ResumeOutcome::OtherUser => "other_user",
            ResumeOutcome::TooOften => "too_often",
        }
    }
}

impl From<ResumeRefusal> for ResumeOutcome {
    fn from(refusal: ResumeRefusal) -> ResumeOutcome {
        match refusal {
            ResumeRefusal::Unknown => ResumeOutcome::Unknown,
            ResumeRefusal::NotStateful => ResumeOutcome::NotStateful,
            ResumeRefusal::OtherUser => ResumeOutcome::OtherUser,
            ResumeRefusal::TooOften => ResumeOutcome::TooOften,
        }
    }
}

/// What came of a client that was to go on with a newer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    Refreshed,
    /// No client has this connection token.
    Unknown,
    /// The claims are another user's.
    OtherUser,
    /// The claims are more than is kept of a client.
    TooLarge,
}

impl RefreshOutcome {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [RefreshOutcome; 4] =
        [RefreshOutcome::Refreshed, RefreshOutcome::Unknown, RefreshOutcome::OtherUser, RefreshOutcome::TooLarge];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            RefreshOutcome::Refreshed => "refreshed",
            RefreshOutcome::Unknown => "unknown",
            RefreshOutcome::OtherUser => "other_user",
            RefreshOutcome::TooLarge => "too_large",
        }
    }

    pub(crate) fn of(refreshed: &Refreshed) -> RefreshOutcome {
        match refreshed {
            Ok(_) => RefreshOutcome::Refreshed,
            Err(RefreshRefusal::NoSuchConnection) => RefreshOutcome::Unknown,
            Err(RefreshRefusal::AnotherUser) => RefreshOutcome::OtherUser,
            Err(RefreshRefusal::TooLarge) => RefreshOutcome::TooLarge,
        }
    }
}

impl AddAssign<&HubCounters> for HubCounters {
    fn add_assign(&mut self, other: &HubCounters) {
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.joins_refused += other.joins_refused;
        self.memberships_refused += other.memberships_refused;
        self.calls_dropped += other.calls_dropped;
        self.slowed += other.slowed;
        self.slowed_by_hub += other.slowed_by_hub;
        self.server_messages_skipped += other.server_messages_skipped;
        for (sum, count) in self.closed.iter_mut().zip(other.closed) {
            *sum += count;
        }
        for (sum, count) in self.resumes.iter_mut().zip(other.resumes) {
            *sum += count;
        }
        for (sum, count) in self.refreshes.iter_mut().zip(other.refreshes) {
            *sum += count;
        }
    }
}
