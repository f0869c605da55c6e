//! Plugins that ask a client, and wait for what it answers.
//!
//! The shard of the plugin remembers who asks, the shard of the client what the client was asked. Each of them has the deadline, so that
//! nobody waits for a shard that has ended. What a client answers after that is nobody's.

mod elsewhere;
mod questions;

use hubgate_wire::payload::PayloadRef;
use hubgate_wire::signalr::CompletionOutcome;

use elsewhere::Elsewhere;
use questions::{Asker, Questions};

use crate::client::read_holds::Hold;
use crate::client::{Clients, Leave, MAX_PENDING_CLIENT_RESULTS, actions};
use crate::effect::Effect;
use crate::failure;
use crate::filter::{Direction, Inspected, InspectionNumber, LaneKind, Subject, Verdict};
use crate::gate::Lane;
use crate::id::{HubIndex, HubName, NodeId, Slot};
use crate::mode::ClientKind;
use crate::neighbours::Location;
use crate::order::{ForwardedQuestion, Order};
use crate::outgoing::Outgoing;
use crate::question::{Answered, AskError, ClientAnswer, ClientQuestion, Ticket};
use crate::target::Target;
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// Why a client is not asked that hub servers answer.
const OF_HUB_SERVERS: &str = "the connection is answered by a hub server, which asks it";

/// Why nobody is asked for a client that has left: what such clients have called runs in turn, and would hold up that of others.
const FOR_WHO_HAS_LEFT: &str = "the client whose event this is has left: nobody is asked for it any more";

/// What clients were asked, and who waits for it.
#[derive(Debug)]
pub(crate) struct ClientResults {
    /// That clients of this shard have not answered.
    questions: Questions,
    /// Plugins of this shard that ask clients of others.
    elsewhere: Elsewhere,
    /// Questions that filters look at.
    lane: Lane<Unsent>,
}

/// A question that has not been sent.
#[derive(Debug)]
struct Unsent {
    hub: HubIndex,
    slot: Slot,
    number: u64,
    method: String,
    message: Outgoing,
}

impl ClientResults {
    pub(crate) fn new() -> ClientResults {
        ClientResults {
            questions: Questions::default(),
            elsewhere: Elsewhere::default(),
            lane: Lane::new(LaneKind::Questions),
        }
    }

    /// Asks a client of a hub, on whatever shard it is. Whoever has the ticket is told what it answers, or why it does not.
    pub(crate) fn ask(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        question: ClientQuestion,
        (deadline, ticket): (Millis, Ticket<ClientAnswer>),
    ) {
        if question.caller.is_some_and(|caller| clients.find(caller).is_none()) {
            return tell(turn, ticket, Err(AskError::Failed(FOR_WHO_HAS_LEFT.to_owned())));
        }
        let (connection, shard) = (question.connection, turn.shard_of(question.connection));
        match turn.locate(shard) {
            Location::Here => self.ask_here(clients, turn, hub, question, (deadline, Asker::Here(ticket))),
            Location::OtherShard(_) | Location::OtherNode => {
                let number = self.elsewhere.add(ticket, shard.node, deadline);
                let (within, asker) = (deadline - turn.now, turn.here());
                let question = Box::new(ForwardedQuestion { question, within, asker, number });
                turn.forward_about(connection, shard, hub, Order::AskClient(question));
            }
            Location::Nowhere => tell(turn, ticket, Err(AskError::NoSuchConnection)),
        }
    }

    /// A plugin of another shard asks a client of this one.
    pub(crate) fn ask_for(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        forwarded: ForwardedQuestion,
    ) {
        let ForwardedQuestion { question, within, asker, number } = forwarded;
        let asker = Asker::Elsewhere { shard: asker, number, hub: hub.clone() };
        self.ask_here(clients, turn, hub, question, (turn.now + within, asker));
    }

    /// Another shard has answered.
    pub(crate) fn answered_elsewhere(&mut self, turn: &mut Turn<'_>, number: u32, answer: ClientAnswer) {
        if let Some(ticket) = self.elsewhere.take(number) {
            tell(turn, ticket, answer);
        }
    }

    fn ask_here(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        question: ClientQuestion,
        (deadline, asker): (Millis, Asker),
    ) {
        let ClientQuestion { connection, caller: _, origin, method, arguments } = question;
        let found = clients.hubs().find(hub).and_then(|hub| clients.find_in(hub, connection));
        let slot = match self.may_be_asked(clients, found) {
            Ok(slot) => slot,
            Err(error) => return asker.tell(turn, Err(error)),
        };
        let number = self.questions.add(slot, deadline, asker);
        let message = Outgoing::question(method.clone(), arguments, &invocation_id(number));
        let filters = clients.hub_of(slot).filters.clone();
        match message.with_call(|call| filters.to_filter_message(Direction::Outbound, call)).flatten() {
            Some(seen) => {
                let subject = Subject::Delivery { hub: hub.clone(), to: vec![Target::Connection(connection)], origin };
                let hub = clients[slot].hub();
                clients.hubs_mut().occupy_again(hub, turn.settings);
                self.lane.inspect(turn, filters, subject, seen, Unsent { hub, slot, number, method, message });
            }
            None => send(clients, turn, slot, &message),
        }
        if self.questions.count(slot) == 1 {
            turn.then(Step::Asked { slot, waits_for_answers: true });
        }
    }

    /// A hub's filters have looked at a question.
    pub(crate) fn inspected(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        number: InspectionNumber,
        inspected: Inspected,
    ) {
        let Some(Unsent { hub, slot, number, method, message }) = self.lane.take(number) else {
            return;
        };
        actions::act_all(clients, turn, hub, inspected.actions);
        // It may have ended, or its client have left.
        if self.questions.has(slot, number) && clients.is_still(slot) {
            match inspected.verdict {
                Verdict::Pass => send(clients, turn, slot, &message),
                Verdict::Replace(replacement) => send(clients, turn, slot, &message.replaced(&replacement)),
                Verdict::Refuse(refusal) => {
                    let error = failure::refused(Some(&method), refusal, turn.settings.detailed_errors);
                    self.end(turn, (slot, number), Err(AskError::Failed(error)));
                }
                Verdict::Close(reason) => clients.close_by_filter(turn, slot, reason),
            }
        }
        clients.hubs_mut().vacate(hub);
    }

    /// A completion of a client. One that answers nothing that the client was asked, or comes too late, has no effect.
    pub(crate) fn completed(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        (invocation_id, outcome): (&str, CompletionOutcome<'_>),
    ) {
        let Some(number) = number_of(invocation_id) else {
            return;
        };
        let answer = match outcome {
            CompletionOutcome::Void => Ok(None),
            CompletionOutcome::Result(result) => Ok(Some(PayloadRef::to_payload(result))),
            CompletionOutcome::Error(error) => Err(AskError::Failed(error.into_owned())),
        };
        self.end(turn, (slot, number), answer);
    }

    /// A client is closed, or is not listened to any more.
    pub(crate) fn left(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        self.end_all(turn, slot, &AskError::Left);
    }

    /// Too many calls of a client wait for the answers to what it was asked to be waited for.
    pub(crate) fn give_up(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        self.end_all(turn, slot, &AskError::TimedOut);
    }

    /// A shard that was to ask a client has ended, and the client with it.
    pub(crate) fn undelivered(&mut self, turn: &mut Turn<'_>, number: u32) {
        self.answered_elsewhere(turn, number, Err(AskError::NoSuchConnection));
    }

    /// Nobody of this node answers any longer, and nobody there waits for answers.
    pub(crate) fn node_lost(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        for ticket in self.elsewhere.take_asked_of(node) {
            tell(turn, ticket, Err(AskError::NoSuchConnection));
        }
        for (slot, number) in self.questions.asked_by(node) {
            self.questions.remove(slot, number);
            self.tell_if_none_is_left(turn, slot);
        }
    }

    /// Gives up what took too long.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        while let Some((slot, number)) = self.questions.first_due(turn.now) {
            self.end(turn, (slot, number), Err(AskError::TimedOut));
        }
        while let Some(ticket) = self.elsewhere.take_due(turn.now) {
            tell(turn, ticket, Err(AskError::TimedOut));
        }
    }

    fn end_all(&mut self, turn: &mut Turn<'_>, slot: Slot, error: &AskError) {
        while let Some(number) = self.questions.first_of(slot) {
            self.end(turn, (slot, number), Err(error.clone()));
        }
    }

    fn end(&mut self, turn: &mut Turn<'_>, (slot, number): (Slot, u64), answer: ClientAnswer) {
        let Some(asker) = self.questions.remove(slot, number) else {
            return;
        };
        asker.tell(turn, answer);
        self.tell_if_none_is_left(turn, slot);
    }

    fn tell_if_none_is_left(&self, turn: &mut Turn<'_>, slot: Slot) {
        if self.questions.count(slot) == 0 {
            turn.then(Step::Asked { slot, waits_for_answers: false });
        }
    }

    /// The client, if it may be asked now.
    fn may_be_asked(&self, clients: &Clients, found: Option<Slot>) -> Result<Slot, AskError> {
        // One that upstream has not let in cannot answer.
        let is_in = |slot: &Slot| clients[*slot].is_open() && !clients[*slot].has_hold(Hold::Admission);
        let slot = found.filter(is_in).ok_or(AskError::NoSuchConnection)?;
        match (clients[slot].kind(), clients[slot].leave()) {
            (ClientKind::Proxied, _) => Err(AskError::Failed(OF_HUB_SERVERS.to_owned())),
            // Nobody listens to it any more.
            (ClientKind::Serverless | ClientKind::Unserved, Leave::Said) => Err(AskError::Left),
            (ClientKind::Serverless | ClientKind::Unserved, _)
                if self.questions.count(slot) >= MAX_PENDING_CLIENT_RESULTS =>
            {
                Err(AskError::Busy)
            }
            (ClientKind::Serverless | ClientKind::Unserved, _) => Ok(slot),
        }
    }
}

fn send(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, message: &Outgoing) {
    if let Some(frame) = clients[slot].dialect().frame_of(message).cloned() {
        clients.send(turn, slot, frame);
    }
}

fn tell(turn: &mut Turn<'_>, ticket: Ticket<ClientAnswer>, answer: ClientAnswer) {
    turn.effect(Effect::Answered(Answered::Client(ticket.answered(answer))));
}

/// What begins the ids of the gateway's own invocations: no stream that a client names itself has one by chance.
const INVOCATION: &str = "hubgate-";

fn invocation_id(number: u64) -> String {
    format!("{INVOCATION}{number}")
}

fn number_of(invocation_id: &str) -> Option<u64> {
    invocation_id.strip_prefix(INVOCATION)?.parse().ok()
}
