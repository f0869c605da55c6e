//! The parts of a shard: inputs go to the part that owns what they change, and what one part leaves to another is taken in order.

mod reading;
mod tokens;

use crate::client::read_holds::Hold;
use crate::client::{Clients, Session, actions, announcements, marked, renewal, resuming, returning};
use crate::client_results::ClientResults;
use crate::directory_change::DirectoryChange;
use crate::drain::{self, Answerers, Drain};
use crate::effect::Effect;
use crate::filter::{HalvesByPlugin, Inspected, InspectionNumber, LaneKind};
use crate::gate::inbound::Inbound;
use crate::gate::senders::Senders;
use crate::id::{HubName, NodeId, ShardAddress, Slot};
use crate::input::Input;
use crate::link::{self, Links};
use crate::mode_switch::ModeSwitch;
use crate::neighbours::Location;
use crate::order::{Addressees, Order};
use crate::query::{self, Ack, Gathers};
use crate::question::{Answer, Answered, Question};
use crate::settings::Settings;
use crate::slowed_clients::SlowedClients;
use crate::tokens::ConnectionTokens;
use crate::turn::{AfterSend, Departure, Farewell, Step, Turn};
use crate::upstream::Upstream;

/// The parts of a shard. Clients and their hubs are the ground; the others stand on it. They form no circle: what one
/// leaves to another that does not stand below it is a [`Step`].
#[derive(Debug)]
pub(crate) struct Parts {
    clients: Clients,
    slowed_clients: SlowedClients,
    inbound: Inbound,
    senders: Senders,
    upstream: Upstream,
    links: Links,
    gathers: Gathers,
    client_results: ClientResults,
    mode_switch: ModeSwitch,
    drain: Drain,
    tokens: ConnectionTokens,
}

impl Parts {
    pub(crate) fn new(clients: Clients) -> Parts {
        Parts {
            clients,
            slowed_clients: SlowedClients::new(),
            inbound: Inbound::new(),
            senders: Senders::new(),
            upstream: Upstream::new(),
            links: Links::new(),
            gathers: Gathers::default(),
            client_results: ClientResults::new(),
            mode_switch: ModeSwitch::default(),
            drain: Drain::default(),
            tokens: ConnectionTokens::default(),
        }
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    pub(crate) fn clients_mut(&mut self) -> &mut Clients {
        &mut self.clients
    }

    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    pub(crate) fn tokens(&self) -> &ConnectionTokens {
        &self.tokens
    }

    /// Other settings hold from now on.
    pub(crate) fn configure(&mut self, before: &Settings, settings: &Settings, halves: HalvesByPlugin) {
        self.mode_switch.begin(&mut self.clients, before, settings);
        self.clients.hubs_mut().configure(settings, halves);
    }

    /// Gives an input to the part that owns what it changes, and takes all steps that follow.
    #[inline(always)]
    pub(crate) fn act_on(&mut self, turn: &mut Turn<'_>, input: Input<'_, '_>) {
        self.take(turn, input);
        self.settle(turn, 0);
    }

    #[inline(always)]
    fn take(&mut self, turn: &mut Turn<'_>, input: Input<'_, '_>) {
        match input {
            Input::ClientData { transport, bytes, most } => self.client_data(turn, transport, bytes, most),
            Input::ServerData { id, bytes, most } => self.server_data(turn, id, bytes, most),
            Input::UpstreamAnswered { client, answer } => {
                self.upstream.answered(&mut self.clients, turn, client, answer);
            }
            other => self.take_other(turn, other),
        }
    }

    /// The same for what does not come with each message.
    #[inline(never)]
    fn take_other(&mut self, turn: &mut Turn<'_>, input: Input<'_, '_>) {
        let Parts { clients, links, upstream, gathers, client_results, .. } = self;
        match input {
            Input::ClientOpened { transport, client } => {
                let has_moved = client.id.owner().node != turn.here().node;
                let slot = clients.open(turn, transport, *client);
                upstream.opened(slot);
                links.opened(slot);
                if has_moved {
                    Parts::tell_of_homeless(turn);
                }
            }
            Input::TokenRenewed { transport, expiry, claims } => {
                if let Some(slot) = clients.by_transport(transport) {
                    renewal::token_renewed(clients, turn, slot, expiry, claims);
                }
            }
            Input::SaidLastWords(transport) => {
                if let Some(slot) = clients.by_transport(transport) {
                    // Its answers would not be read.
                    client_results.left(turn, slot);
                    self.drain.said_last_words(clients, turn, Answerers { links, upstream }, slot);
                }
            }
            Input::WayEnds(transport) => {
                if let Some(slot) = clients.by_transport(transport) {
                    drain::send_away(clients, turn, slot);
                }
            }
            Input::ClientGone { transport, cause } => clients.gone(turn, transport, cause),
            Input::ClientResumed { transport, client } => resuming::resumed(clients, turn, transport, client),
            Input::ClientStarted { token, query } => returning::started(clients, turn, token, &query),
            Input::ClientAborted { token } => returning::aborted(clients, turn, token),
            Input::ClientReturned { transport, client } => returning::returned(clients, turn, transport, client),
            Input::ResumeRefused { hub, refusal } => resuming::refused(clients, &hub, refusal),
            Input::KeepsTooMuch(slot) => resuming::close_slow(clients, turn, slot),
            Input::ServerOpened { id, server } => links.open_server(clients, turn, id, server),
            Input::ServerCongested { id, is_congested } => links.server_congested(clients, turn, id, is_congested),
            Input::ServerGone(id) => links.server_gone(clients, turn, id),
            Input::Inspected { number, inspected } => self.inspected(turn, number, inspected),
            Input::InspectionWaits(number) => self.inspection_waits(turn, number),
            Input::Order { from, hub, order } => self.order(turn, from, &hub, order),
            Input::Undelivered { to, order } => self.undelivered(turn, &to, order),
            Input::HubAnnounced(hub) => announcements::announced(clients, turn, &hub),
            Input::Submit { hub, origin, actions, ticket } => {
                let hub = clients.hubs_mut().get(&hub, turn.settings);
                let after = AfterSend::Answer(ticket);
                self.senders.submit(clients, turn, hub, origin, actions, after);
            }
            Input::SubmitByFilter { hub, actions } => {
                let hub = clients.hubs_mut().get(&hub, turn.settings);
                actions::act_all(clients, turn, hub, actions);
            }
            Input::JoinUser { hub, user, group, ttl_seconds, ticket } => {
                let hub = clients.hubs_mut().get(&hub, turn.settings);
                let joined = actions::join_user(clients, turn, hub, user, group, ttl_seconds);
                turn.effect(Effect::Answered(Answered::UserJoined(ticket.answered(joined))));
            }
            Input::Join { hub, connection, group, deadline, ticket } => {
                gathers.join(clients, turn, &hub, (connection, group), (deadline, ticket));
            }
            Input::Refresh { hub, refresh, deadline, ticket } => {
                gathers.refresh(clients, turn, &hub, refresh, (deadline, ticket));
            }
            Input::Stream { hub, command, deadline, ticket } => match turn.locate_connection(command.stream.connection)
            {
                Location::OtherShard(_) | Location::OtherNode => {
                    gathers.forward(turn, &hub, command, (deadline, ticket))
                }
                Location::Here | Location::Nowhere => {
                    let reply = upstream.obey(clients, turn, command);
                    turn.effect(Effect::Answered(Answered::Stream(ticket.answered(reply))));
                }
            },
            Input::Taken(transport) => {
                if let Some(slot) = clients.by_transport(transport)
                    && marked::taken(clients, slot)
                {
                    upstream.taken(clients, turn, slot);
                }
            }
            Input::Ask { hub, query, deadline } => gathers.query(clients, turn, &hub, query, deadline),
            Input::Barrier { hub, deadline, ticket } => gathers.barrier(clients, turn, &hub, (deadline, ticket)),
            Input::AskClient { hub, question, deadline, ticket } => {
                client_results.ask(clients, turn, &hub, question, (deadline, ticket));
            }
            Input::Watch { hub, plugin, group, ticket } => {
                gathers.watch(clients, turn, &hub, (plugin, group), ticket);
            }
            Input::Unwatch { hub, plugin, group } => {
                clients.hubs().directory().unwatch(&hub, &plugin, &group);
                turn.tell_nodes(&hub, || DirectoryChange::GroupUnwatched { plugin, group });
            }
            Input::PresenceTold { hub, plugin } => {
                let (presence, directory) = clients.presence();
                presence.told(turn, directory, hub, plugin);
            }
            Input::Negotiated { hub, negotiated, deadline, ticket } => {
                self.negotiated(turn, &hub, negotiated, (deadline, ticket));
            }
            Input::ClaimToken { hub, claim, deadline, ticket } => {
                self.claim_token(turn, &hub, claim, (deadline, ticket));
            }
            Input::TokenUnused { hub, token } => self.token_unused(turn, &hub, token),
            Input::PostedEarly { hub, token, bytes, ticket } => {
                let is_kept = self.tokens.posted_early(token, &hub, &bytes, turn.now);
                turn.effect(Effect::Answered(Answered::Found(ticket.answered(is_kept))));
            }
            Input::Traced { mark, input } => {
                turn.mark = Some(mark);
                self.take(turn, *input);
            }
            Input::TimeOfDay(time) => renewal::set_time_of_day(clients, turn.now, time),
            Input::Tick => self.tick(turn),
            Input::Configure { .. }
            | Input::ClientData { .. }
            | Input::ServerData { .. }
            | Input::UpstreamAnswered { .. }
            | Input::Nodes(_)
            | Input::NodeLost(_)
            | Input::Named(_) => {
                unreachable!("they have ways of their own, in `act_on` and in the shard")
            }
            Input::Drain { per_second } => {
                self.drain.go_on(clients, turn, Answerers { links, upstream }, per_second);
                turn.then(Step::DrainServers(Farewell::Orderly));
            }
            Input::DrainNow => {
                clients.all().into_iter().for_each(|slot| drain::send_away(clients, turn, slot));
                turn.then(Step::DrainServers(Farewell::AtOnce));
            }
        }
    }

    /// Takes the steps that were left since there were `base` of them, in order; those that a step leaves come before what
    /// follows it. Most messages leave none.
    #[inline]
    fn settle(&mut self, turn: &mut Turn<'_>, base: usize) {
        if turn.steps.len() > base {
            self.take_steps(turn, base);
        }
    }

    #[inline(never)]
    fn take_steps(&mut self, turn: &mut Turn<'_>, base: usize) {
        turn.steps[base..].reverse();
        while turn.steps.len() > base
            && let Some(step) = turn.steps.pop()
        {
            let rest = turn.steps.len();
            self.step(turn, step);
            turn.steps[rest..].reverse();
        }
    }

    fn step(&mut self, turn: &mut Turn<'_>, step: Step) {
        let Parts { clients, links, upstream, .. } = self;
        match step {
            Step::ReadClient(slot) => {
                if clients.is_still(slot) {
                    self.read_client(turn, slot);
                }
            }
            Step::ReadServer(id) => self.read_server(turn, id),
            Step::ReleaseHeld(slot) => {
                if clients.is_still(slot) {
                    link::release_held(links, clients, turn, slot);
                }
            }
            Step::Relay(slot, payload) => {
                if clients.is_still(slot) {
                    link::relay(links, clients, turn, slot, &payload);
                }
            }
            Step::CheckDeadlines(slot) => {
                if clients.is_still(slot) {
                    self.check_deadlines(turn, slot);
                }
            }
            Step::CloseSlow(slot) => resuming::close_slow(clients, turn, slot),
            Step::Taken(slot, count) => {
                if clients.is_still(slot) {
                    (0..count).for_each(|_| upstream.taken(clients, turn, slot));
                }
            }
            Step::Resumed(slot) => links.resumed(clients, turn, slot),
            Step::ClaimsChanged(slot) => {
                if clients.is_still(slot) {
                    link::tell_claims(links, clients, turn, slot);
                }
            }
            Step::TokenOver { hub, token } => {
                let name = clients.hub(hub).name.clone();
                self.token_over(turn, &name, token);
            }
            Step::Departed(departure) => self.departed(turn, *departure),
            Step::ForgetIfOver(slot) => {
                if clients.get(slot).is_some_and(Session::is_gone) && upstream.is_over(slot) {
                    clients.forget(turn, slot);
                    upstream.forget(slot);
                }
            }
            Step::Submit { hub, origin, actions, after } => {
                self.senders.submit(clients, turn, hub, origin, actions, after);
            }
            Step::SendingEnded(server) => links.sending_ended(turn, server),
            Step::CompleteCall(slot) => upstream.complete(clients, turn, slot),
            Step::NextDepartedCall(slot) => upstream.next_departed_call(clients, turn, slot),
            Step::TellOfRoom(slot, plugin, stream) => upstream.tell_of_room(clients, turn, slot, (plugin, stream)),
            Step::Ask { server, ack_id, question } => {
                let Some(hub) = links.hub_of_server(server) else {
                    return;
                };
                let name = clients.hub(hub).name.clone();
                match self.gathers.ask_for_server(clients, turn, &name, (server, ack_id), question) {
                    Some(Ack { status, carried, .. }) => links.ack(turn, server, ack_id, status, carried),
                    None => links.ack_waits(turn, server),
                }
            }
            Step::Asked { slot, waits_for_answers } => {
                if clients.is_still(slot) {
                    upstream.asked(clients, turn, slot, waits_for_answers);
                }
            }
            Step::GiveUpQuestions(slot) => self.client_results.give_up(turn, slot),
            Step::DrainServers(farewell) => links.drain(clients, turn, farewell),
        }
    }

    /// A hub's filters have looked at a message.
    fn inspected(&mut self, turn: &mut Turn<'_>, number: InspectionNumber, inspected: Inspected) {
        let Parts { clients, links, upstream, senders, .. } = self;
        match number.lane {
            LaneKind::FromClients => self.listener().inspected(turn, number, inspected),
            LaneKind::Sends => senders.inspected(clients, turn, number, inspected),
            LaneKind::Completions => upstream.inspected(clients, turn, number, inspected),
            LaneKind::FromServers => link::inspected(links, clients, turn, number, inspected),
            LaneKind::Questions => self.client_results.inspected(clients, turn, number, inspected),
            LaneKind::Streams => upstream.stream_inspected(clients, turn, number, inspected),
        }
    }

    /// The filters of a message take a while: whoever it comes from is not read meanwhile.
    fn inspection_waits(&mut self, turn: &mut Turn<'_>, number: InspectionNumber) {
        match number.lane {
            LaneKind::FromClients => {
                if let Some(slot) = self.inbound.client(number)
                    && self.clients.is_still(slot)
                {
                    self.clients.hold(turn, slot, Hold::Inspection);
                }
            }
            LaneKind::Sends => {
                if let Some(server) = self.senders.server(number) {
                    self.links.sending_waits(turn, server);
                }
            }
            // What is held for one client is bounded, and so are the calls that wait, what plugins ask, and the items of streams.
            LaneKind::Completions | LaneKind::FromServers | LaneKind::Questions | LaneKind::Streams => {}
        }
    }

    /// Does what another shard forwarded.
    fn order(&mut self, turn: &mut Turn<'_>, from: ShardAddress, name: &HubName, order: Order) {
        if let Some(next) = turn.next_stop(&order) {
            return turn.hand_on(next, name, order);
        }
        let Parts { clients, links, upstream, gathers, .. } = self;
        match order {
            Order::Act(action) => {
                // A hub that this shard does not know has no clients here.
                if let Some(hub) = clients.hubs().find(name) {
                    actions::apply(clients, turn, hub, action);
                }
            }
            Order::Server(order) => {
                let hub = clients.hubs_mut().get(name, turn.settings);
                links.apply(clients, turn, (from, hub), order);
            }
            Order::Ask { question: Question::Barrier, asker, number }
                if gathers.passes_barrier_on(turn, name, (asker, number)) => {}
            Order::Ask { question, asker, number } => {
                let answer = query::answer(clients, turn, name, question);
                turn.forward(Addressees::One(asker), name, Order::Answer { number, answer });
            }
            Order::Stream { command, asker, number } => {
                let answer = Answer::Stream(upstream.obey(clients, turn, *command));
                turn.forward(Addressees::One(asker), name, Order::Answer { number, answer });
            }
            Order::Answer { number, answer } => {
                let ack = gathers.answered(turn, (from, name), number, answer);
                ack.into_iter().for_each(|ack| self.ack_ended(turn, ack));
            }
            Order::Token { command, asker, number } => self.obey_token(turn, (from, name), *command, (asker, number)),
            Order::TokenOver { token } => self.heard_token_over(turn, (from, name), token),
            Order::AskClient(forwarded) => self.client_results.ask_for(clients, turn, name, *forwarded),
            Order::ClientAnswered { number, answer } => {
                self.client_results.answered_elsewhere(turn, number, *answer);
            }
        }
    }

    /// A shard that has ended answers nothing, and does nothing that anybody could miss.
    fn undelivered(&mut self, turn: &mut Turn<'_>, to: &Addressees, order: Order) {
        match order {
            Order::Ask { number, .. } | Order::Stream { number, .. } | Order::Token { number, .. } => {
                let ack = self.gathers.undelivered(turn, to, number);
                ack.into_iter().for_each(|ack| self.ack_ended(turn, ack));
            }
            Order::AskClient(forwarded) => self.client_results.undelivered(turn, forwarded.number),
            Order::Act(_)
            | Order::Server(_)
            | Order::Answer { .. }
            | Order::TokenOver { .. }
            | Order::ClientAnswered { .. } => {}
        }
    }

    /// A node is gone, or does not know any longer what was begun with it.
    pub(crate) fn node_lost(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        // Also those that it has claimed after the directory was told.
        for id in self.tokens.node_lost(node) {
            turn.moved.end(id);
        }
        turn.detours.node_lost(node);
        Parts::tell_of_homeless(turn);
        for ack in self.gathers.node_lost(turn, node) {
            self.ack_ended(turn, ack);
        }
        self.client_results.node_lost(turn, node);
        self.settle(turn, 0);
        link::loss::node_lost(&mut self.links, &mut self.clients, turn, node);
        self.settle(turn, 0);
    }

    fn ack_ended(&mut self, turn: &mut Turn<'_>, Ack { server, ack_id, status, carried, .. }: Ack) {
        self.links.ack(turn, server, ack_id, status, carried);
        self.links.ack_ended(turn, server);
    }

    /// A client that others have seen is closed: whoever answers it is told.
    fn departed(&mut self, turn: &mut Turn<'_>, departure: Departure) {
        let Parts { clients, links, upstream, slowed_clients, client_results, .. } = self;
        slowed_clients.departed(clients, departure.slot);
        client_results.left(turn, departure.slot);
        let is_linked = links.departed(clients, turn, &departure);
        upstream.departed(clients, turn, departure, is_linked);
    }

    fn check_deadlines(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let link = self.links.check_deadlines(&mut self.clients, turn, slot);
        self.clients.check_deadlines(turn, slot, link);
    }

    /// Time passed: meets all deadlines.
    fn tick(&mut self, turn: &mut Turn<'_>) {
        self.tokens.expire(turn.now);
        turn.detours.tick(turn.now);
        self.links.tick(&mut self.clients, turn);
        for ack in self.gathers.tick(turn) {
            self.ack_ended(turn, ack);
        }
        self.settle(turn, 0);
        self.client_results.tick(turn);
        self.settle(turn, 0);
        self.mode_switch.close_some(&mut self.clients, turn);
        self.settle(turn, 0);
        self.slowed_clients.tick(&mut self.clients, turn);
        self.settle(turn, 0);
        self.upstream.tick(&mut self.clients, turn);
        self.settle(turn, 0);
        self.clients.hubs_mut().tick(turn.now, turn.settings);
        let (presence, directory) = self.clients.presence();
        presence.tick(turn, directory);
        for slot in self.clients.due(turn.now) {
            self.check_deadlines(turn, slot);
            self.settle(turn, 0);
        }
    }
}
