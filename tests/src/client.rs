//! A SignalR client that hides nothing: every hub message and every frame can be sent and seen.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ::http::Method;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::http::{Answer, Request};
use crate::socket::{self, Dialing, SMALL_BUFFER, Socket};
use crate::token::Token;
use crate::wait::soon;

/// Ends every hub message.
pub const SEPARATOR: char = '\u{1e}';
/// What clients say first.
pub const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";

/// A client that is not connected yet.
#[derive(Debug, Clone)]
pub struct Connecting {
    address: SocketAddr,
    hub: String,
    token: String,
    unsigned: Token,
    carried: Carried,
    entry: Entry,
    /// What stands before the gateway's own paths.
    base: String,
    headers: Vec<(&'static str, String)>,
    dialing: Dialing,
}

/// Where the token is.
#[derive(Debug, Clone, Copy)]
enum Carried {
    Header,
    Query,
}

/// What opens the WebSocket.
#[derive(Debug, Clone)]
enum Entry {
    Negotiated,
    WithoutId,
    Id(String),
}

/// A client on its WebSocket.
#[derive(Debug)]
pub struct Client {
    stream: WebSocketStream<Socket>,
    /// Hub messages that came in one frame with others, or that nobody has asked for yet.
    unread: VecDeque<Value>,
    calls: u64,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub struct End {
    /// The last hub message, if it was a Close.
    pub close: Option<Value>,
    /// The status of the WebSocket's close frame, if there was one.
    pub code: Option<u16>,
}

/// What a WebSocket gives next.
#[derive(Debug)]
pub enum Received {
    Message(Value),
    Pong(Bytes),
    /// No more comes; the status is that of the close frame, if there was one.
    End(Option<u16>),
}

impl Connecting {
    pub(crate) fn to(address: SocketAddr, hub: &str, token: Token) -> Connecting {
        let hub = hub.to_owned();
        Connecting {
            address,
            hub,
            token: token.sign(),
            unsigned: token,
            carried: Carried::Header,
            entry: Entry::Negotiated,
            base: String::new(),
            headers: Vec::new(),
            dialing: Dialing::default(),
        }
    }

    /// By way of a proxy, where the gateway is below `base`.
    pub fn through(mut self, proxy: SocketAddr, base: &str) -> Connecting {
        self.address = proxy;
        self.base = base.to_owned();
        self
    }

    /// With one more header on the WebSocket's request.
    pub fn header(mut self, name: &'static str, value: &str) -> Connecting {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn user(self, id: &str) -> Connecting {
        self.with_claim("asrs.s.uid", id)
    }

    pub fn with_claim(mut self, name: &str, value: impl Into<Value>) -> Connecting {
        self.unsigned = self.unsigned.claim(name, value);
        self.token = self.unsigned.sign();
        self
    }

    /// With this token as it is.
    pub fn token(mut self, token: &str) -> Connecting {
        self.token = token.to_owned();
        self
    }

    /// As browsers do, which set no headers on a WebSocket.
    pub fn token_in_query(mut self) -> Connecting {
        self.carried = Carried::Query;
        self
    }

    /// On a connection that takes little of what is sent to a client that does not read.
    pub fn with_small_buffer(mut self) -> Connecting {
        self.dialing.receive_buffer = Some(SMALL_BUFFER);
        self
    }

    /// On a connection of this kind, straight to the WebSocket.
    pub fn dialing(mut self, dialing: Dialing) -> Connecting {
        self.dialing = dialing;
        self.without_negotiate()
    }

    /// Straight to the WebSocket.
    pub fn without_negotiate(mut self) -> Connecting {
        self.entry = Entry::WithoutId;
        self
    }

    /// With an id that came from somewhere else.
    pub fn id(mut self, id: &str) -> Connecting {
        self.entry = Entry::Id(id.to_owned());
        self
    }

    /// A negotiation, answered.
    pub async fn negotiate(&self, query: &str) -> Answer {
        let path = format!("{}/client/negotiate?hub={}{query}", self.base, self.hub);
        Request::new(Method::POST, self.address, &path).bearer(&self.token).send().await
    }

    /// Opens the WebSocket, or gives what the gateway answers instead.
    pub async fn try_open(&self) -> Result<Client, Answer> {
        let mut path = format!("{}/client/?hub={}", self.base, self.hub);
        let id = match &self.entry {
            Entry::Negotiated => {
                let answer = self.negotiate("&negotiateVersion=1").await;
                if answer.status != 200 {
                    return Err(answer);
                }
                Some(answer.json()["connectionToken"].as_str().expect("version 1 has a token").to_owned())
            }
            Entry::WithoutId => None,
            Entry::Id(id) => Some(id.clone()),
        };
        if let Some(id) = id {
            path.push_str(&format!("&id={id}"));
        }
        let mut headers = self.headers.clone();
        match self.carried {
            Carried::Header => headers.push(("authorization", format!("Bearer {}", self.token))),
            Carried::Query => path.push_str(&format!("&access_token={}", self.token)),
        }
        Client::open_with(&self.dialing, self.address, &path, &headers).await
    }

    /// Opens the WebSocket.
    pub async fn open(&self) -> Client {
        match self.try_open().await {
            Ok(client) => client,
            Err(answer) => panic!("the gateway opens no WebSocket: {answer:?}"),
        }
    }

    /// Opens the WebSocket and shakes hands.
    pub async fn connect(&self) -> Client {
        let mut client = self.open().await;
        client.send_text(HANDSHAKE).await;
        assert_eq!(client.message().await, json!({}), "the handshake is accepted");
        client
    }

    /// Opens the WebSocket and asks for a handshake that must fail; gives the error.
    pub async fn refused(&self) -> String {
        let mut client = self.open().await;
        client.send_text(HANDSHAKE).await;
        client.handshake_error().await
    }
}

impl Client {
    /// Opens a WebSocket on any path of the gateway.
    pub async fn open(address: SocketAddr, path: &str, bearer: Option<&str>) -> Result<Client, Answer> {
        let bearer: Vec<_> = bearer.map(|token| ("authorization", format!("Bearer {token}"))).into_iter().collect();
        Client::open_with(&Dialing::default(), address, path, &bearer).await
    }

    async fn open_with(
        dialing: &Dialing,
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Client, Answer> {
        let mut request = format!("ws://{address}{path}").into_client_request().expect("tests make valid URLs");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("tests make valid headers"));
        }
        let opening = async { tokio_tungstenite::client_async(request, dialing.dial(address).await).await };
        match soon("the answer to a WebSocket upgrade", opening).await {
            Ok((stream, _)) => Ok(Client { stream, unread: VecDeque::new(), calls: 0 }),
            Err(Error::Http(response)) => {
                let (head, body) = response.into_parts();
                let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
                Err(Answer { status: head.status.as_u16(), headers: head.headers, body })
            }
            Err(error) => panic!("the WebSocket upgrade broke off: {error}"),
        }
    }

    /// A hub message.
    pub async fn send(&mut self, message: Value) {
        self.send_text(&format!("{message}{SEPARATOR}")).await;
    }

    /// One text frame, as it is.
    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(Message::text(text)).await;
    }

    /// One binary frame, as it is.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_frame(Message::binary(bytes.to_vec())).await;
    }

    /// One WebSocket message, in as many frames as there are parts.
    pub async fn send_fragmented(&mut self, parts: &[&str]) {
        for (index, part) in parts.iter().enumerate() {
            let kind = if index == 0 { Data::Text } else { Data::Continue };
            let is_last = index + 1 == parts.len();
            let frame = Frame::message(part.as_bytes().to_vec(), OpCode::Data(kind), is_last);
            self.send_frame(Message::Frame(frame)).await;
        }
    }

    /// A Ping of the WebSocket, not of the hub.
    pub async fn send_websocket_ping(&mut self, payload: &[u8]) {
        self.send_frame(Message::Ping(payload.to_vec().into())).await;
    }

    /// Bytes past the WebSocket's framing. A gateway that has given the client up already may refuse them.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let sending = self.stream.get_mut().write_all(bytes);
        let _ = soon("the gateway to read", sending).await;
    }

    async fn send_frame(&mut self, frame: Message) {
        // What a gateway does that has given the client up shows when the client reads.
        let _ = soon("the gateway to read", self.stream.send(frame)).await;
    }

    /// Calls a hub method; the error is the completion's.
    pub async fn call(&mut self, method: &str, arguments: Value) -> Result<Value, String> {
        let completion = self.call_raw(method, arguments).await;
        match completion.get("error") {
            Some(error) => Err(error.as_str().expect("an error is text").to_owned()),
            None => Ok(completion.get("result").cloned().unwrap_or_default()),
        }
    }

    /// Calls a hub method; gives the completion as it is.
    pub async fn call_raw(&mut self, method: &str, arguments: Value) -> Value {
        let id = self.start_call(method, arguments).await;
        self.completion(&id).await
    }

    /// Calls a hub method without waiting for its end; gives the id of the call.
    pub async fn start_call(&mut self, method: &str, arguments: Value) -> String {
        let id = self.next_id();
        self.send(json!({ "type": 1, "invocationId": id, "target": method, "arguments": arguments })).await;
        id
    }

    /// Calls a hub method without asking for an answer.
    pub async fn notify(&mut self, method: &str, arguments: Value) {
        self.send(json!({ "type": 1, "target": method, "arguments": arguments })).await;
    }

    /// An id that no other call of this client has.
    pub fn next_id(&mut self) -> String {
        self.calls += 1;
        self.calls.to_string()
    }

    /// The completion of a call; other messages stay unread.
    pub async fn completion(&mut self, id: &str) -> Value {
        self.matching(&format!("the completion of call {id}"), |message| {
            message["type"] == 3 && message["invocationId"] == id
        })
        .await
    }

    /// The arguments of the next event of this name; other messages stay unread.
    pub async fn event(&mut self, name: &str) -> Value {
        let is_it = |message: &Value| message["type"] == 1 && message["target"] == name;
        self.matching(&format!("event {name}"), is_it).await["arguments"].clone()
    }

    async fn matching(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(found) = self.unread.iter().position(&is_it) {
            return self.unread.remove(found).expect("the position is inside");
        }
        let mut others = std::mem::take(&mut self.unread);
        // Pings would go on for ever.
        let found = soon(what, async {
            loop {
                match self.next(what).await {
                    Received::Message(message) if is_it(&message) => break message,
                    Received::Message(message) if is_ping(&message) => {}
                    Received::Message(message) => others.push_back(message),
                    Received::Pong(_) => {}
                    Received::End(code) => panic!("the connection ended ({code:?}) before {what}; unread: {others:?}"),
                }
            }
        })
        .await;
        others.append(&mut self.unread);
        self.unread = others;
        found
    }

    /// The next hub message that is no ping.
    pub async fn message(&mut self) -> Value {
        let what = "a hub message";
        soon(what, async {
            loop {
                match self.next(what).await {
                    Received::Message(message) if is_ping(&message) => {}
                    Received::Message(message) => return message,
                    Received::Pong(_) => {}
                    Received::End(code) => panic!("the connection ended ({code:?}) instead of a message"),
                }
            }
        })
        .await
    }

    /// The text of the next frame with a hub message that is no ping, exactly as it came.
    pub async fn next_text(&mut self) -> String {
        assert!(self.unread.is_empty(), "their text is gone: {:?}", self.unread);
        soon("a text frame", async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) if text.contains("\"type\":6") => {}
                    Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("expected a text frame, got {other:?}"),
                }
            }
        })
        .await
    }

    /// The content of the next binary frame.
    pub async fn next_bytes(&mut self) -> Vec<u8> {
        soon("a binary frame", async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Binary(bytes))) => return bytes.into(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("expected a binary frame, got {other:?}"),
                }
            }
        })
        .await
    }

    /// What comes next, pings too.
    pub async fn next(&mut self, what: &str) -> Received {
        if let Some(message) = self.unread.pop_front() {
            return Received::Message(message);
        }
        loop {
            let frame = match soon(what, self.stream.next()).await {
                Some(Ok(frame)) => frame,
                Some(Err(_)) | None => return Received::End(None),
            };
            match frame {
                Message::Text(text) => {
                    self.unread.extend(split(&text));
                    if let Some(message) = self.unread.pop_front() {
                        return Received::Message(message);
                    }
                }
                Message::Binary(_) => panic!("a client that speaks JSON gets no binary frames"),
                Message::Pong(payload) => return Received::Pong(payload),
                Message::Close(close) => {
                    // Reads on, so that the closing handshake of the WebSocket comes to its end.
                    while let Some(Ok(_)) = soon("the connection to end", self.stream.next()).await {}
                    return Received::End(close.map(|close| close.code.into()));
                }
                Message::Ping(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Everything that came before the answer to one more call, in order; completions of other calls too.
    pub async fn everything_so_far(&mut self) -> Vec<Value> {
        self.everything_so_far_by("echo").await
    }

    /// The same with another method that gives back its argument, a text.
    pub async fn everything_so_far_by(&mut self, echo: &str) -> Vec<Value> {
        // The calls of a client are answered in order, so nothing that an earlier one caused comes after this one.
        let id = self.start_call(echo, json!(["0"])).await;
        let mut so_far = Vec::new();
        loop {
            let message = self.message().await;
            if message["type"] == 3 && message["invocationId"] == id.as_str() {
                return so_far;
            }
            so_far.push(message);
        }
    }

    /// Reads to the end of the connection, whatever comes before it.
    pub async fn end(&mut self) -> End {
        let what = "the connection to end";
        soon(what, async {
            let mut last = None;
            loop {
                match self.next(what).await {
                    Received::Message(message) => last = Some(message),
                    Received::Pong(_) => {}
                    Received::End(code) => {
                        let close = last.filter(|message| message["type"] == 7);
                        return End { close, code };
                    }
                }
            }
        })
        .await
    }

    /// The error that answers the handshake. It is the only message, and the connection ends behind it.
    pub async fn handshake_error(&mut self) -> String {
        let answer = self.message().await;
        let error =
            answer["error"].as_str().unwrap_or_else(|| panic!("the handshake has no error: {answer}")).to_owned();
        match self.next("the connection to end").await {
            Received::End(_) => error,
            more => panic!("nothing follows a handshake error, but this did: {more:?}"),
        }
    }

    /// Leaves as clients do: a hub Close, then a close frame without status.
    pub async fn leave(mut self) {
        self.send(json!({ "type": 7 })).await;
        let _ = soon("the close frame to be sent", self.stream.close(None)).await;
        self.end().await;
    }

    /// Vanishes without a word: the TCP connection is reset.
    pub fn vanish(self) {
        socket::tcp(self.stream.into_inner()).set_zero_linger().expect("a TCP socket has the option");
    }

    /// Its WebSocket, behind all that was read of it.
    pub fn into_stream(self) -> WebSocketStream<Socket> {
        assert!(self.unread.is_empty(), "they would be lost: {:?}", self.unread);
        self.stream
    }
}

impl End {
    /// The error of the hub's Close, which must be there.
    pub fn error(&self) -> &str {
        let close = self.close.as_ref().unwrap_or_else(|| panic!("no Close came: {self:?}"));
        close["error"].as_str().unwrap_or_else(|| panic!("the Close has no error: {close}"))
    }

    /// Whether the hub's Close, which must be there, lets the client come back.
    pub fn allows_reconnect(&self) -> bool {
        let close = self.close.as_ref().unwrap_or_else(|| panic!("no Close came: {self:?}"));
        close.get("allowReconnect").is_some_and(|allow| allow == true)
    }
}

fn is_ping(message: &Value) -> bool {
    message["type"] == 6
}

/// The hub messages of one WebSocket message, which holds whole ones only.
fn split(text: &str) -> Vec<Value> {
    let messages = text.strip_suffix(SEPARATOR).unwrap_or_else(|| panic!("a hub message is not whole: {text:?}"));
    let parse = |message| serde_json::from_str(message).unwrap_or_else(|error| panic!("{error}: {message}"));
    messages.split(SEPARATOR).map(parse).collect()
}
