//! Who is there.

use hubgate_plugin::hub::Target;
use hubgate_plugin::presence::{self, Member};
use hubgate_plugin::{Arguments, Connection, Error, Reply, done, hub, reply};

/// Members that one page has.
const PAGE: u32 = 1_000;

pub fn invoke(client: &Connection, method: &str, arguments: &Arguments) -> Option<Reply> {
    match method {
        "join" => Some(join(client, arguments)),
        "joinUser" => Some(join_user(arguments)),
        "leave" => Some(leave(client, arguments)),
        "unwatch" => Some(unwatch(arguments)),
        "who" => Some(who(arguments)),
        "whoAfter" => Some(who_after(arguments)),
        "connectionsOf" => Some(connections_of(arguments)),
        "howMany" => Some(how_many(arguments)),
        _ => None,
    }
}

/// All are told of how many have joined and left.
pub fn changed(group: &str, joined: &[Member], left: &[Member]) -> Result<(), Error> {
    hub::send_all("changed", &(group, joined.len(), left.len()))
}

fn join(client: &Connection, arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    presence::watch(&group)?;
    hub::join(&client.id, &group)?;
    done()
}

fn join_user(arguments: &Arguments) -> Reply {
    let (user, group): (String, String) = arguments.parse()?;
    presence::watch(&group)?;
    hub::join(hub::user(&user), &group)?;
    done()
}

fn leave(client: &Connection, arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    hub::leave(&client.id, &group)?;
    done()
}

fn unwatch(arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    presence::unwatch(&group)?;
    done()
}

fn who(arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    let mut all: Vec<String> = Vec::new();
    loop {
        let page = presence::members(&group, all.last().map(String::as_str), PAGE)?;
        if page.is_empty() {
            return reply(&all);
        }
        all.extend(page.into_iter().map(|member| member.connection));
    }
}

/// One page: each connection with its user.
fn who_after(arguments: &Arguments) -> Reply {
    let (group, after, limit): (String, Option<String>, u32) = arguments.parse()?;
    let page = presence::members(&group, after.as_deref(), limit)?;
    let page: Vec<_> = page.into_iter().map(|member| (member.connection, member.user_id)).collect();
    reply(&page)
}

fn connections_of(arguments: &Arguments) -> Reply {
    let (user, after, limit): (String, Option<String>, u32) = arguments.parse()?;
    reply(&presence::connections(&user, after.as_deref(), limit)?)
}

fn how_many(arguments: &Arguments) -> Reply {
    let (group,): (String,) = arguments.parse()?;
    reply(&presence::count(Target::Group(group))?)
}
