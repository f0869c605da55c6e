//! What the core wants done. Effects are data: whoever drives a shard carries them out, in order.

use std::sync::Arc;

use hubgate_wire::websocket::Frame;

use crate::close_cause::CloseCause;
use crate::directory_change::DirectoryChange;
use crate::event::{ConnectionFacts, HubCall, UpstreamEvent};
use crate::filter::{Inspection, InspectionNumber};
use crate::id::{ConnectionId, HubName, PluginName, ServerConnectionId, Slot, TransportKey};
use crate::order::{Addressees, Order};
use crate::question::Answered;
use crate::refusal::MembershipRefusal;
use crate::settings::Handler;
use crate::stream::TooManyStreams;
use crate::time::Millis;
use crate::trace::TraceMark;

/// One thing to be done.
#[derive(Debug)]
pub enum Effect {
    /// Queue a frame for one client.
    Send {
        to: TransportKey,
        frame: Frame,
    },
    /// Queue a frame for one client; [`crate::Input::Taken`] follows once it has left.
    SendMarked {
        to: TransportKey,
        frame: Frame,
    },
    /// Queue the same frame for many clients.
    Deliver {
        to: Vec<TransportKey>,
        frame: Frame,
    },
    /// End the transport once all that is queued has left, with the status `code`. The core has forgotten the client
    /// for everybody else already; it wants to hear when the transport is gone.
    Finish {
        transport: TransportKey,
        code: u16,
        cause: CloseCause,
        detail: String,
    },
    /// Cut a client's transport at once and without a word, whatever waits to leave by it: the client goes on by another one, or may come by
    /// one. Nothing is wanted of this one any longer.
    Sever(TransportKey),
    /// A client has ended that had no transport and waited for one. The core has forgotten it for everybody else already.
    EndedWaiting {
        client: ConnectionId,
        cause: CloseCause,
        detail: String,
    },
    /// The core has forgotten the client: its transport is gone, and upstream has been told of its end.
    Forgotten(ConnectionId),
    /// Log that calls of clients of the hub were dropped, because these had left and too much was waiting; once until there
    /// is plenty of room again.
    CallsDropped {
        hub: HubName,
    },
    /// Log that a user was not put into a group because of a bound; once until there is plenty of room again.
    MembershipRefused {
        hub: HubName,
        refusal: MembershipRefusal,
    },
    /// Log that clients of the hub call a method that no upstream item matches; once a minute.
    Unmatched {
        hub: HubName,
        method: String,
    },
    /// Ask a client whether it is there, by a ping of its WebSocket.
    Probe(TransportKey),
    /// Read no more of the client until [`Effect::ResumeReading`].
    PauseReading(TransportKey),
    ResumeReading(TransportKey),
    /// Read what the client has said so far, and no more: [`crate::Input::SaidLastWords`] follows when that is done.
    HearLastWords(TransportKey),
    /// Tell upstream; its answer comes back through [`crate::Input::UpstreamAnswered`].
    Call {
        client: Slot,
        handler: Handler,
        facts: Arc<ConnectionFacts>,
        event: UpstreamEvent,
    },
    /// Let the hub's filters look at a message; what they make of it comes back through [`crate::Input::Inspected`]. If that
    /// takes a while, [`crate::Input::InspectionWaits`] comes before.
    Inspect {
        number: InspectionNumber,
        inspection: Box<Inspection>,
    },
    /// Whoever has the ticket is told what came of what it has asked for.
    Answered(Answered),
    /// Log that something for clients of the hub was not sent, because it is not a hub message that filters could look at.
    Unreadable {
        hub: HubName,
    },
    /// Count that a client could not open a stream.
    StreamsExceeded {
        plugin: PluginName,
        bound: TooManyStreams,
    },
    /// Read no more of the hub server until [`Effect::ResumeServer`].
    PauseServer(ServerConnectionId),
    ResumeServer(ServerConnectionId),
    /// Queue messages of the service protocol for a hub server on this shard.
    ToServer {
        to: ServerConnectionId,
        messages: Vec<u8>,
    },
    /// End the transport of a hub server once all that is queued has left. The core has forgotten the connection.
    FinishServer {
        to: ServerConnectionId,
        detail: String,
    },
    /// Log that a hub server's message has no effect, because nobody knows what it means; once for each connection.
    ServerMessageSkipped {
        hub: HubName,
        what: String,
    },
    /// Hand an order to other shards. What is forwarded to one shard arrives in the order in which it was forwarded. One that has
    /// ended, or cannot be reached, takes none: [`crate::Input::Undelivered`]. What is for a node that is lost goes nowhere, because
    /// [`crate::Input::NodeLost`] follows.
    Forward {
        to: Addressees,
        hub: HubName,
        order: Order,
    },
    /// Let all other nodes apply a change, in order with what is forwarded to them. The shards of this one know it already. Nothing is
    /// announced while there are no others: what those have missed that come later is in [`crate::Directory::snapshot_of`]. Each of
    /// a shard's changes says how something is, so that one which such a snapshot has already does no harm.
    Announce {
        hub: HubName,
        change: DirectoryChange,
    },
    /// Feed a [`crate::Input::Tick`] at this time, beside those that come anyway.
    WakeAt(Millis),
    /// Tell a plugin who has joined and left a group that it watches. When that is over, and what its answer asks for is submitted,
    /// [`crate::Input::PresenceTold`] follows.
    TellPresence(Box<HubCall>),
    /// What is to be done for a message that is followed: an [`Effect::Call`] or an [`Effect::Inspect`], whose answer comes back with a mark
    /// in an [`crate::Input::Traced`].
    Traced {
        mark: TraceMark,
        effect: Box<Effect>,
    },
}

// What is larger is moved by a call, several times for each message.
const _: () = assert!(size_of::<Effect>() <= 128);
