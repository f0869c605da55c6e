//! `plugins/presence`, ready made: who is in a room, and who enters and leaves it, on two shards.

use hubgate_tests::gateway::Setup;
use hubgate_tests::wait::{soon, until};
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

/// The hub `probe`, whose methods `enter` and `leave` are those of `presence`, and all others the probe's.
fn presence() -> Setup {
    Gateway::probe().plugin("presence", &guests::ready_made("presence")).with(
        r#"
        server.shards = 2
        upstream = [
            { hubs = ["probe"], events = ["enter", "leave"], plugin = "presence" },
            { hubs = ["probe"], plugin = "probe" },
        ]
        plugins.presence = { presence-batch = "10ms" }
        "#,
    )
}

async fn user(gateway: &Gateway, name: &str) -> Client {
    gateway.client("probe").user(name).connect().await
}

/// Enters the room `tea`, and gives who is there.
async fn enter(client: &mut Client) -> Value {
    client.call("enter", json!(["tea"])).await.expect("everybody may enter")
}

async fn leave(client: &mut Client) {
    assert_eq!(client.call("leave", json!(["tea"])).await, Ok(json!(null)));
}

/// The next that a client is told of the room, whatever it is: who, and whether they enter or leave.
async fn told(client: &mut Client) -> Value {
    let message = soon("to be told", client.message()).await;
    assert_eq!(message["arguments"][0], "tea", "{message}");
    json!([message["target"], message["arguments"][1]])
}

fn users(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "user": name })).collect()
}

#[tokio::test]
async fn a_user_enters_with_the_first_connection_and_leaves_with_the_last() {
    let gateway = presence().start().await;
    let mut bob = user(&gateway, "bob").await;
    let alone = json!([{ "user": "bob", "connections": 1 }]);
    assert_eq!(enter(&mut bob).await, alone);
    assert_eq!(told(&mut bob).await, json!(["entered", users(&["bob"])]));

    let mut anns = [user(&gateway, "ann").await, user(&gateway, "ann").await];
    enter(&mut anns[0]).await;
    assert_eq!(told(&mut bob).await, json!(["entered", users(&["ann"])]));
    let listed = enter(&mut anns[1]).await;
    let expected = json!([{ "user": "ann", "connections": 2 }, { "user": "bob", "connections": 1 }]);
    assert_eq!(listed, expected);

    // Whether the room is told of ann's second connection, or of its end, shows in what comes before what is expected.
    let [mut ann, second] = anns;
    second.vanish();
    until("one of two to be gone", async || (gateway.clients_of("probe").await == 2).then_some(())).await;
    let mut carol = user(&gateway, "carol").await;
    enter(&mut carol).await;
    assert_eq!(told(&mut bob).await, json!(["entered", users(&["carol"])]));
    leave(&mut ann).await;
    assert_eq!(told(&mut bob).await, json!(["left", users(&["ann"])]));
    carol.leave().await;
    assert_eq!(told(&mut bob).await, json!(["left", users(&["carol"])]));
    assert_eq!(enter(&mut bob).await, alone, "who enters twice is there once");
}

#[tokio::test]
async fn a_client_without_a_user_is_known_by_its_connection() {
    let gateway = presence().start().await;
    let mut bob = user(&gateway, "bob").await;
    enter(&mut bob).await;
    told(&mut bob).await;
    let mut packed = gateway.client("probe").open().await;
    packed.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    assert_eq!(packed.next_bytes().await, b"{}\x1e");
    // An invocation without an id: `enter("tea")`.
    packed.send_binary(b"\x0f\x95\x01\x80\xc0\xa5enter\x91\xa3tea").await;
    let entered = told(&mut bob).await;
    let who = json!([{ "user": null, "connection": entered[1][0]["connection"] }]);
    assert_eq!(entered, json!(["entered", who]));
    assert!(who[0]["connection"].as_str().is_some_and(|id| !id.is_empty()), "{who}");
    let hears = async { while !packed.next_bytes().await.windows(7).any(|part| part == b"entered") {} };
    soon("the client that speaks MessagePack to be told", hears).await;
    let mut listed = enter(&mut bob).await;
    assert_eq!(listed.as_array_mut().expect("a list").pop(), Some(json!({ "user": "bob", "connections": 1 })));
    assert_eq!(listed[0]["connection"], who[0]["connection"]);
    packed.vanish();
    assert_eq!(told(&mut bob).await, json!(["left", who]));
}

#[tokio::test]
async fn many_who_leave_at_once_are_told_of_together_each_once() {
    const MANY: usize = 60;
    let gateway = presence().with("plugins.presence.presence-batch = '1s'").start().await;
    let mut bob = user(&gateway, "bob").await;
    enter(&mut bob).await;
    let names: Vec<String> = (0..MANY).map(|number| format!("user-{number:02}")).collect();
    let mut clients = Vec::new();
    for name in &names {
        let mut client = user(&gateway, name).await;
        enter(&mut client).await;
        clients.push(client);
    }
    let mut entered = Vec::new();
    while entered.len() < MANY + 1 {
        entered.extend(bob.event("entered").await[1].as_array().expect("a list").clone());
    }
    clients.into_iter().for_each(Client::vanish);
    let (mut left, mut times) = (Vec::new(), 0);
    while left.len() < MANY {
        left.extend(bob.event("left").await[1].as_array().expect("a list").clone());
        times += 1;
    }
    left.sort_by_key(|who| who["user"].as_str().map(str::to_owned));
    assert_eq!(json!(left), users(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(times < MANY / 2, "{MANY} were told of in {times} messages");
}

#[tokio::test]
async fn a_room_is_watched_as_long_as_somebody_is_in_it() {
    let gateway = presence().start().await;
    let watched = async |count: f64| {
        let is_it = async || {
            (gateway.metric("hubgate_plugin_presence_groups", [("plugin", "presence")]).await == count).then_some(())
        };
        until(&format!("{count} rooms to be watched"), is_it).await;
    };
    for _ in 0..3 {
        let mut bob = user(&gateway, "bob").await;
        enter(&mut bob).await;
        assert_eq!(told(&mut bob).await, json!(["entered", users(&["bob"])]));
        watched(1.0).await;
        bob.vanish();
        watched(0.0).await;
    }
}

#[tokio::test]
async fn who_enters_while_a_room_is_given_up_is_told_of() {
    let gateway = presence().start().await;
    let (mut ann, mut bob) = (user(&gateway, "ann").await, user(&gateway, "bob").await);
    for round in 0..40 {
        let room = format!("room-{round}");
        ann.call("enter", json!([room])).await.expect("ann may enter");
        assert_eq!(ann.event("entered").await, json!([room, users(&["ann"])]));
        assert_eq!(ann.call("leave", json!([room])).await, Ok(json!(null)));
        // The watch ends before bob enters, after, or in between.
        for _ in 0..round {
            bob.call("echo", json!([""])).await.expect("the probe answers");
        }
        let listed = bob.call("enter", json!([room])).await.expect("bob may enter");
        assert!(listed.as_array().is_some_and(|all| all.contains(&json!({ "user": "bob", "connections": 1 }))));
        let told = async { while bob.event("entered").await != json!([room, users(&["bob"])]) {} };
        soon(&format!("bob to be told of in round {round}"), told).await;
    }
}

#[tokio::test]
async fn a_room_goes_on_over_a_swap_and_begins_anew_after_a_restart() {
    let mut gateway = presence().start().await;
    let mut bob = user(&gateway, "bob").await;
    enter(&mut bob).await;
    assert_eq!(told(&mut bob).await, json!(["entered", users(&["bob"])]));
    // The same component with a section that nobody reads.
    let another = [guests::bytes(&guests::ready_made("presence")), vec![0, 3, 1, b'x', 0]].concat();
    gateway.replace_plugin("presence", &another);
    until("the swap", async || (gateway.plugin_status("presence").await["generation"] == 2).then_some(())).await;
    let mut ann = user(&gateway, "ann").await;
    enter(&mut ann).await;
    assert_eq!(told(&mut bob).await, json!(["entered", users(&["ann"])]));

    gateway.crash_and_restart().await;
    let mut carol = user(&gateway, "carol").await;
    let alone = json!([{ "user": "carol", "connections": 1 }]);
    until("all others to be gone", async || (enter(&mut carol).await == alone).then_some(())).await;
    assert_eq!(carol.event("entered").await, json!(["tea", users(&["carol"])]));
}

#[tokio::test]
async fn a_room_has_places_for_so_many() {
    let gateway = presence().with("plugins.presence.config.most = '2'").start().await;
    let [mut ann, mut bob, mut carol] =
        [user(&gateway, "ann").await, user(&gateway, "bob").await, user(&gateway, "carol").await];
    enter(&mut ann).await;
    enter(&mut bob).await;
    assert_eq!(carol.call("enter", json!(["tea"])).await, Err("The room 'tea' is full.".to_owned()));
    leave(&mut bob).await;
    enter(&mut carol).await;
    let name = json!({ "user": "carol" });
    while !ann.event("entered").await[1].as_array().expect("a list").contains(&name) {}
}

#[tokio::test]
async fn rooms_are_open_as_the_configuration_and_the_token_say() {
    let gateway = presence().with("plugins.presence.config = { rooms = 'tea', claim = 'room' }").start().await;
    let mut client = gateway.client("probe").with_claim("room", json!(["tea", "coffee"])).connect().await;
    assert_eq!(enter(&mut client).await.as_array().map(Vec::len), Some(1));
    for room in ["teapot", "coffee"] {
        let refused = client.call("enter", json!([room])).await;
        assert_eq!(refused, Err(format!("The room '{room}' is not open to you.")));
    }
}

#[tokio::test]
async fn there_are_as_many_rooms_at_a_time_as_the_plugin_may_watch() {
    let gateway = presence().with("plugins.presence.presence-groups = 1").start().await;
    let mut client = user(&gateway, "ann").await;
    enter(&mut client).await;
    assert_eq!(client.call("enter", json!(["coffee"])).await, Err("Too many rooms are in use.".to_owned()));
    // Told of or not: what nobody is in makes room.
    leave(&mut client).await;
    assert_eq!(client.call("enter", json!(["coffee"])).await, Ok(json!([{ "user": "ann", "connections": 1 }])));
}
