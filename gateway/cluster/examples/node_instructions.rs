//! Work to count the instructions of: `node_instructions WHAT TIMES`. What one piece of work costs is the difference between two runs,
//! divided by the difference of their times.

use std::hint::black_box;

use bytes::Bytes;
use hubgate_cluster::codec::{Envelope, Item, Shards};
use hubgate_cluster::frame::{Data, Frame, FrameKind};
use hubgate_core::delivery::{Action, Target};
use hubgate_core::id::{GroupName, HubName, NodeId, ShardAddress, ShardIndex};
use hubgate_core::{Order, Outgoing};
use hubgate_wire::payload::{JsonText, Payload};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, times] = arguments.as_slice() else {
        panic!("node_instructions WHAT TIMES");
    };
    let times: usize = times.parse().expect("a number");
    match what.as_str() {
        "encode" => encode(times),
        "decode" => decode(times),
        unknown => panic!("there is no work {unknown}"),
    }
}

/// A send to a group, with 100 bytes of arguments.
fn send() -> Item {
    let text = format!("[\"{}\"]", "x".repeat(96));
    let arguments = Payload::Json(JsonText::parse_text(text).expect("JSON"));
    let message = Outgoing::call("said".to_owned(), arguments);
    let to = Target::Group(GroupName::new("a-room"));
    let order = Order::Act(Action::Send { to, message, except: Default::default() });
    let from = ShardAddress { node: NodeId(0x1234_5678), shard: ShardIndex(1) };
    Item::Envelope(Envelope { from, to: Shards::All, hub: HubName::parse("chat").expect("a name"), order })
}

/// A frame with one item.
fn frame(item: Bytes) -> Frame {
    let data = Data {
        stream: 1,
        to: 0x1234_5678_9abc_def0,
        sequence: 1_000_000,
        ignores: 0,
        continues: false,
        is_cut: false,
        items: vec![item],
    };
    Frame { from: NodeId(0x1234_5678), incarnation: 0x0fed_cba9_8765_4321, kind: FrameKind::Data(data) }
}

/// An order becomes an item, and that a frame.
fn encode(times: usize) {
    let item = send();
    for _ in 0..times {
        black_box(frame(item.encode()).encode());
    }
}

/// A frame becomes an item, and that an order.
fn decode(times: usize) {
    let bytes = frame(send().encode()).encode();
    for _ in 0..times {
        let frame = Frame::decode(black_box(&bytes)).expect("a frame");
        let FrameKind::Data(data) = frame.kind else { panic!("it is data") };
        black_box(Item::decode(&data.items[0]).expect("an item"));
    }
}
