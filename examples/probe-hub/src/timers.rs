//! Acts later, and when a version begins to serve a hub.

use std::time::Duration;

use hubgate_plugin::timers::{self, Lifetime};
use hubgate_plugin::{Arguments, Connection, Error, Reply, done, fail, hub, reply, state};

/// How often `started` has run.
const STARTED: &str = "started";
/// How the payload of a timer of `later` begins; the text follows. Others have none.
const LATER: u8 = b'l';
/// What a timer's payload says that traps, or fails.
const TRAP: &[u8] = b"trap";
const FAIL: &[u8] = b"fail";

pub fn invoke(_: &Connection, method: &str, arguments: &Arguments) -> Option<Reply> {
    match method {
        "later" => Some(later(arguments)),
        "every" => Some(every(arguments, Lifetime::Durable)),
        "everyFast" => Some(every(arguments, Lifetime::Process)),
        "trapLater" => Some(bad(arguments, TRAP)),
        "failLater" => Some(bad(arguments, FAIL)),
        "stop" => Some(stop(arguments)),
        "timers" => Some(names()),
        "startedCount" => Some(started_count()),
        _ => None,
    }
}

pub fn fired(timer: &str, payload: &[u8]) -> Result<(), Error> {
    match payload {
        [LATER, text @ ..] => hub::send_all("said", &(String::from_utf8_lossy(text),)),
        TRAP => {
            state::increment(&format!("fired/{timer}"), 1, None)?;
            core::arch::wasm32::unreachable()
        }
        FAIL => fail("on purpose"),
        _ => {
            let ticks = state::increment(&format!("fired/{timer}"), 1, None)?;
            hub::send_all("ticked", &(timer, ticks))
        }
    }
}

pub fn started() -> Result<(), Error> {
    state::increment(STARTED, 1, None).map(drop)
}

fn later(arguments: &Arguments) -> Reply {
    let (name, milliseconds, text): (String, u64, String) = arguments.parse()?;
    let payload = [&[LATER], text.as_bytes()].concat();
    timers::after(&name, Duration::from_millis(milliseconds), payload, Lifetime::Process)?;
    done()
}

fn every(arguments: &Arguments, lifetime: Lifetime) -> Reply {
    let (name, milliseconds): (String, u64) = arguments.parse()?;
    timers::every(&name, Duration::from_millis(milliseconds), [], lifetime)?;
    done()
}

/// A timer whose call ends badly.
fn bad(arguments: &Arguments, how: &[u8]) -> Reply {
    let (name,): (String,) = arguments.parse()?;
    timers::after(&name, Duration::ZERO, how, Lifetime::Durable)?;
    done()
}

fn stop(arguments: &Arguments) -> Reply {
    let (name,): (String,) = arguments.parse()?;
    reply(&timers::cancel(&name)?)
}

fn names() -> Reply {
    let timers = timers::list(None, 1_000)?;
    reply(&timers.into_iter().map(|timer| timer.name).collect::<Vec<_>>())
}

fn started_count() -> Reply {
    reply(&state::increment(STARTED, 0, None)?)
}
