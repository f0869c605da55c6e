//! Messages that are followed: their marks pass with them, and end with them.

use std::sync::{Arc, Mutex};

use hubgate_core::CloseCause;
use hubgate_core::Input;
use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::{ConnectionFacts, UpstreamAnswer};
use hubgate_core::filter::{Inspected, Targets};
use hubgate_core::follower::Follower;
use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;
use hubgate_core::reach::{Reach, SendLog};
use hubgate_core::trace::{TraceMark, Traced};
use hubgate_core::{Outgoing, Shard};
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::signalr::{HubMessage, HubProtocol};

use crate::rig::{Client, Rig, filtered, settings};

/// Notes in `over` when it is dropped.
#[derive(Debug)]
struct Named {
    name: String,
    over: Arc<Mutex<Vec<String>>>,
}

impl Traced for Named {}

impl Drop for Named {
    fn drop(&mut self) {
        self.over.lock().expect("no panic").push(self.name.clone());
    }
}

/// Follows calls that have an id, by it, and notes what is sent for whom.
#[derive(Debug, Default)]
struct Following {
    over: Arc<Mutex<Vec<String>>>,
    sent: Mutex<Vec<Option<String>>>,
}

impl Follower for Following {
    fn said(&self, _: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark> {
        let HubMessage::Invocation(call) = message else { return None };
        let name = call.invocation_id.as_deref()?.to_owned();
        Some(TraceMark::new(Arc::new(Named { name, over: self.over.clone() })))
    }

    fn reads_what_passes(&self) -> bool {
        true
    }

    fn passes(&self, client: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark> {
        self.said(client, message)
    }
}

impl SendLog for Following {
    fn begin(&self, _: &HubName, _: &Target, mark: Option<&TraceMark>) -> Option<Arc<dyn Reach>> {
        self.sent.lock().expect("no panic").push(mark.map(name_of));
        None
    }
}

impl Following {
    fn over(&self) -> Vec<String> {
        self.over.lock().expect("no panic").clone()
    }

    fn sent(&self) -> Vec<Option<String>> {
        std::mem::take(&mut self.sent.lock().expect("no panic"))
    }
}

fn name_of(mark: &TraceMark) -> String {
    mark.traced::<Named>().expect("all marks are ours").name.clone()
}

fn followed(mut rig: Rig) -> (Rig, Arc<Following>, Client) {
    let following = Arc::new(Following::default());
    let follow = |shard: &mut Shard| {
        shard.follow_messages(Some(following.clone()));
        shard.log_sends(following.clone());
    };
    rig.shards.iter_mut().for_each(follow);
    let client = rig.connect(0, Some("ann"));
    (rig, following, client)
}

fn call(rig: &mut Rig, client: Client, id: &str) {
    rig.data(client, &format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"send\",\"arguments\":[]}}\x1e"));
}

fn send() -> Action {
    let arguments = Payload::Json(JsonText::parse_array("[]".to_owned()).expect("an array"));
    Action::Send { to: Target::All, message: Outgoing::call("said".to_owned(), arguments), except: Default::default() }
}

fn marked(rig: &mut Rig, input: Input<'static, 'static>) -> String {
    let mark = rig.traced.pop_front().expect("a mark came out");
    let name = name_of(&mark);
    rig.feed(0, Input::Traced { mark, input: Box::new(input) });
    name
}

#[test]
fn the_mark_of_a_call_passes_filters_and_the_handler_and_is_with_what_that_sends() {
    let (mut rig, following, client) = followed(Rig::new(1, filtered(Mode::Serverless, Targets::All)));
    call(&mut rig, client, "1");
    let (_, number, _) = rig.inspections.pop_front().expect("filters look at the call");
    let inspected = Inspected::pass();
    assert_eq!(marked(&mut rig, Input::Inspected { number, inspected }), "1");
    let (_, slot, _) = rig.calls.pop_front().expect("the handler is called");
    let answer = UpstreamAnswer { result: Ok(None), actions: vec![send()] };
    assert_eq!(marked(&mut rig, Input::UpstreamAnswered { client: slot, answer }), "1");
    assert!(following.over().is_empty() && following.sent().is_empty(), "filters look at what is sent first");
    let (_, number, _) = rig.inspections.pop_front().expect("filters look at what is sent");
    let inspected = Inspected::pass();
    assert_eq!(marked(&mut rig, Input::Inspected { number, inspected }), "1");
    assert_eq!(following.sent(), [Some("1".to_owned())]);
    let (_, number, _) = rig.inspections.pop_front().expect("filters look at the answer");
    let inspected = Inspected::pass();
    assert_eq!(marked(&mut rig, Input::Inspected { number, inspected }), "1");
    assert_eq!(following.over(), ["1"]);
    assert_eq!(rig.received(client).len(), 2);
}

#[test]
fn a_call_that_waits_keeps_its_own_mark() {
    let (mut rig, following, client) = followed(Rig::new(1, settings()));
    call(&mut rig, client, "1");
    call(&mut rig, client, "2");
    for expected in ["1", "2"] {
        let (_, slot, _) = rig.calls.pop_front().expect("one call after the other");
        let answer = UpstreamAnswer { result: Ok(None), actions: vec![send()] };
        assert_eq!(marked(&mut rig, Input::UpstreamAnswered { client: slot, answer }), expected);
        assert_eq!(following.sent(), [Some(expected.to_owned())]);
    }
    assert_eq!(following.over(), ["1", "2"]);
}

#[test]
fn what_is_not_followed_has_no_mark_whatever_came_before_it() {
    let (mut rig, following, client) = followed(Rig::new(1, settings()));
    call(&mut rig, client, "1");
    rig.data(client, "{\"type\":1,\"target\":\"send\",\"arguments\":[]}\x1e");
    let (_, slot, _) = rig.calls.pop_front().expect("the first call");
    let answer = UpstreamAnswer { result: Ok(None), actions: Vec::new() };
    marked(&mut rig, Input::UpstreamAnswered { client: slot, answer });
    assert!(rig.traced.is_empty() && following.over() == ["1"], "{:?}", rig.traced);
    rig.answer(Ok(None), vec![send()]);
    assert_eq!(following.sent(), [None]);
}

#[test]
fn the_mark_of_a_client_that_leaves_ends_with_its_call() {
    let (mut rig, following, client) = followed(Rig::new(1, settings()));
    call(&mut rig, client, "1");
    call(&mut rig, client, "2");
    rig.gone(client, CloseCause::Normal);
    rig.traced.clear();
    assert_eq!(following.over(), ["1"], "the second one waits");
    while !rig.calls.is_empty() {
        rig.answer(Ok(None), Vec::new());
    }
    rig.traced.clear();
    assert_eq!(following.over(), ["1", "2"]);
}

#[test]
fn what_a_hub_server_answers_is_followed_where_it_is_whole_and_passes_as_it_came() {
    let mut rig = Rig::new(1, crate::rig::default_mode());
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(0, Some("ann"), &[server]);
    let following = Arc::new(Following::default());
    rig.shards[0].follow_messages(Some(following.clone()));
    rig.told(server);
    let call = |id: u8| format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"send\",\"arguments\":[]}}\x1e");
    let chunks = [
        format!("{}{}", call(1), call(2)),
        call(3)[..20].to_owned(),
        call(3)[20..].to_owned() + "garbage\x1e",
        call(4),
    ];
    for chunk in &chunks {
        rig.data(client, chunk);
    }
    let told: String =
        rig.told(server).iter().map(|told| told.strip_prefix("data ").expect("data").to_owned()).collect();
    assert_eq!(told, chunks.concat());
    assert_eq!(following.over(), ["1", "2", "4"], "what comes in parts is not read");
    rig.shards[0].follow_messages(None);
    rig.data(client, &call(5));
    assert_eq!(following.over().len(), 3);
}

/// Counts what nobody else counts.
#[derive(Debug)]
struct Counting;

impl Reach for Counting {
    fn reached(&self, _: usize) {}
}

#[test]
fn a_message_for_many_targets_is_encoded_once_although_each_send_is_counted() {
    let message = || {
        let arguments = Payload::Json(JsonText::parse_array("[]".to_owned()).expect("an array"));
        Outgoing::call("said".to_owned(), arguments)
    };
    let first = message();
    let counted = first.clone().counted(Arc::new(Counting));
    assert!(counted.is_clone_of(&first) && !counted.is_clone_of(&message()));
    let place = |message: &Outgoing| message.frame(HubProtocol::Json).expect("a frame").payload().as_ptr();
    assert_eq!(place(&counted), place(&first));
}
