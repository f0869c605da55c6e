//! What happens to a shard. Inputs are data: they can be printed, recorded and fed again.

use std::sync::Arc;

use bytes::Bytes;

use crate::arrivals::{NewClient, NewServerConnection, ResumedClient, ReturningClient};
use crate::close_cause::CloseCause;
use crate::delivery::Action;
use crate::event::UpstreamAnswer;
use crate::filter::{HalvesByPlugin, Inspected, InspectionNumber, Origin};
use crate::id::{
    ConnectionId, GroupName, HubName, NodeId, PluginName, ServerConnectionId, ShardAddress, Slot, TransportKey, UserId,
};
use crate::neighbours::Nodes;
use crate::order::{Addressees, Order};
use crate::pairs::Pairs;
use crate::question::{CallerQuery, ClientAnswer, ClientQuestion, Joined, Ticket, UserJoined, Watched};
use crate::refresh::{Refresh, Refreshed};
use crate::refusal::ResumeRefusal;
use crate::settings::Settings;
use crate::stream::{StreamCommand, StreamReply};
use crate::time::Millis;
use crate::tokens::{ClaimAnswer, Negotiated, TokenClaim, TokenKept};
use crate::trace::TraceMark;

/// One thing that happened, for [`crate::Shard::handle`].
#[derive(Debug)]
pub enum Input<'i, 'b> {
    /// A client's transport is open; what the client opens with comes next. `transport` is [`crate::Shard::next_transport`].
    ClientOpened { transport: TransportKey, client: Box<NewClient> },
    /// Bytes came over a client's transport: the content of its messages, cut anywhere. At most `most` messages are taken off the front of
    /// `bytes`, and no more than the client may say now. What is left is to come again once the client is read. No bytes at
    /// all are a sign of life.
    ClientData { transport: TransportKey, bytes: &'i mut &'b [u8], most: usize },
    /// A client has come with a token by which its connection, which ends with its token, ends at `expiry`. The latest counts. `claims`
    /// are those of a token that is newer than all before.
    TokenRenewed { transport: TransportKey, expiry: Millis, claims: Option<Pairs> },
    /// A client goes on by another transport, which is open. `transport` is [`crate::Shard::next_transport`]. What carried its messages before
    /// is severed, and what comes late of it is ignored. The client is sent its Sequence first, and then what it has not acknowledged.
    ClientResumed { transport: TransportKey, client: ResumedClient },
    /// A client of ASP.NET SignalR is ready: its hub server hears of it, with this query. One that is ready already stays as it is.
    ClientStarted { token: ConnectionId, query: Box<str> },
    /// A client of ASP.NET SignalR leaves for good.
    ClientAborted { token: ConnectionId },
    /// A client of ASP.NET SignalR comes by another transport, which is open. `transport` is [`crate::Shard::next_transport`]. What carried
    /// its messages before is severed.
    ClientReturned { transport: TransportKey, client: ReturningClient },
    /// Somebody has come with a client's token and may not resume it. It is counted where the hub is in use.
    ResumeRefused { hub: HubName, refusal: ResumeRefusal },
    /// Too much is kept for clients, all together, and most of it for this one: it is closed as slow.
    KeepsTooMuch(Slot),
    /// All is read that a client had said when [`crate::Effect::HearLastWords`] asked for it.
    SaidLastWords(TransportKey),
    /// What carries a client's transport ends soon: the client is sent away, and may come back by another way.
    WayEnds(TransportKey),
    /// A client's transport is gone; nothing is wanted of it from now on, and what still comes of it is ignored. A client that may resume
    /// stays if the transport broke ([`CloseCause::TransportLost`]), and no other cause keeps it.
    ClientGone { transport: TransportKey, cause: CloseCause },
    /// A hub server's transport is open; its handshake request comes next. `id` is [`crate::Shard::next_server`].
    ServerOpened { id: ServerConnectionId, server: NewServerConnection },
    /// Bytes came from a hub server: the content of its WebSocket messages, cut anywhere. At most `most` messages are taken off
    /// the front of `bytes`, or all of it if it holds no more. What is left is to come again once the server is read.
    ServerData { id: ServerConnectionId, bytes: &'i mut &'b [u8], most: usize },
    /// A hub server reads too slowly for what its clients say, or has caught up.
    ServerCongested { id: ServerConnectionId, is_congested: bool },
    /// A hub server's transport is gone; nothing is sent to it from now on.
    ServerGone(ServerConnectionId),
    /// What came of an [`crate::Effect::Call`] for the client, whether that is still there or not.
    UpstreamAnswered { client: Slot, answer: UpstreamAnswer },
    /// A hub's filters have looked at the message of an [`crate::Effect::Inspect`].
    Inspected { number: InspectionNumber, inspected: Inspected },
    /// The filters of a message take a while: whoever it comes from is not read meanwhile.
    InspectionWaits(InspectionNumber),
    /// What another shard forwarded, of whatever node.
    Order { from: ShardAddress, hub: HubName, order: Order },
    /// What was forwarded to these, which have ended, or cannot be reached.
    Undelivered { to: Addressees, order: Order },
    /// All other nodes have applied a [`crate::DirectoryChange::HubUsed`] of this shard, or are gone. It comes once for each of
    /// these that was announced, in their order, to the shard that has announced it.
    HubAnnounced(HubName),
    /// A sender asks a hub for something, to be done in order. The hub's filters look at what is sent. Answered when it is done
    /// here, and ordered where it concerns other shards.
    Submit { hub: HubName, origin: Origin, actions: Vec<Action>, ticket: Ticket<()> },
    /// A filter asks its hub for something, to be done in order. Filters do not look at it.
    SubmitByFilter { hub: HubName, actions: Vec<Action> },
    /// A caller with an access key puts a user's present and later connections into a group. `ttl_seconds` is that of
    /// [`Action::Join`].
    JoinUser { hub: HubName, user: UserId, group: GroupName, ttl_seconds: Option<u32>, ticket: Ticket<UserJoined> },
    /// A caller with an access key puts a connection into a group. All shards that are asked for this, for a query or for a
    /// barrier have to answer until `deadline`, which is met by the next [`Input::Tick`].
    Join { hub: HubName, connection: ConnectionId, group: GroupName, deadline: Millis, ticket: Ticket<Joined> },
    /// Whoever has let a connection in lets it go on with other claims and another end, on whatever shard it is.
    Refresh { hub: HubName, refresh: Box<Refresh>, deadline: Millis, ticket: Ticket<Refreshed> },
    /// A plugin pushes items to a stream of a client, or ends it, on whatever shard the client is.
    Stream { hub: HubName, command: StreamCommand, deadline: Millis, ticket: Ticket<StreamReply> },
    /// A client has taken what an [`crate::Effect::SendMarked`] has sent it. They come in the order of these.
    Taken(TransportKey),
    /// A plugin or a REST caller asks what all shards know of a hub.
    Ask { hub: HubName, query: CallerQuery, deadline: Millis },
    /// Somebody waits until all that was ordered before, of this hub, is in effect on all shards.
    Barrier { hub: HubName, deadline: Millis, ticket: Ticket<()> },
    /// A plugin asks a client of a hub, which may answer until `deadline`; that is met by the next [`Input::Tick`].
    AskClient { hub: HubName, question: ClientQuestion, deadline: Millis, ticket: Ticket<ClientAnswer> },
    /// A plugin wants to be told who joins and leaves a group. In effect on all shards when it is answered.
    Watch { hub: HubName, plugin: PluginName, group: GroupName, ticket: Ticket<Watched> },
    /// It wants to be told no longer. In effect at once.
    Unwatch { hub: HubName, plugin: PluginName, group: GroupName },
    /// What came of an [`crate::Effect::TellPresence`] is done.
    PresenceTold { hub: HubName, plugin: PluginName },
    /// A client has negotiated: its token opens a transport of its connection, on a shard of this node, for a while.
    Negotiated { hub: HubName, negotiated: Negotiated, deadline: Millis, ticket: Ticket<TokenKept> },
    /// A client wants to open a transport with its connection token, on whatever node that was negotiated. Nobody but this shard's node knows
    /// of it if the answer is not followed by [`Input::ClientOpened`] or [`Input::TokenUnused`].
    ClaimToken { hub: HubName, claim: TokenClaim, deadline: Millis, ticket: Ticket<ClaimAnswer> },
    /// The first transport of a connection, for which its token was claimed here, has not opened after all.
    TokenUnused { hub: HubName, token: ConnectionId },
    /// A client posts before its transport is open. Its token names this shard.
    PostedEarly { hub: HubName, token: ConnectionId, bytes: Bytes, ticket: Ticket<bool> },
    /// It is so many milliseconds since 1970. To be told now and then: the clock that says so may be set.
    TimeOfDay(u64),
    /// Time passed. The owner may wait [`crate::Shard::tick_period`] between two of these.
    Tick,
    /// Other settings hold from now on. Clients that are connected keep what they were promised: their deadlines change with
    /// the next one that is met. Those that their hub's new mode does not allow are closed gradually, at
    /// `mode_switch_closes` per second. `halves` are those of the plugins that are there now.
    Configure { settings: Arc<Settings>, halves: HalvesByPlugin },
    /// These other nodes are there from now on, and no more. All shards of this node are told before anything that a new one says is
    /// applied or obeyed. One that was there before is left out only after [`Input::NodeLost`].
    Nodes(Arc<Nodes>),
    /// A node is gone, or something that it has said, or was told, is lost: whatever was begun with it is over, on both. All shards of this
    /// node are told once [`crate::Directory::node_lost`] is done. It is not there until [`Input::Nodes`] names it again; what it says
    /// then is applied and obeyed only after that.
    NodeLost(NodeId),
    /// The gateway goes by this id among others from now on. Told only before the first client and the first hub server come.
    Named(NodeId),
    /// The gateway stops: clients leave, `per_second` of them on all shards together or all at once for 0, and hub servers are
    /// told. To be repeated until [`crate::Shard::is_empty`], because time passes and clients come that were just connecting.
    Drain { per_second: u32 },
    /// The gateway stops at once: all clients leave, whatever they wait for.
    DrainNow,
    /// An input that is about a message which is followed: what comes of an [`crate::Effect::Traced`], or what somebody asks for.
    Traced { mark: TraceMark, input: Box<Input<'static, 'static>> },
}
