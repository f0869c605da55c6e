//! What `hubgate dev` serves by itself: a chat component and a page to try it.

/// The hub of the chat.
pub(crate) const HUB: &str = "chat";

/// Built from `examples/chat-rust`; a test builds it again and compares what it does.
pub(crate) const COMPONENT: &[u8] = include_bytes!("chat.wasm");

/// Path, content type and content of each file of the page.
pub(crate) const PAGES: &[(&str, &str, &[u8])] = &[
    ("/index.html", "text/html; charset=utf-8", include_bytes!("index.html")),
    ("/chat.css", "text/css; charset=utf-8", include_bytes!("chat.css")),
    ("/chat.js", "text/javascript; charset=utf-8", include_bytes!("chat.js")),
    ("/connection.js", "text/javascript; charset=utf-8", include_bytes!("connection.js")),
];
