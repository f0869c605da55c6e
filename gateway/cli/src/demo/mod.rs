//! What `hubgate dev` serves by itself: a chat component and a page to try it.

/// The hub of the chat.
pub(crate) const HUB: &str = "chat";

/// Built from `examples/chat-rust`; a test builds it again and compares what it does.
pub(crate) const COMPONENT: &[u8] = include_bytes!("chat.wasm");

const TEXT: &str = "text/plain; charset=utf-8";

/// A document that the page leads to, as text.
macro_rules! document {
    ($name:literal) => {
        (concat!("/docs/", $name), TEXT, include_bytes!(concat!("../../../../docs/", $name)))
    };
}

/// Path, content type and content of each file of the page, and of the documents.
pub(crate) const PAGES: &[(&str, &str, &[u8])] = &[
    ("/index.html", "text/html; charset=utf-8", include_bytes!("index.html")),
    ("/chat.css", "text/css; charset=utf-8", include_bytes!("chat.css")),
    ("/chat.js", "text/javascript; charset=utf-8", include_bytes!("chat.js")),
    ("/connection.js", "text/javascript; charset=utf-8", include_bytes!("connection.js")),
    document!("admin-api.md"),
    document!("aspnet.md"),
    document!("cluster.md"),
    document!("compatibility.md"),
    document!("configuration.md"),
    document!("console.md"),
    document!("deploy.md"),
    document!("errors.md"),
    document!("filters.md"),
    document!("functions.md"),
    document!("hub-in-a-component.md"),
    document!("install.md"),
    document!("languages.md"),
    document!("languages/c.md"),
    document!("languages/go.md"),
    document!("languages/javascript.md"),
    document!("languages/python.md"),
    document!("languages/rust.md"),
    document!("languages/typescript.md"),
    document!("let-users-in.md"),
    document!("metrics.md"),
    document!("modes.md"),
    document!("move-from-azure.md"),
    document!("operations.md"),
    document!("plugin-test.md"),
    document!("plugins.md"),
    document!("proxy.md"),
    document!("ready-made-hubs.md"),
    document!("resource-logs.md"),
    document!("rest-api.md"),
    document!("runbooks.md"),
    document!("scaling.md"),
    document!("stateful-reconnect.md"),
    document!("telemetry.md"),
    document!("tutorial.md"),
    document!("webhooks.md"),
];
