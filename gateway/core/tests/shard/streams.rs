//! Streams of clients, to them and from them.

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::{UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{Refusal, Targets, Verdict};
use hubgate_core::id::PluginName;
use hubgate_core::mode::Mode;
use hubgate_core::question::{Answered, Reply};
use hubgate_core::settings::Settings;
use hubgate_core::stream::{
    Finish, Opening, Room, StreamBounds, StreamCommand, StreamDeed, StreamError, StreamEvent, StreamId, StreamReply,
    TooManyStreams,
};
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Input, Reconnect};

use crate::rig::{Client, Rig, filtered, hub, json, settings};

/// What `plugin` may have.
fn bounds() -> StreamBounds {
    StreamBounds { items: 4, bytes: 100, per_client: 3, calls: 5 }
}

fn with_streams(settings: Settings) -> Settings {
    let mut settings = settings;
    settings.streams.insert(PluginName::new("plugin"), bounds());
    settings.limits.held = 1 << 20;
    settings.limits.message = 10_000;
    settings
}

/// Two shards, whose clients' streams a plugin answers.
fn rig() -> Rig {
    Rig::new(2, with_streams(settings()))
}

fn says(rig: &mut Rig, client: Client, message: &str) {
    rig.data(client, &format!("{message}\x1e"));
}

/// Opens a stream, which the plugin is told of at once.
fn opens(rig: &mut Rig, client: Client, id: &str) -> StreamId {
    says(rig, client, &format!(r#"{{"type":4,"invocationId":"{id}","target":"numbers","arguments":[]}}"#));
    began(rig).id
}

fn began(rig: &mut Rig) -> Opening {
    match rig.answer(Ok(None), Vec::new()) {
        UpstreamEvent::Stream(StreamEvent::Begin(opening)) => *opening,
        other => panic!("a call with streams begins: {other:?}"),
    }
}

/// What the plugin is told next, in few words. It answers that all is well.
fn told(rig: &mut Rig) -> String {
    in_few_words(&rig.answer(Ok(None), Vec::new()))
}

fn in_few_words(event: &UpstreamEvent) -> String {
    match event {
        UpstreamEvent::Connected => "connected".to_owned(),
        UpstreamEvent::Disconnected { .. } => "disconnected".to_owned(),
        UpstreamEvent::Invocation { target, .. } => format!("call {target}"),
        UpstreamEvent::StreamCall(call) => panic!("no webhook: {call:?}"),
        UpstreamEvent::Stream(StreamEvent::Begin(opening)) => format!("begin {}", opening.target),
        UpstreamEvent::Stream(StreamEvent::Writable { stream, room }) => {
            format!("writable {} {} {}", stream.number, room.items, room.bytes)
        }
        UpstreamEvent::Stream(StreamEvent::Cancelled { stream }) => format!("cancelled {}", stream.number),
        UpstreamEvent::Stream(StreamEvent::Item(item)) => {
            format!("item {} {}", item.upload.number, item.item.borrow().to_json())
        }
        UpstreamEvent::Stream(StreamEvent::Ended { upload, error }) => format!("ended {} {error:?}", upload.number),
    }
}

/// All that the plugin is told until it has nothing more to do.
fn told_all(rig: &mut Rig) -> Vec<String> {
    std::iter::from_fn(|| (!rig.calls.is_empty()).then(|| told(rig))).collect()
}

/// What `plugin` does to a stream, on a shard that may be that of its client.
fn does(rig: &mut Rig, shard: usize, stream: StreamId, deed: StreamDeed) -> StreamReply {
    does_as(rig, shard, ("plugin", stream), deed)
}

fn does_as(rig: &mut Rig, shard: usize, (plugin, stream): (&str, StreamId), does: StreamDeed) -> StreamReply {
    let ticket = rig.next_ticket();
    let command = StreamCommand { stream, plugin: PluginName::new(plugin), does };
    let deadline = rig.now + Millis(1_000);
    rig.feed(shard, Input::Stream { hub: hub("chat"), command, deadline, ticket });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Stream(Reply { answer, .. })) => answer.expect("it is answered in time"),
        other => panic!("it is answered: {other:?}"),
    }
}

fn push(rig: &mut Rig, shard: usize, stream: StreamId, items: &[&str]) -> StreamReply {
    does(rig, shard, stream, StreamDeed::Push(items.iter().map(|item| json(item)).collect()))
}

fn finish(rig: &mut Rig, stream: StreamId) -> StreamReply {
    does(rig, 0, stream, StreamDeed::Finish(Finish::Void))
}

fn item(id: &str, item: &str) -> String {
    format!(r#"{{"type":2,"invocationId":"{id}","item":{item}}}"#)
}

fn completion(id: &str) -> String {
    format!(r#"{{"type":3,"invocationId":"{id}"}}"#)
}

/// The client takes so much of what it was sent.
fn takes(rig: &mut Rig, marks: usize) {
    for _ in 0..marks {
        let (shard, transport) = rig.marks.pop_front().expect("something was sent");
        rig.feed(shard, Input::Taken(transport));
    }
}

#[test]
fn items_reach_the_client_in_order_from_whatever_shard_they_are_pushed_and_the_end_comes_after_them() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let stream = opens(&mut rig, client, "7");
    assert_eq!(push(&mut rig, 0, stream, &["1", "2"]), Ok(Room { items: 2, bytes: 98 }));
    assert_eq!(push(&mut rig, 1, stream, &["3"]), Ok(Room { items: 1, bytes: 97 }));
    assert_eq!(does(&mut rig, 1, stream, StreamDeed::Finish(Finish::Void)), Ok(Room::default()));
    assert_eq!(rig.received(client), [item("7", "1"), item("7", "2"), item("7", "3"), completion("7")]);
    assert_eq!(push(&mut rig, 0, stream, &["4"]), Err(StreamError::NoSuchStream), "it has ended");
}

#[test]
fn a_stream_is_its_plugins_alone_and_takes_items_and_no_value() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let stream = opens(&mut rig, client, "7");
    let other = does_as(&mut rig, 0, ("other", stream), StreamDeed::Finish(Finish::Void));
    assert_eq!(other, Err(StreamError::NoSuchStream));
    let unknown = StreamId { number: stream.number + 1, ..stream };
    assert_eq!(push(&mut rig, 0, unknown, &["1"]), Err(StreamError::NoSuchStream));
    let value = does(&mut rig, 0, stream, StreamDeed::Finish(Finish::Value(json("1"))));
    assert!(matches!(value, Err(StreamError::Invalid(_))), "{value:?}");
    assert_eq!(rig.received(client), [""; 0]);
}

#[test]
fn what_waits_for_the_client_is_bounded_and_the_plugin_is_told_once_when_half_of_it_is_free() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let stream = opens(&mut rig, client, "7");
    for _ in 0..3 {
        push(&mut rig, 0, stream, &["1"]).expect("there is room");
    }
    assert_eq!(
        push(&mut rig, 0, stream, &["1", "2"]),
        Err(StreamError::Full(Room { items: 1, bytes: 97 })),
        "all or none"
    );
    assert_eq!(push(&mut rig, 0, stream, &["1"]), Ok(Room { items: 0, bytes: 96 }));
    assert_eq!(push(&mut rig, 0, stream, &["1"; 5]), Err(StreamError::TooLarge), "they would never fit");
    assert_eq!(rig.received(client).len(), 4, "what was refused is not sent");
    takes(&mut rig, 1);
    assert!(rig.calls.is_empty(), "less than half is free");
    takes(&mut rig, 1);
    assert_eq!(told_all(&mut rig), [format!("writable {} 2 98", stream.number)]);
    takes(&mut rig, 2);
    assert_eq!(told_all(&mut rig), [""; 0]);
    let long = format!("\"{}\"", "x".repeat(70));
    assert_eq!(push(&mut rig, 0, stream, &[&long]), Ok(Room { items: 3, bytes: 28 }));
    assert_eq!(
        push(&mut rig, 0, stream, &[&long]),
        Err(StreamError::Full(Room { items: 3, bytes: 28 })),
        "in bytes, too"
    );
}

#[test]
fn all_streams_of_a_client_share_a_part_of_what_may_wait_for_it() {
    let mut settings = with_streams(settings());
    settings.limits.held = 4 * 1_000;
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    let (one, other) = (opens(&mut rig, client, "1"), opens(&mut rig, client, "2"));
    assert_eq!(push(&mut rig, 0, one, &["1", "2"]), Ok(Room { items: 1, bytes: 98 }));
    assert_eq!(push(&mut rig, 0, other, &["1"]).map(|room| room.items), Ok(0), "it costs more than its bytes");
    let full = push(&mut rig, 0, other, &["2"]);
    assert!(matches!(full, Err(StreamError::Full(Room { items: 0, .. }))), "{full:?}");
    takes(&mut rig, 1);
    assert_eq!(told_all(&mut rig), [format!("writable {} 2 99", other.number)], "whoever's items made room");
}

#[test]
fn a_cancelled_stream_ends_at_once_and_the_plugin_hears_of_it_in_the_clients_order() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let stream = opens(&mut rig, client, "7");
    rig.invoke(client, "8", "busy");
    says(&mut rig, client, r#"{"type":5,"invocationId":"7"}"#);
    assert_eq!(rig.received(client), [completion("7")]);
    assert_eq!(push(&mut rig, 0, stream, &["1"]), Err(StreamError::NoSuchStream));
    assert_eq!(told_all(&mut rig), ["call busy".to_owned(), format!("cancelled {}", stream.number)]);
    says(&mut rig, client, r#"{"type":5,"invocationId":"7"}"#);
    assert_eq!(told_all(&mut rig), [""; 0], "there is no such stream any more");
}

#[test]
fn a_stream_that_is_cancelled_before_the_plugin_has_heard_of_it_never_begins() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    rig.invoke(client, "1", "busy");
    says(&mut rig, client, r#"{"type":4,"invocationId":"7","target":"numbers","arguments":[]}"#);
    says(&mut rig, client, r#"{"type":5,"invocationId":"7"}"#);
    rig.invoke(client, "2", "next");
    assert_eq!(told_all(&mut rig), ["call busy", "call next"]);
}

#[test]
fn uploads_come_in_the_clients_order_beside_its_calls_and_finish_answers_the_call() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    says(&mut rig, client, r#"{"type":1,"invocationId":"7","target":"zip","arguments":[true],"streamIds":["a","b"]}"#);
    let opening = began(&mut rig);
    let numbers: Vec<u32> = opening.uploads.iter().map(|upload| upload.number).collect();
    let [a, b] = numbers[..] else { panic!("two uploads: {numbers:?}") };
    for message in [item("b", "1"), item("a", "2"), item("unknown", "3"), completion("a")] {
        says(&mut rig, client, &message);
    }
    rig.invoke(client, "8", "between");
    says(&mut rig, client, &item("a", "4"));
    says(&mut rig, client, r#"{"type":3,"invocationId":"b","error":"enough"}"#);
    let expected = [
        format!("item {b} 1"),
        format!("item {a} 2"),
        format!("ended {a} None"),
        "call between".to_owned(),
        format!("ended {b} Some(\"enough\")"),
    ];
    assert_eq!(told_all(&mut rig), expected, "what comes after an upload's end is nothing");
    rig.received(client);
    let pushed = push(&mut rig, 0, opening.id, &["1"]);
    assert!(matches!(pushed, Err(StreamError::Invalid(_))), "the client waits for a value: {pushed:?}");
    does(&mut rig, 0, opening.id, StreamDeed::Finish(Finish::Value(json("[1,1]")))).expect("it is open");
    assert_eq!(rig.received(client), [r#"{"type":3,"invocationId":"7","result":[1,1]}"#]);
}

#[test]
fn a_call_that_waits_for_nothing_is_over_when_its_last_upload_has_ended() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    for _ in 0..2 * bounds().calls {
        says(&mut rig, client, r#"{"type":1,"target":"note","arguments":[],"streamIds":["a"]}"#);
        let opening = began(&mut rig);
        says(&mut rig, client, &completion("a"));
        told(&mut rig);
        assert_eq!(finish(&mut rig, opening.id), Err(StreamError::NoSuchStream));
    }
    assert_eq!((rig.received(client), rig.streams_exceeded.len()), (Vec::new(), 0));
}

#[test]
fn an_error_of_what_the_plugin_is_told_ends_the_call() {
    let refused = || Err(UpstreamFailure::Rejected("No.".to_owned()));
    let mut rig = rig();
    let client = rig.connect(0, None);
    says(&mut rig, client, r#"{"type":4,"invocationId":"7","target":"numbers","arguments":[]}"#);
    rig.answer(refused(), Vec::new());
    says(&mut rig, client, r#"{"type":1,"invocationId":"8","target":"sum","arguments":[],"streamIds":["a"]}"#);
    let opening = began(&mut rig);
    says(&mut rig, client, &item("a", "1"));
    says(&mut rig, client, &item("a", "2"));
    rig.answer(refused(), Vec::new());
    assert_eq!(told_all(&mut rig), [""; 0], "what it says of a call that is over is dropped");
    assert_eq!(finish(&mut rig, opening.id), Err(StreamError::NoSuchStream));
    let error = |id: &str| format!(r#"{{"type":3,"invocationId":"{id}","error":"No."}}"#);
    assert_eq!(rig.received(client), [error("7"), error("8")]);
}

#[test]
fn the_plugin_hears_of_the_end_of_all_streams_of_a_client_that_leaves_after_what_it_said_and_before_its_end() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let stream = opens(&mut rig, client, "7");
    rig.invoke(client, "8", "busy");
    says(&mut rig, client, r#"{"type":1,"invocationId":"9","target":"sum","arguments":[],"streamIds":["a"]}"#);
    says(&mut rig, client, &item("a", "1"));
    rig.gone(client, CloseCause::TransportLost);
    assert_eq!(push(&mut rig, 0, stream, &["1"]), Err(StreamError::NoSuchStream));
    let (call, upload) = (stream.number + 1, stream.number + 2);
    let expected = [
        "call busy".to_owned(),
        "begin sum".to_owned(),
        format!("item {upload} 1"),
        format!("cancelled {}", stream.number),
        format!("ended {upload} Some(\"The client has left.\")"),
        format!("cancelled {call}"),
        "disconnected".to_owned(),
    ];
    assert_eq!(told_all(&mut rig), expected);
    assert_eq!(rig.forgotten.len(), 1);
}

#[test]
fn what_a_client_that_has_left_uploaded_and_no_room_is_for_is_told_as_lost() {
    let mut settings = with_streams(settings());
    settings.limits.departed_bytes = 0;
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    says(&mut rig, client, r#"{"type":1,"target":"note","arguments":[],"streamIds":["a"]}"#);
    let upload = began(&mut rig).uploads[0].number;
    rig.invoke(client, "8", "busy");
    says(&mut rig, client, &item("a", "1"));
    says(&mut rig, client, &completion("a"));
    rig.gone(client, CloseCause::TransportLost);
    let lost = "The client has left, and the rest of what it said was dropped.";
    assert_eq!(
        told_all(&mut rig),
        ["call busy".to_owned(), format!("ended {upload} Some({lost:?})"), "disconnected".to_owned()]
    );
}

#[test]
fn a_client_and_a_plugin_have_only_so_many_streams_at_a_time() {
    let mut rig = rig();
    let clients = [rig.connect(0, None), rig.connect(1, None)];
    let first: Vec<StreamId> = (0..3).map(|id| opens(&mut rig, clients[0], &id.to_string())).collect();
    says(&mut rig, clients[0], r#"{"type":4,"invocationId":"x","target":"numbers","arguments":[]}"#);
    for id in ["0", "1"] {
        opens(&mut rig, clients[1], id);
    }
    says(&mut rig, clients[1], r#"{"type":4,"invocationId":"x","target":"numbers","arguments":[]}"#);
    assert_eq!(rig.streams_exceeded, [TooManyStreams::OfClient, TooManyStreams::OfPlugin]);
    assert!(rig.calls.is_empty());
    let refused = rig.received(clients[0]);
    assert!(refused[0].contains("may have 3 streams"), "{refused:?}");
    finish(&mut rig, first[0]).expect("it is open");
    opens(&mut rig, clients[1], "y");
}

#[test]
fn a_stream_whose_id_is_too_long_is_refused() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let id = "x".repeat(1_025);
    says(&mut rig, client, &format!(r#"{{"type":4,"invocationId":"{id}","target":"numbers","arguments":[]}}"#));
    assert!(rig.calls.is_empty(), "the plugin is not told");
    let refused = rig.received(client);
    assert!(refused[0].contains("'numbers': the invocation id of a call with streams is longer"), "{refused:?}");
    opens(&mut rig, client, &id[1..]);
}

#[test]
fn each_item_that_waits_counts_with_the_id_of_its_stream_as_it_is_written() {
    let mut settings = with_streams(settings());
    settings.limits.held = 4 * 1_000;
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    // A hundred characters that JSON writes as 600.
    let stream = opens(&mut rig, client, &r"\u0001".repeat(100));
    assert_eq!(push(&mut rig, 0, stream, &["1", "2"]), Err(StreamError::TooLarge), "two never fit");
    assert_eq!(push(&mut rig, 0, stream, &["1"]), Ok(Room { items: 0, bytes: 79 }));
    takes(&mut rig, 1);
    assert_eq!(push(&mut rig, 0, stream, &["1"]), Ok(Room { items: 0, bytes: 79 }), "all of it is free again");
}

#[test]
fn calls_whose_uploads_have_ended_count_until_they_are_answered() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let calls = |rig: &mut Rig, id: usize| {
        let call = format!(r#"{{"type":1,"invocationId":"{id}","target":"sum","arguments":[],"streamIds":["a"]}}"#);
        says(rig, client, &call);
    };
    let uploads = |rig: &mut Rig, id: usize| {
        calls(rig, id);
        let opening = began(rig);
        says(rig, client, &completion("a"));
        told(rig);
        opening.id
    };
    let waiting: Vec<StreamId> = (0..bounds().per_client).map(|id| uploads(&mut rig, id)).collect();
    calls(&mut rig, 8);
    assert_eq!(rig.streams_exceeded, [TooManyStreams::OfClient]);
    assert!(rig.calls.is_empty());
    finish(&mut rig, waiting[0]).expect("it waits for its answer");
    uploads(&mut rig, 9);
}

#[test]
fn items_that_wait_stop_the_reading_of_their_client() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    says(&mut rig, client, r#"{"type":1,"invocationId":"7","target":"sum","arguments":[],"streamIds":["a"]}"#);
    for _ in 0..10 {
        says(&mut rig, client, &item("a", "1"));
    }
    assert_eq!(rig.paused, [(client.shard, client.transport)]);
    assert_eq!(told_all(&mut rig).len(), 11, "it is read again");
    assert_eq!(rig.paused, []);
}

/// A stream of a client whose hub has filters.
fn filtered_stream() -> (Rig, Client, StreamId) {
    let mut rig = Rig::new(1, with_streams(filtered(Mode::Serverless, Targets::All)));
    let client = rig.connect(0, None);
    says(&mut rig, client, r#"{"type":4,"invocationId":"7","target":"numbers","arguments":[]}"#);
    rig.judge(Verdict::Pass);
    let stream = began(&mut rig).id;
    (rig, client, stream)
}

/// The error of the only completion that a client was sent.
fn error_of(rig: &mut Rig, client: Client, id: &str) -> String {
    let received = rig.received(client);
    let [completion] = &received[..] else { panic!("one completion: {received:?}") };
    let error = completion.strip_prefix(&format!(r#"{{"type":3,"invocationId":"{id}","error":""#));
    error.and_then(|error| error.strip_suffix("\"}")).expect("an error").to_owned()
}

#[test]
fn what_a_stream_sends_passes_filters_in_order() {
    let (mut rig, client, stream) = filtered_stream();
    push(&mut rig, 0, stream, &["1", "2"]).expect("there is room");
    finish(&mut rig, stream).expect("it is open");
    assert_eq!(rig.inspections.len(), 1, "one after the other");
    let mut message = rig.inspected().message.clone();
    assert_eq!(message.content, Some(json("1")));
    message.content = Some(json("\"other\""));
    rig.judge(Verdict::Replace(message));
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(client), [item("7", "\"other\""), item("7", "2")]);
    rig.judge(Verdict::Refuse(Refusal::Rejected("No.".to_owned())));
    assert_eq!(rig.received(client), [r#"{"type":3,"invocationId":"7","error":"No."}"#]);
    assert_eq!((rig.marks.len(), told_all(&mut rig).len()), (2, 0), "the plugin has ended it itself");
}

#[test]
fn a_stream_of_which_a_filter_refuses_an_item_ends_with_its_error_and_is_cancelled() {
    let refusals = [
        (Refusal::Rejected("No.".to_owned()), "No."),
        (Refusal::Dropped, "The result cannot be passed on: a filter of the hub dropped it."),
    ];
    for (refusal, error) in refusals {
        let (mut rig, client, stream) = filtered_stream();
        push(&mut rig, 0, stream, &["1", "2", "3"]).expect("there is room");
        rig.judge(Verdict::Refuse(refusal));
        assert_eq!(error_of(&mut rig, client, "7"), error);
        assert!(rig.inspections.is_empty(), "what comes after it is not sent");
        assert_eq!(told_all(&mut rig), [format!("cancelled {}", stream.number)]);
        assert_eq!(push(&mut rig, 0, stream, &["4"]), Err(StreamError::NoSuchStream));
    }
}

#[test]
fn a_call_of_whose_upload_a_filter_refuses_an_item_ends_with_its_error() {
    let refusals = [
        (Refusal::Rejected("No.".to_owned()), "No."),
        (Refusal::Dropped, "Failed to invoke 'sum': a filter of the hub dropped it."),
    ];
    for (refusal, error) in refusals {
        let mut rig = Rig::new(1, with_streams(filtered(Mode::Serverless, Targets::All)));
        let client = rig.connect(0, None);
        says(&mut rig, client, r#"{"type":1,"invocationId":"7","target":"sum","arguments":[],"streamIds":["a"]}"#);
        rig.judge(Verdict::Pass);
        let opening = began(&mut rig);
        says(&mut rig, client, &item("a", "1"));
        rig.judge(Verdict::Pass);
        says(&mut rig, client, &item("a", "2"));
        rig.judge(Verdict::Refuse(refusal));
        assert_eq!(error_of(&mut rig, client, "7"), error);
        says(&mut rig, client, &item("a", "3"));
        rig.judge(Verdict::Pass);
        let (call, upload) = (opening.id.number, opening.uploads[0].number);
        let ended = format!("ended {upload} Some(\"A filter of the hub has ended the call.\")");
        assert_eq!(told_all(&mut rig), [format!("item {upload} 1"), ended, format!("cancelled {call}")]);
        assert_eq!(finish(&mut rig, opening.id), Err(StreamError::NoSuchStream));
    }
}

#[test]
fn a_call_without_an_answer_of_whose_upload_a_filter_refuses_an_item_is_over() {
    let mut rig = Rig::new(1, with_streams(filtered(Mode::Serverless, Targets::All)));
    let client = rig.connect(0, None);
    for _ in 0..2 * bounds().calls {
        says(&mut rig, client, r#"{"type":1,"target":"note","arguments":[],"streamIds":["a"]}"#);
        rig.judge(Verdict::Pass);
        let upload = began(&mut rig).uploads[0].number;
        says(&mut rig, client, &item("a", "1"));
        rig.judge(Verdict::Refuse(Refusal::Dropped));
        let ended = format!("ended {upload} Some(\"A filter of the hub has ended the call.\")");
        assert_eq!(told_all(&mut rig), [ended]);
    }
    assert_eq!((rig.received(client), rig.streams_exceeded.len()), (Vec::new(), 0));
}

#[test]
fn what_a_filter_asks_for_is_done_although_the_client_of_the_stream_has_left() {
    let (mut rig, client, stream) = filtered_stream();
    let other = rig.connect(0, None);
    push(&mut rig, 0, stream, &["1"]).expect("there is room");
    rig.gone(client, CloseCause::TransportLost);
    let close = Action::Close {
        target: Target::Connection(other.id),
        except: Vec::new(),
        reason: None,
        allow_reconnect: false,
    };
    rig.judge_and_ask(Verdict::Pass, vec![close]);
    assert!(rig.finished.contains_key(&(other.shard, other.transport)));
}

#[test]
fn a_version_without_streams_ends_those_that_are_open_and_is_named_to_who_wants_one() {
    let mut rig = rig();
    let client = rig.connect(0, None);
    let stream = opens(&mut rig, client, "7");
    rig.pass(Millis(1_000));
    assert_eq!(rig.received(client), [""; 0], "its version has streams");
    rig.halves[&PluginName::new("plugin")].set_streams(false);
    rig.pass(Millis(1_000));
    let ended = rig.received(client);
    assert!(ended[0].contains("the version of the plugin 'plugin' that serves now"), "{ended:?}");
    assert_eq!(push(&mut rig, 0, stream, &["1"]), Err(StreamError::NoSuchStream));
    says(&mut rig, client, r#"{"type":4,"invocationId":"8","target":"numbers","arguments":[]}"#);
    let refused = rig.received(client);
    assert!(refused[0].contains("streaming is not supported by the plugin 'plugin'"), "{refused:?}");
    assert!(rig.calls.is_empty());
}

#[test]
fn a_stream_goes_on_when_its_items_have_left_whether_its_client_acknowledges_them_or_comes_back_for_them() {
    let mut rig = rig();
    rig.reconnect = Reconnect::Stateful;
    let mut client = rig.connect(1, None);
    let stream = opens(&mut rig, client, "1");
    push(&mut rig, 0, stream, &["1", "2", "3", "4"]).expect("there is room");
    assert!(matches!(push(&mut rig, 0, stream, &["5"]), Err(StreamError::Full(_))));
    takes(&mut rig, 1);
    assert_eq!(told(&mut rig), "writable 0 4 100", "nothing is acknowledged yet");
    push(&mut rig, 0, stream, &["5", "6", "7", "8"]).expect("there is room");
    rig.marks.clear();
    rig.received(client);
    rig.cut(client);
    assert!(matches!(push(&mut rig, 0, stream, &["9"]), Err(StreamError::Full(_))));
    rig.resume(&mut client);
    let expected: Vec<_> = (1..=8).map(|number| item("1", &number.to_string())).collect();
    assert_eq!(rig.received(client)[1..], expected);
    says(&mut rig, client, r#"{"type":9,"sequenceId":1}"#);
    takes(&mut rig, 1);
    assert_eq!(told(&mut rig), "writable 0 4 100");
    assert!(rig.marks.is_empty(), "what was taken before is not waited for again");
}
