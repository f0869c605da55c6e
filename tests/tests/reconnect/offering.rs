//! Who is offered it, and who has it.

use hubgate_tests::client::{Connecting, HANDSHAKE};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::stateful::STATEFUL_HANDSHAKE;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, StatefulClient};
use serde_json::json;

use super::{client, resumes, until_all_have_left, until_one_waits, waiting_clients};

async fn is_offered(connecting: &Connecting, query: &str) -> bool {
    let answer = connecting.negotiate(&format!("&negotiateVersion=1{query}")).await.json();
    match answer.get("useStatefulReconnect") {
        None => false,
        Some(offered) => {
            assert_eq!(*offered, true, "it is not there where it is not offered: clients take it for a mistake");
            true
        }
    }
}

#[tokio::test]
async fn it_is_offered_to_who_asks_for_it_and_may_have_a_web_socket() {
    let gateway = Gateway::probe().start().await;
    let usual = gateway.client("probe");
    for query in ["&useStatefulReconnect=true", "&UseStatefulReconnect=True"] {
        assert!(is_offered(&usual, query).await, "{query}");
    }
    for query in ["", "&useStatefulReconnect=false", "&useStatefulReconnect=1", "&useStatefulReconnect"] {
        assert!(!is_offered(&usual, query).await, "{query}");
    }
    // Server-Sent Events and long polling alone.
    let without = gateway.client("probe").with_claim("asrs.s.htt", 6);
    assert!(!is_offered(&without, "&useStatefulReconnect=true").await);
}

#[tokio::test]
async fn it_is_not_offered_where_the_public_id_would_open_the_connection_again() {
    let gateway = Gateway::probe().start().await;
    let connecting = gateway.client("probe");
    let answer = connecting.negotiate("&useStatefulReconnect=true").await.json();
    assert_eq!((&answer["negotiateVersion"], answer.get("useStatefulReconnect")), (&json!(0), None), "{answer}");
    let connecting = connecting.id(answer["connectionId"].as_str().expect("an id"));
    let mut client = connecting.open().await;
    client.send_text(STATEFUL_HANDSHAKE).await;
    assert_eq!(client.message().await, json!({}));
    assert_eq!(connecting.try_open().await.expect_err("whoever knows its id").status, 409);
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_hubs_own_negotiation_hands_on_that_a_client_asks_for_it() {
    let gateway = Gateway::probe().start().await;
    let asked = "/hubs/probe/negotiate?negotiateVersion=1&useStatefulReconnect=true";
    let answer = gateway.post(asked).await.json();
    assert_eq!(answer.get("useStatefulReconnect"), None, "the last answer counts");
    let url = answer["url"].as_str().expect("it leads on");
    assert!(url.contains("useStatefulReconnect=true"), "{url}");
}

#[tokio::test]
async fn of_a_hub_with_hub_servers_it_is_offered_while_all_of_them_allow_it() {
    let config = "hubs = { chat = { mode = 'default' }, mixed = { mode = 'classic' } }";
    let gateway = Gateway::serve().with(config).start().await;
    let asked = "&useStatefulReconnect=true";
    let (chat, mixed) = (gateway.client("chat"), gateway.client("mixed"));
    assert!(!is_offered(&chat, asked).await, "nobody is there to allow it");
    assert!(is_offered(&mixed, asked).await, "the gateway answers the client");
    for hub in ["chat", "mixed"] {
        let connecting = gateway.client(hub);
        let _allows = HubServer::connect_allowing_stateful_reconnect(&gateway, hub, "a").await;
        assert!(is_offered(&connecting, asked).await, "{hub}: all of them allow it");
        let does_not = HubServer::connect(&gateway, hub, "b").await;
        assert!(!is_offered(&connecting, asked).await, "{hub}: one of them does not");
        drop(does_not);
        let offered = async || is_offered(&connecting, asked).await.then_some(());
        until("it to be offered when that one has left", offered).await;
    }
}

#[tokio::test]
async fn with_version_1_in_the_handshake_a_cut_ends_the_client_and_nothing_is_acknowledged() {
    let gateway = Gateway::probe().start().await;
    let negotiated = StatefulClient::negotiate(gateway.client("probe")).await;
    let mut older = negotiated.open().await.expect("it opens");
    older.send_text(HANDSHAKE).await;
    assert_eq!(older.message().await, json!({}));
    for number in 0..1_000 {
        let id = older.start_call("echo", json!([number])).await;
        // Whatever comes before is a message of another kind.
        let answer = older.message().await;
        assert_eq!((&answer["type"], answer["invocationId"].as_str()), (&json!(3), Some(&*id)));
    }
    let answer = negotiated.open().await.expect_err("it has one transport for its life");
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(resumes(&gateway, "not_stateful").await, 1.0);
    older.vanish();
    until_all_have_left(&gateway).await;
}

#[tokio::test]
async fn a_client_that_did_not_ask_for_it_has_it_in_no_version() {
    let gateway = Gateway::probe().start().await;
    for connecting in [gateway.client("probe"), gateway.client("probe").without_negotiate()] {
        let mut client = connecting.open().await;
        client.send_text(STATEFUL_HANDSHAKE).await;
        assert_eq!(client.message().await, json!({}));
        assert_eq!(client.call("echo", json!(["here"])).await, Ok(json!("here")));
        client.vanish();
        until_all_have_left(&gateway).await;
    }
}

#[tokio::test]
async fn a_client_that_is_waited_for_counts_as_connected() {
    let gateway = Gateway::probe().start().await;
    let mut client = client(&gateway).await;
    assert_eq!(waiting_clients(&gateway).await, 0);
    client.cut();
    until_one_waits(&gateway).await;
    assert_eq!(gateway.clients_of("probe").await, 1);
    assert_eq!(gateway.metric("hubgate_client_connections_waiting", [("hub", "probe")]).await, 1.0);
    client.resume().await;
    assert_eq!((gateway.clients_of("probe").await, waiting_clients(&gateway).await), (1, 0));
}
