//! What another node says, to a shard that does it.

use std::sync::Arc;

use bytes::Bytes;
use hubgate_cluster::codec::{Envelope, Item};
use hubgate_cluster::frame::{Frame, FrameKind};
use hubgate_core::id::{ConnectionId, HubName, NodeId, ServerId, ShardAddress, ShardIndex, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::settings::{HubSettings, Settings};
use hubgate_core::time::Millis;
use hubgate_core::{
    ClientTimes, Directory, DirectoryChange, Effect, Family, HashSeed, Identity, Input, Neighbours, NewClient,
    NewServerConnection, OtherNode, Reconnect, Shard,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::service::{self, AnyText, ConnectionData, HandshakeRequest, ServiceMessage};

use super::link::settings;

/// The shard that is told.
const AT: ShardAddress = ShardAddress { node: NodeId(1), shard: ShardIndex(0) };
/// The node that tells it.
const OTHER: OtherNode = OtherNode { id: NodeId(2), shards: 2 };
/// Longer than anything is waited for.
const LONG: Millis = Millis(3_600_000);

/// A frame. It and its items are read as the same when they are written again, and what they order is done.
pub fn nodes(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(&Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(Frame::decode(&frame.encode()).as_ref(), Ok(&frame));
    let FrameKind::Data(data) = frame.kind else { return };
    let items: Vec<Item> = data.items.iter().filter_map(|item| Item::decode(item).ok()).collect();
    if items.is_empty() {
        return;
    }
    let mut node = Node::new();
    for item in items {
        assert_eq!(Item::decode(&item.encode()).as_ref(), Ok(&item));
        match item {
            Item::Envelope(Envelope { from, hub, order, .. }) => node.feed(Input::Order { from, hub, order }),
            Item::Sends(sends) => sends
                .into_envelopes()
                .for_each(|Envelope { from, hub, order, .. }| node.feed(Input::Order { from, hub, order })),
            Item::Change { hub, change } => node.directory.apply(&hub, false, change),
            // Of the snapshot: it is its receiver that waits for that.
            Item::Complete | Item::Tunnel(_) => {}
        }
    }
    node.directory.node_lost(OTHER.id);
    node.feed(Input::NodeLost(OTHER.id));
    node.now = LONG;
    node.feed(Input::Tick);
    node.feed(Input::DrainNow);
}

/// A shard with a client of two hubs each, one of which has a hub server.
struct Node {
    shard: Shard,
    directory: Arc<Directory>,
    now: Millis,
}

impl Node {
    fn new() -> Node {
        let directory = Arc::new(Directory::new(HashSeed::fixed()));
        let proxied = HubSettings { mode: Mode::Default, filters: Vec::new(), messages_per_second: 0 };
        let settings = Settings { hubs: [(hub("app"), proxied)].into(), ..settings() };
        let halves = [].into_iter().collect();
        let neighbours = Neighbours::new(AT, 2);
        let shard = Shard::new(neighbours, Arc::new(settings), directory.clone(), halves, HashSeed::fixed());
        let mut node = Node { shard, directory, now: Millis(0) };
        node.feed(Input::Nodes(Arc::new([OTHER].into_iter().collect())));
        node.client("chat", 7);
        let id = node.shard.next_server();
        let server = NewServerConnection { hub: hub("app"), server: ServerId::new("s") };
        node.feed(Input::ServerOpened { id, server });
        let request = HandshakeRequest { version: 1, ..HandshakeRequest::default() };
        let client = node.client("app", 8);
        let answer = ConnectionData {
            connection_id: AnyText(client.as_bytes()),
            payload: b"{}\x1e",
            ..ConnectionData::default()
        };
        for message in [ServiceMessage::HandshakeRequest(request), ServiceMessage::ConnectionData(answer)] {
            let mut bytes = Vec::new();
            service::write(&message, &mut bytes);
            node.feed(Input::ServerData { id, bytes: &mut &bytes[..], most: usize::MAX });
        }
        node
    }

    fn client(&mut self, of: &str, random: u8) -> ConnectionId {
        let (id, transport) = (ConnectionId::new(AT, [random; 12]), self.shard.next_transport());
        let identity = Identity {
            user_id: Some(UserId::new("ann")),
            claims: Default::default(),
            query: "".into(),
            headers: Default::default(),
            remote_address: "192.0.2.1".into(),
            groups: Vec::new(),
        };
        let client = NewClient {
            hub: hub(of),
            id,
            token: None,
            transport: Transport::WebSockets,
            identity,
            times: ClientTimes::default(),
            reconnect: Reconnect::No,
            family: Family::Core,
        };
        self.feed(Input::ClientOpened { transport, client: Box::new(client) });
        let mut request = &b"{\"protocol\":\"json\",\"version\":1}\x1e"[..];
        self.feed(Input::ClientData { transport, bytes: &mut request, most: usize::MAX });
        id
    }

    /// Of what the shard wants done, others are told of its hubs: until then their clients are not read.
    fn feed(&mut self, input: Input<'_, '_>) {
        let mut effects = Vec::new();
        self.shard.handle(input, self.now, &mut effects);
        for effect in effects {
            if let Effect::Announce { hub, change: DirectoryChange::HubUsed(_) } = effect {
                self.feed(Input::HubAnnounced(hub));
            }
        }
    }
}

fn hub(name: &str) -> HubName {
    HubName::parse(name).expect("a name")
}
