//! The filter: it hides a word in what clients send, and in what they are sent.

use hubgate_plugin::filter::{Delivery, Filter, Message, Verdict};
use hubgate_plugin::{Connection, Payload};

struct Plugin;

impl Filter for Plugin {
    fn inbound(_: Connection, message: Message) -> Verdict {
        inspect(message)
    }

    fn outbound(_: Delivery, message: Message) -> Verdict {
        inspect(message)
    }
}

fn inspect(mut message: Message) -> Verdict {
    let mut is_changed = false;
    let content = match &mut message.content {
        Some(Payload::Json(text)) => Some(text),
        // The other kind comes to plugins with `payload = "native"` alone.
        Some(Payload::Msgpack(_)) | None => None,
    };
    for text in content.into_iter().chain(&mut message.error) {
        if let Some(hidden) = hide(text) {
            *text = hidden;
            is_changed = true;
        }
    }
    match is_changed {
        true => Verdict::Replace(message),
        false => Verdict::Pass,
    }
}

/// `None` if there is nothing to hide.
fn hide(text: &str) -> Option<String> {
    text.contains("secret").then(|| text.replace("secret", "******"))
}

hubgate_plugin::export_filter!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_replaced_wherever_it_stands() {
        assert_eq!(hide("[\"a secret\", \"secrets\"]").as_deref(), Some("[\"a ******\", \"******s\"]"));
        assert_eq!(hide("[\"nothing\"]"), None);
    }
}
