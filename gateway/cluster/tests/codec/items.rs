//! Items: what shards order shards of other nodes, and what nodes tell of themselves.

use bytes::Bytes;
use hubgate_cluster::codec::{Envelope, Item, ItemError, Shards};
use hubgate_core::delivery::{Action, Target};
use hubgate_core::id::{HubName, LONGEST_NAME, NodeId, ServerConnectionId, ShardAddress, ShardIndex, UserId};
use hubgate_core::{DirectoryChange, Order, Outgoing, ServerOrder};
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::signalr::HubProtocol;
use proptest::prelude::*;

use crate::any;
use crate::hostile::{changed, changes};

fn address(node: u32, shard: u16) -> ShardAddress {
    ShardAddress { node: NodeId(node), shard: ShardIndex(shard) }
}

fn envelope(order: Order) -> Item {
    let hub = HubName::parse("chat").expect("a name");
    Item::Envelope(Envelope { from: address(1, 2), to: Shards::All, hub, order })
}

fn order(item: Item) -> Order {
    let Item::Envelope(Envelope { order, .. }) = item else { panic!("{item:?} is an envelope") };
    order
}

fn send(arguments: &str) -> Item {
    let arguments = Payload::Json(JsonText::parse_text(arguments.to_owned()).expect("JSON"));
    let message = Outgoing::call("said".to_owned(), arguments);
    envelope(Order::Act(Action::Send { to: Target::All, message, except: Default::default() }))
}

fn pass(messages: Bytes) -> Item {
    let to = ServerConnectionId { owner: address(3, 4), number: 5 };
    envelope(Order::Server(ServerOrder::Pass { to, messages }))
}

#[test]
fn elements_that_newer_nodes_add_are_skipped() {
    let bytes = pass(Bytes::from_static(b"x")).encode();
    // One more element of the item, the envelope, and the address of the connection.
    assert_eq!(bytes[..], *b"\x92\x00\x94\x92\x01\x02\x91\x00\xa4chat\x92\x01\x93\x00\x92\x92\x03\x04\x05\xc4\x01x");
    let newer = b"\x93\x00\x95\x92\x01\x02\x91\x00\xa4chat\x92\x01\x93\x00\x92\x93\x03\x04\x81\xa1a\xc0\x05\xc4\x01x\xc3\x93\x01\x02\x03";
    assert_eq!(Item::decode(&Bytes::from_static(newer)), Ok(pass(Bytes::from_static(b"x"))));
}

#[test]
fn what_only_newer_nodes_order_is_told_from_what_none_does() {
    let decode = |bytes: &'static [u8]| Item::decode(&Bytes::from_static(bytes));
    assert_eq!(decode(b"\x92\x63\x01"), Err(ItemError::UnknownKind { kind: 99 }));
    let unknown_order = b"\x92\x00\x94\x92\x01\x02\x91\x00\xa4chat\x93\x62\x01\x02";
    assert_eq!(decode(unknown_order), Err(ItemError::UnknownKind { kind: 98 }));
    for malformed in [
        &b""[..],
        b"\x90",
        b"\x91\x00",
        b"\xc0",
        // No name of a hub.
        b"\x93\x01\xa2a/\x92\x00\x01",
        // Something comes after it.
        b"\x93\x01\xa1a\x92\x00\x01\x00",
    ] {
        assert_eq!(decode(malformed), Err(ItemError::Malformed), "{malformed:x?}");
    }
    assert!(decode(b"\x93\x01\xa1a\x92\x00\x01").is_ok());
}

#[test]
fn names_are_no_longer_than_they_may_be() {
    let entered = |length: usize| {
        let user = UserId::new("é".repeat(length));
        let change = DirectoryChange::UserEntered { user, shard: address(1, 2) };
        Item::Change { hub: HubName::parse("chat").expect("a name"), change }
    };
    let longest = entered(LONGEST_NAME);
    assert_eq!(Item::decode(&longest.encode()), Ok(longest));
    assert_eq!(Item::decode(&entered(LONGEST_NAME + 1).encode()), Err(ItemError::Malformed));
}

#[test]
fn arguments_are_one_array_of_valid_json_in_utf_8() {
    let bytes = send("[1]").encode();
    let at = bytes.windows(3).position(|window| window == b"[1]").expect("the arguments");
    for wrong in [b"{1]", b"[1}", b"111", b"[\x1e]", b"[\xff]", b"[] "] {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 3].copy_from_slice(wrong);
        let is_right = wrong == b"[] ";
        assert_eq!(Item::decode(&bytes.into()).is_ok(), is_right, "{wrong:x?}");
    }
}

#[test]
fn a_message_for_protocols_that_only_newer_nodes_speak_is_read_without_them() {
    let encoded = |messages: &[(HubProtocol, &'static [u8])]| {
        let message = Outgoing::encoded(messages.iter().copied());
        envelope(Order::Act(Action::Send { to: Target::All, message, except: Default::default() }))
    };
    let both = encoded(&[(HubProtocol::Json, b"{}\x1e"), (HubProtocol::MessagePack, b"\x02\x91\x06")]);
    let mut bytes = both.encode().to_vec();
    let at = bytes.windows(11).position(|window| window == b"messagepack").expect("its name");
    bytes[at] = b'M';
    assert_eq!(Item::decode(&bytes.clone().into()), Ok(both), "names are compared without case");
    bytes[at] = b'_';
    assert_eq!(Item::decode(&bytes.into()), Ok(encoded(&[(HubProtocol::Json, b"{}\x1e")])));
}

#[test]
fn long_payloads_share_the_bytes_of_the_item_and_short_ones_do_not_keep_them() {
    let is_within = |bytes: &Bytes, part: &[u8]| bytes.as_ptr_range().contains(&part.as_ptr());
    for (length, is_shared) in [(20_000, true), (100, false)] {
        let bytes = pass(vec![7; length].into()).encode();
        let Order::Server(ServerOrder::Pass { messages, .. }) = order(Item::decode(&bytes).expect("an item")) else {
            panic!("messages are passed");
        };
        assert_eq!(is_within(&bytes, &messages), is_shared);
        let bytes = send(&format!("[\"{}\"]", "x".repeat(length))).encode();
        let Order::Act(Action::Send { message, .. }) = order(Item::decode(&bytes).expect("an item")) else {
            panic!("it is sent");
        };
        let (_, arguments) = message.as_call().expect("a call");
        let Payload::Json(json) = arguments else { panic!("the arguments are JSON") };
        assert_eq!(is_within(&bytes, json.as_bytes()), is_shared);
    }
}

#[test]
fn a_message_keeps_its_sender_encoding_and_is_the_same_in_each_protocol() {
    let item = send("[ 1.50 ]");
    let again = Item::decode(&item.encode()).expect("an item");
    let frames = |item| {
        let Order::Act(Action::Send { message, .. }) = order(item) else { panic!("it is sent") };
        HubProtocol::ALL.map(|protocol| message.frame(protocol).expect("a call is for all").payload())
    };
    assert_eq!(frames(again), frames(item));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn an_item_comes_back_as_it_was_and_is_as_long_as_it_said(item in any::item()) {
        let bytes = item.encode();
        prop_assert_eq!(bytes.len(), item.encoded_length());
        prop_assert_eq!(Item::decode(&bytes), Ok(item));
    }

    #[test]
    fn an_item_that_was_changed_breaks_nothing(item in any::item(), changes in changes()) {
        let bytes = Bytes::from(changed(&item.encode(), &changes));
        if let Ok(read) = Item::decode(&bytes) {
            // What can be read is an item like others.
            prop_assert_eq!(Item::decode(&read.encode()), Ok(read));
        }
    }

    #[test]
    fn a_part_of_an_item_is_none(item in any::item(), cut in any::<proptest::sample::Index>()) {
        let bytes = item.encode();
        prop_assert_eq!(Item::decode(&bytes.slice(..cut.index(bytes.len()))), Err(ItemError::Malformed));
    }
}
