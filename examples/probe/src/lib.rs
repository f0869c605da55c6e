//! The component that the gateway's tests drive: one method for each thing that a handler can do, good or bad.

use std::time::Duration;

use hubgate_plugin::{
    Arguments, Connection, Error, Handler, RawValue, Reply, connections, context, done, hub, reject,
    reply, state,
};
use serde_json::{Map, Value, json};

struct Probe;

impl Handler for Probe {
    fn connected(client: Connection) -> Result<(), Error> {
        match client.user_id.as_deref() {
            Some("refuse-me") => reject("You are not welcome."),
            _ => Ok(()),
        }
    }

    fn disconnected(_: Connection, _: Option<String>) -> Result<(), Error> {
        count("gone").map(drop)
    }

    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            "echo" => reply(arguments.parse::<(&RawValue,)>()?.0),
            "version" => reply(env!("PROBE_VERSION")),
            // The version at both ends of a wait: in a message to the caller before it, and in the answer.
            "versions" => {
                let (number,): (&RawValue,) = arguments.parse()?;
                let said = (env!("PROBE_VERSION"), number);
                hub::send(hub::Target::Connection(client.id.clone()), "said", &said, Vec::new())?;
                hub::flush();
                let _ = hub::exists(&hub::Target::All);
                reply(&(env!("PROBE_VERSION"), number))
            }
            "fail" => reject(arguments.parse::<(String,)>()?.0),
            "trap" => trap(),
            "spin" => spin(),
            "grow" => grow(),
            "say" => said(hub::Target::All, arguments.parse::<(&RawValue,)>()?.0),
            "sayAndFail" => {
                let (text,): (&RawValue,) = arguments.parse()?;
                said(hub::Target::All, text)?;
                reject(arguments.parse::<(String,)>()?.0)
            }
            "sayAndTrap" => {
                said(hub::Target::All, arguments.parse::<(&RawValue,)>()?.0)?;
                trap()
            }
            "join" => hub::join(&client.id, &arguments.parse::<(String,)>()?.0).and_then(|()| done()),
            "leave" => hub::leave(&client.id, &arguments.parse::<(String,)>()?.0).and_then(|()| done()),
            "sayTo" => {
                let (group, text): (String, &RawValue) = arguments.parse()?;
                said(hub::Target::Group(group), text)
            }
            "tell" => {
                let (user, text): (String, &RawValue) = arguments.parse()?;
                said(hub::Target::User(user), text)
            }
            "sayToConnection" => {
                let (id, text): (String, &RawValue) = arguments.parse()?;
                said(hub::Target::Connection(id), text)
            }
            "whoami" => reply(&whoami(&client)),
            "headers" => {
                let headers = context::message_headers().into_iter();
                reply(&Value::Object(headers.map(|header| (header.name, header.value.into())).collect()))
            }
            "count" => reply(&count(&arguments.parse::<(String,)>()?.0)?),
            "keep" => {
                let (key, text, milliseconds): (String, String, Option<u64>) = arguments.parse()?;
                state::set_bytes(&key, text, milliseconds.map(Duration::from_millis)).and_then(|()| done())
            }
            "kept" => reply(&state::get_bytes(&arguments.parse::<(String,)>()?.0)?.map(text)),
            "keptKeys" => reply(&state::keys(&arguments.parse::<(String,)>()?.0, None, 1_000)?),
            "swap" => {
                let (key, expected, value): (String, Option<String>, Option<String>) = arguments.parse()?;
                let [expected, value] = [&expected, &value].map(|text| text.as_deref().map(str::as_bytes));
                reply(&state::compare_and_set(&key, expected, value, None)?)
            }
            "quit" => hub::close(&client.id, &arguments.parse::<(String,)>()?.0, false).and_then(|()| done()),
            unknown => reject(format!("The probe has no method '{unknown}'.")),
        }
    }
}

fn said(to: hub::Target, text: &RawValue) -> Reply {
    hub::send(to, "said", &(text,), Vec::new())?;
    done()
}

fn trap() -> Reply {
    core::arch::wasm32::unreachable()
}

fn spin() -> Reply {
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn grow() -> Reply {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

/// The claims of a name that stands once are a text, of one that repeats a list.
fn whoami(client: &Connection) -> Value {
    let mut claims = Map::new();
    for pair in connections::claims(&client.id).unwrap_or_default() {
        match claims.get_mut(&pair.name) {
            None => {
                claims.insert(pair.name, pair.value.into());
            }
            Some(Value::Array(values)) => values.push(pair.value.into()),
            Some(first) => *first = json!([first.take(), pair.value]),
        }
    }
    json!({ "connectionId": client.id, "userId": client.user_id, "claims": claims })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn count(key: &str) -> Result<i64, Error> {
    state::increment(key, 1, None)
}

hubgate_plugin::export!(Probe);
