//! What bytes from another node take while they are read: a small multiple of themselves, whatever they promise.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use hubgate_cluster::codec::Item;
use hubgate_cluster::frame::Frame;
use proptest::prelude::*;

use crate::any;
use crate::hostile::{changed, changes};

/// Counts what each thread allocates.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it was allocated above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How many bytes are allocated for each that has come, at most: by a list of names without characters.
const MULTIPLE: usize = 64;
/// And whatever has come.
const LEAST: usize = 1 << 10;

/// How many bytes are allocated while these are read, as a frame and as an item.
fn allocated(bytes: &Bytes) -> usize {
    let before = ALLOCATED.get();
    let read = (Frame::decode(bytes), Item::decode(bytes));
    let allocated = ALLOCATED.get() - before;
    drop(read);
    allocated
}

#[test]
fn what_is_promised_and_not_there_takes_no_memory() {
    let head = b"\x92\x00\x94\x92\x01\x02\x91\x00\xa4chat";
    let promises: [&[u8]; 5] = [
        // Exclusions of a send.
        b"\x92\x00\x94\x00\x91\x00\x94\x00\xa1a\xa2[]\xc0\x92\xdd\xff\xff\xff\xff",
        // Items of a stream.
        b"\x94\x03\x93\xb8AAAAAAAAAAAAAAAAAAAAAAAA\x00\xa1p\x92\x00\xdd\xff\xff\xff\xff",
        // Members of a group.
        b"\x93\x04\x00\x92\x03\xdd\xff\xff\xff\xff",
        // A message, and claims.
        b"\x92\x01\x93\x00\x92\x92\x01\x02\x03\xc6\xff\xff\xff\xff",
        b"\x94\x02\x92\x01\x92\x02\x94\xb8AAAAAAAAAAAAAAAAAAAAAAAA\xdd\xff\xff\xff\xfe",
    ];
    for promise in promises {
        let bytes = Bytes::from([head, promise].concat());
        assert!(Item::decode(&bytes).is_err());
        let allocated = allocated(&bytes);
        assert!(allocated <= LEAST, "{allocated} for {promise:x?}");
    }
    let items = Bytes::from_static(b"\x94\x01\x02\x03\x92\x04\x97\x01\x02\x03\x00\xc2\xc2\xdd\xff\xff\xff\xff");
    assert!(Frame::decode(&items).is_err() && allocated(&items) <= LEAST);
}

#[test]
fn lists_of_the_shortest_that_may_be_in_them_take_a_small_multiple() {
    let count = 60_000u16;
    let list = |before: &[u8], each: &[u8], after: &[u8]| {
        let each = each.repeat(count.into());
        let bytes = [before, b"\xdc", &count.to_be_bytes(), &each, after].concat();
        Bytes::from(bytes)
    };
    let send = b"\x92\x00\x94\x92\x01\x02\x91\x00\xa4chat\x92\x00\x94\x00\x91\x00\x94\x00\xa1a\xa2[]\xc0\x92\x90";
    let push = b"\x92\x00\x94\x92\x01\x02\x91\x00\xa4chat\x94\x03\x93\x92\xb8AAAAAAAAAAAAAAAAAAAAAAAA\x00\xa1p\x92\x00";
    let users = list(send, b"\xa0", b"");
    let items = list(push, b"\xa11", b"\x92\x01\x02\x09");
    for bytes in [&users, &items] {
        assert!(Item::decode(bytes).is_ok());
        let multiple = allocated(bytes) / bytes.len();
        assert!((10..MULTIPLE).contains(&multiple), "{multiple}");
    }
    let pieces = list(b"\x94\x01\x02\x03\x92\x04\x97\x01\x02\x03\x00\xc2\xc2", b"\xc4\x011", b"");
    assert!(Frame::decode(&pieces).is_ok() && allocated(&pieces) / pieces.len() < MULTIPLE);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn an_item_that_was_changed_takes_a_small_multiple(item in any::item(), changes in changes()) {
        let bytes = Bytes::from(changed(&item.encode(), &changes));
        let allocated = allocated(&bytes);
        prop_assert!(allocated <= LEAST + MULTIPLE * bytes.len(), "{} for {}", allocated, bytes.len());
    }
}
