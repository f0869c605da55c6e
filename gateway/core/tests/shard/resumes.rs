//! Clients that may resume, where the log of their link meets other parts of a shard.

use hubgate_core::delivery::{Action, Target};
use hubgate_core::id::ConnectionId;
use hubgate_core::time::Millis;
use hubgate_core::{ClientTimes, CloseCause, Family, Input, NewClient, Outgoing, Reconnect};
use hubgate_wire::negotiate::Transport;

use crate::rig::{Client, Rig, at, hub, identity, json, settings};

/// A client that upstream answers, and that acknowledges nothing of its own accord.
fn stateful(rig: &mut Rig) -> Client {
    let id = ConnectionId::new(at(0), [1; 12]);
    let client = NewClient {
        hub: hub("chat"),
        id,
        token: Some(ConnectionId::new(at(0), [2; 12])),
        transport: Transport::WebSockets,
        identity: identity(None),
        times: ClientTimes::default(),
        reconnect: Reconnect::Stateful,
        family: Family::Core,
    };
    let transport = rig.shards[0].next_transport();
    rig.feed(0, Input::ClientOpened { transport, client: Box::new(client) });
    let client = Client { shard: 0, transport, id };
    rig.data(client, "{\"protocol\":\"json\",\"version\":2}\x1e");
    rig.answer_last(Ok(None), Vec::new());
    assert_eq!(rig.received(client), ["{}"]);
    client
}

/// A second passes, and something is sent to the client.
fn send(rig: &mut Rig) {
    rig.pass(Millis(1_000));
    let message = Outgoing::call("said".into(), json(&format!("[\"{}\"]", "x".repeat(500))));
    rig.run(0, vec![Action::Send { to: Target::All, message, except: Default::default() }]);
}

#[test]
fn time_does_not_count_against_a_client_whose_acknowledgements_are_not_read() {
    for acknowledges in [true, false] {
        let mut rig = Rig::new(1, settings());
        let client = stateful(&mut rig);
        let key = (0, client.transport);
        // More calls wait than may.
        (0..6).for_each(|call| rig.invoke(client, &call.to_string(), "slow"));
        assert_eq!(rig.paused, [key]);
        if acknowledges {
            rig.data(client, "{\"type\":8,\"sequenceId\":10}\x1e");
        }
        // More is kept than the bound from the sixth on.
        (0..10).for_each(|_| send(&mut rig));
        assert!(!rig.finished.contains_key(&key), "it is not read");
        while !rig.calls.is_empty() {
            rig.answer(Ok(None), Vec::new());
        }
        assert!(rig.paused.is_empty());
        (0..4).for_each(|_| send(&mut rig));
        let closed = (!acknowledges).then_some(&CloseCause::SlowClient);
        assert_eq!(rig.finished.get(&key), closed, "it has been read for four seconds");
    }
}
