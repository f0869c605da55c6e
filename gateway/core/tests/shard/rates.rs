//! Clients that say more in a second than they may are read later.

use hubgate_core::settings::Settings;
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Shard};

use crate::rig::{Client, Rig, Server, default_mode, settings};

/// Nobody answers, so that each call has its answer at once.
fn unanswered() -> Settings {
    Settings { upstream: Vec::new(), ..settings() }
}

fn of_client(mut settings: Settings, messages_per_second: u32) -> Settings {
    settings.limits.messages_per_second = messages_per_second;
    settings
}

fn of_hub(mut settings: Settings, messages_per_second: u32) -> Settings {
    settings.other_hubs.messages_per_second = messages_per_second;
    settings
}

/// Calls with the numbers `from` to `to`.
fn calls(from: usize, to: usize) -> String {
    let call = |id| format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"m\",\"arguments\":[]}}\x1e");
    (from..to).map(call).collect()
}

/// A client whose transport brings what it says when it is read, as sockets do.
struct Talker {
    client: Client,
    unsaid: Vec<u8>,
    /// How many of its calls were heard.
    heard: usize,
}

impl Talker {
    fn new(client: Client, calls: &str) -> Talker {
        Talker { client, unsaid: calls.as_bytes().to_vec(), heard: 0 }
    }

    /// Gives how many calls are heard now.
    fn talk(&mut self, rig: &mut Rig) -> usize {
        if !self.unsaid.is_empty() && !rig.paused.contains(&(self.client.shard, self.client.transport)) {
            let mut rest = &self.unsaid[..];
            rig.some_bytes(self.client, &mut rest, usize::MAX);
            self.unsaid = rest.to_vec();
        }
        // Some may have been heard as time passed.
        let received = rig.received(self.client);
        let ids: Vec<usize> = received.iter().filter_map(|message| answered(message)).collect();
        assert!(ids.iter().copied().eq(self.heard..self.heard + ids.len()), "in order: {ids:?}");
        self.heard += ids.len();
        ids.len()
    }
}

/// The number of the call that a message answers.
fn answered(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("\"invocationId\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

/// Lets so many ticks pass.
fn ticks(rig: &mut Rig, count: usize, mut each: impl FnMut(&mut Rig)) {
    for _ in 0..count {
        rig.pass(Shard::tick_period());
        each(rig);
    }
}

#[test]
fn a_client_is_read_at_its_rate_and_hears_nothing_of_it() {
    let mut rig = Rig::new(1, of_client(unanswered(), 4));
    let (mut busy, other) = (Talker::new(rig.connect(0, None), &calls(0, 20)), rig.connect(0, None));
    assert_eq!(busy.talk(&mut rig), 4, "a second's worth comes at once");
    assert_eq!(rig.paused, [(0, busy.client.transport)]);
    rig.invoke(other, "0", "m");
    assert_eq!(rig.received(other).len(), 1, "others have rates of their own");
    ticks(&mut rig, 16, |rig| assert_eq!(busy.talk(rig), 1));
    assert!(rig.paused.is_empty() && rig.finished.is_empty());
    assert_eq!(rig.shards[0].status().hubs[0].counters.slowed, 16);
}

#[test]
fn what_a_hub_server_hears_of_a_client_comes_at_its_rate_message_by_message() {
    let mut rig = Rig::new(1, of_client(default_mode(), 2));
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(0, None, &[server]);
    let said = "one\x1etwo\x1ethree\x1efour".as_bytes();
    let mut rest = said;
    rig.some_bytes(client, &mut rest, usize::MAX);
    assert_eq!((rig.told(server), rest), (data(&["one\x1e", "two\x1e"]), &b"three\x1efour"[..]));
    rig.pass(Millis(500));
    rig.some_bytes(client, &mut rest, usize::MAX);
    assert_eq!((rig.told(server), rest), (data(&["three\x1e"]), &b"four"[..]));
    rig.pass(Millis(500));
    rig.some_bytes(client, &mut rest, usize::MAX);
    assert_eq!((rig.told(server), rest), (data(&["four"]), &b""[..]), "a beginning costs nothing");
    rig.bytes(client, b" and more\x1e");
    assert_eq!(rig.told(server), data(&[" and more\x1e"]));
}

fn data(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| format!("data {text}")).collect()
}

#[test]
fn what_was_read_before_a_client_had_to_wait_comes_at_its_rate_too() {
    let mut rig = Rig::new(1, of_client(settings(), 6));
    let client = rig.connect(0, None);
    // The core stops reading with four calls that wait, and keeps what was read with them.
    rig.data(client, &calls(0, 20));
    rig.pass(Millis(10_000));
    let mut answered = 0;
    while !rig.calls.is_empty() {
        rig.answer(Ok(None), Vec::new());
        answered += 1;
    }
    assert!((6..20).contains(&answered), "{answered}");
    rig.pass(Millis(10_000));
    assert!(!rig.calls.is_empty(), "they are heard without another word of the client");
}

#[test]
fn the_clients_of_a_hub_share_its_rate_on_all_shards_and_have_their_turns_one_after_another() {
    const RATE: usize = 40;
    let mut rig = Rig::new(2, of_hub(unanswered(), RATE as u32));
    let shards = [0, 0, 0, 1];
    let mut all = shards.map(|shard| Talker::new(rig.connect(shard, None), &calls(0, 10_000)));
    let at_once: usize = all.iter_mut().map(|talker| talker.talk(&mut rig)).sum();
    assert_eq!(at_once, RATE, "a second's worth");
    let seconds = 20;
    ticks(&mut rig, 4 * seconds, |rig| {
        all.iter_mut().for_each(|talker| {
            talker.talk(rig);
        })
    });
    let heard = all.each_ref().map(|talker| talker.heard);
    let sum: usize = heard.iter().sum();
    assert!((RATE * (seconds - 1)..=RATE * (seconds + 1)).contains(&sum), "{heard:?}");
    // The first has had what came at once.
    let later = [heard[0] - RATE, heard[1], heard[2], heard[3]];
    assert!(later.iter().max() <= later.iter().min().map(|least| 4 * least).as_ref(), "{heard:?}");
    let same_shard = &later[..3];
    assert!(same_shard.iter().max() <= same_shard.iter().min().map(|least| least + RATE).as_ref(), "{heard:?}");
    assert!(rig.finished.is_empty());
}

#[test]
fn whoever_has_something_to_say_waits_behind_those_that_wait_already() {
    let mut rig = Rig::new(1, of_hub(unanswered(), 4));
    let mut busy = Talker::new(rig.connect(0, None), &calls(0, 100));
    let mut quiet = Talker::new(rig.connect(0, None), &calls(0, 2));
    assert_eq!((busy.talk(&mut rig), quiet.talk(&mut rig)), (4, 0));
    ticks(&mut rig, 1, |_| {});
    assert_eq!((quiet.talk(&mut rig), busy.talk(&mut rig)), (0, 1));
    ticks(&mut rig, 1, |_| {});
    assert_eq!((busy.talk(&mut rig), quiet.talk(&mut rig)), (0, 1), "each in turn");
}

#[test]
fn a_client_that_leaves_while_it_waits_leaves_its_place_to_others() {
    let mut rig = Rig::new(1, of_hub(unanswered(), 4));
    let mut busy = Talker::new(rig.connect(0, None), &calls(0, 5));
    busy.talk(&mut rig);
    for _ in 0..100 {
        let mut gone = Talker::new(rig.connect(0, None), &calls(0, 1));
        assert_eq!(gone.talk(&mut rig), 0);
        rig.gone(gone.client, CloseCause::Normal);
    }
    let mut last = Talker::new(rig.connect(0, None), &calls(0, 1));
    last.talk(&mut rig);
    ticks(&mut rig, 2, |rig| {
        busy.talk(rig);
    });
    assert_eq!((busy.heard, last.talk(&mut rig)), (5, 1));
}

#[test]
fn what_a_client_that_leaves_has_not_said_in_its_turn_is_for_others() {
    let mut rig = Rig::new(1, of_hub(unanswered(), 4));
    let mut first = Talker::new(rig.connect(0, None), &calls(0, 4));
    let mut gone = Talker::new(rig.connect(0, None), &calls(0, 1));
    let mut last = Talker::new(rig.connect(0, None), &calls(0, 10));
    assert_eq!((first.talk(&mut rig), gone.talk(&mut rig), last.talk(&mut rig)), (4, 0, 0));
    ticks(&mut rig, 1, |_| {});
    assert_eq!(rig.paused, [(0, last.client.transport)], "it is the other one's turn");
    rig.gone(gone.client, CloseCause::Normal);
    ticks(&mut rig, 1, |_| {});
    assert_eq!(last.talk(&mut rig), 2, "its own share and the one that was left");
}

#[test]
fn a_turn_that_was_paid_for_at_one_rate_is_not_paid_back_at_another() {
    let mut rig = Rig::new(1, of_hub(unanswered(), 100));
    let mut first = Talker::new(rig.connect(0, None), &calls(0, 100));
    let mut quiet = Talker::new(rig.connect(0, None), &calls(0, 10));
    assert_eq!((first.talk(&mut rig), quiet.talk(&mut rig)), (100, 0));
    ticks(&mut rig, 1, |_| {});
    assert!(rig.paused.is_empty(), "it has its turn, and says nothing");
    rig.configure(of_hub(unanswered(), 1));
    let mut heard = Vec::new();
    ticks(&mut rig, 3, |rig| heard.push(quiet.talk(rig)));
    assert_eq!(heard, [0, 0, 1], "the second that was paid for has to pass");
}

#[test]
fn a_rate_that_is_lifted_or_raised_counts_for_those_that_wait() {
    for (slow, fast) in [
        (of_client(unanswered(), 1), unanswered()),
        (of_hub(unanswered(), 1), unanswered()),
        (of_client(unanswered(), 1), of_client(unanswered(), 1_000)),
        (of_hub(unanswered(), 1), of_hub(unanswered(), 1_000)),
    ] {
        let mut rig = Rig::new(1, slow);
        let mut busy = Talker::new(rig.connect(0, None), &calls(0, 50));
        busy.talk(&mut rig);
        rig.configure(fast);
        ticks(&mut rig, 1, |rig| {
            busy.talk(rig);
        });
        assert_eq!(busy.heard, 50);
    }
}

#[test]
fn the_silence_of_a_client_that_waits_for_its_turn_is_not_held_against_it() {
    let mut rig = Rig::new(1, of_hub(unanswered(), 1));
    let mut talkers: Vec<Talker> = (0..60).map(|_| Talker::new(rig.connect(0, None), &calls(0, 1))).collect();
    talkers.iter_mut().for_each(|talker| {
        talker.talk(&mut rig);
    });
    ticks(&mut rig, 4 * 59, |rig| {
        talkers.iter_mut().for_each(|talker| {
            talker.talk(rig);
        })
    });
    assert!(talkers.iter().all(|talker| talker.heard == 1), "one a second");
    // Those that had their turns early are missed.
    let closed: Vec<bool> =
        talkers.iter().map(|talker| rig.finished.contains_key(&(0, talker.client.transport))).collect();
    assert_eq!((closed[0], closed[59]), (true, false), "{closed:?}");
}

#[test]
fn a_client_that_waits_moves_to_another_hub_server_with_what_it_has_still_to_say() {
    let mut rig = Rig::new(1, of_client(default_mode(), 1));
    let old = rig.server(0, "old", 1);
    let (client, _) = rig.connect_proxied(0, None, &[old]);
    let mut rest = "one\x1etwo\x1e".as_bytes();
    rig.some_bytes(client, &mut rest, usize::MAX);
    assert_eq!(rig.told(old), data(&["one\x1e"]));
    let new = rig.server(0, "new", 0);
    leave(&mut rig, old);
    rig.pass(Millis(1_000));
    rig.told(new);
    rig.some_bytes(client, &mut rest, usize::MAX);
    assert_eq!(rig.told(new), data(&["two\x1e"]));
}

/// A hub server says that it stops, and that its clients are to move.
fn leave(rig: &mut Rig, server: Server) {
    rig.says(server, &hubgate_wire::service::ServiceMessage::Ping(vec!["shutdown", "fin:1"]));
}
