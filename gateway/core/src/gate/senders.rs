//! What senders ask of a hub, on its way through the hub's filters: once for each delivery, before fan-out.

use std::iter::Peekable;
use std::vec;

use super::Lane;
use crate::client::{Clients, actions};
use crate::delivery::{Action, Target};
use crate::effect::Effect;
use crate::failure;
use crate::filter::{Direction, Inspected, InspectionNumber, LaneKind, Origin, Subject, Verdict};
use crate::id::{HubIndex, ServerConnectionId};
use crate::question::Answered;
use crate::turn::{AfterSend, Step, Turn};

/// Senders, some of which wait for filters.
#[derive(Debug)]
pub(crate) struct Senders {
    lane: Lane<Sending>,
}

/// What a sender asks of a hub and has not been done yet.
#[derive(Debug)]
struct Sending {
    hub: HubIndex,
    origin: Origin,
    actions: Peekable<vec::IntoIter<Action>>,
    /// The delivery that filters look at.
    inspected: Vec<Action>,
    after: AfterSend,
}

impl Senders {
    pub(crate) fn new() -> Senders {
        Senders { lane: Lane::new(LaneKind::Sends) }
    }

    /// Whether none waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.lane.is_empty()
    }

    /// Does what a sender asks of a hub, in order, and then what follows.
    pub(crate) fn submit(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: HubIndex,
        origin: Origin,
        actions: Vec<Action>,
        after: AfterSend,
    ) {
        let actions = actions.into_iter().peekable();
        self.go_on(clients, turn, Sending { hub, origin, actions, inspected: Vec::new(), after });
    }

    fn go_on(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, mut sending: Sending) {
        let hub = sending.hub;
        while let Some(action) = sending.actions.next() {
            let Action::Send { message, .. } = &action else {
                actions::act(clients, turn, hub, action);
                continue;
            };
            if !clients.hub(hub).filters.inspects(Direction::Outbound) {
                actions::act(clients, turn, hub, action);
                continue;
            }
            let message = message.clone();
            let same = |next: &Action| matches!(next, Action::Send { message: next, .. } if next.is_clone_of(&message));
            sending.inspected = vec![action];
            while let Some(next) = sending.actions.next_if(same) {
                sending.inspected.push(next);
            }
            let filters = clients.hub(hub).filters.clone();
            match message.with_message(|seen| filters.to_filter_message(Direction::Outbound, seen)) {
                Some(Some(seen)) => {
                    let to = sending.inspected.iter().filter_map(Action::send_target).cloned().collect();
                    let name = clients.hub(hub).name.clone();
                    let subject = Subject::Delivery { hub: name, to, origin: sending.origin.clone() };
                    clients.hubs_mut().occupy_again(hub, turn.settings);
                    return self.lane.inspect(turn, filters, subject, seen, sending);
                }
                Some(None) => {
                    actions::act_all(clients, turn, hub, std::mem::take(&mut sending.inspected));
                }
                None => clients.hub_mut(hub).report_unreadable(turn.effects),
            }
        }
        match sending.after {
            AfterSend::ResumeServer(server) => turn.then(Step::SendingEnded(server)),
            AfterSend::CompleteCall(slot) => turn.then(Step::CompleteCall(slot)),
            AfterSend::Answer(ticket) => turn.effect(Effect::Answered(Answered::InEffect(ticket.answered(())))),
        }
    }

    /// A hub's filters have looked at what a sender sends.
    pub(crate) fn inspected(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        number: InspectionNumber,
        inspected: Inspected,
    ) {
        let Some(mut sending) = self.lane.take(number) else {
            return;
        };
        let hub = sending.hub;
        actions::act_all(clients, turn, hub, inspected.actions);
        let sends = std::mem::take(&mut sending.inspected);
        match inspected.verdict {
            Verdict::Pass => actions::act_all(clients, turn, hub, sends),
            Verdict::Replace(replacement) => {
                let replaced = sends.first().and_then(Action::send_message).map(|first| first.replaced(&replacement));
                for mut send in sends {
                    if let (Action::Send { message, .. }, Some(replaced)) = (&mut send, &replaced) {
                        message.clone_from(replaced);
                    }
                    actions::act(clients, turn, hub, send);
                }
            }
            // Without the item a stream is another one: it ends. Who waits for an answer waits no more.
            Verdict::Refuse(refusal) => {
                let error = || failure::refused(None, refusal, turn.settings.detailed_errors);
                if let Some(ended) = sends.first().and_then(Action::send_message).and_then(|first| first.failed(error))
                {
                    for mut send in sends {
                        if let Action::Send { message, .. } = &mut send {
                            message.clone_from(&ended);
                        }
                        actions::act(clients, turn, hub, send);
                    }
                }
            }
            Verdict::Close(reason) => {
                for target in sends.iter().filter_map(Action::send_target) {
                    if let Target::Connection(_) = target {
                        let (target, reason) = (target.clone(), Some(reason.clone()));
                        let close = Action::Close { target, except: Vec::new(), reason, allow_reconnect: false };
                        actions::act(clients, turn, hub, close);
                    }
                }
            }
        }
        self.go_on(clients, turn, sending);
        clients.hubs_mut().vacate(hub);
    }

    /// The hub server whose next messages wait for a verdict.
    pub(crate) fn server(&self, number: InspectionNumber) -> Option<ServerConnectionId> {
        match self.lane.get(number)?.after {
            AfterSend::ResumeServer(server) => Some(server),
            AfterSend::CompleteCall(_) | AfterSend::Answer(_) => None,
        }
    }
}
