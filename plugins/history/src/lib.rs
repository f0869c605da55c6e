//! Keeps the last messages of groups, whoever sends them, for clients that join or come back.
//!
//! It is a filter and a handler. As an outbound filter it sees each message to a group once, gives it an id and keeps it. As a
//! handler it has three methods for clients: `join`, `leave` and `send`. `join` makes the caller a member first and reads what is
//! kept afterwards. So a message is among what is read, or it reaches the new member by itself, or both, and then its id shows it.

mod ring;
mod settings;

use std::cell::OnceCell;

use hubgate_plugin::filter::{Delivery, Filter, Kind, Message, Verdict};
use hubgate_plugin::hub::{self, Action, Target};
use hubgate_plugin::{
    Arguments, Connection, Error, Handler, Payload, RawValue, Reply, connections, context, done, fail, reject, reply,
};
use serde::Serialize;
use serde_json::Value;

use crate::ring::{Kept, Ring, Since};
use crate::settings::{Ids, Replay, Settings};

thread_local! {
    static SETTINGS: OnceCell<Settings> = const { OnceCell::new() };
}

struct History;

/// What `join` answers.
#[derive(Serialize)]
struct Joined<'a> {
    messages: &'a [Kept],
    /// Whether messages that came after the caller's last one are no longer kept.
    missed: bool,
}

impl Handler for History {
    fn init() -> Result<(), String> {
        let settings = Settings::read(hubgate_plugin::config::get)?;
        SETTINGS.with(|cell| cell.set(settings)).map_err(|_| "the instance was made before".to_owned())
    }

    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        with_settings(|settings| match method {
            _ if method == settings.join => join(settings, &client, &arguments),
            _ if method == settings.leave => leave(&client, &arguments),
            _ if method == settings.send => send(settings, &client, &arguments),
            unknown => reject(format!("There is no method '{unknown}'.")),
        })
    }
}

impl Filter for History {
    fn outbound(delivery: Delivery, message: Message) -> Verdict {
        match with_settings(|settings| keep(settings, &delivery, &message)) {
            Ok(verdict) => verdict,
            // The filter fails, and its `on-error` says what becomes of the message.
            Err(error) => panic!("a message cannot be kept: {error:?}"),
        }
    }
}

fn join(settings: &Settings, client: &Connection, arguments: &Arguments) -> Reply {
    let (group, after) = match arguments.parse::<(String,)>() {
        Ok((group,)) => (group, None),
        Err(_) => arguments.parse::<(String, Option<u64>)>()?,
    };
    admit(settings, client, &group)?;
    hub::join(client, &group)?;
    // What is kept is read once the client is a member, so that nothing falls between.
    hub::flush();
    let ring = Ring::of(settings, &client.hub, &group);
    let last = ring.last_id()?;
    let kept = ring.kept()?;
    let Since { messages, missed } = ring::since(&kept, last, after);
    match settings.replay {
        Replay::Result => reply(&Joined { messages, missed }),
        Replay::Calls => {
            for message in messages {
                call_again(settings, client, message)?;
            }
            reply(&Joined { messages: &[], missed })
        }
    }
}

/// Sends a message to one client as it was sent to the group.
fn call_again(settings: &Settings, client: &Connection, message: &Kept) -> Result<(), Error> {
    let Some(arguments) = &message.arguments else { return Ok(()) };
    let arguments = match settings.ids {
        Ids::Append => with_id(arguments.get(), message.id)?,
        Ids::None => arguments.get().to_owned(),
    };
    hub::act(Action::Send(hub::Message {
        to: Target::Connection(client.id.clone()),
        method: message.method.clone(),
        arguments: Payload::Json(arguments),
        except: Vec::new(),
    }))
}

fn leave(client: &Connection, arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    hub::leave(client, &group)?;
    done()
}

/// Tells a group who says what. The message is kept where all messages are: on its way through the filters.
fn send(settings: &Settings, client: &Connection, arguments: &Arguments) -> Reply {
    let mut arguments: Vec<Value> = arguments.parse()?;
    let Some(Value::String(group)) = arguments.first().cloned() else {
        return reject("Wrong arguments: the first one is the group's name.");
    };
    admit(settings, client, &group)?;
    arguments.insert(1, client.user_id.clone().into());
    hub::send_group(&group, &settings.message, &arguments)?;
    done()
}

/// Lets a client use a group, if it is one that is kept and the client's token names it where it has to.
fn admit(settings: &Settings, client: &Connection, group: &str) -> Result<(), Error> {
    let is_named = |claim: &String| {
        let claims = connections::claims(&client.id).unwrap_or_default();
        claims.iter().any(|pair| pair.name == *claim && pair.value == group)
    };
    match settings.keeps(group) && settings.claim.as_ref().is_none_or(is_named) {
        true => Ok(()),
        false => reject(format!("The group '{group}' is not open to you.")),
    }
}

fn keep(settings: &Settings, delivery: &Delivery, message: &Message) -> Result<Verdict, Error> {
    let (Kind::Invocation, Some(method), Some(content)) = (message.kind, &message.target, &message.content) else {
        return Ok(Verdict::Pass);
    };
    let groups = delivery.to.iter().filter_map(|target| match target {
        Target::Group(group) if settings.keeps(group) => Some(group),
        _ => None,
    });
    let mut id = None;
    for group in groups {
        let Payload::Json(arguments) = content else {
            return fail("it is MessagePack: `plugins.NAME.payload` has to be \"json\"");
        };
        id = Some(Ring::of(settings, &delivery.hub, group).add(context::now(), method, arguments)?);
    }
    match (settings.ids, id, content, delivery.to.len()) {
        (Ids::Append, Some(id), Payload::Json(arguments), 1) => Ok(Verdict::Replace(Message {
            kind: message.kind,
            target: message.target.clone(),
            content: Some(Payload::Json(with_id(arguments, id)?)),
            error: None,
        })),
        _ => Ok(Verdict::Pass),
    }
}

/// The arguments of a call, and one more.
fn with_id(arguments: &str, id: u64) -> Result<String, Error> {
    let id = RawValue::from_string(id.to_string()).map_err(|error| Error::Failed(error.to_string()))?;
    let mut all: Vec<&RawValue> =
        serde_json::from_str(arguments).map_err(|error| Error::Failed(format!("arguments are no array: {error}")))?;
    all.push(&id);
    serde_json::to_string(&all).map_err(|error| Error::Failed(error.to_string()))
}

fn with_settings<T>(action: impl FnOnce(&Settings) -> Result<T, Error>) -> Result<T, Error> {
    SETTINGS.with(|cell| match cell.get() {
        Some(settings) => action(settings),
        None => fail("the instance has not begun"),
    })
}

hubgate_plugin::export!(History);
hubgate_plugin::export_outbound_filter!(History, beside handler);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_more_argument_and_the_others_keep_their_text() {
        assert_eq!(with_id("[]", 7).unwrap(), "[7]");
        assert_eq!(with_id(" [ 1.50, {\"a\" : 1} ] ", 7).unwrap(), "[1.50,{\"a\" : 1},7]");
        with_id("{}", 7).unwrap_err();
    }
}
