//! All that a REST caller can do, and what must come of it: the OpenAPI document lists the operations, and each needs a case here. Clients and
//! requests are dealt out to the nodes of a cluster; a gateway alone is its own.

use http::Method;
use hubgate_wire::service::{self, ServiceMessage};
use serde_json::{Value, json};

use crate::client::{Client, HANDSHAKE};
use crate::gateway::Gateway;
use crate::http::{Answer, Request, escaped};
use crate::hub_server::HubServer;

/// Who answers the clients of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Serverless,
    Default,
    ClassicWithServer,
    ClassicWithoutServer,
}

/// A hub in one of the modes, and its hub server if it has one.
#[derive(Debug)]
pub struct Hub<'g> {
    nodes: &'g [Gateway],
    mode: Mode,
    name: &'static str,
    server: Option<HubServer>,
    /// How many users there were, so that each is another one.
    users: usize,
    /// How many cases were tried.
    cases: usize,
}

/// A client with all that callers may know of it. Its group is its own.
struct Peer {
    client: Client,
    id: String,
    token: String,
    user: String,
    group: String,
}

impl<'g> Hub<'g> {
    /// Its hub server is at the first node.
    pub async fn new(nodes: &'g [Gateway], mode: Mode, name: &'static str) -> Hub<'g> {
        let server = match mode {
            Mode::Default | Mode::ClassicWithServer => {
                let mut server = HubServer::connect(&nodes[0], name, "one").await;
                for node in &nodes[1..] {
                    server.is_known_at(node, name).await;
                }
                Some(server)
            }
            Mode::Serverless | Mode::ClassicWithoutServer => None,
        };
        Hub { nodes, mode, name, server, users: 0, cases: 0 }
    }

    /// Tries all operations so many times, each time with other clients, on whatever threads these are. Gives how many operations there are.
    pub async fn tries_all(&mut self, times: usize) -> usize {
        let document = self.nodes[0].get("/api/openapi.json").await.json();
        let mut tried = 0;
        for (path, methods) in document["paths"].as_object().expect("an object") {
            for (method, operation) in methods.as_object().expect("an object") {
                let responses = operation["responses"].as_object().expect("an object");
                let success = responses.keys().filter_map(|status| status.parse().ok()).find(|status| *status < 300);
                let method: Method = method.to_uppercase().parse().expect("a method");
                let case = Case { method, path, success: success.unwrap_or_default() };
                for _ in 0..times {
                    try_operation(&name_of(operation), &case, self).await;
                    self.cases += 1;
                }
                tried += 1;
            }
        }
        tried
    }

    /// The node that is asked in this case: each in turn, and after a round another one for each place in it.
    fn asked(&self) -> &'g Gateway {
        &self.nodes[(self.cases + self.cases / self.nodes.len()) % self.nodes.len()]
    }

    /// The node of the next client.
    fn entry(&self) -> &'g Gateway {
        &self.nodes[self.users % self.nodes.len()]
    }

    /// A client of a user that has no other.
    async fn peer(&mut self) -> Peer {
        self.users += 1;
        let (user, group) = (format!("user/{}", self.users), format!("group {}", self.users));
        let connecting = self.entry().client(self.name).user(&user);
        let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
        let text = |name: &str| negotiated[name].as_str().expect("negotiate gives ids").to_owned();
        let (id, token) = (text("connectionId"), text("connectionToken"));
        let client = self.let_in(connecting.id(&token).open().await).await;
        Peer { client, id, token, user, group }
    }

    /// Shakes hands with a client; its hub server answers, where there is one.
    async fn let_in(&mut self, mut client: Client) -> Client {
        client.send_text(HANDSHAKE).await;
        if let Some(server) = &mut self.server {
            let id = loop {
                // What it hears of others' ends does not matter here.
                if let ServiceMessage::OpenConnection(open) = service::parse(&server.next().await).expect("a message") {
                    break open.connection_id.to_owned();
                }
            };
            server.tell_client(&id, "{}\u{1e}").await;
        }
        assert_eq!(client.message().await, json!({}), "the handshake is accepted");
        client
    }

    async fn ask(&self, method: Method, path: &str) -> u16 {
        self.asked().rest(method, &format!("/api/hubs/{}{path}", self.name)).send().await.status
    }

    async fn join(&self, peer: &Peer) {
        let path = format!("/groups/{}/connections/{}", escaped(&peer.group), peer.id);
        assert_eq!(self.ask(Method::PUT, &path).await, 200);
    }

    /// Sends to a group.
    async fn tell_group(&self, group: &str, text: &str) {
        let path = format!("/api/hubs/{}/groups/{}/:send", self.name, escaped(group));
        let sent = self.asked().rest(Method::POST, &path).json(&said(text)).send().await;
        assert_eq!(sent.status, 202);
    }

    /// That a client was sent nothing that it has not read.
    async fn has_heard_all(&self, peer: &mut Peer) {
        let path = format!("/api/hubs/{}/connections/{}/:send", self.name, peer.id);
        assert_eq!(self.asked().rest(Method::POST, &path).json(&said("the last")).send().await.status, 202);
        assert_eq!(peer.client.message().await["arguments"], json!(["the last"]), "it is sent nothing else");
    }
}

fn said(text: &str) -> Value {
    json!({ "target": "said", "arguments": [text] })
}

/// One operation, asked for by one of its paths.
struct Case<'a> {
    method: Method,
    path: &'a str,
    /// The status that the document has for success.
    success: u16,
}

impl Case<'_> {
    /// The request about this client.
    fn about(&self, hub: &Hub<'_>, peer: &Peer) -> Request {
        self.with_query(hub, peer, "")
    }

    fn with_query(&self, hub: &Hub<'_>, peer: &Peer, query: &str) -> Request {
        let (user, group) = (escaped(&peer.user), escaped(&peer.group));
        let names = [
            ("{hub}", hub.name),
            ("{connectionId}", &peer.id),
            ("{streamId}", "7"),
            ("{group}", &group),
            ("{groups}", &format!("nobodys,{group}")),
            ("{user}", &user),
            ("{users}", &format!("nobody,{user}")),
        ];
        let path = names.iter().fold(self.path.to_owned(), |path, (name, value)| path.replace(name, value));
        hub.asked().rest(self.method.clone(), &format!("{path}{query}"))
    }

    /// Does it with this client, which must succeed.
    async fn done(&self, hub: &Hub<'_>, peer: &Peer) -> Answer {
        self.succeeds(self.about(hub, peer), hub).await
    }

    async fn succeeds(&self, request: Request, hub: &Hub<'_>) -> Answer {
        let answer = request.send().await;
        assert_eq!(answer.status, self.success, "{} {} in {:?}: {answer:?}", self.method, self.path, hub.mode);
        answer
    }
}

/// Whether whom a case is about was there.
fn is_there(answer: &Answer, code: &str) -> bool {
    match answer.status {
        200 => true,
        404 => {
            assert_eq!(answer.header("x-ms-error-code"), code);
            false
        }
        other => panic!("neither yes nor no: {other}"),
    }
}

/// Tries the operation of this name, and looks at what it has done.
async fn try_operation(name: &str, case: &Case<'_>, hub: &mut Hub<'_>) {
    match name {
        "sendToAll" | "sendToUser" | "sendToUsers" | "sendToConnection" | "sendToGroup" | "sendToGroups" => {
            sends(name, case, hub).await;
        }
        "sendStreamItem" | "completeStream" => streams(name, case, hub).await,
        "invokeConnection" => invokes(case, hub).await,
        "executeCommands" => {
            let peer = hub.peer().await;
            let refused = case.about(hub, &peer).json(&json!([{ "type": "SendMessage" }])).send().await;
            assert_eq!((refused.status, refused.header("x-ms-error-code")), (501, "NotImplemented"));
            assert!(refused.body.contains(":send"), "{refused:?}");
        }
        "generateClientToken" => {
            let mut peer = hub.peer().await;
            hub.users += 1;
            let user = format!("granted-{}", hub.users);
            assert_eq!(hub.ask(Method::HEAD, &format!("/users/{user}")).await, 404, "nobody has come yet");
            let request = case.with_query(hub, &peer, &format!("?userId={user}"));
            let answer = case.succeeds(request, hub).await.json();
            let client = hub.asked().client(hub.name).token(answer["token"].as_str().expect("a text")).open().await;
            let _client = hub.let_in(client).await;
            assert_eq!(hub.ask(Method::HEAD, &format!("/users/{user}")).await, 200);
            hub.has_heard_all(&mut peer).await;
        }
        "connectionExists" | "groupExists" | "userExists" | "userInGroup" => exists(name, case, hub).await,
        "listGroupConnections" => {
            let peers = [hub.peer().await, hub.peer().await];
            let nobody = case.done(hub, &peers[0]).await;
            hub.join(&peers[0]).await;
            if case.method == Method::HEAD {
                return assert_eq!(case.done(hub, &peers[0]).await.body, "");
            }
            assert_eq!(nobody.json(), json!({ "value": [] }));
            let member = json!({ "connectionId": peers[0].id, "userId": peers[0].user });
            let answer = case.about(hub, &peers[0]).send().await.json();
            assert_eq!(answer, json!({ "value": [member] }), "{:?}", hub.mode);
        }
        "closeConnection" | "closeAll" | "closeGroup" | "closeUser" => closes(name, case, hub).await,
        "addConnectionToGroup" | "addUserToGroup" => {
            let mut peers = [hub.peer().await, hub.peer().await];
            case.done(hub, &peers[0]).await;
            hub.tell_group(&peers[0].group, "tea").await;
            assert_eq!(peers[0].client.event("said").await, json!(["tea"]), "{} in {:?}", case.path, hub.mode);
            hub.has_heard_all(&mut peers[1]).await;
        }
        "removeConnectionFromGroup"
        | "removeConnectionFromAllGroups"
        | "removeUserFromGroup"
        | "removeUserFromAllGroups" => {
            let mut peer = hub.peer().await;
            let path = match name.contains("User") {
                true => format!("/users/{}/groups/{}", escaped(&peer.user), escaped(&peer.group)),
                false => format!("/groups/{}/connections/{}", escaped(&peer.group), peer.id),
            };
            assert_eq!(hub.ask(Method::PUT, &path).await, 200);
            hub.tell_group(&peer.group, "still").await;
            assert_eq!(peer.client.event("said").await, json!(["still"]));
            case.done(hub, &peer).await;
            hub.tell_group(&peer.group, "no more").await;
            hub.has_heard_all(&mut peer).await;
        }
        "refreshConnection" | "connectionClaims" => {
            let peer = hub.peer().await;
            let mut body = json!({ "connectionToken": peer.token });
            if name == "refreshConnection" {
                body["claims"] =
                    json!([{ "type": "asrs.s.uid", "value": peer.user }, { "type": "role", "value": "admin" }]);
            }
            let answer = case.about(hub, &peer).json(&body).send().await.json();
            let claims = answer["claims"].as_array().expect("a list");
            let is_admin = claims.iter().any(|claim| claim["value"] == "admin");
            assert_eq!(is_admin, name == "refreshConnection", "{answer} in {:?}", hub.mode);
        }
        "health" | "accessKey" => {
            let peer = hub.peer().await;
            let expected = if name == "health" { 200 } else { 501 };
            assert_eq!(case.about(hub, &peer).send().await.status, expected);
        }
        other => panic!("{other} has no case: what does it do in each mode?"),
    }
}

async fn sends(name: &str, case: &Case<'_>, hub: &mut Hub<'_>) {
    let mut peers = [hub.peer().await, hub.peer().await, hub.peer().await];
    for peer in &peers {
        hub.join(peer).await;
    }
    let query = if name == "sendToAll" { format!("?excluded={}", peers[2].id) } else { String::new() };
    case.succeeds(case.with_query(hub, &peers[0], &query).json(&said("tea")), hub).await;
    assert_eq!(peers[0].client.event("said").await, json!(["tea"]), "{name} in {:?}", hub.mode);
    if name == "sendToAll" {
        assert_eq!(peers[1].client.event("said").await, json!(["tea"]));
    }
    for peer in &mut peers {
        hub.has_heard_all(peer).await;
    }
}

async fn streams(name: &str, case: &Case<'_>, hub: &mut Hub<'_>) {
    let mut peers = [hub.peer().await, hub.peer().await];
    let (query, body, expected) = match name {
        "sendStreamItem" => {
            ("?completed=true", json!({ "a": 1.5 }), json!({ "type": 2, "invocationId": "7", "item": { "a": 1.5 } }))
        }
        _ => ("?error=enough", json!(null), json!({ "type": 3, "invocationId": "7", "error": "enough" })),
    };
    case.succeeds(case.with_query(hub, &peers[0], query).json(&body), hub).await;
    assert_eq!(peers[0].client.message().await, expected, "{:?}", hub.mode);
    if name == "sendStreamItem" {
        assert_eq!(peers[0].client.message().await, json!({ "type": 3, "invocationId": "7" }));
    }
    for peer in &mut peers {
        hub.has_heard_all(peer).await;
    }
}

async fn invokes(case: &Case<'_>, hub: &mut Hub<'_>) {
    let mut peer = hub.peer().await;
    let request = case.about(hub, &peer).json(&json!({ "target": "add", "arguments": [1, 2] }));
    if matches!(hub.mode, Mode::Default | Mode::ClassicWithServer) {
        let answer = request.send().await;
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (400, "InvocationFailed"), "{:?}", hub.mode);
        return hub.has_heard_all(&mut peer).await;
    }
    let answers = async {
        let question = peer.client.message().await;
        assert_eq!((&question["target"], &question["arguments"]), (&json!("add"), &json!([1, 2])));
        peer.client.send(json!({ "type": 3, "invocationId": question["invocationId"], "result": 3 })).await;
    };
    let (answer, ()) = tokio::join!(request.send(), answers);
    assert_eq!(answer.json(), json!({ "result": 3 }));
}

async fn exists(name: &str, case: &Case<'_>, hub: &mut Hub<'_>) {
    let peer = hub.peer().await;
    let code = match name {
        "connectionExists" => "Warning.Connection.NotExisted",
        "groupExists" => "Warning.Group.NotExisted",
        "userExists" => "Warning.User.NotExisted",
        _ => "Info.User.NotInGroup",
    };
    let asked = |id: &str, user: &str, group: &str| {
        let names = [("{hub}", hub.name), ("{connectionId}", id), ("{user}", user), ("{group}", group)];
        let path = names.iter().fold(case.path.to_owned(), |path, (name, value)| path.replace(name, &escaped(value)));
        hub.asked().rest(case.method.clone(), &path)
    };
    assert!(!is_there(&asked("nobody", "nobody", "nobodys").send().await, code));
    if name.to_lowercase().contains("group") {
        assert!(!is_there(&asked(&peer.id, &peer.user, &peer.group).send().await, code), "not yet");
        hub.join(&peer).await;
    }
    let is_here = is_there(&asked(&peer.id, &peer.user, &peer.group).send().await, code);
    assert!(is_here, "{name} in {:?}", hub.mode);
}

async fn closes(name: &str, case: &Case<'_>, hub: &mut Hub<'_>) {
    let mut peers = [hub.peer().await, hub.peer().await];
    hub.join(&peers[0]).await;
    let query = match name {
        "closeAll" => format!("?reason=good%20night&excluded={}", peers[1].id),
        _ => "?reason=good%20night".to_owned(),
    };
    case.succeeds(case.with_query(hub, &peers[0], &query), hub).await;
    let end = peers[0].client.end().await;
    let close = end.close.expect("it is told why");
    assert_eq!((&close["error"], &close["allowReconnect"]), (&json!("good night"), &json!(true)), "{:?}", hub.mode);
    assert_eq!(hub.ask(Method::HEAD, &format!("/connections/{}", peers[0].id)).await, 404);
    hub.has_heard_all(&mut peers[1]).await;
}

/// The operation's name: others of the same name have a number after it.
fn name_of(operation: &Value) -> String {
    operation["operationId"].as_str().expect("a text").trim_end_matches(|char: char| char.is_ascii_digit()).to_owned()
}
