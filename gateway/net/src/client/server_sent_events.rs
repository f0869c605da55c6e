//! A client that gets an event stream and posts what it says.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols", "Server Sent Events".

use bytes::Bytes;
use hubgate_core::CloseCause;
use hubgate_wire::server_sent_events::{OPENING, write_event};

use crate::delivery::Delivery;
use crate::links::{HttpClient, State};
use crate::outbox::Cause;
use crate::shared::Shared;
use crate::slow::StallWatch;

/// Brings a client its messages until one of the two has enough. `events` is the body of its request's answer.
pub(crate) async fn serve(shared: &Shared, client: &HttpClient, events: Delivery) -> CloseCause {
    // Lets browsers know that the stream is open.
    events.push(Bytes::from_static(OPENING), Cause::Others);
    let events = client.deliver_by(events);
    let mut watch = StallWatch::default();
    loop {
        client.linger().await;
        while let Some((messages, cause)) = client.pop() {
            let mut text = Vec::with_capacity(messages.len() + 16);
            write_event(&messages, &mut text);
            events.push(text.into(), cause);
        }
        match client.state() {
            State::Open => {}
            State::Finishing => {
                events.complete();
                client.delivered(shared).await;
                return CloseCause::Normal;
            }
            State::Over(cause) => return cause,
        }
        tokio::select! {
            () = client.changed() => {}
            () = client.check_stall(shared, &events, &mut watch) => {}
            () = events.body_dropped() => {
                return match client.state() {
                    // It was given up, and so was its answer.
                    State::Over(cause) => cause,
                    State::Open | State::Finishing => CloseCause::TransportLost,
                };
            }
        }
    }
}
