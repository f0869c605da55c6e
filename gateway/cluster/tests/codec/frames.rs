//! Frames.

use bytes::Bytes;
use hubgate_cluster::frame::{
    Ack, Again, Beat, Configuration, Data, Frame, FrameError, FrameKind, Hello, Knows, LONGEST_GATEWAY, Versions,
};
use hubgate_core::id::NodeId;
use proptest::prelude::*;

use crate::hostile::{changed, changes};

fn frame(kind: FrameKind) -> Frame {
    Frame { from: NodeId(0x0102_0304), incarnation: 5, kind }
}

fn hello() -> Hello {
    Hello {
        shards: 4,
        versions: Versions { oldest: 1, newest: 1 },
        gateway: "hubgate 0.1.0".to_owned(),
        knows: Knows::NotYet,
    }
}

fn decode(bytes: impl Into<Bytes>) -> Result<Frame, FrameError> {
    Frame::decode(&bytes.into())
}

const CONFIGURATION: Configuration = Configuration { keys: 1, hubs: 2, plugins: 3 };

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn frames_are_these_bytes() {
    let items = vec![Bytes::from_static(b"one"), Bytes::from_static(b"2")];
    let data = Data { stream: 1, to: 1 << 40, sequence: 300, ignores: 7, continues: false, is_cut: true, items };
    let kinds = [
        (FrameKind::Hello(hello()), "9201940492 0101ad 6875626761746520302e312e30 9100"),
        (FrameKind::Beat(Beat { clients: 1_000, configuration: CONFIGURATION }), "920292 cd03e8 93010203"),
        (FrameKind::Bye, "9103"),
        (FrameKind::Data(data), "92049701 cf0000010000000000 cd012c 07 c2c3 92 c4036f6e65 c40132"),
        (FrameKind::Ack(Ack { stream: 1, to: 7, received: 299 }), "9205930107 cd012b"),
        (FrameKind::Again(Again { stream: 1, to: 7, from: 300 }), "9206930107 cd012c"),
    ];
    for (kind, body) in kinds {
        let expected = format!("9401ce0102030405{}", body.replace(' ', ""));
        assert_eq!(hex(&frame(kind.clone()).encode()), expected, "{kind:?}");
    }
}

#[test]
fn elements_that_newer_nodes_add_are_skipped() {
    // One more of the frame, of its kind and of the beat, two of them not plain values.
    let newer = b"\x95\x01\x07\x05\x93\x02\x93\x02\x93\x01\x02\x03\x92\xc0\xa1x\x81\xa1a\x01\xc3";
    let beat = FrameKind::Beat(Beat { clients: 2, configuration: CONFIGURATION });
    assert_eq!(decode(&newer[..]), Ok(Frame { from: NodeId(7), incarnation: 5, kind: beat }));
}

#[test]
fn an_unknown_kind_is_told_from_what_no_node_says() {
    let unknown = FrameError::UnknownKind { from: NodeId(7), kind: 99 };
    assert_eq!(decode(&b"\x94\x01\x07\x05\x92\x63\xc3"[..]), Err(unknown));
    for malformed in [
        &b""[..],
        b"\xc0",
        b"\x90",
        b"\x93\x01\x07\x05",
        b"\x94\x01\x07\x05\x90",
        b"\x94\x01\x07\x05\x92\x05\xc3",
        b"\x94\x01\x07\x05\x91\x03\x00",
        b"\x94\x01\xcf\x00\x00\x00\x01\x00\x00\x00\x00\x05\x91\x03",
    ] {
        assert_eq!(decode(malformed), Err(FrameError::Malformed), "{}", hex(malformed));
    }
}

#[test]
fn a_node_of_a_newer_version_can_be_heard_of_but_its_streams_are_refused_by_its_name() {
    let newer = |kind| {
        let mut bytes = frame(kind).encode().to_vec();
        bytes[1] = 2;
        decode(bytes)
    };
    let versions = Versions { oldest: 2, newest: 2 };
    let hello = FrameKind::Hello(Hello { versions, ..hello() });
    assert_eq!(newer(hello.clone()), Ok(frame(hello)));
    assert_eq!(newer(FrameKind::Bye), Ok(frame(FrameKind::Bye)));
    let error = newer(FrameKind::Ack(Ack { stream: 1, to: 2, received: 3 })).expect_err("it may mean something else");
    assert_eq!(error, FrameError::NewerVersion { from: NodeId(0x0102_0304), version: 2 });
    assert_eq!(
        error.to_string(),
        "node 01020304 speaks version 2 of the protocol between nodes; this one speaks 1 to 1"
    );
}

#[test]
fn two_nodes_speak_the_newest_version_that_both_know() {
    let versions = |oldest, newest| Versions { oldest, newest };
    assert_eq!(versions(1, 1).common(versions(1, 2)), Some(1));
    assert_eq!(versions(2, 3).common(versions(1, 4)), Some(3));
    assert_eq!(versions(2, 3).common(versions(1, 1)), None);
    assert_eq!(versions(1, 1).common(versions(2, 3)), None);
    assert_eq!(Versions::OWN.common(Versions::OWN), Some(Versions::OWN.newest));
}

#[test]
fn what_no_node_says_of_itself_is_refused() {
    let too_long = "x".repeat(LONGEST_GATEWAY + 1);
    for wrong in [
        Hello { shards: 0, ..hello() },
        Hello { versions: Versions { oldest: 2, newest: 1 }, ..hello() },
        Hello { gateway: too_long, ..hello() },
    ] {
        assert_eq!(decode(frame(FrameKind::Hello(wrong)).encode()), Err(FrameError::Malformed));
    }
    let data = Data { stream: 1, to: 2, sequence: 3, ignores: 0, continues: false, is_cut: false, items: Vec::new() };
    for wrong in [
        Data { items: vec![Bytes::new()], ..data.clone() },
        Data { continues: true, ..data.clone() },
        Data { is_cut: true, ..data.clone() },
    ] {
        assert_eq!(decode(frame(FrameKind::Data(wrong)).encode()), Err(FrameError::Malformed));
    }
    assert!(decode(frame(FrameKind::Data(data)).encode()).is_ok());
}

#[test]
fn items_share_the_bytes_of_their_frame() {
    let items = vec![Bytes::from(vec![7; 1_000])];
    let data = Data { stream: 1, to: 2, sequence: 3, ignores: 0, continues: false, is_cut: false, items };
    let bytes = frame(FrameKind::Data(data)).encode();
    let Ok(Frame { kind: FrameKind::Data(data), .. }) = Frame::decode(&bytes) else { panic!("it is data") };
    assert!(bytes.as_ptr_range().contains(&data.items[0].as_ptr()));
}

#[test]
fn the_head_of_data_is_within_its_bound() {
    let data = Data {
        stream: u32::MAX,
        to: u64::MAX,
        sequence: u64::MAX,
        ignores: u32::MAX,
        continues: true,
        is_cut: true,
        items: vec![Bytes::from(vec![0; 70_000]); 70_000 / 64],
    };
    let carried: usize = data.items.iter().map(|item| item.len() + Data::ITEM_HEAD).sum();
    let largest = Frame { from: NodeId(u32::MAX), incarnation: u64::MAX, kind: FrameKind::Data(data) };
    assert!(largest.encoded_length() <= Data::LONGEST_HEAD + carried);
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let hello =
        (1..u16::MAX, any::<(u16, u16, bool)>(), ".{0,60}").prop_map(|(shards, (one, other, knows), gateway)| {
            let versions = Versions { oldest: one.min(other), newest: one.max(other) };
            let knows = if knows { Knows::Already } else { Knows::NotYet };
            FrameKind::Hello(Hello { shards, versions, gateway, knows })
        });
    let beat = any::<(u64, u64, u64, u64)>().prop_map(|(clients, keys, hubs, plugins)| {
        let configuration = Configuration { keys, hubs, plugins };
        FrameKind::Beat(Beat { clients, configuration })
    });
    let item = proptest::collection::vec(any::<u8>(), 1..300).prop_map(Bytes::from);
    let items = proptest::collection::vec(item, 0..40);
    let data = (any::<(u32, u64, u64, u32, bool, bool)>(), items).prop_map(
        |((stream, to, sequence, ignores, first, last), items)| {
            let (continues, is_cut) = (first && !items.is_empty(), last && !items.is_empty());
            FrameKind::Data(Data { stream, to, sequence, ignores, continues, is_cut, items })
        },
    );
    let ack = any::<(u32, u64, u64)>().prop_map(|(stream, to, received)| FrameKind::Ack(Ack { stream, to, received }));
    let again = any::<(u32, u64, u64)>().prop_map(|(stream, to, from)| FrameKind::Again(Again { stream, to, from }));
    let kind = prop_oneof![hello, beat, Just(FrameKind::Bye), data, ack, again];
    (any::<u32>(), any::<u64>(), kind).prop_map(|(from, incarnation, kind)| Frame {
        from: NodeId(from),
        incarnation,
        kind,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn a_frame_comes_back_as_it_was_and_is_as_long_as_it_said(frame in any_frame()) {
        let bytes = frame.encode();
        prop_assert_eq!(bytes.len(), frame.encoded_length());
        prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
    }

    #[test]
    fn a_frame_that_was_changed_breaks_nothing(frame in any_frame(), changes in changes()) {
        let bytes = Bytes::from(changed(&frame.encode(), &changes));
        if let Ok(read) = Frame::decode(&bytes) {
            // What can be read is a frame like others.
            prop_assert_eq!(Frame::decode(&read.encode()), Ok(read));
        }
    }

    #[test]
    fn a_part_of_a_frame_is_none(frame in any_frame(), cut in any::<proptest::sample::Index>()) {
        let bytes = frame.encode();
        prop_assert_eq!(Frame::decode(&bytes.slice(..cut.index(bytes.len()))), Err(FrameError::Malformed));
    }
}
