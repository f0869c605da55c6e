//! What applications do with the Management SDK, in both of its transports, in all modes, with clients on four shards. The SDK itself is not at hand: a
//! stand-in says what it says, and throws where it throws.

use std::collections::BTreeSet;

use hubgate_tests::Gateway;
use hubgate_tests::client::Client;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::management::{Change, Management, Protocols, Question, Thrown, To};
use hubgate_tests::wait::soon;
use hubgate_wire::service::{self, ClientCompletion, ServiceMessage};
use serde_json::{Value, json};

/// Enough that no shard is without one.
const CLIENTS: usize = 8;
/// A group whose name has to be escaped.
const TEA: &str = "tea / ü?&";

/// A hub with its clients: 0 and 1 are Ann's, 2 and 3 Ben's, the others nobody's.
struct Stage {
    gateway: Gateway,
    /// Where clients are answered by one.
    server: Option<HubServer>,
    clients: Vec<Client>,
    ids: Vec<String>,
}

/// Who answers the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answering {
    HubServer,
    Gateway,
}

async fn stage(mode: &str, answering: Answering) -> Stage {
    let gateway = Gateway::serve().with(&format!("hubs.chat.mode = '{mode}'\nserver.shards = 4")).start().await;
    let server = match answering {
        Answering::HubServer => Some(HubServer::connect(&gateway, "chat", "a").await),
        Answering::Gateway => None,
    };
    let mut stage = Stage { gateway, server, clients: Vec::new(), ids: Vec::new() };
    let users = ["ann", "ann", "ben", "ben"].map(Some).into_iter().chain([None; CLIENTS - 4]);
    for user in users {
        stage.connect(user).await;
    }
    let shards: BTreeSet<_> = stage.ids.iter().map(|id| id.chars().last()).collect();
    assert_eq!(shards.len(), 4, "an id ends with the number of its shard");
    stage
}

impl Stage {
    async fn management(&self, transport: &str) -> Management {
        match transport {
            "transient" => Management::transient(&self.gateway, None, "Chat"),
            _ => Management::persistent(&self.gateway, None, "Chat").await,
        }
    }

    /// One more client, which has its token of the Management SDK.
    async fn connect(&mut self, user: Option<&str>) {
        let negotiated = Management::transient(&self.gateway, None, "Chat").negotiate(user);
        assert_eq!(negotiated.url, format!("{}/client/?hub=chat", self.gateway.url()));
        let connecting = self.gateway.client("chat").token(&negotiated.access_token);
        let answer = connecting.negotiate("&negotiateVersion=1").await.json();
        let text = |name: &str| answer[name].as_str().expect("negotiate gives ids").to_owned();
        let connecting = connecting.id(&text("connectionToken"));
        let client = match &mut self.server {
            Some(server) => server.let_in(connecting.open().await).await.0,
            None => connecting.connect().await,
        };
        self.clients.push(client);
        self.ids.push(text("connectionId"));
    }

    fn id(&self, client: usize) -> &str {
        &self.ids[client]
    }

    /// A send that reaches these clients, as often as each is named. What reaches others is in the way of what they are to get next.
    async fn reaches(&mut self, management: &mut Management, to: To<'_>, text: &str, clients: &[usize]) {
        management.send(to, "said", json!([text, { "nested": [1, 2.5, null] }])).await.expect("it throws nothing");
        for client in clients {
            let what = format!("what is sent to client {client} as {text:?}");
            let said = soon(&what, self.clients[*client].event("said")).await;
            assert_eq!(said, json!([text, { "nested": [1, 2.5, null] }]), "client {client}");
        }
    }
}

/// What is sent to whom, each time by both transports and in one hub.
async fn sends(stage: &mut Stage, management: &mut Management) {
    let ids = stage.ids.clone();
    let [zero, one, two] = [&*ids[0], &*ids[1], &*ids[2]];
    stage.reaches(management, To::All, "all", &[0, 1, 2, 3, 4, 5, 6, 7]).await;
    stage.reaches(management, To::AllExcept(&[zero, two, "absent"]), "all but", &[1, 3, 4, 5, 6, 7]).await;
    stage.reaches(management, To::Client(one), "client", &[1]).await;
    stage.reaches(management, To::Clients(&[one, two, "absent"]), "clients", &[1, 2]).await;
    stage.reaches(management, To::User("ann"), "user", &[0, 1]).await;
    stage.reaches(management, To::Users(&["ann", "ben", "absent"]), "users", &[0, 1, 2, 3]).await;
    stage.reaches(management, To::User("absent"), "nobody", &[]).await;
}

async fn groups_of_connections(stage: &mut Stage, management: &mut Management) {
    let ids = stage.ids.clone();
    for (client, group) in [(0, TEA), (4, TEA), (4, "h"), (5, "h")] {
        let change = Change::AddToGroup { connection: &ids[client], group };
        assert_eq!(management.change(change).await, Ok(()));
    }
    stage.reaches(management, To::Group(TEA), "group", &[0, 4]).await;
    stage.reaches(management, To::GroupExcept(TEA, &[&ids[0]]), "group but", &[4]).await;
    stage.reaches(management, To::Groups(&[TEA, "h"]), "groups", &[0, 4, 4, 5]).await;
    for group in [TEA, "h"] {
        assert_eq!(management.ask(Question::GroupExists(group)).await, Ok(true));
    }
    let change = Change::RemoveFromGroup { connection: &ids[0], group: TEA };
    assert_eq!(management.change(change).await, Ok(()));
    stage.reaches(management, To::Group(TEA), "group of one", &[4]).await;
    assert_eq!(management.change(Change::RemoveFromAllGroups { connection: &ids[4] }).await, Ok(()));
    stage.reaches(management, To::Groups(&[TEA, "h"]), "what is left", &[5]).await;
    assert_eq!(management.ask(Question::GroupExists(TEA)).await, Ok(false));

    // Of what is absent the SDK throws nothing.
    for change in [
        Change::AddToGroup { connection: "absent", group: TEA },
        Change::RemoveFromGroup { connection: "absent", group: TEA },
        Change::RemoveFromGroup { connection: &ids[0], group: "absent" },
        Change::RemoveFromAllGroups { connection: "absent" },
        Change::CloseConnection { connection: "absent", reason: "" },
    ] {
        assert_eq!(management.change(change).await, Ok(()), "{change:?}");
    }
}

async fn groups_of_users(stage: &mut Stage, management: &mut Management) {
    let in_group = |user, group| Question::UserIsInGroup { user, group };
    for (user, group, ttl) in
        [("ann", "u", None), ("ann", "v", Some(60)), ("ben", "v", Some(0)), ("later", "v", Some(60))]
    {
        assert_eq!(management.change(Change::AddUserToGroup { user, group, ttl }).await, Ok(()), "{user} {group}");
    }
    stage.reaches(management, To::Group("u"), "of ann", &[0, 1]).await;
    stage.reaches(management, To::Group("v"), "of ann and ben", &[0, 1, 2, 3]).await;
    assert_eq!(management.ask(in_group("ann", "u")).await, Ok(true));
    assert_eq!(management.ask(in_group("ann", "absent")).await, Ok(false));
    assert_eq!(management.ask(in_group("absent", "u")).await, Ok(false));

    // Clients that come within the time are members: number 8, and not number 9, whose user's membership was for those there.
    stage.connect(Some("later")).await;
    stage.connect(Some("ben")).await;
    stage.reaches(management, To::Group("v"), "of those who come", &[0, 1, 2, 3, 8]).await;

    for change in [
        Change::RemoveUserFromGroup { user: "ben", group: "v" },
        Change::RemoveUserFromGroup { user: "absent", group: "v" },
        Change::RemoveUserFromAllGroups { user: "ann" },
        Change::RemoveUserFromAllGroups { user: "absent" },
    ] {
        assert_eq!(management.change(change).await, Ok(()), "{change:?}");
    }
    stage.reaches(management, To::Groups(&["u", "v"]), "of who is left", &[8]).await;
    assert_eq!(management.ask(in_group("ann", "u")).await, Ok(false));
}

/// The members of a group, listed in pages of all sizes.
async fn lists(stage: &mut Stage, management: &mut Management) {
    let mut expected = BTreeSet::new();
    for (client, id) in stage.ids.iter().enumerate().take(CLIENTS) {
        assert_eq!(management.change(Change::AddToGroup { connection: id, group: TEA }).await, Ok(()));
        let user = ["ann", "ann", "ben", "ben"].get(client).map(|user| (*user).to_owned());
        expected.insert((id.clone(), user));
    }
    for (top, page_size, count) in [
        (None, None, 8),
        (None, Some(3), 8),
        (Some(5), None, 5),
        (Some(5), Some(2), 5),
        (Some(4), Some(2), 4),
        (Some(100), Some(200), 8),
        (Some(0), None, 0),
    ] {
        let listed = management.connections_in_group(TEA, top, page_size).await.expect("it throws nothing");
        assert_eq!(listed.len(), count, "{top:?} {page_size:?}");
        let distinct: BTreeSet<_> = listed.into_iter().collect();
        assert_eq!(distinct.len(), count, "nobody comes twice");
        assert!(distinct.is_subset(&expected), "{distinct:?}");
    }
    assert_eq!(management.connections_in_group("absent", None, None).await, Ok(Vec::new()));
}

/// A client of each kind that is asked for something.
async fn invocations(stage: &mut Stage, management: &mut Management) {
    let id = stage.id(6).to_owned();
    let Stage { server, clients, .. } = stage;
    let client = &mut clients[6];
    match (server, management.is_persistent()) {
        (None, false) => {
            for (outcome, expected) in
                [(json!({ "result": { "a": [1] } }), Ok(json!({ "a": [1] }))), (json!({ "error": "no" }), Err(()))]
            {
                let answering = async {
                    let call = client.message().await;
                    assert_eq!((&call["target"], &call["arguments"]), (&json!("ask"), &json!([1])));
                    client.send(completion(&call, &outcome)).await;
                };
                let asking = async { tokio::join!(management.invoke(&id, "ask", json!([1])), answering) };
                let (answer, ()) = soon("the client's answer", asking).await;
                assert_eq!(answer.as_ref().map_err(drop), expected.as_ref().map_err(drop), "{answer:?}");
            }
        }
        (Some(server), true) => {
            let answering = async {
                let call = client.message().await;
                assert!(matches!(service::parse(&server.next().await), Ok(ServiceMessage::ClientInvocation(_))));
                client.send(completion(&call, &json!({ "result": 2 }))).await;
                let text = server.client_says().await;
                let invocation_id = call["invocationId"].as_str().expect("the call has an id");
                let done = ClientCompletion {
                    invocation_id,
                    connection_id: &id,
                    caller_server_id: "a",
                    protocol: "json",
                    payload: text.as_bytes(),
                    ..ClientCompletion::default()
                };
                server.send(&ServiceMessage::ClientCompletion(done)).await;
            };
            let asking = async { tokio::join!(management.invoke(&id, "ask", json!([1])), answering) };
            let (answer, ()) = soon("the client's answer", asking).await;
            assert_eq!(answer, Ok(json!(2)));
        }
        // The answer would go to the hub server, which knows nothing of a call over REST; and without a hub server
        // nobody reads it for a caller on a server connection.
        (Some(_), false) => {
            let thrown = management.invoke(&id, "ask", json!([1])).await;
            assert!(
                matches!(&thrown, Err(Thrown::InvalidArgument(why)) if why.contains("InvocationFailed")),
                "{thrown:?}"
            );
        }
        (None, true) => {
            let thrown = management.invoke(&id, "ask", json!([1])).await;
            assert_eq!(thrown, Err(Thrown::Hub("The connection is not served by a hub server.".to_owned())));
        }
    }
    let thrown = management.invoke("absent", "ask", json!([])).await;
    assert!(thrown.is_err(), "{thrown:?}");
}

fn completion(call: &Value, outcome: &Value) -> Value {
    let mut completion = json!({ "type": 3, "invocationId": call["invocationId"] });
    for (name, value) in outcome.as_object().expect("an outcome") {
        completion[name] = value.clone();
    }
    completion
}

async fn ends(stage: &mut Stage, management: &mut Management) {
    let id = stage.id(7).to_owned();
    for (question, expected) in [
        (Question::ConnectionExists(&id), true),
        (Question::ConnectionExists("absent"), false),
        (Question::UserExists("ann"), true),
        (Question::UserExists("absent"), false),
        (Question::GroupExists("absent"), false),
    ] {
        assert_eq!(management.ask(question).await, Ok(expected), "{question:?}");
    }
    let close = Change::CloseConnection { connection: &id, reason: "enough of it" };
    assert_eq!(management.change(close).await, Ok(()));
    assert_eq!(stage.clients[7].end().await.error(), "enough of it");
    assert_eq!(management.ask(Question::ConnectionExists(&id)).await, Ok(false), "before the client has seen its end");
    let rest: Vec<usize> = (0..stage.clients.len()).filter(|client| *client != 7).collect();
    stage.reaches(management, To::All, "the last", &rest).await;
}

/// All calls by both transports. Nothing is left unread but what is checked: a client that got what was not for it fails the next look at it.
async fn every_call(mode: &str, answering: Answering) {
    for transport in ["transient", "persistent"] {
        let mut stage = stage(mode, answering).await;
        let mut management = stage.management(transport).await;
        assert_eq!(management.is_service_healthy().await, Ok(true));
        sends(&mut stage, &mut management).await;
        groups_of_connections(&mut stage, &mut management).await;
        groups_of_users(&mut stage, &mut management).await;
        lists(&mut stage, &mut management).await;
        invocations(&mut stage, &mut management).await;
        ends(&mut stage, &mut management).await;
        assert!(management.events().is_empty(), "{:?}", management.events());
    }
}

#[tokio::test]
async fn every_call_does_what_it_says_in_default_mode() {
    every_call("default", Answering::HubServer).await;
}

#[tokio::test]
async fn every_call_does_what_it_says_in_serverless_mode() {
    every_call("serverless", Answering::Gateway).await;
}

#[tokio::test]
async fn every_call_does_what_it_says_in_classic_mode_without_a_hub_server() {
    every_call("classic", Answering::Gateway).await;
}

#[tokio::test]
async fn every_call_does_what_it_says_in_classic_mode_with_a_hub_server() {
    every_call("classic", Answering::HubServer).await;
}

#[tokio::test]
async fn what_cannot_be_is_thrown_as_what_it_is_and_never_as_a_time_out() {
    let gateway = Gateway::serve().with("hubs.chat.mode = 'serverless'").start().await;
    let client = gateway.client("chat").user("ann").connect().await;
    let mut transient = Management::transient(&gateway, None, "chat");
    let mut persistent = Management::persistent(&gateway, None, "chat").await;
    let long = "g".repeat(1_025);
    for group in [" ", &long] {
        for change in [
            Change::AddToGroup { connection: "absent", group },
            Change::AddUserToGroup { user: "ann", group, ttl: None },
        ] {
            let thrown = transient.change(change).await;
            assert!(
                matches!(&thrown, Err(Thrown::InvalidArgument(why)) if why.contains("Invalid group name")),
                "{thrown:?}"
            );
            assert_eq!(persistent.change(change).await, Err(Thrown::UndefinedStatus(6)), "{change:?}");
        }
    }
    let mut stranger = Management::signing_with("another key", &gateway, None, "chat");
    assert_eq!(stranger.send(To::All, "said", json!([])).await, Err(Thrown::Unauthorized));
    assert_eq!(stranger.ask(Question::UserExists("ann")).await, Err(Thrown::Unauthorized));
    assert_eq!(stranger.is_service_healthy().await, Ok(true), "health asks for no token");
    drop(client);
}

#[tokio::test]
async fn a_send_that_is_too_long_is_thrown_or_told_and_the_next_one_arrives() {
    let limits = "server.limits.post = '64KiB'\nserver.limits.server-message = '64KiB'";
    let gateway = Gateway::serve().with(limits).with("hubs.chat.mode = 'serverless'").start().await;
    let mut client = gateway.client("chat").connect().await;
    let long = "x".repeat(70_000);
    let mut transient = Management::transient(&gateway, None, "chat");
    let thrown = transient.send(To::All, "said", json!([long])).await;
    assert!(matches!(thrown, Err(Thrown::Runtime(413, _))), "{thrown:?}");

    let mut persistent = Management::persistent(&gateway, None, "chat").await;
    assert_eq!(persistent.send(To::All, "said", json!([long])).await, Ok(()), "the SDK waits for nothing");
    // What it asks next shows that its connection goes on.
    assert_eq!(persistent.ask(Question::UserExists("ann")).await, Ok(false));
    let [event] = persistent.events() else { panic!("one event: {:?}", persistent.events()) };
    assert!(event.contains("`server.limits.server-message`"), "{event}");
    let invoked = persistent.invoke("absent", "ask", json!([long])).await;
    assert!(matches!(&invoked, Err(Thrown::Hub(why)) if why.contains("`server.limits.server-message`")), "{invoked:?}");
    persistent.send(To::All, "said", json!(["short"])).await.expect("it throws nothing");
    assert_eq!(client.event("said").await, json!(["short"]));
}

#[tokio::test]
async fn an_application_name_is_the_first_part_of_the_hubs_in_both_transports() {
    let gateway = Gateway::serve().with("hubs.app_chat.mode = 'serverless'\nserver.shards = 4").start().await;
    let transient = Management::transient(&gateway, Some("App"), "Chat");
    let persistent = Management::persistent(&gateway, Some("App"), "Chat").await;
    for mut management in [transient, persistent] {
        let negotiated = management.negotiate(Some("ann"));
        assert_eq!(negotiated.url, format!("{}/client/?hub=app_chat", gateway.url()));
        let mut client = gateway.client("app_chat").token(&negotiated.access_token).connect().await;
        management.send(To::User("ann"), "said", json!(["app"])).await.expect("it throws nothing");
        assert_eq!(client.event("said").await, json!(["app"]));
        assert_eq!(management.ask(Question::UserExists("ann")).await, Ok(true));
        let change = Change::AddUserToGroup { user: "ann", group: TEA, ttl: None };
        assert_eq!(management.change(change).await, Ok(()));
        let listed = management.connections_in_group(TEA, None, Some(1)).await.expect("it throws nothing");
        assert_eq!(listed.len(), 1);
        assert_eq!(management.change(Change::RemoveUserFromAllGroups { user: "ann" }).await, Ok(()));
        client.leave().await;
    }
}

#[tokio::test]
async fn clients_that_speak_messagepack_get_what_is_sent_in_it_and_what_the_gateway_can_convert() {
    let gateway = Gateway::serve().with("hubs.chat.mode = 'serverless'").start().await;
    let mut json_client = gateway.client("chat").connect().await;
    let mut packed = gateway.client("chat").open().await;
    packed.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    assert_eq!(packed.next_bytes().await, b"{}\x1e");
    let both = Protocols::JsonAndMessagePack;
    // A persistent sender that has not added MessagePack says nothing that such a client could read.
    for (transport, protocols, reaches_messagepack) in [
        ("persistent", Protocols::Default, false),
        ("persistent", both, true),
        ("transient", Protocols::Default, true),
        ("transient", both, true),
    ] {
        let management = match transport {
            "transient" => Management::transient(&gateway, None, "chat"),
            _ => Management::persistent(&gateway, None, "chat").await,
        };
        let text = format!("{transport} {protocols:?}");
        management.with_protocols(protocols).send(To::All, "said", json!([text])).await.expect("it throws nothing");
        assert_eq!(json_client.event("said").await, json!([text]));
        if reaches_messagepack {
            let message = packed.next_bytes().await;
            let shown = String::from_utf8_lossy(&message);
            assert!(shown.contains(&text), "{shown}");
        }
    }
}
