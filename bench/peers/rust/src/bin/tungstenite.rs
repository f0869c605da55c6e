//! tokio-tungstenite with an mpsc channel and two tasks per connection: what most people write first.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

type Receivers = Arc<Mutex<Vec<UnboundedSender<Message>>>>;

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("an address to listen at");
    let listener = TcpListener::bind(address).await.expect("the address is free");
    let receivers = Receivers::default();
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, receivers.clone()));
    }
}

async fn serve(stream: TcpStream, receivers: Receivers) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut write, mut read) = tokio_tungstenite::accept_async(stream).await.ok()?.split();
    let (sender, mut queue) = unbounded_channel();
    receivers.lock().expect("not poisoned").push(sender.clone());
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if write.send(message).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = read.next().await {
        let Message::Text(text) = message else { continue };
        for call in text.split('\x1e').filter(|call| !call.is_empty()) {
            if call.starts_with("{\"protocol\"") {
                sender.send(Message::text("{}\x1e")).ok()?;
                continue;
            }
            let call: Value = serde_json::from_str(call).ok()?;
            let argument = call["arguments"].as_array()?.last()?;
            match call["invocationId"].as_str() {
                Some(id) => {
                    let answer = format!("{{\"type\":3,\"invocationId\":\"{id}\",\"result\":{argument}}}\x1e");
                    sender.send(Message::text(answer)).ok()?;
                }
                None => {
                    let said = format!("{{\"type\":1,\"target\":\"said\",\"arguments\":[{argument}]}}\x1e");
                    let said = Utf8Bytes::try_from(Bytes::from(said)).ok()?;
                    let mut receivers = receivers.lock().expect("not poisoned");
                    receivers.retain(|receiver| receiver.send(Message::Text(said.clone())).is_ok());
                }
            }
        }
    }
    Some(())
}
