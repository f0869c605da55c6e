//! A live poll: everybody votes once, and everybody sees the counts at once.

use hubgate_plugin::{Arguments, Connection, Error, Handler, Reply, config, hub, reject, reply, state};
use serde_json::{Map, Value, json};

struct Poll;

impl Handler for Poll {
    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            "vote" => vote(client, arguments.parse()?),
            "counts" => reply(&counts()?),
            "language" => reply("Rust"),
            unknown => reject(format!("There is no method '{unknown}'.")),
        }
    }
}

fn vote(client: Connection, (choice,): (String,)) -> Reply {
    if !choices().contains(&choice) {
        return reject(format!("There is no choice '{choice}'."));
    }
    let voter = client.user_id.unwrap_or(client.id);
    if !state::compare_and_set(&format!("vote/{voter}"), None, Some(choice.as_bytes()), None)? {
        return reject("You have voted already.");
    }
    state::increment(&format!("count/{choice}"), 1, None)?;
    let counts = counts()?;
    hub::send_all("counts", &[&counts])?;
    reply(&counts)
}

fn choices() -> Vec<String> {
    let choices = config::get("choices").unwrap_or("tea,coffee,water".to_owned());
    choices.split(',').map(|choice| choice.trim().to_owned()).collect()
}

fn counts() -> Result<Map<String, Value>, Error> {
    let count = |choice: String| Ok((choice.clone(), json!(state::get::<i64>(&format!("count/{choice}"))?.unwrap_or(0))));
    choices().into_iter().map(count).collect()
}

hubgate_plugin::export!(Poll);
