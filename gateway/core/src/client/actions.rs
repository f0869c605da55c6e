//! How what a sender asks for reaches connections, here and on the other shards.

use hubgate_wire::websocket::Frame;

use super::kept::Copies;
use super::session::Delivery;
use super::{Clients, Closing, Session, groups};
use crate::arena::Arena;
use crate::close_cause::CloseCause;
use crate::delivery::{Action, Except, Member, Target};
use crate::effect::Effect;
use crate::hash::SeededSet;
use crate::hub::LocalTarget;
use crate::hub::memberships::{Author, Bounds, NewMembership, Refused};
use crate::id::{ConnectionId, GroupName, HubIndex, HubName, Slot, TransportKey, UserId};
use crate::neighbours::Location;
use crate::order::{Addressees, Order};
use crate::outgoing::Outgoing;
use crate::reach::SendLog;
use crate::refusal::MembershipRefusal;
use crate::settings::Limits;
use crate::time::Millis;
use crate::trace::TraceMark;
use crate::turn::{Step, Turn};

/// Does what a sender asks of a hub, in order. A sender that does not wait is not told of what is refused: that is counted and
/// logged.
pub(crate) fn act_all(clients: &mut Clients, turn: &mut Turn<'_>, hub: HubIndex, actions: Vec<Action>) {
    for action in actions {
        act(clients, turn, hub, action);
    }
}

/// The same for one action.
pub(crate) fn act(clients: &mut Clients, turn: &mut Turn<'_>, hub: HubIndex, action: Action) {
    drop(try_act(clients, turn, hub, action));
}

/// Does what a sender asks of a hub, on all shards that it concerns.
pub(crate) fn try_act(
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    hub: HubIndex,
    mut action: Action,
) -> Result<(), MembershipRefusal> {
    if let Some(log) = clients.hubs.send_log() {
        action.begin(log, &clients.hubs[hub].name, turn.mark.as_ref());
    }
    match action.connection() {
        Some(connection) => {
            let shard = turn.shard_of(connection);
            match turn.locate(shard) {
                Location::Here => apply(clients, turn, hub, action),
                Location::OtherShard(_) | Location::OtherNode => {
                    turn.forward_about(connection, shard, &clients.hubs[hub].name, Order::Act(action));
                }
                // Nobody's connection.
                Location::Nowhere => {}
            }
        }
        None => {
            change_memberships(clients, turn, hub, &action)?;
            forward_to_others(clients, turn, hub, &action);
            apply(clients, turn, hub, action);
        }
    }
    Ok(())
}

/// Puts a user's present and later connections into a group, for a caller with an access key.
pub(crate) fn join_user(
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    hub: HubIndex,
    user: UserId,
    group: GroupName,
    ttl_seconds: Option<u32>,
) -> Result<(), MembershipRefusal> {
    let join = Action::Join { member: Member::User(user), group, ttl_seconds, plugin: None };
    try_act(clients, turn, hub, join)
}

/// To the shards that it can concern. Of another node nobody here knows which users it has.
fn forward_to_others(clients: &Clients, turn: &mut Turn<'_>, hub: HubIndex, action: &Action) {
    if turn.neighbours.is_alone() {
        return;
    }
    let hub = clients.hub(hub);
    let order = || Order::Act(action.clone());
    match action.user() {
        Some(user) => {
            for shard in hub.directory.users().shards_of(user) {
                if let Location::OtherShard(_) = turn.locate(shard) {
                    turn.forward(Addressees::One(shard), &hub.name, order());
                }
            }
        }
        None if turn.neighbours.shards() > 1 => turn.forward(Addressees::AllOthers, &hub.name, order()),
        None => {}
    }
    if let Some(nodes) = hub.directory.other_nodes(turn) {
        turn.forward(nodes, &hub.name, order());
    }
}

/// Does what a sender asks for, as far as it concerns this shard.
pub(crate) fn apply(clients: &mut Clients, turn: &mut Turn<'_>, hub: HubIndex, action: Action) {
    match action {
        Action::Send { to, message, except } => deliver(clients, turn, hub, &to, &except, &message),
        Action::Join { member, group, .. } => {
            for slot in targets(clients, hub, &member.into_target(), &[]) {
                groups::join(clients, turn, slot, &group);
            }
        }
        Action::Leave { member, group } => leave_groups(clients, turn, hub, member, Some(&group)),
        Action::LeaveAll(member) => leave_groups(clients, turn, hub, member, None),
        Action::Close { target, except, reason, allow_reconnect } => {
            for slot in targets(clients, hub, &target, &except) {
                let closing = Closing { error: reason.clone(), allow_reconnect, detail: String::new() };
                clients.close(turn, slot, CloseCause::ClosedByRequest, closing);
            }
        }
    }
}

fn deliver(
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    hub: HubIndex,
    to: &Target,
    except: &Except,
    message: &Outgoing,
) {
    let (now, limits) = (turn.now, &turn.settings.limits);
    let is_for_all = except.connections.is_empty() && except.users.is_empty();
    // As a rule all speak alike, so that one round is enough.
    let mut round = if is_for_all {
        let target = local(clients, hub, to);
        let Clients { arena, hubs, .. } = &mut *clients;
        match (target, hubs[hub].many(&target)) {
            (LocalTarget::One(slot), _) => Some(Round::of(arena, slot, std::iter::once(slot), message, now, limits)),
            (_, Some(many)) => {
                many.first().map(|first| Round::of(arena, *first, many.iter().copied(), message, now, limits))
            }
            (_, None) => None,
        }
    } else {
        let mut slots = targets(clients, hub, to, &except.connections);
        leave_out(clients, &mut slots, &except.users);
        let first = slots.first().copied();
        first.map(|first| Round::of(&mut clients.arena, first, slots.into_iter(), message, now, limits))
    };
    while let Some(Round { frame, count, to, slow, others }) = round {
        if let Some(frame) = frame {
            if let Some(reach) = message.reach() {
                reach.reached(count);
            }
            clients.hubs[hub].count_out(count, frame.len());
            match to.as_slice() {
                [] => {}
                [to] => turn.effect(Effect::Send { to: *to, frame: frame.clone() }),
                _ => turn.effect(Effect::Deliver { to, frame: frame.clone() }),
            }
        }
        slow.into_iter().for_each(|slot| turn.then(Step::CloseSlow(slot)));
        let first = others.first().copied();
        round = first.map(|first| Round::of(&mut clients.arena, first, others.into_iter(), message, now, limits));
    }
}

/// The receivers of a message that speak alike.
struct Round<'m> {
    /// What they get, if there is anything for them.
    frame: Option<&'m Frame>,
    /// How many they are, those for whom it is held back among them.
    count: usize,
    /// The transports of those who get it now.
    to: Vec<TransportKey>,
    /// Those for whom too much is kept.
    slow: Vec<Slot>,
    /// The receivers that speak otherwise.
    others: Vec<Slot>,
}

impl<'m> Round<'m> {
    /// Of these receivers, the first of which is named.
    fn of(
        arena: &mut Arena<Slot, Session>,
        first: Slot,
        receivers: impl ExactSizeIterator<Item = Slot>,
        message: &'m Outgoing,
        now: Millis,
        limits: &Limits,
    ) -> Round<'m> {
        let dialect = arena[first].dialect();
        let frame = dialect.frame_of(message);
        let all = receivers.len();
        let Some(of_all) = frame else {
            let others: Vec<Slot> = receivers.filter(|slot| arena[*slot].dialect() != dialect).collect();
            return Round { frame, count: all - others.len(), to: Vec::new(), slow: Vec::new(), others };
        };
        let (mut to, mut others, mut slow) = (Vec::with_capacity(all), Vec::new(), Vec::new());
        let mut copies = Copies::of(of_all);
        for slot in receivers {
            let client = &mut arena[slot];
            if client.dialect() != dialect {
                others.push(slot);
            } else if !client.holds_back()
                && let Some(transport) = client.line_mut().accept_at_once(now)
            {
                // What nearly all of them are costs least.
                to.push(transport);
            } else {
                match client.accept_or_hold(&mut copies, now, limits) {
                    Delivery::Now(transport) => to.push(transport),
                    Delivery::NotNow | Delivery::OnResume => {}
                    Delivery::TooMuch => slow.push(slot),
                }
            }
        }
        Round { frame, count: all - others.len(), to, slow, others }
    }
}

/// The clients of a target on this shard.
fn targets(clients: &Clients, hub: HubIndex, target: &Target, except: &[ConnectionId]) -> Vec<Slot> {
    let target = local(clients, hub, target);
    // Of a list of any length and with any repetitions, no more than there are clients.
    let except: crate::hub::Slots = except.iter().filter_map(|id| clients.find(*id)).collect();
    let receivers = clients.hub(hub).clients_of(&target);
    match except.is_empty() {
        true => receivers.collect(),
        false => receivers.filter(|slot| !except.contains(slot)).collect(),
    }
}

/// A target with its connection looked up on this shard.
pub(crate) fn local<'t>(clients: &Clients, hub: HubIndex, target: &'t Target) -> LocalTarget<'t> {
    let slot = match target {
        Target::Connection(id) => clients.find_in(hub, *id),
        Target::All | Target::Group(_) | Target::User(_) => None,
    };
    LocalTarget::new(target, slot)
}

/// Leaves out the clients of these users, if there are any. What it takes grows with the clients and with the list, and not with their product.
fn leave_out(clients: &Clients, slots: &mut Vec<Slot>, users: &[UserId]) {
    if users.is_empty() {
        return;
    }
    let user_of = |slot: &Slot| clients[*slot].facts()?.user_id.as_ref();
    let mut present = SeededSet::with_hasher(clients.seed.clone());
    present.extend(slots.iter().filter_map(user_of));
    let mut left_out = SeededSet::with_hasher(clients.seed.clone());
    left_out.extend(users.iter().filter(|user| present.contains(user)));
    slots.retain(|slot| user_of(slot).is_none_or(|user| !left_out.contains(user)));
}

/// Takes a member's connections out of a group, or out of all.
fn leave_groups(clients: &mut Clients, turn: &mut Turn<'_>, hub: HubIndex, member: Member, group: Option<&GroupName>) {
    for slot in targets(clients, hub, &member.into_target(), &[]) {
        groups::leave(clients, turn, slot, group);
    }
}

/// Whether a client is in a group.
pub(crate) fn is_in_group(clients: &Clients, slot: Slot, group: &GroupName) -> bool {
    clients[slot].groups.contains(group)
}

/// What an action means for connections that its user makes later.
fn change_memberships(
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    hub: HubIndex,
    action: &Action,
) -> Result<(), MembershipRefusal> {
    let name = &clients.hubs[hub].name;
    let memberships = &clients.hubs.directory().memberships;
    let by = Author { node: turn.here().node, now: turn.now, is_alone: turn.neighbours.nodes().is_empty() };
    let changes = match action {
        // With a time to live of nothing, only present connections join.
        Action::Join { ttl_seconds: Some(0), .. } => Vec::new(),
        Action::Join { member: Member::User(user), group, ttl_seconds, plugin } => {
            let ends = ttl_seconds.map(|seconds| turn.now + Millis(u64::from(seconds) * 1000));
            let limits = &turn.settings.limits;
            let bounds = Bounds { per_hub: limits.user_memberships, per_user: limits.groups_per_connection };
            let new = NewMembership { hub: name, user, group, ends, plugin: plugin.as_ref() };
            match memberships.add(&new, bounds, by) {
                Ok(changes) => changes,
                Err(Refused { refusal, is_first }) => {
                    if is_first {
                        turn.effect(Effect::MembershipRefused { hub: name.clone(), refusal: refusal.clone() });
                    }
                    clients.hubs[hub].counters.memberships_refused += 1;
                    return Err(refusal);
                }
            }
        }
        Action::Leave { member: Member::User(user), group } => {
            memberships.end(name, user, Some(group), by).into_iter().collect()
        }
        Action::LeaveAll(Member::User(user)) => memberships.end(name, user, None, by).into_iter().collect(),
        Action::Send { .. }
        | Action::Join { member: Member::Connection(_), .. }
        | Action::Leave { member: Member::Connection(_), .. }
        | Action::LeaveAll(Member::Connection(_))
        | Action::Close { .. } => Vec::new(),
    };
    // Also the nodes that have no clients of the hub: a connection of the user may come there.
    changes.into_iter().for_each(|change| turn.tell_nodes(name, || change));
    Ok(())
}

impl Action {
    /// Lets the log know of a send whose reach nobody else asks for.
    fn begin(&mut self, log: &dyn SendLog, hub: &HubName, mark: Option<&TraceMark>) {
        if let Action::Send { to, message, .. } = self
            && message.reach().is_none()
            && let Some(reach) = log.begin(hub, to, mark)
        {
            *message = message.clone().counted(reach);
        }
    }
}

impl Member {
    fn into_target(self) -> Target {
        match self {
            Member::Connection(id) => Target::Connection(id),
            Member::User(user) => Target::User(user),
        }
    }
}

impl Action {
    /// The user whose connections alone it is about.
    fn user(&self) -> Option<&UserId> {
        match self {
            Action::Send { to: Target::User(user), .. }
            | Action::Join { member: Member::User(user), .. }
            | Action::Leave { member: Member::User(user), .. }
            | Action::LeaveAll(Member::User(user))
            | Action::Close { target: Target::User(user), .. } => Some(user),
            Action::Send { to: Target::All | Target::Group(_) | Target::Connection(_), .. }
            | Action::Join { member: Member::Connection(_), .. }
            | Action::Leave { member: Member::Connection(_), .. }
            | Action::LeaveAll(Member::Connection(_))
            | Action::Close { target: Target::All | Target::Group(_) | Target::Connection(_), .. } => None,
        }
    }

    /// The connection that alone it is about.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Action::Send { to: Target::Connection(id), .. }
            | Action::Join { member: Member::Connection(id), .. }
            | Action::Leave { member: Member::Connection(id), .. }
            | Action::LeaveAll(Member::Connection(id))
            | Action::Close { target: Target::Connection(id), .. } => Some(*id),
            Action::Send { to: Target::All | Target::Group(_) | Target::User(_), .. }
            | Action::Join { member: Member::User(_), .. }
            | Action::Leave { member: Member::User(_), .. }
            | Action::LeaveAll(Member::User(_))
            | Action::Close { target: Target::All | Target::Group(_) | Target::User(_), .. } => None,
        }
    }
}
