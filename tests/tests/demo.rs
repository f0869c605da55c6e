//! `hubgate dev`: what a newcomer gets without any configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use http::Method;
use hubgate_tests::client::Connecting;
use hubgate_tests::command::repository;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

#[tokio::test]
async fn without_arguments_a_page_is_served_that_needs_nothing_from_elsewhere() {
    let gateway = Gateway::dev([]).start().await;
    let page = gateway.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
    let files = references(&page.body);
    assert!(files.len() >= 2, "a script and a style at least: {files:?}");
    for file in files {
        assert!(!file.contains(':') && !file.starts_with("//"), "{file} is somewhere else");
        let answer = gateway.get(&format!("/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        let expected = if file.ends_with(".css") { "text/css" } else { "text/javascript" };
        assert!(answer.header("content-type").starts_with(expected), "{file}: {:?}", answer.headers);
    }
    assert_eq!(gateway.get("/nothing").await.status, 404);
    assert_eq!(gateway.post("/").await.status, 405);
}

#[tokio::test]
async fn a_page_may_ask_how_its_hub_and_its_component_are_and_only_one_of_dev() {
    let gateway = Gateway::dev([]).start().await;
    let mut ann = enter(&gateway).await;
    ann.call("join", json!(["tea", "Ann"])).await.expect("the room is open");
    let answer = gateway.get("/hubgate/status?hub=chat").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.body);
    let (status, plugin) = (answer.json(), &answer.json()["plugins"][0]);
    assert_eq!((&status["clients"], &plugin["name"], &plugin["generation"]), (&json!(1), &json!("chat"), &json!(1)));
    assert!(plugin["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{plugin}");
    assert!(plugin["calls"].as_u64().is_some_and(|calls| calls >= 2), "connected and join: {plugin}");
    assert!(plugin["halfWithinMicroseconds"].is_u64() && plugin["secondsSinceLoaded"].is_u64(), "{plugin}");
    let other = gateway.get("/hubgate/status?hub=other").await;
    assert_eq!(other.status, 404, "nobody uses it: {}", other.body);
    assert!(other.body.contains("names no hub of this name"), "{}", other.body);
    assert_eq!(gateway.get("/hubgate/status").await.status, 400);
    assert_eq!(Gateway::probe().start().await.get("/hubgate/status?hub=probe").await.status, 404);
}

#[tokio::test]
async fn the_page_leads_to_documents_that_it_has() {
    let gateway = Gateway::dev([]).start().await;
    let page = gateway.get("/").await.body;
    let links: Vec<&str> = page.split("href=\"docs/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() > 5, "{links:?}");
    let names = ["", "languages/"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(repository().join("docs").join(folder)).expect("it can be listed");
        let name = move |entry: fs::DirEntry| format!("{folder}{}", entry.file_name().to_string_lossy());
        entries.map(move |entry| name(entry.expect("it can be listed")))
    });
    // They lead to each other.
    for name in names.filter(|name| name.ends_with(".md")) {
        let answer = gateway.get(&format!("/docs/{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.header("content-type").starts_with("text/plain"), "{name}: {:?}", answer.headers);
    }
    for name in links {
        assert_eq!(gateway.get(&format!("/docs/{name}")).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_page_that_makes_its_name_point_here_gets_nothing() {
    let gateway = Gateway::dev([]).start().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::POST, "/hubs/chat/negotiate"),
        (Method::POST, "/client/negotiate?hub=chat"),
        (Method::GET, "/api/health"),
    ] {
        let host = format!("rebound.example:{}", gateway.address().port());
        let answer = gateway.request(method, path).header("host", &host).send().await;
        assert_eq!(answer.status, 421, "{path}: {}", answer.body);
    }
    assert_eq!(gateway.request(Method::GET, "/").header("host", "localhost:1").send().await.status, 200);
    assert_eq!(gateway.request(Method::GET, "/healthz").header("host", "rebound.example").send().await.status, 200);
}

#[tokio::test]
async fn two_clients_chat_without_any_token_of_their_own() {
    let gateway = Gateway::dev([]).start().await;
    let mut ann = enter(&gateway).await;
    let mut bob = enter(&gateway).await;
    let greeting = ann.call("join", json!(["tea", "Ann"])).await.expect("the room is open");
    assert!(greeting.as_str().is_some_and(|greeting| greeting.contains("Ann")), "{greeting}");
    bob.call("join", json!(["tea", "Bob"])).await.expect("the room is open");
    assert_eq!(ann.event("joined").await, json!(["tea", "Bob"]));
    bob.call("say", json!(["tea", "Hello!"])).await.expect("it answers");
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.event("said").await, json!(["tea", "Bob", "Hello!"]));
    }
    bob.leave().await;
    assert_eq!(ann.event("left").await, json!(["tea", "Bob"]));
}

#[tokio::test]
async fn the_embedded_chat_does_what_the_one_does_that_is_built_from_its_sources() {
    let built = guests::chat().display().to_string();
    let embedded = Gateway::dev([]).start().await;
    let rebuilt = Gateway::dev(["--plugin", &built, "--hub", "chat"]).start().await;
    assert_eq!(conversation(&embedded).await, conversation(&rebuilt).await);
}

#[tokio::test]
async fn the_chat_in_javascript_does_what_the_one_in_rust_does() {
    let in_rust = Gateway::dev([]).start().await;
    let in_javascript = guests::chat_js().display().to_string();
    let in_javascript = Gateway::dev(["--plugin", &in_javascript, "--hub", "chat"]).start().await;
    // The languages have words of their own for arguments that do not fit.
    let told = async |gateway| {
        let mut told = conversation(gateway).await;
        told.retain(|message| !message["error"].as_str().is_some_and(|error| error.contains("rgument")));
        told
    };
    let expected = told(&in_rust).await;
    assert_eq!(told(&in_javascript).await, expected);
    assert!(expected.len() > 10, "a whole conversation: {expected:?}");
}

#[tokio::test]
async fn names_of_all_alphabets_come_back_as_they_were() {
    for chat in [guests::chat(), guests::chat_js()] {
        let gateway = Gateway::dev(["--plugin", &chat.display().to_string(), "--hub", "chat"]).start().await;
        let mut ann = enter(&gateway).await;
        for name in ["Ann", "Ärger", "日本", "🦀🎉", "a\u{7ff}\u{800}\u{ffff}\u{10000}"] {
            ann.call("join", json!(["tea", name])).await.expect("the room is open");
            ann.call("say", json!(["tea", name])).await.expect("it answers");
            assert_eq!(ann.event("said").await, json!(["tea", name, name]));
        }
        assert_eq!(ann.call("rooms", json!([])).await, Ok(json!(["tea"])));
    }
}

#[tokio::test]
async fn the_hub_of_a_plugin_is_open_and_others_are_in_the_mode_that_is_asked_for() {
    let probe = guests::probe().display().to_string();
    let gateway = Gateway::dev(["--plugin", &probe, "--hub", "probe"]).start().await;
    let token = anonymous_token(&gateway, "probe").await;
    let mut client = gateway.client("probe").token(&token).connect().await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
    let refused = gateway.client("other").refused().await;
    assert!(refused.contains("'Default' service mode"), "{refused}");
    assert_eq!(gateway.post("/hubs/other/negotiate").await.status, 403);

    let gateway = Gateway::dev(["--plugin", &probe, "--hub", "probe", "--mode", "serverless"]).start().await;
    gateway.client("other").connect().await;
}

#[tokio::test]
async fn it_says_what_it_serves() {
    let gateway = Gateway::dev([]).start().await;
    let printed = gateway.printed();
    for part in [&gateway.ready().connection_string, &gateway.url(), "chat", &gateway.ready().admin_token] {
        assert!(printed.contains(part), "{part} is not in: {printed}");
    }
}

#[tokio::test]
async fn the_access_key_is_made_once_and_kept_private() {
    let mut gateway = Gateway::dev([]).start().await;
    let key = gateway.key().to_owned();
    assert!(key.len() >= 32, "it cannot be guessed");
    let data = gateway.folder().join("hubgate-data");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data).expect("it is a folder").map(|file| file.expect("it is there")).collect();
    let holds_key = |file: &fs::DirEntry| fs::read_to_string(file.path()).is_ok_and(|content| content.contains(&key));
    let file = files.iter().find(|file| holds_key(file)).expect("the key is kept");
    assert_eq!(mode(&file.path()), 0o600);

    gateway.restart().await;
    assert_eq!(gateway.key(), key);
    let another = Gateway::dev([]).start().await;
    assert_ne!(another.key(), key, "every installation has its own");
}

#[tokio::test]
async fn a_folder_may_be_served_and_nothing_outside_of_it() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let www = folder.path().join("www");
    fs::create_dir_all(www.join("sub")).expect("it can be written");
    fs::write(www.join("index.html"), "<!doctype html>here").expect("it can be written");
    fs::write(www.join("sub/index.html"), "below").expect("it can be written");
    fs::write(www.join("app.mjs"), "export {}").expect("it can be written");
    fs::write(folder.path().join("secret.txt"), "secret").expect("it can be written");
    std::os::unix::fs::symlink(folder.path().join("secret.txt"), www.join("link.txt")).expect("it can be written");

    let gateway = Gateway::dev(["--www", &www.display().to_string()]).start().await;
    assert_eq!(gateway.get("/").await.body, "<!doctype html>here");
    assert_eq!(gateway.get("/sub/").await.body, "below");
    assert!(gateway.get("/app.mjs").await.header("content-type").starts_with("text/javascript"));
    for path in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//secret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/link.txt",
        "/%00",
        "/%ff",
        "/etc/passwd",
        "//etc/passwd",
    ] {
        let answer = gateway.get(path).await;
        assert!(!answer.body.contains("secret") && !answer.body.contains("root:"), "{path}: {}", answer.body);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
}

#[test]
fn both_pages_differ_in_their_connection_only() {
    let embedded = repository().join("gateway/cli/src/demo");
    let on_npm = repository().join("examples/chat-rust/www");
    for file in ["chat.css", "chat.js"] {
        let [embedded, on_npm] = [&embedded, &on_npm].map(|folder| fs::read_to_string(folder.join(file)).expect(file));
        assert!(embedded == on_npm, "{file} of gateway/cli/src/demo and of examples/chat-rust/www differ");
    }
}

/// What a page refers to: its scripts, styles and pictures, but not where its links lead.
fn references(page: &str) -> Vec<&str> {
    let of = |tag: &'static str, attribute: &'static str| {
        page.split(tag).skip(1).filter_map(move |rest| {
            let inside = rest.split('>').next()?;
            inside.split(attribute).nth(1)?.split('"').next()
        })
    };
    let all = of("<script", "src=\"").chain(of("<link", "href=\"")).chain(of("<img", "src=\""));
    all.filter(|reference| !reference.starts_with("data:")).collect()
}

/// The token that anybody is given for `hub`.
async fn anonymous_token(gateway: &Gateway, hub: &str) -> String {
    let answer = gateway.post(&format!("/hubs/{hub}/negotiate?negotiateVersion=1")).await.json();
    answer["accessToken"].as_str().expect("anybody is let in").to_owned()
}

async fn enter(gateway: &Gateway) -> Client {
    let token = anonymous_token(gateway, "chat").await;
    let connecting: Connecting = gateway.client("chat").token(&token);
    connecting.connect().await
}

/// All that two clients of the chat are told in one conversation.
async fn conversation(gateway: &Gateway) -> Vec<Value> {
    let mut ann = enter(gateway).await;
    let mut bob = enter(gateway).await;
    let mut told = Vec::new();
    for (speaker, method, arguments) in [
        (0, "join", json!(["tea", "Ann"])),
        (1, "join", json!(["tea", "Bob"])),
        (1, "say", json!(["tea", "Hello!"])),
        (0, "say", json!(["another room", "unheard"])),
        (0, "join", json!([" ", "Ann"])),
        (0, "join", json!(["tea"])),
        (1, "leave", json!(["tea"])),
        (1, "leave", json!(["tea"])),
        (1, "say", json!(["tea", "unheard"])),
        (0, "dance", json!([])),
    ] {
        let client = if speaker == 0 { &mut ann } else { &mut bob };
        told.push(client.call_raw(method, arguments).await);
    }
    for client in [&mut ann, &mut bob] {
        // The answer to a method that nobody knows marks the end.
        let id = client.start_call("the end", json!([])).await;
        loop {
            let message = client.message().await;
            if message["invocationId"] == id.as_str() {
                break;
            }
            told.push(message);
        }
    }
    told
}
