//! The handler of the conformance suite: see README.md above.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubgate_plugin::http::Request;
use hubgate_plugin::{
    Arguments, Connection, Error, Handler, Reply, config, connections, context, done, fail, hub, log, reject, reply,
    state,
};
use serde_json::{Value, json};

struct Probe;

impl Handler for Probe {
    fn connected(client: Connection) -> Result<(), Error> {
        match client.user_id.as_deref() {
            Some("refuse-me") => reject("You are not welcome."),
            _ => Ok(()),
        }
    }

    fn disconnected(_: Connection, _: Option<String>) -> Result<(), Error> {
        state::increment("gone", 1, None).map(drop)
    }

    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            "echo" => reply(&arguments.parse::<(Value,)>()?.0),
            "add" => {
                let (a, b): (i64, i64) = arguments.parse()?;
                reply(&(a + b))
            }
            "length" => reply(&text(&arguments)?.chars().count()),
            "fail" => reject(text(&arguments)?),
            "failed" => fail(text(&arguments)?),
            "crash" => panic!("{}", text(&arguments)?),
            "spin" => spin(),
            "grow" => grow(),
            "raw" => Ok(Some(arguments.raw().clone())),
            "chance" => reply(&getrandom::u64().map_err(|error| Error::Failed(error.to_string()))?),
            "clock" => reply(&SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()),
            "fetch" => {
                let response = Request::get(&text(&arguments)?).send()?;
                reply(&json!({ "status": response.status, "body": String::from_utf8_lossy(&response.body) }))
            }
            _ => messages(client, method, arguments),
        }
    }
}

/// What is said to whom.
fn messages(client: Connection, method: &str, arguments: Arguments) -> Reply {
    let said = |text: String| (text,);
    match method {
        "say" => hub::send_all("said", &said(text(&arguments)?))?,
        "sayTo" => {
            let (group, text): (String, String) = arguments.parse()?;
            hub::send_group(&group, "said", &said(text))?;
        }
        "tell" => {
            let (user, text): (String, String) = arguments.parse()?;
            hub::send_user(&user, "said", &said(text))?;
        }
        "sayToConnection" => {
            let (id, text): (String, String) = arguments.parse()?;
            hub::send_connection(&id, "said", &said(text))?;
        }
        "sayToOthers" => hub::send(hub::Target::All, "said", &said(text(&arguments)?), vec![client.id])?,
        "sayAndFail" => {
            hub::send_all("said", &said(text(&arguments)?))?;
            return reject(text(&arguments)?);
        }
        "sayAndCrash" => {
            hub::send_all("said", &said(text(&arguments)?))?;
            panic!("{}", text(&arguments)?)
        }
        "sayFlushAndFail" => {
            hub::send_all("said", &said(text(&arguments)?))?;
            hub::flush();
            hub::send_all("said", &("late",))?;
            return reject(text(&arguments)?);
        }
        "join" => hub::join(&client, &text(&arguments)?)?,
        "joinUser" => {
            let (user, group): (String, String) = arguments.parse()?;
            hub::join(hub::user(&user), &group)?;
        }
        "leave" => hub::leave(&client, &text(&arguments)?)?,
        "leaveAll" => hub::leave_all(&client)?,
        "exists" => return reply(&hub::exists(&hub::Target::Group(text(&arguments)?))?),
        "quit" => hub::close(&client.id, &text(&arguments)?, false)?,
        _ => return memory(client, method, arguments),
    }
    done()
}

/// What is kept, and known.
fn memory(client: Connection, method: &str, arguments: Arguments) -> Reply {
    match method {
        "count" => reply(&state::increment(&text(&arguments)?, 1, None)?),
        "set" => {
            let (key, value, ttl): (String, String, Option<u64>) = arguments.parse()?;
            state::set_bytes(&key, value, ttl.map(Duration::from_millis))?;
            done()
        }
        "get" => {
            let value = state::get_bytes(&text(&arguments)?)?;
            reply(&value.map(|value| String::from_utf8_lossy(&value).into_owned()))
        }
        "swap" => {
            let (key, expected, value): (String, Option<String>, Option<String>) = arguments.parse()?;
            let bytes = |text: &Option<String>| text.clone().map(String::into_bytes);
            reply(&state::compare_and_set(&key, bytes(&expected).as_deref(), bytes(&value).as_deref(), None)?)
        }
        "delete" => {
            state::delete(&text(&arguments)?)?;
            done()
        }
        "keys" => reply(&state::keys(&text(&arguments)?, None, 1000)?),
        "setting" => reply(&config::get(&text(&arguments)?)),
        "note" => {
            log::info(&text(&arguments)?, &[("by", &client.id)]);
            done()
        }
        "context" => reply(&json!({
            "now": context::now(),
            "eventId": context::event_id(),
            "timeLeft": context::time_left(),
            "random": context::random(8),
        })),
        "whoami" => {
            let claims = connections::claims(&client.id).unwrap_or_default();
            reply(&json!({
                "connectionId": client.id,
                "userId": client.user_id,
                "hub": client.hub,
                "claims": claims.iter().map(|claim| [&claim.name, &claim.value]).collect::<Vec<_>>(),
                "query": connections::query(&client.id),
                "protocol": connections::protocol(&client.id),
                "address": connections::remote_address(&client.id),
            }))
        }
        unknown => reject(format!("There is no method '{unknown}'.")),
    }
}

fn text(arguments: &Arguments) -> Result<String, Error> {
    Ok(arguments.parse::<(String,)>()?.0)
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

hubgate_plugin::export!(Probe);
