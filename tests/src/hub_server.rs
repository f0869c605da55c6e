//! A hub server that does what no real one does: it breaks off, floods, says nothing, reads nothing. Whatever real ones do is
//! tested with those of [`crate::dotnet`].

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use hubgate_wire::service::{self, HandshakeRequest, ServiceMessage};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::gateway::Gateway;
use crate::wait::soon;

/// A connection of a hub server to the gateway.
#[derive(Debug)]
pub struct HubServer {
    stream: WebSocketStream<TcpStream>,
    /// What came and was not taken yet.
    unread: Vec<u8>,
}

impl HubServer {
    /// Opens a connection of server `name` for `hub`, without a word yet.
    pub async fn open(gateway: &Gateway, hub: &str, name: &str) -> HubServer {
        let token = gateway.token(hub).audience(&format!("{}/server/?hub={hub}", gateway.url())).sign();
        match HubServer::try_open(gateway.address(), hub, &token, &[("x-asrs-server-id", name)]).await {
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
        let url = format!("ws://{address}/server/?hub={hub}&cid=1");
        let mut request = url.into_client_request().expect("tests make valid URLs");
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in headers.chain([("authorization", format!("Bearer {token}"))]) {
            request.headers_mut().insert(name, value.parse().expect("tests make valid headers"));
        }
        let opening = async {
            let stream = TcpStream::connect(address).await.expect("the gateway accepts connections");
            tokio_tungstenite::client_async(request, stream).await
        };
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

    /// Introduces itself with this type of connection, and is let in.
    pub async fn shake_hands(&mut self, connection_type: i64) {
        let request = HandshakeRequest { version: 1, connection_type, ..HandshakeRequest::default() };
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

    /// The id of the client that it is told of next.
    pub async fn told_of_client(&mut self) -> String {
        let body = self.next().await;
        match service::parse(&body).expect("a message") {
            ServiceMessage::OpenConnection(open) => open.connection_id.to_owned(),
            other => panic!("a client is announced first: {other:?}"),
        }
    }

    /// Sends bytes in one WebSocket message with its close frame right behind it, and waits for the other side's.
    pub async fn send_and_leave(mut self, bytes: &[u8]) {
        self.stream.feed(Message::binary(bytes.to_vec())).await.expect("the connection is open");
        self.stream.close(None).await.expect("the connection is open");
        self.end().await;
    }

    /// The body of the next message that is no ping.
    pub async fn next(&mut self) -> Vec<u8> {
        loop {
            match self.take() {
                Some(body) if matches!(service::parse(&body), Ok(ServiceMessage::Ping(_))) => {}
                Some(body) => return body,
                None => assert!(self.read().await, "the connection ended instead of a message"),
            }
        }
    }

    /// Reads until the connection has ended.
    pub async fn end(&mut self) {
        while self.read().await {}
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
