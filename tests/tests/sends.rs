//! Sends: whom they reach, wherever in the gateway those clients are.

use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};

/// Enough that no shard is without one, however the gateway spreads them.
const CLIENTS: usize = 24;

async fn gateway(shards: u16) -> Gateway {
    Gateway::probe().with(&format!("server.shards = {shards}")).start().await
}

async fn connect(gateway: &Gateway, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(gateway.client("probe").connect().await);
    }
    clients
}

/// The texts that each client was told and has not read yet.
async fn told(clients: &mut [Client]) -> Vec<Vec<Value>> {
    let mut told = Vec::new();
    for client in clients {
        let texts = client.everything_so_far().await.into_iter().map(|message| {
            assert_eq!((&message["type"], &message["target"]), (&json!(1), &json!("said")), "{message}");
            assert_eq!(message.get("invocationId"), None, "an event asks for no answer");
            message["arguments"][0].clone()
        });
        told.push(texts.collect());
    }
    told
}

/// Waits until everybody has heard `last`, said to all: what was sent before it has arrived by then.
async fn settle(clients: &mut [Client]) {
    clients[0].call("say", json!(["last"])).await.expect("it answers");
    for client in clients {
        let message = client.message().await;
        assert_eq!(message["arguments"], json!(["last"]), "nobody is told what is not theirs");
    }
}

#[tokio::test]
async fn all_of_the_hub_are_reached_once_on_every_shard() {
    for shards in [1, 2, 4] {
        let gateway = gateway(shards).await;
        let mut clients = connect(&gateway, CLIENTS).await;
        for speaker in 0..CLIENTS {
            clients[speaker].call("say", json!([speaker])).await.expect("it answers");
            for listener in &mut clients {
                assert_eq!(listener.event("said").await, json!([speaker]), "{shards} shards");
            }
        }
        let none: Vec<Vec<Value>> = vec![vec![]; CLIENTS];
        assert_eq!(told(&mut clients).await, none, "nobody is told twice");
    }
}

#[tokio::test]
async fn nobody_of_another_hub_is_reached() {
    let config = "hubs.other = { mode = 'serverless' }\nupstream = [{ hubs = ['probe', 'other'], plugin = 'probe' }]";
    let gateway = Gateway::probe().with(config).start().await;
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = gateway.client("other").user("ann").connect().await;
        other.call("join", json!(["tea"])).await.expect("it answers");
        others.push(other);
    }
    let mut client = gateway.client("probe").connect().await;
    for (method, arguments) in [("say", json!(["x"])), ("sayTo", json!(["tea", "x"])), ("tell", json!(["ann", "x"]))] {
        client.call(method, arguments).await.expect("it answers");
    }
    assert_eq!(client.event("said").await, json!(["x"]), "the speaker hears what it says to all");
    settle(&mut others).await;
}

#[tokio::test]
async fn a_group_is_its_members_on_every_shard() {
    for shards in [2, 4] {
        let gateway = gateway(shards).await;
        let mut clients = connect(&gateway, CLIENTS).await;
        for client in clients.iter_mut().step_by(2) {
            client.call("join", json!(["tea"])).await.expect("it answers");
            client.call("join", json!(["tea"])).await.expect("to join twice is to be in it once");
        }
        clients[1].call("sayTo", json!(["tea", "hello"])).await.expect("who is outside may speak");
        for (index, client) in clients.iter_mut().enumerate() {
            if index % 2 == 0 {
                assert_eq!(client.event("said").await, json!(["hello"]), "{shards} shards");
            }
        }
        settle(&mut clients).await;

        clients[0].call("leave", json!(["tea"])).await.expect("it answers");
        clients[1].call("sayTo", json!(["tea", "again"])).await.expect("it answers");
        for client in clients.iter_mut().skip(2).step_by(2) {
            assert_eq!(client.event("said").await, json!(["again"]));
        }
        settle(&mut clients).await;
    }
}

#[tokio::test]
async fn groups_are_distinct_in_case_and_end_with_their_members_connections() {
    let gateway = gateway(2).await;
    let mut clients = connect(&gateway, 4).await;
    clients[1].call("join", json!(["Tea"])).await.expect("it answers");
    clients[0].call("sayTo", json!(["tea", "x"])).await.expect("an empty group is no error");
    settle(&mut clients).await;

    clients.remove(1).leave().await;
    clients.push(gateway.client("probe").connect().await);
    clients[0].call("sayTo", json!(["Tea", "x"])).await.expect("it answers");
    settle(&mut clients).await;
}

#[tokio::test]
async fn a_user_is_all_of_their_connections() {
    for shards in [2, 4] {
        let gateway = gateway(shards).await;
        let mut anns = Vec::new();
        let mut others = Vec::new();
        for number in 0..CLIENTS / 2 {
            anns.push(gateway.client("probe").user("ann").connect().await);
            others.push(match number % 3 {
                0 => gateway.client("probe").user("Ann").connect().await,
                1 => gateway.client("probe").user("bob").connect().await,
                _ => gateway.client("probe").connect().await,
            });
        }
        others[0].call("tell", json!(["ann", "hello"])).await.expect("it answers");
        for ann in &mut anns {
            assert_eq!(ann.event("said").await, json!(["hello"]), "{shards} shards");
        }
        settle(&mut others).await;
        others[0].call("tell", json!(["nobody", "x"])).await.expect("an unknown user is no error");
        settle(&mut others).await;
    }
}

#[tokio::test]
async fn a_connection_is_reached_by_its_id_from_every_shard() {
    for shards in [2, 4] {
        let gateway = gateway(shards).await;
        let mut clients = connect(&gateway, CLIENTS).await;
        let me = clients[0].call("whoami", json!([])).await.expect("it answers");
        let id = me["connectionId"].as_str().expect("it is text").to_owned();
        for speaker in 0..CLIENTS {
            clients[speaker].call("sayToConnection", json!([id, speaker])).await.expect("it answers");
            assert_eq!(clients[0].event("said").await, json!([speaker]), "{shards} shards");
        }
        clients[1].call("sayToConnection", json!(["nobody", "x"])).await.expect("an unknown id is no error");
        settle(&mut clients).await;
    }
}

#[tokio::test]
async fn what_one_client_causes_arrives_in_order() {
    const SAID: usize = 200;
    let gateway = gateway(4).await;
    let mut clients = connect(&gateway, CLIENTS).await;
    for number in 0..SAID {
        clients[0].notify("say", json!([number])).await;
    }
    for client in &mut clients {
        for number in 0..SAID {
            assert_eq!(client.event("said").await, json!([number]));
        }
    }
}

#[tokio::test]
async fn what_a_call_says_precedes_its_answer() {
    let gateway = gateway(2).await;
    let mut client = gateway.client("probe").connect().await;
    let id = client.start_call("say", json!(["first"])).await;
    assert_eq!(client.message().await["arguments"], json!(["first"]));
    assert_eq!(client.message().await["invocationId"], id.as_str());
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up_and_holds_nobody_up() {
    let config = "server.limits.outbox = '256KiB'\nserver.timeouts.client = '5m'";
    let gateway = Gateway::probe().with(config).start().await;
    let mut speaker = gateway.client("probe").connect().await;
    let mut listener = gateway.client("probe").connect().await;
    let mut slow = gateway.client("probe").connect().await;
    // More than the outbox and what the sockets of both ends take.
    let text = "x".repeat(256 << 10);
    for _ in 0..64 {
        speaker.call("say", json!([text])).await.expect("it answers");
        speaker.event("said").await;
        listener.event("said").await;
    }
    until("the slow client to be given up", async || (gateway.clients_of("probe").await == 2).then_some(())).await;
    assert_eq!(gateway.metric("hubgate_slow_clients_closed_total", [("hub", "probe")]).await, 1.0);
    slow.end().await;
}
