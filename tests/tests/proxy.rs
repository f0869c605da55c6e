//! Behind Debian's nginx, configured as the guide says.

use std::fs;
use std::net::SocketAddr;

use http::Method;
use hubgate_tests::command::repository;
use hubgate_tests::dotnet::{self, HubServer};
use hubgate_tests::http::Request;
use hubgate_tests::nginx::{Nginx, Place};
use hubgate_tests::script::Script;
use hubgate_tests::{Client, Gateway, Token};
use serde_json::{Value, json};

/// The address from which the proxy speaks: only it is trusted, not the clients, who are on this machine too.
const PROXY: &str = "127.0.0.9";

/// `edit` changes the guide's configuration.
async fn nginx_of_the_guide(gateway: SocketAddr, place: Place, edit: impl Fn(String) -> String) -> Nginx {
    let page = fs::read_to_string(repository().join("docs/proxy.md")).expect("the guide is there");
    let (_, tested) = page.split_once("<!-- tested -->\n```nginx\n").expect("the guide has a configuration");
    let (server, _) = tested.split_once("```").expect("it ends");
    let server = server.replace("127.0.0.1:8888", &gateway.to_string());
    let listens = format!("listen {};\nproxy_bind {PROXY};", place.address());
    Nginx::serving(&edit(server.replace("listen 443;", &listens)), place).await
}

/// A gateway whose endpoint is the proxy's, with `path`.
async fn gateway(address: SocketAddr, path: &str, more: &str) -> Gateway {
    let config = format!("server.endpoints = ['http://{address}{path}']\nserver.trusted-proxies = ['{PROXY}']\n{more}");
    Gateway::probe().with(&config).start().await
}

fn token(address: SocketAddr, path: &str, gateway: &Gateway) -> String {
    Token::new(&format!("http://{address}{path}/client/?hub=probe"), gateway.key()).user("ann").sign()
}

#[tokio::test]
async fn clients_talk_through_it_and_keep_their_addresses() {
    let place = Place::free();
    let address = place.address();
    let gateway = gateway(address, "", "server.log = 'debug'").await;
    let nginx = nginx_of_the_guide(gateway.address(), place, |server| server).await;
    let connecting = gateway.client("probe").token(&token(address, "", &gateway)).through(nginx.address(), "");
    let mut client = connecting.header("x-forwarded-for", "203.0.113.7").connect().await;
    assert_eq!(client.call("echo", json!(["through"])).await, Ok(json!("through")));
    gateway.logs(&["a client connected", "address=\"127.0.0.1\""]).await;
    assert!(!gateway.log().contains("203.0.113.7"), "what a client says of itself does not count");
}

#[tokio::test]
async fn official_clients_negotiate_and_call_through_it() {
    let place = Place::free();
    let address = place.address();
    let gateway = gateway(address, "", "").await;
    let nginx = nginx_of_the_guide(gateway.address(), place, |server| server).await;
    let url = format!("http://{}", nginx.address());
    for client in ["@microsoft/signalr", "signalr-7"] {
        let token = token(address, "", &gateway);
        Script::start("scenarios.mjs", &[client, "a call with a result", &url, "WebSockets", "json", &token])
            .succeeds()
            .await;
    }
}

#[tokio::test]
async fn the_gateway_may_be_below_a_path_that_the_proxy_keeps_or_takes_away() {
    for takes_away in [false, true] {
        let place = Place::free();
        let address = place.address();
        let gateway = gateway(address, "/realtime", "").await;
        let nginx = nginx_of_the_guide(gateway.address(), place, |server| {
            let below = server.replace("location / {", "location /realtime/ {");
            if takes_away { below.replace("http://hubgate;", "http://hubgate/;") } else { below }
        })
        .await;
        let client = gateway.client("probe").token(&token(address, "/realtime", &gateway));
        let mut client = client.through(nginx.address(), "/realtime").connect().await;
        let path = "/realtime/api/hubs/probe/users/ann/:send";
        let rest = Token::new(&format!("http://{address}{path}"), gateway.key()).sign();
        let sent = Request::new(Method::POST, nginx.address(), path).bearer(&rest);
        let sent = sent.json(&json!({"target": "said", "arguments": ["x"]})).send().await;
        assert_eq!(sent.status, 202, "{}", sent.body);
        assert_eq!(client.event("said").await, json!(["x"]));

        let redirect =
            Request::new(Method::POST, nginx.address(), "/realtime/hubs/probe/negotiate").send().await.json();
        assert_eq!(redirect["url"], Value::from(format!("http://{address}/realtime/client/?hub=probe")));
    }
}

#[tokio::test]
async fn a_redirect_leads_to_the_endpoint_that_the_client_used() {
    let config = "server.endpoints = ['http://first.example', 'https://second.example']\n\
                  server.trusted-proxies = ['127.0.0.1']";
    let gateway = Gateway::probe().with(config).start().await;
    let redirect = async |headers: &[(&str, &str)]| {
        let mut request = gateway.request(Method::POST, "/hubs/probe/negotiate");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let url = request.send().await.json()["url"].as_str().expect("a redirect has a URL").to_owned();
        url.split("/client").next().expect("it has a host").to_owned()
    };
    let second = [("x-forwarded-proto", "https"), ("x-forwarded-host", "second.example")];
    assert_eq!(redirect(&second).await, "https://second.example");
    assert_eq!(redirect(&[("host", "first.example")]).await, "http://first.example");
    let foreign = gateway.request(Method::POST, "/hubs/probe/negotiate").header("x-forwarded-host", "evil.example");
    assert_eq!(foreign.send().await.status, 421, "what a trusted proxy says counts instead of `Host`");
    assert_eq!(redirect(&[]).await, "http://first.example");
}

#[tokio::test]
async fn the_server_sdk_takes_what_is_printed_below_a_path_and_a_string_without_more_than_the_endpoint() {
    if !dotnet::is_at_hand() {
        return;
    }
    for (takes_away, is_short) in [(false, false), (true, false), (false, true)] {
        let place = Place::free();
        let address = place.address();
        let config = format!("server.endpoints = ['http://{address}/realtime']\nserver.trusted-proxies = ['{PROXY}']");
        let gateway = Gateway::serve().with(&config).start().await;
        let nginx = nginx_of_the_guide(gateway.address(), place, |server| {
            let below = server.replace("location / {", "location /realtime/ {");
            match (takes_away, is_short) {
                (true, _) => below.replace("http://hubgate;", "http://hubgate/;"),
                (false, false) => below,
                (false, true) => server,
            }
        })
        .await;
        let printed = &gateway.ready().connection_string;
        let (short, _) = printed.split_once("ClientEndpoint=").expect("it names the endpoint's path for clients");
        let server = HubServer::with(if is_short { short } else { printed }, "a", &[]).await;
        let sent_on = server.negotiate("ann").await;
        let [url, token] = ["url", "accessToken"].map(|name| sent_on[name].as_str().expect("it redirects"));
        let path = url.strip_prefix(&format!("http://{address}")).expect("it leads through the proxy");
        let opened = Client::open(nginx.address(), path, Some(token)).await;
        let mut client = opened.unwrap_or_else(|answer| panic!("{printed} {url}: {answer:?}"));
        client.send_text(hubgate_tests::client::HANDSHAKE).await;
        assert_eq!(client.message().await, json!({}), "{printed}");
    }
}
