//! What ASP.NET SignalR brings from outside: what hub servers wrap, what clients name and say, and forms.

use hubgate_wire::aspnet::{self, ConnectionToken, Version};

/// The same bytes for each of its readers.
pub fn aspnet(bytes: &[u8]) {
    let texts = aspnet::unwrap(bytes).unwrap_or_else(|_| bytes.split(|byte| *byte == b'\n').collect());
    let mut with_cursors = Vec::new();
    for text in texts {
        match aspnet::with_cursor(text, "0-1-2") {
            Some(made) => {
                assert_eq!(aspnet::cursor_of(&made), Some("0-1-2"), "the cursor is found");
                with_cursors.push(made);
            }
            None => with_cursors.push(text.to_vec()),
        }
        if let Some(call) = aspnet::call_of(text) {
            assert!(call.target.contains('.') && call.arguments.is_array());
        }
    }
    let mut left = &with_cursors[..];
    while !left.is_empty() {
        let (answer, taken) = aspnet::merge(left);
        assert!(taken >= 1, "each answer has one message at least");
        if taken > 1 {
            assert!(aspnet::cursor_of(&answer).is_some(), "messages with cursors are one with a cursor");
            assert!(left[..taken].iter().any(|text| !is_json(text)) || is_json(&answer), "JSON stays JSON");
        }
        left = &left[taken..];
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(hubs) = aspnet::hubs(text) {
        assert!(hubs.is_sorted() && hubs.len() <= aspnet::MOST_HUBS);
    }
    if let Ok(token) = ConnectionToken::parse(text) {
        assert_eq!(ConnectionToken::parse(&token.expose()).ok(), Some(token));
    }
    let query = aspnet::hub_query(text);
    assert!(aspnet::form_value(query.as_bytes(), "access_token").is_none(), "no hub sees the token");
    assert!(aspnet::form_value(bytes, "data").is_none_or(|data| data.len() <= 3 * bytes.len()));
    let _ = Version::of(Some(text)).has_start();
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok()
}
