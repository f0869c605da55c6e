//! What several shards know together: all that a question is for are asked at once, and what they answer is put together for
//! whoever asked. Nobody waits for longer than a while.

use std::collections::BTreeSet;

use super::ack::{Ack, AckStatus, Page};
use super::{answer, watch};
use crate::client::Clients;
use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::hash::FixedMap;
use crate::id::{ConnectionId, GroupName, HubName, NodeId, PluginName, ServerConnectionId, ShardAddress, UserId};
use crate::neighbours::Location;
use crate::order::{Addressees, Order};
use crate::question::{
    AckQuestion, Answer, Answered, CallerQuery, Command, Facts, Joined, Members, Query, Question, Sought, Ticket,
    Watched,
};
use crate::refresh::{Refresh, RefreshRefusal, Refreshed};
use crate::stream::{StreamCommand, StreamError, StreamReply};
use crate::target::Target;
use crate::time::Millis;
use crate::turn::Turn;

/// How long other shards may take for an ack; then the hub server is told so. Its SDK gives an ack up after 10 seconds.
const ACK_TIMEOUT: Millis = Millis(9_000);
/// Plugins and REST callers of one shard that wait for what others know or do; more of them are told at once that there is no answer.
/// (Those that wait until something is in effect were let in before it was done; of hub servers with many acks that wait no more is read.)
const MAX_CALLERS: usize = 16_384;

/// What other shards are still asked for.
#[derive(Debug, Default)]
pub(crate) struct Gathers {
    waiting: FixedMap<u32, Gather>,
    deadlines: BTreeSet<(Millis, u32)>,
    /// Those among them that [`MAX_CALLERS`] bounds, in number.
    callers: usize,
    next: u32,
}

#[derive(Debug)]
struct Gather {
    asker: Asker,
    owed: Owed,
    deadline: Millis,
}

/// The shards that have not answered, in number.
#[derive(Debug, Default)]
struct Owed {
    /// On this node.
    here: usize,
    /// On others; each that has any.
    nodes: Vec<(NodeId, usize)>,
}

/// Whoever asked, with what is known so far.
#[derive(Debug)]
enum Asker {
    HubServer(Ack),
    Found(Ticket<bool>, bool),
    Facts(Ticket<Facts>, Facts),
    Count(Ticket<u64>, u64),
    Members(Ticket<Members>, Page),
    Joined(Ticket<Joined>, Joined),
    Refreshed(Ticket<Refreshed>, Refreshed),
    Stream(Ticket<StreamReply>, StreamReply),
    Watched(Ticket<Watched>),
    InEffect(Ticket<()>),
}

/// Whom a question is for.
#[derive(Debug)]
struct Asked {
    is_this_one: bool,
    addressees: Vec<Addressees>,
}

impl Gathers {
    /// Asks for a hub server. Gives its ack, if no other shard has to answer first.
    pub(crate) fn ask_for_server(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        (server, ack_id): (ServerConnectionId, i64),
        question: AckQuestion,
    ) -> Option<Ack> {
        let asker = Asker::HubServer(Ack::new(server, ack_id, &question));
        let deadline = turn.now + ACK_TIMEOUT;
        self.ask(clients, turn, hub, question.into(), Gather { asker, owed: Owed::default(), deadline })
    }

    /// Asks for a plugin or a REST caller, which is told what comes of it.
    pub(crate) fn query(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        query: CallerQuery,
        deadline: Millis,
    ) {
        let (query, asker) = match query {
            CallerQuery::Find(sought, ticket) => (Query::Find(sought), Asker::Found(ticket, false)),
            CallerQuery::Facts(id, ticket) => (Query::Facts(id), Asker::Facts(ticket, None)),
            CallerQuery::FactsByToken(token, ticket) => (Query::FactsByToken(token), Asker::Facts(ticket, None)),
            CallerQuery::Count(target, ticket) => (Query::Count(target), Asker::Count(ticket, 0)),
            CallerQuery::Members { of, after, most, ticket } => {
                (Query::Members { of, after, most }, Asker::Members(ticket, Page::new(most)))
            }
        };
        self.ask(clients, turn, hub, Question::Query(query), Gather { asker, owed: Owed::default(), deadline });
    }

    /// Puts a connection into a group, on whatever shard it is.
    pub(crate) fn join(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        (connection, group): (ConnectionId, GroupName),
        (deadline, ticket): (Millis, Ticket<Joined>),
    ) {
        let asker = Asker::Joined(ticket, Joined::NoSuchConnection);
        let question = Question::Command(Command::Join { connection, group });
        self.ask(clients, turn, hub, question, Gather { asker, owed: Owed::default(), deadline });
    }

    /// Lets a connection go on with other claims and another end, on whatever shard it is.
    pub(crate) fn refresh(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        refresh: Box<Refresh>,
        (deadline, ticket): (Millis, Ticket<Refreshed>),
    ) {
        let asker = Asker::Refreshed(ticket, Err(RefreshRefusal::NoSuchConnection));
        let question = Question::Command(Command::Refresh(refresh));
        self.ask(clients, turn, hub, question, Gather { asker, owed: Owed::default(), deadline });
    }

    /// Tells when all is in effect, on all shards, that was ordered before.
    pub(crate) fn barrier(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        (deadline, ticket): (Millis, Ticket<()>),
    ) {
        let gather = Gather { asker: Asker::InEffect(ticket), owed: Owed::default(), deadline };
        self.ask(clients, turn, hub, Question::Barrier, gather);
    }

    /// Lets a plugin watch a group. It is told so when all nodes know it.
    pub(crate) fn watch(
        &mut self,
        clients: &Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        (plugin, group): (PluginName, GroupName),
        ticket: Ticket<Watched>,
    ) {
        let watched = watch(clients, turn, hub, (plugin.clone(), group.clone()));
        if watched.is_err() || turn.neighbours.nodes().is_empty() {
            return turn.effect(Effect::Answered(Answered::Watched(ticket.answered(watched))));
        }
        turn.tell_nodes(hub, || DirectoryChange::GroupWatched { plugin, group });
        // One shard of each answers after that.
        let addressees: Vec<ShardAddress> = turn.neighbours.one_of_each_node().collect();
        let owed = Owed { here: 0, nodes: addressees.iter().map(|to| (to.node, 1)).collect() };
        let number = self.add(Gather { asker: Asker::Watched(ticket), owed, deadline: turn.now + ACK_TIMEOUT });
        for to in addressees {
            let ask = Order::Ask { question: Question::Barrier, asker: turn.here(), number };
            turn.forward(Addressees::One(to), hub, ask);
        }
    }

    /// Hands what a plugin wants of a stream to the shard of its client.
    pub(crate) fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        command: StreamCommand,
        (deadline, ticket): (Millis, Ticket<StreamReply>),
    ) {
        let owner = command.stream.connection.owner();
        let asker = Asker::Stream(ticket, Err(StreamError::NoSuchStream));
        if self.callers >= MAX_CALLERS {
            return drop(asker.give_up(turn));
        }
        let mut owed = Owed::default();
        owed.add(turn, &Addressees::One(owner));
        let number = self.add(Gather { asker, owed, deadline });
        turn.forward(
            Addressees::One(owner),
            hub,
            Order::Stream { command: Box::new(command), asker: turn.here(), number },
        );
    }

    fn ask(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        question: Question,
        mut gather: Gather,
    ) -> Option<Ack> {
        let asked = Asked::by(&question, clients, turn, hub);
        if asked.is_this_one {
            gather.asker.add(answer(clients, turn, hub, question.clone()));
        }
        asked.addressees.iter().for_each(|to| gather.owed.add(turn, to));
        if gather.is_complete() {
            return gather.asker.finish(turn);
        }
        if gather.asker.is_bounded() && self.callers >= MAX_CALLERS {
            return gather.asker.give_up(turn);
        }
        let number = self.add(gather);
        for to in asked.addressees {
            turn.forward(to, hub, Order::Ask { question: question.clone(), asker: turn.here(), number });
        }
        None
    }

    /// Another shard has answered. Gives the ack of a hub server whose last answer that was.
    pub(crate) fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        from: ShardAddress,
        number: u32,
        answer: Answer,
    ) -> Option<Ack> {
        let gather = self.waiting.get_mut(&number)?;
        if !gather.owed.answered(turn, from) {
            // Its node was lost meanwhile.
            return None;
        }
        gather.asker.add(answer);
        self.finish_if_complete(turn, number)
    }

    /// Those that were asked have ended: they know nothing.
    pub(crate) fn undelivered(&mut self, turn: &mut Turn<'_>, to: &Addressees, number: u32) -> Option<Ack> {
        let owed = &mut self.waiting.get_mut(&number)?.owed;
        match to {
            Addressees::AllOthers => owed.here = 0,
            Addressees::Nodes(nodes) => {
                for node in &**nodes {
                    owed.forgive(*node);
                }
            }
            Addressees::One(shard) => {
                owed.answered(turn, *shard);
            }
        }
        self.finish_if_complete(turn, number)
    }

    /// Nothing more is to come of a node. Gives the acks of hub servers for which no other has to answer.
    pub(crate) fn node_lost(&mut self, turn: &mut Turn<'_>, node: NodeId) -> Vec<Ack> {
        let mut asked: Vec<u32> = Vec::new();
        for (number, gather) in &mut self.waiting {
            if gather.owed.forgive(node) {
                asked.push(*number);
            }
        }
        asked.sort_unstable();
        asked.into_iter().filter_map(|number| self.finish_if_complete(turn, number)).collect()
    }

    fn finish_if_complete(&mut self, turn: &mut Turn<'_>, number: u32) -> Option<Ack> {
        match self.waiting.get(&number)?.is_complete() {
            true => self.remove(number)?.asker.finish(turn),
            false => None,
        }
    }

    /// Gives up what other shards took too long for; gives the acks among it.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) -> Vec<Ack> {
        let mut acks = Vec::new();
        while let Some((deadline, number)) = self.deadlines.first().copied()
            && deadline <= turn.now
        {
            acks.extend(self.remove(number).and_then(|gather| gather.asker.give_up(turn)));
        }
        acks
    }

    fn add(&mut self, gather: Gather) -> u32 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.deadlines.insert((gather.deadline, number));
        self.callers += usize::from(gather.asker.is_bounded());
        self.waiting.insert(number, gather);
        number
    }

    fn remove(&mut self, number: u32) -> Option<Gather> {
        let gather = self.waiting.remove(&number)?;
        self.deadlines.remove(&(gather.deadline, number));
        self.callers -= usize::from(gather.asker.is_bounded());
        Some(gather)
    }
}

impl Owed {
    fn is_nothing(&self) -> bool {
        self.here == 0 && self.nodes.is_empty()
    }

    /// All of these have to answer.
    fn add(&mut self, turn: &Turn<'_>, to: &Addressees) {
        match to {
            Addressees::AllOthers => self.here += usize::from(turn.neighbours.shards()) - 1,
            Addressees::One(shard) if shard.node == turn.here().node => self.here += 1,
            Addressees::One(shard) => self.nodes.push((shard.node, 1)),
            Addressees::Nodes(nodes) => {
                let there = nodes.iter().filter_map(|node| turn.neighbours.nodes().find(*node));
                self.nodes.extend(there.map(|node| (node.id, usize::from(node.shards))));
            }
        }
    }

    /// A shard has answered. Gives whether it had to.
    fn answered(&mut self, turn: &Turn<'_>, from: ShardAddress) -> bool {
        if from.node == turn.here().node {
            let was_owed = self.here > 0;
            self.here -= usize::from(was_owed);
            return was_owed;
        }
        let Some(index) = self.nodes.iter().position(|(node, _)| *node == from.node) else {
            return false;
        };
        self.nodes[index].1 -= 1;
        if self.nodes[index].1 == 0 {
            self.nodes.swap_remove(index);
        }
        true
    }

    /// A node does not have to answer. Gives whether it had to.
    fn forgive(&mut self, node: NodeId) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|(each, _)| *each != node);
        self.nodes.len() < before
    }
}

impl Gather {
    /// Whether no further answer changes anything.
    fn is_complete(&self) -> bool {
        self.owed.is_nothing()
            || match &self.asker {
                Asker::Found(_, found) => *found,
                Asker::HubServer(ack) => ack.is_found(),
                Asker::Facts(..)
                | Asker::Count(..)
                | Asker::Members(..)
                | Asker::Joined(..)
                | Asker::Refreshed(..)
                | Asker::Stream(..)
                | Asker::Watched(_)
                | Asker::InEffect(_) => false,
            }
    }
}

impl Asked {
    fn by(question: &Question, clients: &Clients, turn: &Turn<'_>, hub: &HubName) -> Asked {
        match question {
            Question::Query(Query::Facts(connection))
            | Question::Command(Command::Join { connection, .. } | Command::Leave { connection, .. }) => {
                Asked::shards(turn, &[connection.owner()])
            }
            // A connection is where its token is.
            Question::Query(Query::FactsByToken(token)) => Asked::shards(turn, &[token.owner()]),
            Question::Command(Command::Refresh(refresh)) => Asked::shards(turn, &[refresh.token.owner()]),
            Question::Query(Query::Find(Sought::UserInGroup { user, .. })) => Asked::of_user(user, clients, turn, hub),
            Question::Query(
                Query::Find(Sought::ConnectionOf(target)) | Query::Count(target) | Query::Members { of: target, .. },
            ) => match target {
                Target::Connection(connection) => Asked::shards(turn, &[connection.owner()]),
                Target::User(user) => Asked::of_user(user, clients, turn, hub),
                Target::All | Target::Group(_) => Asked::all(clients, turn, hub),
            },
            Question::Barrier => Asked::all(clients, turn, hub),
        }
    }

    /// The shards of this node, and of those that have clients of the hub.
    fn all(clients: &Clients, turn: &Turn<'_>, hub: &HubName) -> Asked {
        let here = (turn.neighbours.shards() > 1).then_some(Addressees::AllOthers);
        let nodes = match turn.neighbours.nodes().is_empty() {
            true => None,
            false => clients.hubs().directory().find(hub).and_then(|hub| hub.other_nodes(turn)),
        };
        Asked { is_this_one: true, addressees: here.into_iter().chain(nodes).collect() }
    }

    /// The shards that the user is on, those of other nodes that have clients of the hub, and this one: what users are in without
    /// a connection is known here.
    fn of_user(user: &UserId, clients: &Clients, turn: &Turn<'_>, hub: &HubName) -> Asked {
        let directory = clients.hubs().directory().find(hub);
        let shards = directory.as_ref().map(|hub| hub.users().shards_of(user)).unwrap_or_default();
        let mut asked = Asked { is_this_one: true, ..Asked::shards(turn, &shards) };
        asked.addressees.extend(directory.and_then(|hub| hub.other_nodes(turn)));
        asked
    }

    fn shards(turn: &Turn<'_>, shards: &[ShardAddress]) -> Asked {
        let is_elsewhere = |shard| matches!(turn.locate(shard), Location::OtherShard(_) | Location::OtherNode);
        let others = shards.iter().filter(|shard| is_elsewhere(**shard));
        Asked {
            addressees: others.map(|shard| Addressees::One(*shard)).collect(),
            is_this_one: shards.iter().any(|shard| matches!(turn.locate(*shard), Location::Here)),
        }
    }
}

impl Asker {
    fn is_bounded(&self) -> bool {
        match self {
            Asker::Found(..)
            | Asker::Facts(..)
            | Asker::Count(..)
            | Asker::Members(..)
            | Asker::Joined(..)
            | Asker::Refreshed(..)
            | Asker::Stream(..) => true,
            Asker::HubServer(_) | Asker::Watched(_) | Asker::InEffect(_) => false,
        }
    }

    /// Adds what one shard answers. What answers another question says nothing.
    fn add(&mut self, answer: Answer) {
        match (self, answer) {
            (Asker::HubServer(ack), answer) => ack.add(answer),
            (Asker::Found(_, found), Answer::Found(is_here)) => *found |= is_here,
            (Asker::Facts(_, facts), Answer::Facts(known)) => *facts = known,
            (Asker::Count(_, sum), Answer::Count(count)) => *sum = sum.saturating_add(count),
            (Asker::Members(_, page), Answer::Members(members)) => page.add(members),
            (Asker::Joined(_, joined), Answer::Joined(answered)) => *joined = answered,
            (Asker::Refreshed(_, refreshed), Answer::Refreshed(answered)) => *refreshed = answered,
            (Asker::Stream(_, reply), Answer::Stream(answered)) => *reply = answered,
            (
                Asker::Found(..)
                | Asker::Facts(..)
                | Asker::Count(..)
                | Asker::Members(..)
                | Asker::Joined(..)
                | Asker::Refreshed(..)
                | Asker::Stream(..)
                | Asker::Watched(_)
                | Asker::InEffect(_),
                _,
            ) => {}
        }
    }

    /// All have answered: tells a caller, or gives the ack of a hub server.
    fn finish(self, turn: &mut Turn<'_>) -> Option<Ack> {
        let answered = match self {
            Asker::HubServer(ack) => return Some(ack),
            Asker::Found(ticket, found) => Answered::Found(ticket.answered(found)),
            Asker::Facts(ticket, facts) => Answered::Facts(ticket.answered(facts)),
            Asker::Count(ticket, sum) => Answered::Count(ticket.answered(sum)),
            Asker::Members(ticket, page) => Answered::Members(ticket.answered(page.finished().0)),
            Asker::Joined(ticket, joined) => Answered::Joined(ticket.answered(joined)),
            Asker::Refreshed(ticket, refreshed) => Answered::Refreshed(ticket.answered(refreshed)),
            Asker::Stream(ticket, reply) => Answered::Stream(ticket.answered(reply)),
            Asker::Watched(ticket) => Answered::Watched(ticket.answered(Ok(()))),
            Asker::InEffect(ticket) => Answered::InEffect(ticket.answered(())),
        };
        turn.effect(Effect::Answered(answered));
        None
    }

    /// The same, where some have not answered.
    fn give_up(self, turn: &mut Turn<'_>) -> Option<Ack> {
        let answered = match self {
            Asker::HubServer(ack) => return Some(Ack { status: AckStatus::TooLate, carried: None, ..ack }),
            Asker::Found(ticket, _) => Answered::Found(ticket.unanswered()),
            Asker::Facts(ticket, _) => Answered::Facts(ticket.unanswered()),
            Asker::Count(ticket, _) => Answered::Count(ticket.unanswered()),
            Asker::Members(ticket, _) => Answered::Members(ticket.unanswered()),
            Asker::Joined(ticket, _) => Answered::Joined(ticket.unanswered()),
            Asker::Refreshed(ticket, _) => Answered::Refreshed(ticket.unanswered()),
            Asker::Stream(ticket, _) => Answered::Stream(ticket.unanswered()),
            Asker::Watched(ticket) => Answered::Watched(ticket.unanswered()),
            Asker::InEffect(ticket) => Answered::InEffect(ticket.unanswered()),
        };
        turn.effect(Effect::Answered(answered));
        None
    }
}
