//! What other nodes say, on its way to the shards: to each in its order, and no more of it than fits.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubgate_cluster::codec::{TunnelMessage, TunnelPart};
use hubgate_core::id::ShardIndex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::inbox::{InboxSender, LocalMessage, Message};
use crate::tasks::spawn_vital_here;
use crate::vitals::Vitals;

/// Nothing more is taken from other nodes while more than so many bytes wait for shards.
const MAX_WAITING: usize = 16 << 20;
/// How long shards are waited for in a turn. One that takes longer is behind, and hears it in its turn all the same; other nodes must not take this
/// one for lost meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The ways to all shards.
#[derive(Debug)]
pub(super) struct ToShards {
    all: Vec<ToShard>,
    waiting: Rc<Waiting>,
    /// How long shards may still be waited for in this turn.
    patience: Duration,
}

#[derive(Debug)]
struct ToShard {
    inbox: InboxSender,
    /// For the task that hands over what did not fit.
    rest: mpsc::UnboundedSender<Message>,
    /// How much of that there is.
    count: Rc<Cell<usize>>,
}

/// What waits for all shards.
#[derive(Debug, Default)]
struct Waiting {
    /// In bytes.
    cost: Cell<usize>,
    /// Less of it waits.
    eased: Notify,
}

impl ToShards {
    /// Starts a task for each; on a local runtime.
    pub(super) fn new(inboxes: Vec<InboxSender>, vitals: &Arc<Vitals>) -> ToShards {
        let waiting = Rc::<Waiting>::default();
        let to_shard = |inbox: InboxSender| {
            let (rest, waits) = mpsc::unbounded_channel();
            let count = Rc::<Cell<usize>>::default();
            let handing_over = hand_over(inbox.clone(), waits, count.clone(), waiting.clone());
            spawn_vital_here(vitals.clone(), "the way from other nodes to a shard", handing_over);
            ToShard { inbox, rest, count }
        };
        ToShards { all: inboxes.into_iter().map(to_shard).collect(), waiting, patience: ANSWER_TIMEOUT }
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.patience = ANSWER_TIMEOUT;
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        (0..self.all.len() as u16).map(ShardIndex)
    }

    /// Hands something to a shard, after all that it was handed before. There may be no such shard, and one that has ended takes nothing.
    pub(super) fn hand(&self, shard: ShardIndex, message: Message) {
        let Some(way) = self.all.get(usize::from(shard.0)) else {
            return;
        };
        let message = match way.count.get() {
            0 => match way.inbox.try_send(message) {
                Err(mpsc::error::TrySendError::Full(message)) => message,
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
            },
            _ => message,
        };
        way.count.set(way.count.get() + 1);
        self.waiting.cost.set(self.waiting.cost.get() + cost(&message));
        // The task ends with this.
        drop(way.rest.send(message));
    }

    /// Whether more may be taken from other nodes.
    pub(super) fn take_more(&self) -> bool {
        self.waiting.cost.get() <= MAX_WAITING
    }

    /// Until less waits.
    pub(super) async fn eased(&self) {
        self.waiting.eased.notified().await;
    }

    /// Tells all shards something, and waits until each has heard it, or stands still.
    pub(super) async fn tell_all(&mut self, message: impl Fn(oneshot::Sender<()>) -> LocalMessage) {
        let tell = |shard| {
            let (heard, is_heard) = oneshot::channel();
            self.hand(shard, message(heard).into());
            is_heard
        };
        let told: Vec<_> = self.shards().map(tell).collect();
        let all_heard = async {
            for is_heard in told {
                // One that has ended hears nothing more.
                drop(is_heard.await);
            }
        };
        let began = Instant::now();
        drop(timeout(self.patience, all_heard).await);
        self.patience = self.patience.saturating_sub(began.elapsed());
    }
}

fn cost(message: &Message) -> usize {
    match message {
        Message::Order(envelope) => envelope.order.cost(),
        Message::Local(LocalMessage::Tunnel(TunnelMessage { part: TunnelPart::Bytes(bytes), .. })) => {
            size_of::<Message>() + bytes.len()
        }
        Message::Local(_) => size_of::<Message>(),
    }
}

async fn hand_over(
    inbox: InboxSender,
    mut waits: mpsc::UnboundedReceiver<Message>,
    count: Rc<Cell<usize>>,
    waiting: Rc<Waiting>,
) {
    while let Some(message) = waits.recv().await {
        let cost = cost(&message);
        // One that has ended takes nothing more.
        drop(inbox.send(message).await);
        count.set(count.get() - 1);
        waiting.cost.set(waiting.cost.get() - cost);
        if waiting.cost.get() <= MAX_WAITING / 2 {
            waiting.eased.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::Order;
    use hubgate_core::id::HubName;
    use hubgate_core::question::Question;
    use tokio::task::LocalSet;

    use super::*;
    use crate::envelope::Envelope;

    fn order(number: u32) -> Message {
        let order = Order::Ask { question: Question::Barrier, asker: ShardIndex(0).into(), number };
        let hub = HubName::parse("chat").expect("a hub's name");
        Message::Order(Envelope { from: ShardIndex(0).into(), hub, order })
    }

    #[tokio::test]
    async fn a_shard_that_is_behind_gets_all_in_order_and_what_waits_for_it_is_counted() {
        let test = async {
            let (inbox, mut received) = mpsc::channel(2);
            let mut to_shards = ToShards::new(vec![inbox], &Arc::new(Vitals::new(1, None)));
            for number in 0..100 {
                to_shards.hand(ShardIndex(0), order(number));
                // There is no such shard.
                to_shards.hand(ShardIndex(1), order(number));
            }
            let waits = to_shards.waiting.cost.get();
            assert!(waits > 97 * size_of::<Order>(), "{waits}");
            for expected in 0..100 {
                let Some(Message::Order(Envelope { order: Order::Ask { number, .. }, .. })) = received.recv().await
                else {
                    panic!("an order is missing");
                };
                assert_eq!(number, expected);
            }
            to_shards.eased().await;
            assert_eq!((to_shards.waiting.cost.get(), to_shards.all[0].count.get()), (0, 0));
            drop(received);
            let told = |heard| LocalMessage::Nodes(Default::default(), heard);
            to_shards.tell_all(told).await;
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_shard_that_stands_still_is_waited_for_once_in_a_turn_however_much_it_is_told() {
        let test = async {
            let (inbox, mut received) = mpsc::channel(2);
            let mut to_shards = ToShards::new(vec![inbox], &Arc::new(Vitals::new(1, None)));
            let began = Instant::now();
            for _ in 0..10 {
                to_shards.tell_all(|heard| LocalMessage::Nodes(Default::default(), heard)).await;
            }
            let took = began.elapsed();
            assert!((ANSWER_TIMEOUT..3 * ANSWER_TIMEOUT).contains(&took), "{took:?}");
            to_shards.begin_turn();
            let hears = async move {
                while let Some(Message::Local(LocalMessage::Nodes(_, heard))) = received.recv().await {
                    let _ = heard.send(());
                }
            };
            tokio::task::spawn_local(hears);
            to_shards.tell_all(|heard| LocalMessage::Nodes(Default::default(), heard)).await;
            assert!(to_shards.patience > Duration::ZERO, "it has heard all");
        };
        LocalSet::new().run_until(test).await;
    }
}
