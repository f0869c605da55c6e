//! The hub of a script: who is connected, and what a plugin is told that asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::{ConnectionFacts, PresentMember, UpstreamEvent};
use hubgate_core::id::{ConnectionId, GroupName, HubName, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_core::question::{AskError, Members};
use hubgate_core::stream::{StreamCommand, StreamEvent, StreamId, StreamReply};
use hubgate_plugin_host::{HttpAnswer, HttpCall, HttpFailure, RehearsedStreams, ShardQuestion};
use hubgate_wire::signalr::HubProtocol;

use super::asks::Asks;
use super::deeds::Done;
use super::forms::{ActionForm, connection_id};
use super::script::{ClientForm, HttpForm, OneOrMany, Script};
use super::step::{Event, speaks_messagepack};
use super::streams::bounds;
use super::values::to_json;

/// What a hub is called whose script does not say so.
const HUB: &str = "test";

#[derive(Debug)]
pub(super) struct Hub {
    name: HubName,
    clients: BTreeMap<ConnectionId, Client>,
    groups: BTreeMap<GroupName, Vec<Member>>,
    http: Vec<Canned>,
    asks: Asks,
    streams: RehearsedStreams,
    /// What the script calls them.
    stream_names: BTreeMap<StreamId, String>,
    /// What has taken effect in the present step.
    done: Done,
}

#[derive(Debug)]
struct Client {
    facts: Arc<ConnectionFacts>,
    is_present: bool,
}

/// What a web server answers, in order; the last answer is given again.
#[derive(Debug)]
struct Canned {
    method: String,
    url: String,
    answers: Vec<HttpForm>,
    given: usize,
}

impl Hub {
    /// The error says what in the script cannot be.
    pub(super) fn new(script: &Script, events: &[Event]) -> Result<Hub, String> {
        let name = script.hub.as_ref().map_or(HUB, |name| name.as_ref());
        let name = HubName::parse(name).map_err(|error| format!("`hub`: {error}"))?;
        let stream_name = |event: &Event| match event {
            Event::Stream { name, event: UpstreamEvent::Stream(StreamEvent::Begin(opening)), .. } => {
                Some((opening.id, name.clone()))
            }
            _ => None,
        };
        let mut hub = Hub {
            name,
            clients: BTreeMap::new(),
            groups: BTreeMap::new(),
            http: Vec::new(),
            asks: Asks::new(script.ask.iter().map(|form| form.as_ref().clone())),
            streams: RehearsedStreams::new(bounds(script)),
            stream_names: events.iter().filter_map(stream_name).collect(),
            done: Done::default(),
        };
        let of_steps = events.iter().flat_map(Event::clients);
        let names: BTreeSet<&str> = script.clients.keys().map(String::as_str).chain(of_steps).collect();
        for name in names {
            let form = script.clients.get(name).map(|form| form.as_ref().clone()).unwrap_or_default();
            let id = connection_id(name).ok_or_else(|| format!("\"{name}\" cannot be a client's name"))?;
            let facts = hub.facts(id, form, speaks_messagepack(name, script))?;
            // From its `connected` on, or from the beginning.
            let connects = |event: &Event| matches!(event, Event::Connected { client } if client == name);
            hub.clients.insert(id, Client { facts: Arc::new(facts), is_present: !events.iter().any(connects) });
        }
        for form in &script.http {
            hub.can(form.as_ref());
        }
        Ok(hub)
    }

    fn facts(&self, id: ConnectionId, form: ClientForm, speaks_messagepack: bool) -> Result<ConnectionFacts, String> {
        let user_id = form.user.as_deref().map(UserId::parse).transpose().map_err(|error| error.to_string())?;
        let pairs = |table: &BTreeMap<String, OneOrMany<String>>| -> Pairs {
            table.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value))).collect()
        };
        Ok(ConnectionFacts {
            hub: self.name.clone(),
            id,
            user_id,
            protocol: if speaks_messagepack { HubProtocol::MessagePack } else { HubProtocol::Json },
            claims: pairs(&form.claims),
            query: form.query.into(),
            headers: pairs(&form.headers),
            remote_address: form.remote_address.unwrap_or_else(|| "127.0.0.1".to_owned()).into(),
        })
    }

    fn can(&mut self, form: &HttpForm) {
        let method = form.method.as_deref().unwrap_or("GET").to_ascii_uppercase();
        match self.http.iter_mut().find(|canned| canned.method == method && canned.url == form.url) {
            Some(canned) => canned.answers.push(form.clone()),
            None => {
                let (url, answers) = (form.url.clone(), vec![form.clone()]);
                self.http.push(Canned { method, url, answers, given: 0 });
            }
        }
    }

    pub(super) fn name(&self) -> &HubName {
        &self.name
    }

    /// What is known of the client, which is called `user` from now on if that is said.
    pub(super) fn client(&mut self, name: &str, user: Option<&str>) -> Result<Arc<ConnectionFacts>, String> {
        let id = connection_id(name).ok_or_else(|| format!("\"{name}\" cannot be a client's name"))?;
        let client = self.clients.get_mut(&id).ok_or_else(|| format!("there is no client \"{name}\""))?;
        if let Some(user) = user {
            let old = &client.facts;
            client.facts = Arc::new(ConnectionFacts {
                hub: old.hub.clone(),
                id,
                user_id: Some(UserId::parse(user).map_err(|error| error.to_string())?),
                protocol: old.protocol,
                claims: old.claims.clone(),
                query: old.query.clone(),
                headers: old.headers.clone(),
                remote_address: old.remote_address.clone(),
            });
        }
        Ok(client.facts.clone())
    }

    pub(super) fn connects(&mut self, id: ConnectionId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.is_present = true;
        }
    }

    pub(super) fn disconnects(&mut self, id: ConnectionId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.is_present = false;
        }
        self.groups.values_mut().for_each(|members| members.retain(|member| *member != Member::Connection(id)));
        self.streams.close_all_of(id);
    }

    /// The client of this name, as a plugin is told of who joins and leaves.
    pub(super) fn member(&mut self, name: &str) -> Result<PresentMember, String> {
        let client = self.client(name, None)?;
        Ok(PresentMember { connection: client.id, user_id: client.user_id.clone() })
    }

    /// These have joined and left a group, whoever has made them.
    pub(super) fn change(&mut self, group: &GroupName, joined: &[PresentMember], left: &[PresentMember]) {
        let members = self.groups.entry(group.clone()).or_default();
        let is_one_of = |member: &Member, these: &[PresentMember]| {
            these.iter().any(|each| *member == Member::Connection(each.connection))
        };
        members.retain(|member| !is_one_of(member, left) && !is_one_of(member, joined));
        members.extend(joined.iter().map(|each| Member::Connection(each.connection)));
    }

    /// What a stream's event means before the plugin is told.
    pub(super) fn stream_happens(&mut self, event: &UpstreamEvent) {
        match event {
            UpstreamEvent::Stream(StreamEvent::Begin(opening)) => self.streams.open(opening.id, opening.answer),
            UpstreamEvent::Stream(StreamEvent::Cancelled { stream }) => self.streams.close(*stream),
            _ => {}
        }
    }

    /// A call has ended with an error.
    pub(super) fn stream_fails(&mut self, call: StreamId) {
        self.streams.close(call);
    }

    /// A step begins: the clients have taken what they were pushed.
    pub(super) fn begin_step(&mut self) {
        self.streams.take();
    }

    /// A call of the plugin has ended well, and these actions take effect.
    pub(super) fn end_call(&mut self, actions: &[Action]) {
        self.run(actions);
        self.done.add_actions(actions);
    }

    /// What has taken effect since it was asked last, in order.
    pub(super) fn take_done(&mut self) -> Vec<ActionForm> {
        self.done.take()
    }

    /// Does what concerns groups; nobody is sent anything.
    fn run(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Join { member, group, .. } => {
                    let members = self.groups.entry(group.clone()).or_default();
                    if !members.contains(member) {
                        members.push(member.clone());
                    }
                }
                Action::Leave { member, group } => {
                    self.groups.entry(group.clone()).or_default().retain(|each| each != member);
                }
                Action::LeaveAll(member) => {
                    self.groups.values_mut().for_each(|members| members.retain(|each| each != member));
                }
                Action::Send { .. } | Action::Close { .. } => {}
            }
        }
    }

    /// Answers a question of the plugin. It may have gone on without an answer, then nobody hears it.
    pub(super) fn answer(&mut self, question: ShardQuestion) {
        match question {
            ShardQuestion::Exists { target, answer, .. } => drop(answer.send(!self.members(&target).is_empty())),
            ShardQuestion::Facts { connection, answer, .. } => {
                let client = self.clients.get(&connection).filter(|client| client.is_present);
                drop(answer.send(client.map(|client| client.facts.clone())));
            }
            ShardQuestion::Count { target, answer, .. } => {
                let _ = answer.send(self.members(&target).len() as u64);
            }
            ShardQuestion::Members { of, after, most, answer, .. } => {
                let mut members = self.members(&of);
                members.retain(|(id, _)| after.is_none_or(|after| *id > after));
                members.truncate(most);
                drop(answer.send(members));
            }
            ShardQuestion::Watch { answer, .. } => drop(answer.send(Ok(()))),
            ShardQuestion::Unwatch { done, .. } => {
                let _ = done.send(());
            }
            ShardQuestion::Run { actions, done, .. } => {
                self.end_call(&actions);
                // It may wait no longer.
                let _ = done.send(());
            }
            ShardQuestion::Stream { command, answer, .. } => drop(answer.send(self.obey(&command))),
            ShardQuestion::Http(call) => {
                let answered = self.fetch(&call);
                drop(call.answer.send(answered));
            }
            ShardQuestion::AskClient { question, answer, .. } => {
                let is_there = !self.members(&Target::Connection(question.connection)).is_empty();
                let answered = match is_there {
                    true => {
                        self.done.add_question(&question);
                        self.asks.answer(&question)
                    }
                    false => Err(AskError::NoSuchConnection),
                };
                drop(answer.send(answered));
            }
        }
    }

    fn obey(&mut self, command: &StreamCommand) -> StreamReply {
        let reply = self.streams.obey(command)?;
        self.done.add_command(command, &self.stream_names);
        Ok(reply)
    }

    /// Who of the target is connected, by connection id.
    fn members(&self, target: &Target) -> Members {
        let is_member = |facts: &ConnectionFacts, member: &Member| match member {
            Member::Connection(id) => facts.id == *id,
            Member::User(user) => facts.user_id.as_ref() == Some(user),
        };
        let is_in = |facts: &ConnectionFacts| match target {
            Target::All => true,
            Target::Connection(id) => facts.id == *id,
            Target::User(user) => facts.user_id.as_ref() == Some(user),
            Target::Group(group) => {
                self.groups.get(group).is_some_and(|members| members.iter().any(|each| is_member(facts, each)))
            }
        };
        let present = self.clients.values().filter(|client| client.is_present).map(|client| &client.facts);
        present.filter(|facts| is_in(facts)).map(|facts| (facts.id, facts.user_id.clone())).collect()
    }

    fn fetch(&mut self, call: &HttpCall) -> Result<HttpAnswer, HttpFailure> {
        let is_asked =
            |canned: &&mut Canned| canned.method.eq_ignore_ascii_case(&call.method) && canned.url == call.url;
        let Some(canned) = self.http.iter_mut().find(is_asked) else {
            return Err(HttpFailure::Denied(format!("the script has no [[http]] for {} {}", call.method, call.url)));
        };
        let form = &canned.answers[canned.given.min(canned.answers.len() - 1)];
        canned.given += 1;
        match form.error.as_deref() {
            Some("timed-out") => return Err(HttpFailure::TimedOut),
            Some("too-large") => return Err(HttpFailure::TooLarge),
            Some(text) => return Err(HttpFailure::Failed(text.to_owned())),
            None => {}
        }
        let body = match &form.body {
            None => Vec::new(),
            Some(toml::Value::String(text)) => text.clone().into_bytes(),
            Some(value) => to_json(value).unwrap_or_default().to_string().into_bytes(),
        };
        if body.len() > call.longest_answer {
            return Err(HttpFailure::TooLarge);
        }
        let headers = form.headers.iter();
        let headers = headers.flat_map(|(name, values)| values.iter().map(move |value| (name.clone(), value.clone())));
        Ok(HttpAnswer { status: form.status.unwrap_or(200), headers: headers.collect(), body })
    }
}
