//! What a shard has taken out of its inbox: orders are dealt by hub, so that those of a quiet hub do not wait for all of a noisy one.
//! Orders of one hub stay in their order, and everything else comes after all that came before it.

use std::collections::{HashMap, VecDeque};

use hubgate_core::id::HubName;

use crate::envelope::Envelope;
use crate::inbox::{INBOX, LocalMessage, Message};

/// Orders of one hub that are obeyed before those of others.
const ORDERS_PER_HUB: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Received {
    orders: HashMap<HubName, VecDeque<Envelope>, foldhash::fast::RandomState>,
    /// The hubs that have orders, in the order of their turns.
    hubs: VecDeque<HubName>,
    /// Orders of the first hub that were obeyed in its turn.
    in_turn: usize,
    /// All orders, in number.
    count: usize,
    /// What is no order, and comes after them.
    next: Option<LocalMessage>,
}

impl Received {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.next.is_none()
    }

    /// Whether more may be taken out of the inbox: no more than it holds itself, and nothing past what is no order.
    pub(crate) fn takes_more(&self) -> bool {
        self.next.is_none() && self.count < INBOX
    }

    pub(crate) fn add(&mut self, message: Message) {
        match message {
            Message::Order(envelope) => {
                let orders = self.orders.entry(envelope.hub.clone()).or_default();
                if orders.is_empty() {
                    self.hubs.push_back(envelope.hub.clone());
                }
                orders.push_back(envelope);
                self.count += 1;
            }
            Message::Local(message) => self.next = Some(message),
        }
    }

    /// What is to be done next.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let Some(hub) = self.hubs.front().cloned() else {
            return self.next.take().map(Message::Local);
        };
        let orders = self.orders.get_mut(&hub)?;
        let envelope = orders.pop_front()?;
        (self.count, self.in_turn) = (self.count - 1, self.in_turn + 1);
        if orders.is_empty() {
            self.orders.remove(&hub);
            self.hubs.pop_front();
            self.in_turn = 0;
        } else if self.in_turn >= ORDERS_PER_HUB {
            self.hubs.rotate_left(1);
            self.in_turn = 0;
        }
        Some(Message::Order(envelope))
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::Order;
    use hubgate_core::id::ShardIndex;
    use hubgate_core::question::Question;
    use tokio::sync::oneshot;

    use super::*;

    fn order(hub: &str, number: u32) -> Message {
        let hub = HubName::parse(hub).expect("a name");
        let order = Order::Ask { question: Question::Barrier, asker: ShardIndex(0).into(), number };
        Message::Order(Envelope { from: ShardIndex(0).into(), hub, order })
    }

    /// What is done next, in few words.
    fn next(received: &mut Received) -> String {
        match received.pop() {
            Some(Message::Order(Envelope { hub, order: Order::Ask { number, .. }, .. })) => format!("{hub} {number}"),
            Some(Message::Local(LocalMessage::Status(_))) => "status".to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_order_of_a_quiet_hub_waits_for_a_few_of_a_noisy_one_and_those_of_a_hub_stay_in_their_order() {
        let mut received = Received::default();
        (0..100).for_each(|number| received.add(order("noisy", number)));
        received.add(order("quiet", 0));
        let all: Vec<String> = (0..101).map(|_| next(&mut received)).collect();
        assert_eq!(all[ORDERS_PER_HUB], "quiet 0");
        let noisy = all.iter().filter(|each| *each != "quiet 0");
        assert!(noisy.eq((0..100).map(|number| format!("noisy {number}")).collect::<Vec<_>>().iter()));
        assert!(received.is_empty() && received.orders.is_empty());
    }

    #[test]
    fn what_is_no_order_comes_after_all_that_came_before_it_and_nothing_overtakes_it() {
        let mut received = Received::default();
        (0..40).for_each(|number| received.add(order(["a", "b"][number as usize % 2], number)));
        received.add(LocalMessage::Status(oneshot::channel().0).into());
        assert!(!received.takes_more());
        (0..40).for_each(|_| assert_ne!(next(&mut received), "status"));
        assert_eq!(next(&mut received), "status");
        assert!(received.is_empty() && received.takes_more());
    }

    #[test]
    fn no_more_is_taken_out_of_an_inbox_than_it_holds_itself() {
        let mut received = Received::default();
        let mut taken = 0;
        while received.takes_more() {
            received.add(order("hub", taken));
            taken += 1;
        }
        assert_eq!(taken as usize, INBOX);
    }
}
