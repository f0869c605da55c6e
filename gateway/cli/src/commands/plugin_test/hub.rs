//! The hub of a script: who is connected, and what a plugin is told that asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::ConnectionFacts;
use hubgate_core::id::{ConnectionId, GroupName, HubName, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_core::question::{AskError, Members};
use hubgate_core::stream::StreamError;
use hubgate_plugin_host::{HttpAnswer, HttpCall, HttpFailure, ShardQuestion};
use hubgate_wire::signalr::HubProtocol;

use super::forms::connection_id;
use super::script::{ClientForm, HttpForm, OneOrMany, Script};
use super::step::{Event, speaks_messagepack};
use super::values::to_json;

/// What a hub is called whose script does not say so.
const HUB: &str = "test";

#[derive(Debug)]
pub(super) struct Hub {
    name: HubName,
    clients: BTreeMap<ConnectionId, Client>,
    groups: BTreeMap<GroupName, Vec<Member>>,
    http: Vec<Canned>,
    /// What the present step has flushed.
    flushed: Vec<Action>,
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
        let mut hub =
            Hub { name, clients: BTreeMap::new(), groups: BTreeMap::new(), http: Vec::new(), flushed: Vec::new() };
        let of_steps = events.iter().filter_map(Event::client);
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
    }

    /// What was flushed since it was asked last.
    pub(super) fn take_flushed(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.flushed)
    }

    /// Does what concerns groups; nobody is sent anything.
    pub(super) fn run(&mut self, actions: &[Action]) {
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
                self.run(&actions);
                self.flushed.extend(actions);
                // It may wait no longer.
                let _ = done.send(());
            }
            // A script brings no streams.
            ShardQuestion::Stream { answer, .. } => drop(answer.send(Err(StreamError::NoSuchStream))),
            ShardQuestion::Http(call) => {
                let answered = self.fetch(&call);
                drop(call.answer.send(answered));
            }
            ShardQuestion::AskClient { question, answer, .. } => {
                let is_there = !self.members(&Target::Connection(question.connection)).is_empty();
                let error = match is_there {
                    true => AskError::Failed("the script does not say what its clients answer".to_owned()),
                    false => AskError::NoSuchConnection,
                };
                drop(answer.send(Err(error)));
            }
        }
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
