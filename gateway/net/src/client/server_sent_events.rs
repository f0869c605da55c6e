//! A client that gets an event stream and posts what it says.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols", "Server Sent Events".

use bytes::Bytes;
use hubgate_core::CloseCause;
use hubgate_wire::server_sent_events::{OPENING, write_event};
use tokio::sync::mpsc;

use super::http_client::{HttpClient, State};

/// Brings a client its messages until one of the two has enough. `events` is the body of its request's answer.
pub(crate) async fn serve(client: &HttpClient, events: mpsc::Sender<Bytes>) -> CloseCause {
    // Lets browsers know that the stream is open.
    drop(events.send(Bytes::from_static(OPENING)).await);
    loop {
        client.linger().await;
        let mut text = Vec::new();
        for messages in client.take() {
            write_event(&messages, &mut text);
        }
        if !text.is_empty() {
            tokio::select! {
                // Waits as long as the client does not read; meanwhile its queue has a limit.
                sent = events.send(Bytes::from(text)) => match sent {
                    Ok(()) => continue,
                    Err(_) => return CloseCause::TransportLost,
                },
                cause = over(client) => return cause,
            }
        }
        match client.state() {
            State::Open => {}
            State::Finishing => return CloseCause::Normal,
            State::Over(cause) => return cause,
        }
        tokio::select! {
            () = client.changed() => {}
            () = events.closed() => return CloseCause::TransportLost,
        }
    }
}

/// Until the client is given up.
async fn over(client: &HttpClient) -> CloseCause {
    loop {
        if let State::Over(cause) = client.state() {
            return cause;
        }
        client.changed().await;
    }
}
