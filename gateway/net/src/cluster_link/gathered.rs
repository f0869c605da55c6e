//! What one sender sends to many targets on other nodes. It passes to each of these nodes once, however many targets it has there.

use hubgate_cluster::Receivers;
use hubgate_cluster::codec::{Item, Recipient, Sends, Shards};
use hubgate_core::delivery::Action;
use hubgate_core::id::{HubName, ShardAddress};
use hubgate_core::{Addressees, Order, Outgoing};

/// Sends of the same message that follow each other. Whatever comes after them has to wait until they have been [taken](Gathered::take).
#[derive(Debug, Default)]
pub(crate) struct Gathered(Option<Gathering>);

#[derive(Debug)]
struct Gathering {
    hub: HubName,
    message: Outgoing,
    to: Vec<(Receivers, Vec<Recipient>)>,
}

impl Gathered {
    /// Adds an order, if it sends the same message as those that are there, or nothing is there and it sends a message.
    /// Gives it back if it does not.
    pub(crate) fn add(&mut self, to: &Addressees, hub: &HubName, order: Order) -> Result<(), Order> {
        let Order::Act(Action::Send { to: target, message, except }) = order else {
            return Err(order);
        };
        let back = |target, message, except| Err(Order::Act(Action::Send { to: target, message, except }));
        let is_for_all = except.connections.is_empty() && except.users.is_empty();
        let Some((receivers, shards)) = receivers(to).filter(|_| is_for_all) else {
            return back(target, message, except);
        };
        let gathering =
            self.0.get_or_insert_with(|| Gathering { hub: hub.clone(), message: message.clone(), to: Vec::new() });
        if !gathering.message.is_clone_of(&message) || gathering.hub != *hub {
            return back(target, message, except);
        }
        let recipient = Recipient { shards, target };
        match gathering.to.iter_mut().find(|(each, _)| *each == receivers) {
            Some((_, recipients)) => recipients.push(recipient),
            None => gathering.to.push((receivers, vec![recipient])),
        }
        Ok(())
    }

    /// What is there, for each of those that get it.
    pub(crate) fn take(&mut self, from: ShardAddress) -> impl Iterator<Item = (Receivers, Item)> {
        let gathering = self.0.take();
        gathering.into_iter().flat_map(move |Gathering { hub, message, to }| {
            to.into_iter().map(move |(receivers, to)| {
                let sends = Sends { from, hub: hub.clone(), message: message.clone(), to };
                (receivers, item(sends))
            })
        })
    }
}

/// As few bytes as may be.
fn item(sends: Sends) -> Item {
    match sends.to.len() {
        1 => sends.into_envelopes().next().map(Item::Envelope).expect("there is one"),
        _ => Item::Sends(sends),
    }
}

/// The nodes that an order is for, and their shards. `None`: shards of this node.
pub(super) fn receivers(to: &Addressees) -> Option<(Receivers, Shards)> {
    match to {
        Addressees::One(address) => Some((Receivers::One(address.node), Shards::One(address.shard))),
        Addressees::Nodes(nodes) => Some((Receivers::These(nodes.clone()), Shards::All)),
        Addressees::AllOthers => None,
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::delivery::{Except, Target};
    use hubgate_core::id::{NodeId, ShardIndex, UserId};
    use hubgate_wire::signalr::HubProtocol;

    use super::*;

    const OWN: ShardAddress = ShardAddress { node: NodeId(1), shard: ShardIndex(0) };

    fn to(node: u32, shard: u16) -> Addressees {
        Addressees::One(ShardAddress { node: NodeId(node), shard: ShardIndex(shard) })
    }

    fn send(message: &Outgoing, user: usize, except: Except) -> Order {
        let target = Target::User(UserId::new(user.to_string()));
        Order::Act(Action::Send { to: target, message: message.clone(), except })
    }

    fn message(bytes: usize) -> Outgoing {
        Outgoing::encoded([(HubProtocol::Json, vec![b'x'; bytes])])
    }

    #[test]
    fn a_message_for_many_targets_passes_once_to_each_node() {
        let (mut gathered, hub, message) =
            (Gathered::default(), HubName::parse("chat").expect("a name"), message(10_000));
        for user in 0..100 {
            let to = to(2 + user as u32 % 2, user as u16 % 3);
            assert!(gathered.add(&to, &hub, send(&message, user, Except::default())).is_ok());
        }
        let items: Vec<_> = gathered.take(OWN).collect();
        assert_eq!(items.len(), 2);
        for (number, (receivers, item)) in items.into_iter().enumerate() {
            assert_eq!(receivers, Receivers::One(NodeId(2 + number as u32)));
            assert!(item.encoded_length() < 11_000, "{}", item.encoded_length());
            let Item::Sends(sends) = item else { panic!("{item:?}") };
            let targets: Vec<Order> = sends.into_envelopes().map(|envelope| envelope.order).collect();
            let expected = (0..50).map(|each| send(&message, 2 * each + number, Except::default()));
            assert_eq!(targets, expected.collect::<Vec<_>>(), "in their order");
        }
        assert_eq!(gathered.take(OWN).count(), 0);
    }

    #[test]
    fn what_is_not_the_same_message_to_all_of_a_target_is_given_back() {
        let (mut gathered, hub, first) = (Gathered::default(), HubName::parse("chat").expect("a name"), message(1));
        let some = Except { users: vec![UserId::new("ann")], ..Except::default() };
        assert!(gathered.add(&to(2, 0), &hub, send(&first, 1, some.clone())).is_err());
        assert!(gathered.add(&to(2, 0), &hub, send(&first, 1, Except::default())).is_ok());
        let other = HubName::parse("news").expect("a name");
        for (hub, order) in [
            (&other, send(&first, 1, Except::default())),
            (&hub, send(&message(1), 1, Except::default())),
            (&hub, send(&first, 1, some)),
        ] {
            assert_eq!(gathered.add(&to(2, 0), hub, order.clone()), Err(order));
        }
        let items: Vec<_> = gathered.take(OWN).collect();
        assert!(matches!(&items[..], [(Receivers::One(NodeId(2)), Item::Envelope(_))]), "{items:?}");
    }
}
