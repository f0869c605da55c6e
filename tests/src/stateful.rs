//! A client with stateful reconnect: it counts, keeps, acknowledges and sends again as official clients do, but only when a test says so.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::client::{Client, Connecting, End, Received};
use crate::http::Answer;
use crate::hub_server::HubServer;

/// What official clients say first after they were offered stateful reconnect.
pub const STATEFUL_HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":2}\u{1e}";

/// A client that was offered stateful reconnect.
#[derive(Debug)]
pub struct StatefulClient {
    connecting: Connecting,
    id: String,
    token: String,
    /// None while its link is cut.
    link: Option<Client>,
    /// Messages that it has sent, in number, and those that were not acknowledged.
    sent: u64,
    kept: VecDeque<(u64, Value)>,
    /// The number of the next message that comes, and of the last one that was new.
    next: u64,
    last: u64,
    calls: u64,
}

impl StatefulClient {
    /// Negotiates, opens the WebSocket and shakes hands.
    pub async fn connect(connecting: Connecting) -> StatefulClient {
        let mut client = StatefulClient::negotiate(connecting).await;
        let mut link = client.open().await.expect("the gateway opens a WebSocket");
        link.send_text(STATEFUL_HANDSHAKE).await;
        assert_eq!(link.message().await, json!({}), "the handshake is accepted");
        client.link = Some(link);
        client
    }

    /// The same of one that is routed to this hub server.
    pub async fn connect_to(server: &mut HubServer, connecting: Connecting) -> StatefulClient {
        let mut client = StatefulClient::negotiate(connecting).await;
        let mut link = client.open().await.expect("the gateway opens a WebSocket");
        link.send_text(STATEFUL_HANDSHAKE).await;
        assert_eq!(server.told_of_client().await, client.id);
        assert_eq!(server.client_says().await, STATEFUL_HANDSHAKE);
        server.tell_client(&client.id, "{}\u{1e}").await;
        assert_eq!(link.message().await, json!({}), "the handshake is accepted");
        client.link = Some(link);
        client
    }

    /// Negotiates. It has no link yet.
    pub async fn negotiate(connecting: Connecting) -> StatefulClient {
        let answer = connecting.negotiate("&negotiateVersion=1&useStatefulReconnect=true").await.json();
        assert_eq!(answer["useStatefulReconnect"], true, "stateful reconnect is offered: {answer}");
        let [id, token] = ["connectionId", "connectionToken"].map(|name| answer[name].as_str().expect("it is text"));
        StatefulClient {
            connecting: connecting.id(token),
            id: id.to_owned(),
            token: token.to_owned(),
            link: None,
            sent: 0,
            kept: VecDeque::new(),
            next: 1,
            last: 0,
            calls: 0,
        }
    }

    /// The public id of its connection.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What opens its WebSockets.
    pub fn connection_token(&self) -> &str {
        &self.token
    }

    /// How it comes back.
    pub fn connecting(&self) -> &Connecting {
        &self.connecting
    }

    /// Another WebSocket of its connection, without a word yet, or what the gateway answers instead. Its link is as it was.
    pub async fn open(&self) -> Result<Client, Answer> {
        self.connecting.try_open().await
    }

    /// The number of the last message that came and was new.
    pub fn received(&self) -> u64 {
        self.last
    }

    /// What it has sent and nobody has acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.kept.len()
    }

    /// Its link, past what it counts.
    pub fn link(&mut self) -> &mut Client {
        self.link.as_mut().expect("its link is not cut")
    }

    /// Its link breaks off without a word.
    pub fn cut(&mut self) {
        self.link.take().expect("its link is not cut").vanish();
    }

    /// Its link does not break off, and nothing comes through it any more.
    pub fn leave_half_open(&mut self) -> Client {
        self.link.take().expect("its link is not cut")
    }

    /// Comes back after a cut, as official clients do: with the number of the oldest message that was not acknowledged, and all of these.
    pub async fn resume(&mut self) {
        let link = self.open().await.expect("the gateway lets it come back");
        self.resume_on(link).await;
    }

    /// The same on a WebSocket that is open already.
    pub async fn resume_on(&mut self, mut link: Client) {
        assert!(self.link.is_none(), "its link is cut");
        let first = self.kept.front().map_or(self.sent + 1, |(number, _)| *number);
        link.send(json!({ "type": 9, "sequenceId": first })).await;
        for (_, message) in &self.kept {
            link.send(message.clone()).await;
        }
        let sequence = link.message().await;
        assert_eq!(sequence["type"], 9, "the first message says where it goes on: {sequence}");
        let first = sequence["sequenceId"].as_u64().expect("a number");
        assert!(first <= self.next, "messages up to {first} are lost, and {} is the next", self.next);
        self.next = first;
        self.link = Some(link);
    }

    /// One hub message that counts.
    pub async fn send(&mut self, message: Value) {
        self.sent += 1;
        self.kept.push_back((self.sent, message.clone()));
        if let Some(link) = &mut self.link {
            link.send(message).await;
        }
    }

    /// Says that it has got all that came.
    pub async fn acknowledge(&mut self) {
        let ack = json!({ "type": 8, "sequenceId": self.last });
        self.link().send(ack).await;
    }

    /// Calls a hub method without waiting for its end; gives the id of the call.
    pub async fn start_call(&mut self, method: &str, arguments: Value) -> String {
        self.calls += 1;
        let id = self.calls.to_string();
        self.send(json!({ "type": 1, "invocationId": id, "target": method, "arguments": arguments })).await;
        id
    }

    /// Calls a hub method; nothing else that counts may come before the answer. The error is the completion's.
    pub async fn call(&mut self, method: &str, arguments: Value) -> Result<Value, String> {
        let id = self.start_call(method, arguments).await;
        let completion = self.message().await;
        assert_eq!(completion["invocationId"], id, "the answer comes next: {completion}");
        match completion.get("error") {
            Some(error) => Err(error.as_str().expect("an error is text").to_owned()),
            None => Ok(completion.get("result").cloned().unwrap_or_default()),
        }
    }

    /// The arguments of the next message, which is an event of this name.
    pub async fn event(&mut self, name: &str) -> Value {
        let message = self.message().await;
        assert_eq!((&message["type"], &message["target"]), (&json!(1), &json!(name)), "{message}");
        message["arguments"].clone()
    }

    /// The next message that counts and is new.
    pub async fn message(&mut self) -> Value {
        loop {
            let message = self.link().message().await;
            match message["type"].as_u64() {
                Some(1..=5) if self.counts_as_new() => return message,
                Some(1..=5) => {}
                Some(8) => self.acknowledged(&message),
                _ => panic!("no message that counts: {message}"),
            }
        }
    }

    /// Reads until all that it has sent is acknowledged, whatever comes before.
    pub async fn until_acknowledged(&mut self) {
        while !self.kept.is_empty() {
            let message = self.link().message().await;
            match message["type"].as_u64() {
                Some(8) => self.acknowledged(&message),
                Some(1..=5) => drop(self.counts_as_new()),
                _ => panic!("neither a message that counts nor an acknowledgement: {message}"),
            }
        }
    }

    /// Reads to the end of the connection, whatever comes before it.
    pub async fn end(&mut self) -> End {
        self.link().end().await
    }

    fn counts_as_new(&mut self) -> bool {
        let number = self.next;
        self.next += 1;
        let is_new = number > self.last;
        self.last = self.last.max(number);
        is_new
    }

    fn acknowledged(&mut self, ack: &Value) {
        let number = ack["sequenceId"].as_u64().expect("a number");
        assert!(number <= self.sent, "{number} was never sent");
        self.kept.retain(|(kept, _)| *kept > number);
    }
}

/// Reads a WebSocket to its end; whether a hub Close told of it.
pub async fn is_told_of_its_end(link: &mut Client) -> bool {
    let mut is_told = false;
    loop {
        match link.next("the connection to end").await {
            Received::Message(message) => is_told |= message["type"] == 7,
            Received::Pong(_) => {}
            Received::End(_) => return is_told,
        }
    }
}
