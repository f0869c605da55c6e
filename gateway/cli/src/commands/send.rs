//! `hubgate send`: calls a method of clients of a running gateway.

use serde_json::{Value, json};

use super::admin_client::{AdminClient, AdminOptions, percent_encode};
use super::plugin_test::shown;
use crate::{Failure, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The hub.
    hub: String,
    /// The method of the clients.
    method: String,
    /// Its arguments: each in JSON; what is no JSON is a text.
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Only to the connections of this user.
    #[arg(long, value_name = "USER", group = "to")]
    user: Option<String>,
    /// Only to those in this group.
    #[arg(long, value_name = "GROUP", group = "to")]
    group: Option<String>,
    /// Only to the connection with this id.
    #[arg(long, value_name = "ID", group = "to")]
    id: Option<String>,
    #[command(flatten)]
    gateway: AdminOptions,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(asked: &Arguments) -> Result<(), Failure> {
    let arguments: Vec<Value> = asked.arguments.iter().map(|text| argument(text)).collect();
    let body = json!({ "to": to(asked), "method": asked.method, "arguments": arguments });
    let path = format!("/admin/hubs/{}/send", percent_encode(&asked.hub));
    let answer = AdminClient::new(&asked.gateway)?.post_json(&path, &body)?;
    if asked.json {
        return print(answer);
    }
    let recipients = answer["recipients"].as_u64().unwrap_or_default();
    let connections = if recipients == 1 { "connection" } else { "connections" };
    print(format_args!("{} was sent to {recipients} {connections} of hub {}", shown(&asked.method), shown(&asked.hub)))
}

fn to(Arguments { user, group, id, .. }: &Arguments) -> Value {
    match (user, group, id) {
        (Some(user), ..) => json!({ "user": user }),
        (None, Some(group), _) => json!({ "group": group }),
        (None, None, Some(id)) => json!({ "connection": id }),
        (None, None, None) => json!("all"),
    }
}

fn argument(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_a_text() {
        for (text, value) in [
            ("1", json!(1)),
            ("\"1\"", json!("1")),
            ("{\"a\":[null]}", json!({ "a": [null] })),
            ("hello there", json!("hello there")),
            ("", json!("")),
            ("{", json!("{")),
        ] {
            assert_eq!(argument(text), value, "{text}");
        }
    }
}
