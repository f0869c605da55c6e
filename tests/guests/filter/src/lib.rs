//! The filter that the gateway's tests drive. What it does with a message, the message's first argument says: the name of a
//! verdict or of a mishap, alone or behind `in:` or `out:` for one way only. A call whose first argument is `mark` gets the
//! value of the configuration's key `mark` for one more argument. Everything else passes.

use hubgate_plugin::filter::{Delivery, Filter, Message, Origin, Verdict};
use hubgate_plugin::http::{self, Request};
use hubgate_plugin::{Connection, Payload, config, hub, log};
use serde_json::{Value, json};

struct Probe;

impl Filter for Probe {
    fn inbound(client: Connection, message: Message) -> Verdict {
        match wish(&message, "in:").as_deref() {
            Some("tell") => {
                hub::send_all("seen", &(&client.user_id, &message.target)).expect("it can be sent");
                Verdict::Pass
            }
            wish => verdict(wish, message),
        }
    }

    fn outbound(delivery: Delivery, message: Message) -> Verdict {
        match wish(&message, "out:").as_deref() {
            Some("whence") => {
                let origin = match delivery.from {
                    Origin::HubServer(_) => "hub-server".to_owned(),
                    Origin::Plugin(name) => format!("plugin {name}"),
                    Origin::Webhook => "webhook".to_owned(),
                    Origin::Rest => "rest".to_owned(),
                    Origin::Management => "management".to_owned(),
                };
                replaced(message, json!([origin, delivery.to.len()]))
            }
            wish => verdict(wish, message),
        }
    }
}

/// The first argument, or the text of a result, less the way that it is for.
fn wish(message: &Message, way: &str) -> Option<String> {
    let Some(Payload::Json(text)) = &message.content else { return None };
    let text = match serde_json::from_str(text).ok()? {
        Value::Array(items) => items.into_iter().next()?.as_str()?.to_owned(),
        Value::String(text) => text,
        _ => return None,
    };
    Some(text.strip_prefix(way).map(str::to_owned).unwrap_or(text))
}

fn verdict(wish: Option<&str>, message: Message) -> Verdict {
    match wish {
        Some("reject") => Verdict::Reject("The filter says no.".to_owned()),
        Some("drop") => Verdict::Drop,
        Some("close") => Verdict::Close("The filter has had enough.".to_owned()),
        Some("trap") => core::arch::wasm32::unreachable(),
        Some("spin") => loop {
            std::hint::black_box(0);
        },
        Some("nonsense") => Verdict::Replace(Message { content: Some(Payload::Json("{".to_owned())), ..message }),
        Some("mark") => {
            let Some(Payload::Json(text)) = &message.content else { return Verdict::Pass };
            let mut arguments: Vec<Value> = serde_json::from_str(text).expect("an array");
            arguments.push(config::get("mark").unwrap_or_default().into());
            replaced(message, Value::Array(arguments))
        }
        Some("fetch") => {
            let url = config::get("url").unwrap_or_default();
            let request =
                Request { method: "GET".to_owned(), url, headers: Vec::new(), body: Vec::new(), timeout_ms: None };
            let answer = match http::send(&request) {
                Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
                Err(error) => format!("{error:?}"),
            };
            replaced(message, json!(["fetched", answer]))
        }
        Some("chatter") => loop {
            log::write(log::Level::Debug, "again", &[]);
        },
        _ => Verdict::Pass,
    }
}

fn replaced(message: Message, content: Value) -> Verdict {
    Verdict::Replace(Message { content: Some(Payload::Json(content.to_string())), ..message })
}

hubgate_plugin::export_filter!(Probe);
