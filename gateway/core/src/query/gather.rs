//! What several shards know together: all that a question is for are asked at once, and what they answer is put together for
//! whoever asked. Nobody waits for longer than a while.

use std::collections::BTreeSet;

use super::ack::{Ack, Page};
use super::asked::Asked;
use super::asker::Asker;
use super::claiming::{self, Claiming};
use super::owed::Owed;
use super::{answer, watch};
use crate::client::Clients;
use crate::detours::Awaited;
use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::hash::FixedMap;
use crate::id::{ConnectionId, GroupName, HubName, NodeId, PluginName, ServerConnectionId, ShardAddress};
use crate::order::{Addressees, Order};
use crate::question::{
    AckQuestion, Answer, Answered, CallerQuery, Command, Joined, Query, Question, Ticket, TokenCommand, Watched,
};
use crate::refresh::{Refresh, RefreshRefusal, Refreshed};
use crate::stream::{StreamCommand, StreamError, StreamReply};
use crate::time::Millis;
use crate::tokens::{ClaimAnswer, Negotiated, TokenClaim, TokenKept, TooManyTokens};
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
    /// Whether a connection was asked for: the shard that was asked may have handed the question on, and that which it was handed answers.
    is_of_one: bool,
    /// What is in effect, too, once all have answered.
    awaited: Option<Awaited>,
}

impl Gather {
    fn new(asker: Asker, deadline: Millis) -> Gather {
        Gather { asker, owed: Owed::default(), deadline, is_of_one: false, awaited: None }
    }
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
        self.ask(clients, turn, hub, question.into(), Gather::new(asker, deadline))
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
        self.ask(clients, turn, hub, Question::Query(query), Gather::new(asker, deadline));
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
        self.ask(clients, turn, hub, question, Gather::new(asker, deadline));
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
        self.ask(clients, turn, hub, question, Gather::new(asker, deadline));
    }

    /// Tells when all is in effect, on all shards, that was ordered before.
    pub(crate) fn barrier(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: &HubName,
        (deadline, ticket): (Millis, Ticket<()>),
    ) {
        let gather = Gather::new(Asker::InEffect(ticket), deadline);
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
        let mut owed = Owed::default();
        addressees.iter().for_each(|to| owed.add(turn, &Addressees::One(*to)));
        let number = self.add(Gather { owed, ..Gather::new(Asker::Watched(ticket), turn.now + ACK_TIMEOUT) });
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
        let connection = command.stream.connection;
        let shard = turn.shard_of(connection);
        let asker = Asker::Stream(ticket, Err(StreamError::NoSuchStream));
        if let Some(number) = self.add_for_one(turn, shard, Gather::new(asker, deadline)) {
            let order = Order::Stream { command: Box::new(command), asker: turn.here(), number };
            turn.forward_about(connection, shard, hub, order);
        }
    }

    /// Lets another shard of this node keep a connection token.
    pub(crate) fn keep_token(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        negotiated: Negotiated,
        (deadline, ticket): (Millis, Ticket<TokenKept>),
    ) {
        let asker = Asker::Kept(ticket, Err(TooManyTokens));
        self.order_token(turn, hub, TokenCommand::Keep(negotiated), Gather::new(asker, deadline));
    }

    /// Claims a connection token of another shard.
    pub(crate) fn claim_token(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        claim: TokenClaim,
        (deadline, ticket): (Millis, Ticket<ClaimAnswer>),
    ) {
        let asker = Asker::Claimed(Box::new(Claiming::new(turn, hub.clone(), claim, ticket)));
        self.order_token(turn, hub, TokenCommand::Claim(claim), Gather::new(asker, deadline));
    }

    fn order_token(&mut self, turn: &mut Turn<'_>, hub: &HubName, command: TokenCommand, gather: Gather) {
        let shard = command.token().owner();
        if let Some(number) = self.add_for_one(turn, shard, gather) {
            turn.forward(
                Addressees::One(shard),
                hub,
                Order::Token { command: Box::new(command), asker: turn.here(), number },
            );
        }
    }

    /// What a caller wants of one other shard. Gives the number by which that answers, unless too many callers wait.
    fn add_for_one(&mut self, turn: &mut Turn<'_>, shard: ShardAddress, mut gather: Gather) -> Option<u32> {
        if self.callers >= MAX_CALLERS {
            gather.asker.give_up(turn);
            return None;
        }
        gather.owed.add(turn, &Addressees::One(shard));
        gather.is_of_one = true;
        Some(self.add(gather))
    }

    /// Another shard waits until what it has ordered is in effect. Gives whether that takes a while, because this one has handed some of it on.
    pub(crate) fn passes_barrier_on(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        (shard, number): (ShardAddress, u32),
    ) -> bool {
        let Some(asked) = Asked::handed_on(turn, hub) else {
            return false;
        };
        let asker = Asker::OtherShard { shard, hub: hub.clone(), number };
        self.send(turn, hub, &Question::HandedOn, asked, Gather::new(asker, turn.now + ACK_TIMEOUT));
        true
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
        self.send(turn, hub, &question, asked, gather)
    }

    /// Sends a question to all other shards that it is for.
    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        question: &Question,
        asked: Asked,
        mut gather: Gather,
    ) -> Option<Ack> {
        asked.addressees.iter().for_each(|to| gather.owed.add(turn, to));
        gather.awaited = asked.awaited;
        gather.is_of_one = question.connection().is_some();
        if gather.is_complete() {
            return gather.finish(turn);
        }
        if gather.asker.is_bounded() && self.callers >= MAX_CALLERS {
            return gather.asker.give_up(turn);
        }
        let number = self.add(gather);
        for to in asked.addressees {
            let order = Order::Ask { question: question.clone(), asker: turn.here(), number };
            match (question.connection(), &to) {
                (Some(connection), Addressees::One(shard)) => turn.forward_about(connection, *shard, hub, order),
                _ => turn.forward(to, hub, order),
            }
        }
        None
    }

    /// Another shard has answered. Gives the ack of a hub server whose last answer that was.
    pub(crate) fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        (from, hub): (ShardAddress, &HubName),
        number: u32,
        answer: Answer,
    ) -> Option<Ack> {
        let Some(gather) = self.waiting.get_mut(&number) else {
            if let Answer::Claimed(answer) = &answer {
                claiming::give_back(turn, from, hub, answer);
            }
            return None;
        };
        if gather.is_of_one {
            gather.owed.forgive_all();
        } else if !gather.owed.answered(turn, from) {
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
            Addressees::AllOthers => owed.forgive_here(),
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
            true => self.remove(number)?.finish(turn),
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
                | Asker::InEffect(_)
                | Asker::OtherShard { .. }
                | Asker::Kept(..)
                | Asker::Claimed(_) => false,
            }
    }

    /// All have answered.
    fn finish(self, turn: &mut Turn<'_>) -> Option<Ack> {
        if let Some(awaited) = &self.awaited {
            match &self.asker {
                Asker::OtherShard { .. } => turn.detours.handed_on.arrived(awaited),
                _ => turn.detours.sent.arrived(awaited),
            }
        }
        self.asker.finish(turn)
    }
}
