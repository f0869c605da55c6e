//! A client that polls for its messages and posts what it says.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols", "Long Polling".

use std::time::Duration;

use hubgate_core::CloseCause;
use tokio::sync::mpsc;

use crate::client_request::{Poll, PollAnswer};
use crate::links::{HttpClient, State};
use crate::shared::Shared;

/// How long a poll is held when there is nothing to answer: less than the 100 seconds after which clients give it up.
const LONGEST_POLL: Duration = Duration::from_secs(90);

/// Answers a client's polls until it has got all that it gets, or is lost. Between two of them it may be silent for
/// `silence`.
pub(crate) async fn serve(
    shared: &Shared,
    client: &HttpClient,
    polls: &mut mpsc::Receiver<Poll>,
    silence: Duration,
) -> CloseCause {
    let mut is_open = false;
    loop {
        let Some(poll) = next_poll(client, polls, silence).await else {
            return match client.state() {
                State::Over(cause) => cause,
                State::Open | State::Finishing => CloseCause::TransportLost,
            };
        };
        if !is_open {
            // The first one only makes the connection.
            is_open = poll.send(PollAnswer::Opened).is_ok();
            continue;
        }
        if let Some(cause) = answer(shared, client, polls, poll).await {
            return cause;
        }
    }
}

/// Tells a client that has got its last messages so, at its next poll. It may be silent for `silence` before it.
pub(crate) async fn say_that_it_is_over(polls: &mut mpsc::Receiver<Poll>, silence: Duration) {
    if let Ok(Some(poll)) = tokio::time::timeout(silence, polls.recv()).await {
        drop(poll.send(PollAnswer::Over));
    }
}

async fn next_poll(client: &HttpClient, polls: &mut mpsc::Receiver<Poll>, silence: Duration) -> Option<Poll> {
    let silence = tokio::time::sleep(silence);
    tokio::pin!(silence);
    loop {
        if let State::Over(_) = client.state() {
            return None;
        }
        tokio::select! {
            poll = polls.recv() => return poll,
            () = &mut silence => return None,
            () = client.changed() => {}
        }
    }
}

/// Answers one poll as soon as there is something to say, or it has been held for long enough; gives the reason when that is the connection's end.
async fn answer(
    shared: &Shared,
    client: &HttpClient,
    polls: &mut mpsc::Receiver<Poll>,
    mut poll: Poll,
) -> Option<CloseCause> {
    // At the end of its token, too, so that its next poll tells it to come with another one.
    let valid = client.valid_until.get().0.saturating_sub(shared.now().0);
    let patience = tokio::time::sleep(LONGEST_POLL.min(Duration::from_millis(valid)));
    tokio::pin!(patience);
    loop {
        client.linger().await;
        match client.state() {
            State::Over(cause) => {
                drop(poll.send(PollAnswer::Over));
                return Some(cause);
            }
            State::Open | State::Finishing if client.has_messages() => {
                let is_last = client.state() == State::Finishing;
                if let Err(PollAnswer::Messages(messages)) = poll.send(PollAnswer::Messages(client.deliver())) {
                    client.put_back(messages);
                    return None;
                }
                // The client polls again when it has it all, and is silent only from then on.
                client.delivered(shared).await;
                return is_last.then_some(CloseCause::Normal);
            }
            State::Finishing => {
                drop(poll.send(PollAnswer::Over));
                return Some(CloseCause::Normal);
            }
            State::Open => {}
        }
        tokio::select! {
            () = client.changed() => {}
            Some(newer) = polls.recv() => {
                drop(std::mem::replace(&mut poll, newer).send(PollAnswer::Over));
            }
            () = poll.closed() => return None,
            () = &mut patience => {
                drop(poll.send(PollAnswer::Empty));
                return None;
            }
        }
    }
}
