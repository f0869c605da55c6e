//! socketioxide on axum: rooms, acknowledgements and all, in socket.io's own protocol.

use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("an address to listen at");
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |Data::<Value>(text), ack: AckSender| drop(ack.send(&text)));
        socket.on("say", async |Data::<Value>(text), io: SocketIo| drop(io.emit("said", &text).await));
    });
    let listener = tokio::net::TcpListener::bind(address).await.expect("the address is free");
    axum::serve(listener, axum::Router::new().layer(layer)).await.expect("it serves");
}
