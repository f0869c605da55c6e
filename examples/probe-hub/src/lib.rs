//! The component by which the gateway's tests drive what a whole hub can do. Each ability has a module of its own.

mod asks;
mod presence;
mod sign_in;
mod streams;
mod timers;

use hubgate_plugin::authorizer::{Grant, Refusal, Request};
use hubgate_plugin::presence::Member;
use hubgate_plugin::streams::{Item, Opening, Room, Stream};
use hubgate_plugin::{Arguments, Connection, Error, Handler, Hub, Reply, reject, reply};

struct ProbeHub;

impl Handler for ProbeHub {
    fn connected(client: Connection) -> Result<(), Error> {
        asks::connected(&client)
    }

    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        const ABILITIES: [fn(&Connection, &str, &Arguments) -> Option<Reply>; 4] =
            [streams::invoke, asks::invoke, timers::invoke, presence::invoke];
        match method {
            "version" => reply(env!("PROBE_VERSION")),
            _ => ABILITIES
                .iter()
                .find_map(|invoke| invoke(&client, method, &arguments))
                .unwrap_or_else(|| reject(format!("The probe has no method '{method}'."))),
        }
    }
}

impl Hub for ProbeHub {
    fn begin(_: Connection, method: &str, arguments: Arguments, opening: Opening) -> Result<(), Error> {
        streams::begin(method, &arguments, opening)
    }

    fn writable(_: Connection, stream: Stream, _: Room) {
        streams::writable(&stream);
    }

    fn cancelled(client: Connection, stream: Stream) {
        streams::cancelled(&client, &stream);
    }

    fn item(_: Connection, upload: &str, item: Item) -> Result<(), Error> {
        streams::item(upload, &item)
    }

    fn ended(_: Connection, upload: &str, error: Option<String>) -> Result<(), Error> {
        streams::ended(upload, error)
    }

    fn fired(_: &str, timer: &str, payload: Vec<u8>) -> Result<(), Error> {
        streams::fired(timer, &payload).unwrap_or_else(|| timers::fired(timer, &payload))
    }

    fn started(_: &str) -> Result<(), Error> {
        timers::started()
    }

    fn authorize(request: Request) -> Result<Grant, Refusal> {
        sign_in::authorize(&request)
    }

    fn presence_changed(_: &str, group: &str, joined: Vec<Member>, left: Vec<Member>) -> Result<(), Error> {
        presence::changed(group, &joined, &left)
    }
}

hubgate_plugin::export_hub!(ProbeHub);
