//! The filter of the conformance suite: see README.md above.

use hubgate_plugin::filter::{Delivery, Filter, Message, Verdict};
use hubgate_plugin::{Connection, Payload, config};
use serde_json::Value;

struct Probe;

impl Filter for Probe {
    fn inbound(_: Connection, message: Message) -> Verdict {
        look(message, "in:")
    }

    fn outbound(_: Delivery, message: Message) -> Verdict {
        look(message, "out:")
    }
}

fn look(message: Message, way: &str) -> Verdict {
    let Some(Payload::Json(text)) = &message.content else { return Verdict::Pass };
    let content: Value = serde_json::from_str(text).expect("the gateway gives JSON");
    let first = content.get(0).unwrap_or(&content);
    let wish = first.as_str().unwrap_or_default();
    match (wish.strip_prefix(way).unwrap_or(wish), content.as_array()) {
        ("reject", _) => Verdict::Reject("The filter says no.".to_owned()),
        ("drop", _) => Verdict::Drop,
        ("close", _) => Verdict::Close("The filter has had enough.".to_owned()),
        ("crash", _) => panic!("The filter crashes."),
        ("mark", Some(arguments)) => {
            let mark = Value::from(config::get("mark"));
            let marked: Value = arguments.iter().cloned().chain([mark]).collect();
            Verdict::Replace(Message { content: Some(Payload::Json(marked.to_string())), ..message })
        }
        _ => Verdict::Pass,
    }
}

hubgate_plugin::export_filter!(Probe);
