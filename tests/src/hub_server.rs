//! A hub server that does what no real one does: it breaks off, floods, says nothing, reads nothing. Whatever real ones do is
//! tested with those of [`crate::dotnet`].

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use hubgate_wire::service::{self, AnyText, ConnectionData, HandshakeRequest, ServiceMessage};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Client, HANDSHAKE};
use crate::gateway::Gateway;
use crate::socket::{Dialing, Socket};
use crate::wait::{soon, until};

/// A connection of a hub server to the gateway.
#[derive(Debug)]
pub struct HubServer {
    stream: WebSocketStream<Socket>,
    /// What came and was not taken yet.
    unread: Vec<u8>,
}

impl HubServer {
    /// Opens a connection of server `name` for `hub`, without a word yet.
    pub async fn open(gateway: &Gateway, hub: &str, name: &str) -> HubServer {
        HubServer::dial(&Dialing::default(), gateway, hub, name).await
    }

    /// The same on a connection of this kind.
    pub async fn dial(dialing: &Dialing, gateway: &Gateway, hub: &str, name: &str) -> HubServer {
        let token = gateway.token(hub).audience(&format!("{}/server/?hub={hub}", gateway.url())).sign();
        let headers = [("x-asrs-server-id", name)];
        match HubServer::try_dial(dialing, gateway.address(), hub, &token, &headers).await {
            Ok(server) => server,
            Err(status) => panic!("the gateway opens no WebSocket for a hub server: {status}"),
        }
    }

    /// The same, or the status of the answer.
    pub async fn try_open(
        address: SocketAddr,
        hub: &str,
        token: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<HubServer, u16> {
        HubServer::try_dial(&Dialing::default(), address, hub, token, headers).await
    }

    async fn try_dial(
        dialing: &Dialing,
        address: SocketAddr,
        hub: &str,
        token: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<HubServer, u16> {
        let url = format!("ws://{address}/server/?hub={hub}&cid=1");
        let mut request = url.into_client_request().expect("tests make valid URLs");
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in headers.chain([("authorization", format!("Bearer {token}"))]) {
            request.headers_mut().insert(name, value.parse().expect("tests make valid headers"));
        }
        let opening = async { tokio_tungstenite::client_async(request, dialing.dial(address).await).await };
        match soon("the answer to a hub server's upgrade", opening).await {
            Ok((stream, _)) => Ok(HubServer { stream, unread: Vec::new() }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the upgrade broke off: {error}"),
        }
    }

    /// Opens a connection that clients are routed to.
    pub async fn connect(gateway: &Gateway, hub: &str, name: &str) -> HubServer {
        let mut server = HubServer::open(gateway, hub, name).await;
        server.shake_hands(0).await;
        server
    }

    /// The same of a server that lets its clients go on by another WebSocket.
    pub async fn connect_allowing_stateful_reconnect(gateway: &Gateway, hub: &str, name: &str) -> HubServer {
        let mut server = HubServer::open(gateway, hub, name).await;
        let request = HandshakeRequest { version: 1, allow_stateful_reconnects: true, ..HandshakeRequest::default() };
        // Its clients may be moved to another one when it leaves.
        server.shake_hands_with(HandshakeRequest { migration_level: 1, ..request }).await;
        server
    }

    /// The same of a server whose clients may be moved to another: by 1 when it leaves, by 2 also when it is lost.
    pub async fn connect_migrating(gateway: &Gateway, hub: &str, name: &str, migration_level: i64) -> HubServer {
        let mut server = HubServer::open(gateway, hub, name).await;
        server.shake_hands_with(HandshakeRequest { version: 1, migration_level, ..HandshakeRequest::default() }).await;
        server
    }

    /// The same at an address where a gateway may be or may not: nothing where it is not let in.
    pub async fn try_connect_migrating(
        address: SocketAddr,
        hub: &str,
        token: &str,
        name: &str,
        migration_level: i64,
    ) -> Option<HubServer> {
        let mut server = HubServer::try_open(address, hub, token, &[("x-asrs-server-id", name)]).await.ok()?;
        let request = HandshakeRequest { version: 1, migration_level, ..HandshakeRequest::default() };
        server.send(&ServiceMessage::HandshakeRequest(request)).await;
        let answer = server.next_before_end().await?;
        let is_let_in = matches!(service::parse(&answer), Ok(ServiceMessage::HandshakeResponse(response)) if response.error.is_empty());
        is_let_in.then_some(server)
    }

    /// Leaves: its clients are to go to other hub servers.
    pub async fn hand_its_clients_over(&mut self) {
        self.send(&ServiceMessage::Ping(vec!["shutdown", "fin:1"])).await;
    }

    /// Introduces itself with this type of connection, and is let in.
    pub async fn shake_hands(&mut self, connection_type: i64) {
        self.shake_hands_with(HandshakeRequest { version: 1, connection_type, ..HandshakeRequest::default() }).await;
    }

    async fn shake_hands_with(&mut self, request: HandshakeRequest<'_>) {
        self.send(&ServiceMessage::HandshakeRequest(request)).await;
        let answer = self.next().await;
        match service::parse(&answer).expect("a message") {
            ServiceMessage::HandshakeResponse(response) => assert_eq!(response.error, ""),
            other => panic!("no answer to the handshake: {other:?}"),
        }
    }

    pub async fn send(&mut self, message: &ServiceMessage<'_>) {
        let mut bytes = Vec::new();
        service::write(message, &mut bytes);
        self.send_bytes(&bytes).await;
    }

    /// Bytes in one WebSocket message. A gateway that has given the server up already may refuse them.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = soon("the gateway to read", self.stream.send(Message::binary(bytes.to_vec()))).await;
    }

    /// Bytes past the WebSocket's framing. A gateway that has given the server up already may refuse them.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        let sending = self.stream.get_mut().write_all(bytes);
        let _ = soon("the gateway to read", sending).await;
    }

    /// The id of the client that it is told of next.
    pub async fn told_of_client(&mut self) -> String {
        let body = self.next().await;
        match service::parse(&body).expect("a message") {
            ServiceMessage::OpenConnection(open) => open.connection_id.to_owned(),
            other => panic!("a client is announced first: {other:?}"),
        }
    }

    /// What the next message, which is one of a client, says.
    pub async fn client_says(&mut self) -> String {
        match service::parse(&self.next().await).expect("a message") {
            ServiceMessage::ConnectionData(data) => String::from_utf8_lossy(data.payload).into_owned(),
            other => panic!("no data: {other:?}"),
        }
    }

    pub async fn tell_client(&mut self, client: &str, text: &str) {
        let data = ConnectionData {
            connection_id: AnyText(client.as_bytes()),
            payload: text.as_bytes(),
            ..ConnectionData::default()
        };
        self.send(&ServiceMessage::ConnectionData(data)).await;
    }

    /// Shakes hands with a client that is routed to it; gives the client and its id.
    pub async fn let_in(&mut self, mut client: Client) -> (Client, String) {
        client.send_text(HANDSHAKE).await;
        let id = self.told_of_client().await;
        assert_eq!(self.client_says().await, HANDSHAKE);
        self.tell_client(&id, "{}\u{1e}").await;
        assert_eq!(client.message().await, json!({}));
        (client, id)
    }

    /// Waits until a gateway routes clients to it. It has no others yet.
    pub async fn is_known_at(&mut self, gateway: &Gateway, hub: &str) {
        until("a gateway to know a hub server", async || {
            let mut client = gateway.client(hub).open().await;
            client.send_text(HANDSHAKE).await;
            let id = tokio::select! {
                id = self.told_of_client() => id,
                // It is refused, or let in without a server.
                _ = client.message() => return None,
            };
            assert_eq!(self.client_says().await, HANDSHAKE);
            self.tell_client(&id, "{}\u{1e}").await;
            assert_eq!(client.message().await, json!({}));
            client.leave().await;
            // It says that it leaves before it is gone.
            while !matches!(service::parse(&self.next().await), Ok(ServiceMessage::CloseConnection(_))) {}
            Some(())
        })
        .await;
    }

    /// Sends bytes in one WebSocket message with its close frame right behind it, and waits for the other side's.
    pub async fn send_and_leave(mut self, bytes: &[u8]) {
        self.stream.feed(Message::binary(bytes.to_vec())).await.expect("the connection is open");
        self.stream.close(None).await.expect("the connection is open");
        self.end().await;
    }

    /// The body of the next message that is no ping.
    pub async fn next(&mut self) -> Vec<u8> {
        // Pings would go on for ever.
        let next = soon("a message for a hub server", self.next_before_end()).await;
        next.expect("the connection ended instead of a message")
    }

    /// The same, or nothing once the connection has ended. Given up, nothing is lost.
    pub async fn next_before_end(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.take() {
                Some(body) if matches!(service::parse(&body), Ok(ServiceMessage::Ping(_))) => {}
                Some(body) => return Some(body),
                None if self.read().await => {}
                None => return None,
            }
        }
    }

    /// Reads until the connection has ended.
    pub async fn end(&mut self) {
        soon("the end of a hub server's connection", async { while self.read().await {} }).await;
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let mut input = &self.unread[..];
        let body = service::split_message(&mut input).expect("a length").map(<[u8]>::to_vec)?;
        let taken = self.unread.len() - input.len();
        self.unread.drain(..taken);
        Some(body)
    }

    /// Reads once; gives whether there is more to come. A close frame is answered by the library's next read.
    async fn read(&mut self) -> bool {
        match soon("something for a hub server", self.stream.next()).await {
            Some(Ok(Message::Binary(bytes))) => self.unread.extend_from_slice(&bytes),
            Some(Err(_)) | None => return false,
            Some(Ok(_)) => {}
        }
        true
    }
}
