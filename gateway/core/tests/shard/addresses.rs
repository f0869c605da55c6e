//! Ids that name a shard of another gateway.

use hubgate_core::delivery::{Action, Except, Member, Target};
use hubgate_core::id::{ConnectionId, GroupName, NodeId, ShardAddress};
use hubgate_core::question::{Answered, Joined, Sought};
use hubgate_core::{Input, Outgoing};
use hubgate_wire::service::{
    AnyText, ClientCompletion, CloseConnection, ConnectionData, JoinGroup, LeaveGroup, MultiConnectionData,
    ServiceMessage,
};

use crate::proxied::both;
use crate::rig::{Client, PATIENCE, Rig, default_mode, hub, json, settings};

/// An id that differs from this one in nothing but the gateway that it names.
pub(crate) fn of_another_gateway(id: ConnectionId) -> ConnectionId {
    let owner = id.owner();
    // Ids of the rig have one byte twelve times.
    let byte = (0..=u8::MAX).find(|byte| ConnectionId::new(owner, [*byte; 12]) == id).expect("an id of the rig");
    let elsewhere = ShardAddress { node: NodeId(owner.node.0 + 1), shard: owner.shard };
    ConnectionId::new(elsewhere, [byte; 12])
}

fn assert_untouched(rig: &mut Rig, client: Client) {
    assert!(rig.received(client).is_empty());
    assert!(!rig.finished.contains_key(&(client.shard, client.transport)));
}

#[test]
fn what_is_for_a_connection_of_another_gateway_reaches_nobody_here() {
    let mut rig = Rig::new(2, settings());
    for shard in [0, 1] {
        let client = rig.connect(shard, Some("ann"));
        let (id, group) = (of_another_gateway(client.id), GroupName::new("g"));
        let (target, member) = (Target::Connection(id), Member::Connection(id));
        let message = Outgoing::call("m".into(), json("[]"));
        let actions = vec![
            Action::Join { member: member.clone(), group: group.clone(), ttl_seconds: None, plugin: None },
            Action::Send { to: target.clone(), message, except: Except::default() },
            Action::Leave { member: member.clone(), group: group.clone() },
            Action::LeaveAll(member),
            Action::Close { target: target.clone(), except: Vec::new(), reason: None, allow_reconnect: false },
        ];
        rig.run(0, actions);
        assert_untouched(&mut rig, client);
        let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
        let join = Input::Join { hub: hub("chat"), connection: id, group: group.clone(), deadline, ticket };
        rig.feed(shard, join);
        let Some(Answered::Joined(joined)) = rig.answers.remove(&ticket.number()) else { panic!("it is answered") };
        assert_eq!(joined.answer, Ok(Joined::NoSuchConnection));
        for target in [target, Target::Group(group)] {
            assert!(!rig.finds(shard, "chat", Sought::ConnectionOf(target.clone())), "{target:?}");
        }
    }
}

#[test]
fn what_a_hub_server_says_to_a_client_of_another_gateway_reaches_nobody_here() {
    let mut rig = Rig::new(2, default_mode());
    let server = rig.server(0, "a", 0);
    for shard in [0, 1] {
        let (client, _) = rig.connect_proxied(shard, None, &[server]);
        let id = of_another_gateway(client.id);
        let connection_id = id.as_str();
        let data = ConnectionData {
            connection_id: AnyText(connection_id.as_bytes()),
            payload: b"x\x1e",
            ..ConnectionData::default()
        };
        let to_many =
            MultiConnectionData { connection_ids: vec![connection_id], payloads: both("x\x1e"), ..Default::default() };
        let completion = ClientCompletion { invocation_id: "i", connection_id, ..ClientCompletion::default() };
        for message in [
            ServiceMessage::ConnectionData(data),
            ServiceMessage::MultiConnectionData(to_many),
            ServiceMessage::JoinGroup(JoinGroup { connection_id, group: "g", ..JoinGroup::default() }),
            ServiceMessage::LeaveGroup(LeaveGroup { connection_id, group: "g", ..LeaveGroup::default() }),
            ServiceMessage::ClientCompletion(completion),
            ServiceMessage::CloseConnection(CloseConnection { connection_id, ..CloseConnection::default() }),
        ] {
            rig.says(server, &message);
            assert_untouched(&mut rig, client);
        }
        assert!(rig.told(server).is_empty());
    }
}
