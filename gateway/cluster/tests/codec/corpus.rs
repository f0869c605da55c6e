//! What the fuzzer begins with.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use hubgate_cluster::codec::Item;
use hubgate_cluster::frame::{Frame, FrameKind};

#[test]
fn each_input_of_the_fuzzer_is_a_frame_of_today_with_its_items() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/nodes");
    let (mut frames, mut items) = (0, 0);
    for file in fs::read_dir(corpus).expect("the corpus is there") {
        let path = file.expect("it can be listed").path();
        let frame = Frame::decode(&Bytes::from(fs::read(&path).expect("it can be read")));
        let frame = frame.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        frames += 1;
        if let FrameKind::Data(data) = frame.kind
            && !(data.continues || data.is_cut)
        {
            for item in data.items {
                Item::decode(&item).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                items += 1;
            }
        }
    }
    assert!(frames >= 20 && items >= 50, "{frames} frames with {items} items");
}
