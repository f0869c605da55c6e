//! What tasks do for peers.

/// What a task does for a peer, as metrics and the log name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerTask {
    /// An accepted connection, and the WebSocket that it becomes.
    Connection,
    /// A client on Server-Sent Events or long polling.
    Transport,
    /// What such a client posts.
    Request,
    /// A request on a connection of HTTP/2.
    Stream,
    /// An event for upstream.
    Call,
    /// A look of filters at a message.
    Filter,
    /// A question of a plugin about its hub.
    Question,
    /// A timer of a plugin, or the start of one of its versions in a hub.
    Timer,
    /// A connection of the admin listener.
    Admin,
}

impl PeerTask {
    pub(crate) const ALL: [PeerTask; 9] = [
        PeerTask::Connection,
        PeerTask::Transport,
        PeerTask::Request,
        PeerTask::Stream,
        PeerTask::Call,
        PeerTask::Filter,
        PeerTask::Question,
        PeerTask::Timer,
        PeerTask::Admin,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            PeerTask::Connection => "connection",
            PeerTask::Transport => "transport",
            PeerTask::Request => "request",
            PeerTask::Stream => "stream",
            PeerTask::Call => "call",
            PeerTask::Filter => "filter",
            PeerTask::Question => "question",
            PeerTask::Timer => "timer",
            PeerTask::Admin => "admin",
        }
    }
}
