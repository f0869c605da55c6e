//! What comes late of a client or its transport, when others have taken their places.

use hubgate_core::event::UpstreamAnswer;
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Input};

use crate::rig::{Client, Rig, settings};

/// A client that has left and is forgotten, and one whose transport has taken the place of its transport.
fn one_after_another(rig: &mut Rig) -> (Client, Client) {
    let first = rig.connect(0, None);
    rig.gone(first, CloseCause::Normal);
    rig.answer(Ok(None), Vec::new());
    assert_eq!(rig.forgotten, [(0, first.id)]);
    let second = rig.connect(0, None);
    assert_eq!(second.transport.index, first.transport.index, "the place is the same");
    (first, second)
}

#[test]
fn what_comes_late_of_a_transport_that_is_gone_does_not_reach_the_client_at_its_place() {
    let mut rig = Rig::new(1, settings());
    let (first, second) = one_after_another(&mut rig);
    rig.invoke(first, "1", "late");
    assert!(rig.calls.is_empty(), "nobody has said it");
    rig.feed(0, Input::TokenRenewed { transport: first.transport, expiry: Millis(1), claims: None });
    rig.said_all(first);
    rig.gone(first, CloseCause::TransportLost);
    assert!(rig.finished.is_empty() && rig.forgotten.len() == 1, "the second is still there");
    rig.invoke(second, "2", "works");
    rig.answer(Ok(None), Vec::new());
    assert_eq!(rig.received(second), [r#"{"type":3,"invocationId":"2"}"#]);
    assert_eq!(rig.received(first), Vec::<String>::new());
}

#[test]
fn the_last_words_of_one_client_are_not_those_of_the_next() {
    let mut rig = Rig::new(1, settings());
    let (first, second) = one_after_another(&mut rig);
    rig.drain(0);
    assert_eq!(rig.leaving, [(0, second.transport)]);
    rig.said_all(first);
    assert!(rig.finished.is_empty(), "what the second has said may still be on its way");
    rig.said_all(second);
    assert_eq!(rig.finished[&(0, second.transport)], CloseCause::ServiceReload);
}

#[test]
fn an_answer_of_upstream_that_comes_late_completes_no_call_of_the_client_at_its_place() {
    let mut rig = Rig::new(1, settings());
    let first = rig.connect(0, None);
    rig.invoke(first, "1", "call");
    let asked = rig.calls[0].1;
    rig.answer(Ok(None), Vec::new());
    rig.gone(first, CloseCause::Normal);
    rig.answer(Ok(None), Vec::new());
    let second = rig.connect(0, None);
    rig.invoke(second, "2", "call");
    rig.feed(
        0,
        Input::UpstreamAnswered { client: asked, answer: UpstreamAnswer { result: Ok(None), actions: Vec::new() } },
    );
    assert_eq!(rig.received(second), Vec::<String>::new());
    rig.answer(Ok(None), Vec::new());
    assert_eq!(rig.received(second), [r#"{"type":3,"invocationId":"2"}"#]);
}

#[test]
fn nothing_is_wanted_of_a_transport_that_is_gone() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    rig.invoke(client, "1", "call");
    assert!(rig.shards[0].transport_of(rig.calls[0].1).is_some());
    rig.gone(client, CloseCause::TransportLost);
    assert_eq!(rig.shards[0].transport_of(rig.calls[0].1), None, "the client itself is still there");
    rig.answer(Ok(None), Vec::new());
    assert_eq!((rig.received(client), rig.finished.len()), (Vec::new(), 0));
}
