//! A client that gets an event stream and posts what it says.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols", "Server Sent Events".

use bytes::Bytes;
use hubgate_core::{CloseCause, TransportKey};
use hubgate_wire::server_sent_events::write_event;

use crate::delivery::Delivery;
use crate::links::{HttpClient, State};
use crate::outbox::{Cause, Popped};
use crate::shared::Shared;
use crate::slow::StallWatch;

/// Brings a client its messages until one of the two has enough. `events` is the body of its request's answer, and begins with `opening`. `way_ends` is told of a
/// client whose answer passes through a node that stops.
pub(crate) async fn serve(
    shared: &Shared,
    client: &HttpClient,
    (events, opening): (Delivery, &'static [u8]),
    way_ends: impl Fn(TransportKey),
) -> CloseCause {
    // Lets browsers know that the stream is open.
    events.push(Bytes::from_static(opening), Cause::Others, None);
    let events = client.deliver_by(events);
    let (mut watch, mut is_left) = (StallWatch::default(), false);
    loop {
        if !is_left && events.is_left() {
            is_left = true;
            client.transport.get().into_iter().for_each(&way_ends);
        }
        client.linger().await;
        while let Some(Popped { bytes: messages, cause, mark }) = client.pop() {
            let mut text = Vec::with_capacity(messages.len() + 16);
            write_event(&messages, &mut text);
            events.push(text.into(), cause, mark);
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use hubgate_core::id::HubName;
    use hubgate_core::time::Millis;
    use hubgate_wire::negotiate::Transport;
    use hubgate_wire::server_sent_events::OPENING;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::links::Polls;
    use crate::outbox::Sharing;
    use crate::settings::tests::settings;
    use crate::vitals::Vitals;

    #[tokio::test]
    async fn a_client_that_is_given_up_for_its_outbox_is_never_taken_for_a_lost_one() {
        let settings = settings();
        let (address, vitals) = (settings.listen, Arc::new(Vitals::new(1, None)));
        let shared = Shared::new(
            settings,
            (None, crate::telemetry::Telemetry::default()),
            address,
            vitals,
            Registry::default(),
            Arc::default(),
        );
        let hub = HubName::parse("chat").expect("a hub's name");
        // Both ends are there at once, and which one is seen first is a matter of chance.
        for _ in 0..100 {
            let transport = Transport::ServerSentEvents;
            let client = HttpClient::new(
                hub.clone(),
                transport,
                None,
                (Millis(0), crate::verified_token::TokenDigest::of("")),
                Polls::None,
                &Arc::default(),
            );
            let (events, body) = client.stream();
            let mut serving = pin!(serve(&shared, &client, (events, OPENING), drop));
            let mut context = Context::from_waker(Waker::noop());
            assert!(serving.as_mut().poll(&mut context).is_pending(), "the stream is open");
            client.push("more than may wait".into(), None, Sharing::Alone, 0);
            drop(body);
            assert_eq!(serving.await, CloseCause::SlowClient);
        }
    }
}
