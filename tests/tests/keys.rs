//! Operators have access keys made anew while the gateway runs: the old one opens nothing any more, and whoever is connected stays.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use http::Method;
use hubgate_tests::command::{Finished, binary};
use hubgate_tests::gateway::{KEY, SECOND_KEY, Setup};
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, Token};
use serde_json::{Value, json};

const PLACES: [&str; 2] = ["primary", "secondary"];

/// What the admin listener answers to a request with this method.
async fn ask(gateway: &Gateway, method: Method, path: &str) -> Answer {
    Request::new(method, gateway.ready().admin, path).bearer(&gateway.ready().admin_token).send().await
}

/// Asked once nobody may be writing the file of the keys any more.
async fn regenerate(gateway: &Gateway, place: &str) -> Answer {
    let path = format!("/admin/keys/{place}:regenerate");
    let is_at_rest = |told: &Answer| !told.body.contains("it is being written: try again");
    let asked = async || Some(ask(gateway, Method::POST, &path).await).filter(is_at_rest);
    until("the file of the keys to come to rest", asked).await
}

/// The new key, in the connection string that the answer has.
async fn regenerated(gateway: &Gateway, place: &str) -> String {
    let answer = regenerate(gateway, place).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    assert_eq!(answer["key"], place, "{answer}");
    key_in(&answer["connectionString"])
}

fn key_in(connection_string: &Value) -> String {
    let text = connection_string.as_str().expect("it is text");
    let mut fields = text.split(';').filter_map(|field| field.strip_prefix("AccessKey="));
    fields.next().expect("a connection string has a key").to_owned()
}

/// The keys in the order in which they are listed.
async fn listed(gateway: &Gateway) -> Vec<String> {
    let listed = gateway.admin("/admin/keys").await;
    let keys = listed["keys"].as_array().expect("it is a list");
    assert!(keys.iter().zip(PLACES).all(|(key, place)| key["key"] == place), "{listed}");
    keys.iter().map(|key| key_in(&key["connectionString"])).collect()
}

/// What a client is answered that negotiates with a token signed with `key`.
async fn status(gateway: &Gateway, key: &str) -> u16 {
    let token = Token::new(&format!("{}/client/?hub=probe", gateway.url()), key).sign();
    gateway.request(Method::POST, "/client/negotiate?hub=probe").bearer(&token).send().await.status
}

/// `hubgate keys` with these words, told of the gateway by its ready file.
fn keys<const N: usize>(gateway: &Gateway, words: [&str; N]) -> Finished {
    let ready = gateway.folder().join("ready.json");
    let mut command = Command::new(binary());
    Finished::of(command.arg("keys").args(words).arg("--ready-file").arg(ready).env_remove("HUBGATE_ADMIN_TOKEN"))
}

#[tokio::test]
async fn a_key_that_was_made_anew_opens_nothing_at_once_and_the_new_one_does() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    assert_eq!(listed(&gateway).await, [KEY, SECOND_KEY]);
    for (place, other, old) in [("primary", SECOND_KEY, KEY), ("secondary", KEY, SECOND_KEY)] {
        let new = regenerated(&gateway, place).await;
        // Each request is a connection of its own, so that all shards are asked.
        for _ in 0..8 {
            assert_eq!([status(&gateway, old).await, status(&gateway, &new).await], [401, 200], "{place}");
        }
        assert_eq!(
            status(&gateway, other).await,
            if place == "primary" { 200 } else { 401 },
            "the first was made anew"
        );
    }
    let now = listed(&gateway).await;
    assert!(now.len() == 2 && now.iter().all(|key| key.len() == 64) && now[0] != now[1]);
    let config = fs::read_to_string(gateway.config_file()).expect("it is text");
    assert!(now.iter().all(|key| config.contains(key)) && !config.contains(KEY), "they last");
    let log = gateway.log();
    assert!(
        log.contains("operator=127.0.0.1") && log.contains("made anew") && log.contains("server.access-keys"),
        "{log}"
    );
    assert!(now.iter().map(String::as_str).chain([KEY, SECOND_KEY]).all(|key| !log.contains(key)), "keys are secrets");
}

#[tokio::test]
async fn whoever_is_connected_stays_on_every_transport() {
    let gateway = Gateway::probe().with("server.shards = 4\nhubs.served.mode = 'default'").start().await;
    let mut web_socket = gateway.client("probe").connect().await;
    let mut server = HubServer::connect(&gateway, "served", "s1").await;
    let polling = Polling::start(&gateway).await;
    for place in PLACES {
        regenerated(&gateway, place).await;
    }
    assert_eq!(web_socket.call("echo", json!(["here"])).await, Ok(json!("here")));
    // Four shards: as a rule these come over another one than the connection's.
    for round in 0..8 {
        assert_eq!(polling.call("echo", round).await, json!(round));
    }
    let token = Token::new(&format!("{}/client/?hub=served", gateway.url()), &listed(&gateway).await[0]).sign();
    let client = gateway.client("served").token(&token).try_open().await.expect("the new key opens it");
    let _served = server.let_in(client).await;
    assert_eq!(gateway.admin("/admin/hubs/served").await["serverConnections"], 1);

    let stranger = Polling { token: Token::new("x", KEY).sign(), ..polling.clone() };
    assert_eq!(stranger.poll().await.status, 401, "another token of the old key opens no connection, even a known one");
    let unknown = Polling { id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(), ..polling.clone() };
    assert_eq!(unknown.poll().await.status, 401, "the same token opens no other connection");
    assert_eq!(polling.ask(Method::DELETE).await.status, 202);
    assert_eq!(polling.poll().await.status, 401, "once the connection is over, its token opens nothing");
}

/// A client of the probe's hub that polls.
#[derive(Clone)]
struct Polling<'g> {
    gateway: &'g Gateway,
    token: String,
    id: String,
}

impl<'g> Polling<'g> {
    async fn start(gateway: &'g Gateway) -> Polling<'g> {
        let token = gateway.token("probe").sign();
        let negotiate = gateway.request(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1");
        let answer = negotiate.bearer(&token).send().await.json();
        let id = answer["connectionToken"].as_str().expect("version 1 has a token").to_owned();
        let polling = Polling { gateway, token, id };
        assert_eq!(polling.poll().await.status, 200);
        polling.post("{\"protocol\":\"json\",\"version\":1}\u{1e}").await;
        assert_eq!(polling.poll().await.body, "{}\u{1e}");
        polling
    }

    async fn ask(&self, method: Method) -> Answer {
        let path = format!("/client/?hub=probe&id={}", self.id);
        self.gateway.request(method, &path).bearer(&self.token).send().await
    }

    async fn poll(&self) -> Answer {
        self.ask(Method::GET).await
    }

    async fn post(&self, text: &str) {
        let path = format!("/client/?hub=probe&id={}", self.id);
        let request = self.gateway.request(Method::POST, &path).bearer(&self.token);
        let answer = request.body("text/plain;charset=UTF-8", text.to_owned()).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    async fn call(&self, method: &str, argument: impl Into<Value>) -> Value {
        let call = json!({ "type": 1, "invocationId": "1", "target": method, "arguments": [argument.into()] });
        self.post(&format!("{call}\u{1e}")).await;
        loop {
            let polled = self.poll().await;
            assert_eq!(polled.status, 200, "{}", polled.body);
            let messages = polled.body.split('\u{1e}').filter(|message| !message.is_empty());
            let messages = messages.map(|message| serde_json::from_str::<Value>(message).expect("it is JSON"));
            if let Some(completion) = messages.into_iter().find(|message| message["type"] == 3) {
                return completion["result"].clone();
            }
        }
    }
}

#[tokio::test]
async fn an_event_stream_goes_on_and_what_its_client_posts_is_heard() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    let negotiate = gateway.request(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1");
    let id = negotiate.bearer(&token).send().await.json()["connectionToken"].as_str().expect("it has one").to_owned();
    let client = Polling { gateway: &gateway, token: token.clone(), id: id.clone() };
    let mut stream = tokio::net::TcpStream::connect(gateway.address()).await.expect("it listens");
    let request = format!(
        "GET /client/?hub=probe&id={id} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n",
        gateway.address()
    );
    stream.write_all(request.as_bytes()).await.expect("it is read");
    let mut lines = BufReader::new(stream).lines();
    let mut heard = async |part: &str| {
        until("an event", async || {
            let line = lines.next_line().await.expect("it is readable").expect("it goes on");
            line.contains(part).then_some(())
        })
        .await;
    };
    client.post("{\"protocol\":\"json\",\"version\":1}\u{1e}").await;
    heard("data: {}").await;
    regenerated(&gateway, "primary").await;
    client.post("{\"type\":1,\"invocationId\":\"7\",\"target\":\"echo\",\"arguments\":[\"still here\"]}\u{1e}").await;
    heard("still here").await;
}

#[tokio::test]
async fn a_secondary_key_is_made_where_there_is_none_and_comments_and_order_stay() {
    let own = "# ours\n[server]\nshards = 2 # two\naccess-keys = [\n  'KEY', # signs\n]\ndata-dir = 'data'\n\n[admin]\nlisten = '127.0.0.1:0' # any\n";
    let own = own.replace("KEY", KEY);
    let gateway = Gateway::serve().with(&format!("server.access-keys = ['{KEY}']")).start().await;
    fs::write(gateway.config_file(), own.replace("'data'", &format!("'{}'", gateway.folder().join("data").display())))
        .expect("the folder can be written");
    fs::set_permissions(gateway.config_file(), PermissionsExt::from_mode(0o640)).expect("it is ours");
    let before = fs::read_to_string(gateway.config_file()).expect("it is text");
    let new = regenerated(&gateway, "secondary").await;
    assert_eq!(listed(&gateway).await, [KEY, &new]);
    let after = fs::read_to_string(gateway.config_file()).expect("it is text");
    assert_eq!(after, before.replace(&format!("'{KEY}', # signs"), &format!("'{KEY}', \"{new}\", # signs")));
    assert_eq!(fs::metadata(gateway.config_file()).expect("it is there").mode() & 0o777, 0o640);
    assert_eq!([status(&gateway, KEY).await, status(&gateway, &new).await], [200, 200]);
}

#[tokio::test]
async fn a_file_of_keys_is_written_whoever_names_it() {
    let by_configuration = Gateway::probe().with("server.access-keys = []\nserver.access-keys-file = 'keys'");
    let by_variable = Gateway::probe().with("server.access-keys = []").environment("HUBGATE_ACCESS_KEYS_FILE", "keys");
    for setup in [by_configuration, by_variable] {
        let gateway = setup.file("keys", &format!("# the first signs\n{KEY}\n")).start().await;
        let primary = regenerated(&gateway, "primary").await;
        let secondary = regenerated(&gateway, "secondary").await;
        let written = fs::read_to_string(gateway.folder().join("keys")).expect("it is text");
        assert_eq!(written, format!("# the first signs\n{primary}\n{secondary}\n"));
        let now = [status(&gateway, KEY).await, status(&gateway, &primary).await, status(&gateway, &secondary).await];
        assert_eq!(now, [401, 200, 200]);
    }
}

#[tokio::test]
async fn the_key_in_the_data_folder_changes_while_dev_runs_and_lasts() {
    let mut gateway = Gateway::dev([]).start().await;
    let (old, file) = (gateway.key().to_owned(), gateway.folder().join("hubgate-data/access-key"));
    let mut client = gateway.client("chat").connect().await;
    let secondary = regenerated(&gateway, "secondary").await;
    let primary = regenerated(&gateway, "primary").await;
    assert_eq!(fs::read_to_string(&file).expect("it is text"), format!("{primary}\n{secondary}\n"));
    assert_eq!(fs::metadata(&file).expect("it is there").mode() & 0o777, 0o600);
    let now = [status(&gateway, &old).await, status(&gateway, &primary).await, status(&gateway, &secondary).await];
    assert_eq!(now, [401, 200, 200]);
    client.call("join", json!(["lobby", "me"])).await.expect("it is still served");
    gateway.restart().await;
    assert_eq!(listed(&gateway).await, [primary, secondary]);
}

/// What an operator is told of a key that cannot become another one; nothing has changed.
async fn stays(setup: Setup, spoil: impl FnOnce(&Path)) -> String {
    let gateway = setup.start().await;
    spoil(gateway.folder());
    let answer = regenerate(&gateway, "primary").await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    let command = keys(&gateway, ["regenerate", "primary"]);
    assert!(command.code == Some(1) && command.stderr.contains(answer.body.trim()), "{command:?}");
    assert_eq!(status(&gateway, KEY).await, 200);
    for text in [&gateway.log(), &answer.body, &command.stderr] {
        assert!(!text.contains(KEY), "keys are secrets: {text}");
    }
    answer.body
}

#[tokio::test]
async fn where_keys_cannot_be_written_the_answer_says_where_to_change_them() {
    let of_variable = Gateway::probe().with("server.access-keys = []").environment("HUBGATE_ACCESS_KEYS", KEY);
    let told = stays(of_variable, |_| ()).await;
    assert!(told.contains("HUBGATE_ACCESS_KEYS,") && told.contains("server.access-keys-file"), "{told}");

    let read_only = |folder: &Path, name: &str| {
        fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o400)).expect("it is ours");
    };
    let told = stays(Gateway::probe(), |folder| read_only(folder, "hubgate.toml")).await;
    assert!(told.contains("hubgate.toml cannot be written: it is read-only"), "{told}");

    let of_file = Gateway::probe().with("server.access-keys = []\nserver.access-keys-file = 'keys'");
    let told = stays(of_file.file("keys", KEY), |folder| read_only(folder, "keys")).await;
    assert!(told.contains("keys cannot be written"), "{told}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_taken_over_keeps_its_keys() {
    let unreadable = |folder: &Path| fs::write(folder.join("hubgate.toml"), "[server").expect("it is ours");
    let told = stays(Gateway::probe(), unreadable).await;
    assert!(told.contains("the configuration cannot be taken over") && told.contains("line 1"), "{told}");

    // Its keys can be read, and become others, but not all of it can be taken over: the file is then as it was.
    let fixed = |folder: &Path| {
        let file = folder.join("hubgate.toml");
        let text = fs::read_to_string(&file).expect("it is text").replace("shards = 2", "shards = 1");
        fs::write(file, text).expect("it is ours");
    };
    let gateway = Gateway::probe().start().await;
    fixed(gateway.folder());
    let before = fs::read_to_string(gateway.config_file()).expect("it is text");
    let answer = regenerate(&gateway, "secondary").await;
    assert!(answer.status == 409 && answer.body.contains("server.shards cannot change"), "{}", answer.body);
    assert_eq!(fs::read_to_string(gateway.config_file()).expect("it is text"), before);
    assert_eq!(listed(&gateway).await, [KEY, SECOND_KEY]);
}

#[tokio::test]
async fn of_several_at_once_each_gets_a_key_that_was_one_and_the_file_has_the_last() {
    let gateway = Gateway::probe().start().await;
    // Whoever reads the file meanwhile finds all of it.
    let (file, until_over) = (gateway.config_file(), Arc::new(()));
    let is_over = Arc::downgrade(&until_over);
    let reading = std::thread::spawn(move || {
        while is_over.strong_count() > 0 {
            let text = fs::read_to_string(&file).expect("it is always there");
            let config: toml::Table = text.parse().expect("it is always whole");
            assert_eq!(config["server"]["access-keys"].as_array().map(Vec::len), Some(2));
        }
    });
    let answers = futures_util::future::join_all((0..6).map(|index| regenerated(&gateway, PLACES[index % 2]))).await;
    drop(until_over);
    reading.join().expect("each reader found a whole file");
    let now = listed(&gateway).await;
    let of = |place: usize| answers.iter().skip(place).step_by(2).collect::<Vec<_>>();
    assert!(of(0).contains(&&now[0]) && of(1).contains(&&now[1]), "the last of each");
    let config: toml::Table = fs::read_to_string(gateway.config_file()).expect("it is text").parse().expect("TOML");
    let written: Vec<String> = config["server"]["access-keys"].clone().try_into().expect("texts");
    assert_eq!(written, now);
    let leavings = fs::read_dir(gateway.folder()).expect("it is a folder").flatten();
    let hidden = leavings.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0, "nothing else is left");
}

#[tokio::test]
async fn only_the_admin_token_opens_keys_and_nothing_else_is_made_of_them() {
    let gateway = Gateway::probe().start().await;
    for (method, path) in [(Method::GET, "/admin/keys"), (Method::POST, "/admin/keys/primary:regenerate")] {
        for token in ["wrong", &gateway.token("probe").sign()] {
            let request = Request::new(method.clone(), gateway.ready().admin, path).bearer(token);
            assert_eq!(request.send().await.status, 401, "{path}");
        }
        assert_eq!(gateway.rest(method.clone(), path).send().await.status, 404, "{path} is not for clients");
    }
    for (method, path, status) in [
        (Method::GET, "/admin/keys/primary:regenerate", 405),
        (Method::POST, "/admin/keys", 405),
        (Method::POST, "/admin/keys/tertiary:regenerate", 404),
        (Method::POST, "/admin/keys/primary", 404),
    ] {
        assert_eq!(ask(&gateway, method, path).await.status, status, "{path}");
    }
    assert_eq!(listed(&gateway).await, [KEY, SECOND_KEY]);
}

#[tokio::test]
async fn the_command_prints_connection_strings_that_work() {
    let gateway = Gateway::probe().with("server.endpoints = ['http://localhost:1234/base']").start().await;
    let string = |key: &str| {
        let base = "http://localhost:1234/base";
        format!("Endpoint={base};AccessKey={key};Version=1.0;ClientEndpoint={base}/;ServerEndpoint={base}/;")
    };
    let listed = keys(&gateway, []).success();
    assert_eq!(listed, format!("primary    {}\nsecondary  {}\n", string(KEY), string(SECOND_KEY)));
    let listed = keys(&gateway, ["--json"]).success();
    let first: Value = serde_json::from_str(listed.lines().next().expect("a line")).expect("it is JSON");
    assert_eq!(first, json!({ "key": "primary", "connectionString": string(KEY) }));

    let new = keys(&gateway, ["regenerate", "secondary"]).success();
    let new_key = key_in(&json!(new.trim()));
    assert_eq!(new, format!("{}\n", string(&new_key)));
    assert_ne!(new_key, SECOND_KEY);
    let as_json = keys(&gateway, ["regenerate", "primary", "--json"]).success();
    let as_json: Value = serde_json::from_str(&as_json).expect("it is JSON");
    assert_eq!(as_json["key"], "primary", "{as_json}");
    let printed = keys(&gateway, []).success();
    assert!(printed.contains(&new_key) && printed.contains(&key_in(&as_json["connectionString"])), "{printed}");

    let mistaken = keys(&gateway, ["regenerate", "tertiary"]);
    assert!(mistaken.code == Some(2) && mistaken.stderr.contains("secondary"), "{mistaken:?}");
}

#[tokio::test]
async fn where_no_answer_comes_the_command_says_how_to_find_out_what_was_done() {
    use std::io::{Read, Write};
    for answer in ["", "HTTP/1.1 200"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        let gateway = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the command comes");
            let (mut request, mut byte): (Vec<u8>, [u8; 1]) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).expect("it asks");
                request.extend(byte);
            }
            stream.write_all(answer.as_bytes()).expect("it listens");
            String::from_utf8_lossy(&request).into_owned()
        });
        let mut command = Command::new(binary());
        command.args(["keys", "regenerate", "secondary", "--admin", &address, "--admin-token", "token"]);
        let told = Finished::of(&mut command);
        assert!(gateway.join().expect("it was asked").starts_with("POST /admin/keys/secondary:regenerate "));
        assert!(told.code == Some(1) && told.stderr.contains("`hubgate keys` lists the keys"), "{told:?}");
    }
}
