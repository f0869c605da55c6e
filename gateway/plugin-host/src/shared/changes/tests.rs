use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use hubgate_core::id::PluginName;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::door::{Answer, Follower};
use super::*;
use crate::clock::ScriptedClock;
use crate::sections::Numbers;
use crate::state::Operation;

/// A store in this process, which loses what it is told to lose.
#[derive(Debug, Default)]
struct Fake(std::sync::Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    records: BTreeMap<String, Stored>,
    revision: u64,
    /// What becomes of the next writes, last one first.
    faults: Vec<Fault>,
    /// Of the faults that come without being told to.
    chance: Option<SmallRng>,
    /// Writes that arrive when another one does.
    late: Vec<(String, RecordWrite)>,
    is_silent: bool,
    writes: usize,
    reads: usize,
    longest: usize,
    /// How long the last record may be kept.
    time_to_live: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is written, and nobody is told.
    LostAnswer,
    LostWrite,
    /// It is written before the next one is looked at, or after it.
    Late,
    Refused,
}

impl Fake {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn write(&mut self, key: &str, write: &RecordWrite) -> Result<u64, WriteError> {
        let present = self.records.get(key).map_or(0, |stored| stored.revision);
        if present != write.expected {
            return Err(WriteError::Conflict);
        }
        self.revision += 1;
        self.time_to_live = write.time_to_live;
        let stored = Stored { revision: self.revision, record: write.record.clone() };
        self.records.insert(key.to_owned(), stored);
        Ok(self.revision)
    }

    fn fault(&mut self) -> Option<Fault> {
        let chance = self.chance.as_mut().map(|chance| chance.random_range(0..10));
        self.faults.pop().or(match chance {
            Some(0) => Some(Fault::LostAnswer),
            Some(1) => Some(Fault::LostWrite),
            Some(2) => Some(Fault::Late),
            Some(3) => Some(Fault::Refused),
            _ => None,
        })
    }
}

impl SharedRecords for Fake {
    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, Result<Option<Stored>, String>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut content = self.content();
            content.reads += 1;
            match content.is_silent {
                true => Err("silent".to_owned()),
                false => Ok(content.records.get(key).cloned()),
            }
        })
    }

    fn write<'a>(&'a self, key: &'a str, write: RecordWrite) -> Answer<'a, Result<u64, WriteError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut content = self.content();
            content.writes += 1;
            let in_doubt = || WriteError::InDoubt("no answer".to_owned());
            for (key, late) in std::mem::take(&mut content.late) {
                // Nobody waits for its answer any more.
                drop(content.write(&key, &late));
            }
            match content.fault() {
                Some(Fault::LostAnswer) => {
                    drop(content.write(key, &write));
                    Err(in_doubt())
                }
                Some(Fault::LostWrite) => Err(in_doubt()),
                Some(Fault::Late) => {
                    content.late.push((key.to_owned(), write));
                    Err(in_doubt())
                }
                Some(Fault::Refused) => Err(WriteError::Refused("not now".to_owned())),
                None if content.is_silent => Err(in_doubt()),
                None => content.write(key, &write),
            }
        })
    }

    fn longest(&self) -> usize {
        self.content().longest
    }
}

/// One of several gateways.
struct Node {
    changes: Changes,
    follower: Follower,
    clock: Arc<ScriptedClock>,
}

fn fake() -> Arc<Fake> {
    let fake = Arc::new(Fake::default());
    fake.content().longest = 4 << 20;
    fake
}

fn node(fake: &Arc<Fake>, writer: u64) -> Node {
    let clock = Arc::new(ScriptedClock::at(1_000_000));
    let copy = Arc::new(Copy::new(PluginName::new("p"), Clock::Scripted(clock.clone())));
    let follower = Follower::new(&copy);
    let changes = Changes::new(copy, fake.clone(), Clock::Scripted(clock.clone()), writer);
    let node = Node { changes: Changes { pause: Duration::ZERO, ..changes }, follower, clock };
    node.catches_up(fake);
    node
}

impl Node {
    /// Is told all that is in the store.
    fn catches_up(&self, fake: &Fake) {
        self.follower.begins(1);
        let records: Vec<_> = fake.content().records.clone().into_iter().collect();
        records.iter().for_each(|(key, stored)| self.follower.has(key, stored));
        self.follower.is_complete();
    }

    async fn does(&self, operation: Operation) -> Result<Changed, StateError> {
        self.does_for(operation, None).await
    }

    async fn does_for(&self, operation: Operation, time_to_live: Option<Duration>) -> Result<Changed, StateError> {
        self.does_until(operation, time_to_live, Instant::now() + Duration::from_secs(600)).await
    }

    async fn does_until(
        &self,
        operation: Operation,
        time_to_live: Option<Duration>,
        until: Instant,
    ) -> Result<Changed, StateError> {
        let change = Change { key: "k".to_owned(), operation, time_to_live, allowed: 64 << 20 };
        self.changes.make(change, until).await
    }

    async fn adds(&self, by: i64) -> Result<Changed, StateError> {
        self.does(Operation::Increment(by, Numbers::Exact)).await
    }

    async fn sets(&self, value: &str) -> Result<Changed, StateError> {
        self.does(Operation::Set(value.into())).await
    }

    async fn swaps(&self, expected: Option<&str>, value: Option<&str>) -> Result<Changed, StateError> {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        self.does(Operation::CompareAndSet { expected: bytes(expected), value: bytes(value) }).await
    }

    fn has(&self) -> Option<String> {
        let value = self.changes.copy.get("k").expect("it has come");
        value.map(|value| String::from_utf8(value).expect("it is text"))
    }
}

fn faults(fake: &Fake, faults: &[Fault]) {
    fake.content().faults = faults.iter().rev().copied().collect();
}

#[tokio::test]
async fn what_another_gateway_has_changed_meanwhile_is_not_lost() {
    let fake = fake();
    let (a, b) = (node(&fake, 1), node(&fake, 2));
    for sum in [2, 4, 6] {
        assert_eq!(a.adds(1).await, Ok(Changed::Sum(sum - 1)));
        assert_eq!(b.adds(1).await, Ok(Changed::Sum(sum)), "it has not heard of the other's");
    }
    assert_eq!((a.has().as_deref(), b.has().as_deref()), (Some("5"), Some("6")), "each has at least its own");
}

#[tokio::test]
async fn a_change_takes_place_once_whatever_becomes_of_the_answer() {
    use Fault::{Late, LostAnswer, LostWrite, Refused};
    for lost in [
        &[LostAnswer][..],
        &[LostWrite],
        &[Late],
        &[LostWrite, LostAnswer],
        &[Late, LostWrite, Late],
        &[Late, Refused, LostWrite],
        &[LostAnswer, Late],
    ] {
        let fake = fake();
        let (a, b) = (node(&fake, 1), node(&fake, 2));
        assert_eq!(b.adds(10).await, Ok(Changed::Sum(10)));
        a.catches_up(&fake);
        faults(&fake, lost);
        assert_eq!(a.adds(1).await, Ok(Changed::Sum(11)), "{lost:?}");
        assert_eq!(b.adds(1).await, Ok(Changed::Sum(12)), "{lost:?}");
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_known_although_others_have_written_since() {
    let fake = fake();
    let (a, b) = (node(&fake, 1), node(&fake, 2));
    faults(&fake, &[Fault::LostAnswer]);
    fake.content().is_silent = true;
    let setting = a.sets("a");
    tokio::pin!(setting);
    // Until it asks what has become of its write.
    while fake.content().reads == 0 {
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(setting.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "nobody has answered");
    }
    fake.content().is_silent = false;
    for value in ["b", "c"] {
        assert_eq!(b.sets(value).await, Ok(Changed::Done));
    }
    assert_eq!(setting.await, Ok(Changed::Done));
    a.catches_up(&fake);
    assert_eq!(a.has().as_deref(), Some("c"), "what was set before is not set again");
}

#[tokio::test]
async fn that_nothing_is_to_be_changed_is_not_believed_of_what_may_be_late() {
    let fake = fake();
    let (a, b) = (node(&fake, 1), node(&fake, 2));
    assert_eq!(a.sets("x").await, Ok(Changed::Done));
    assert_eq!(b.swaps(Some("x"), Some("y")).await, Ok(Changed::Compared(true)), "b has not heard of x");
    assert_eq!(a.swaps(Some("x"), Some("z")).await, Ok(Changed::Compared(false)), "a has not heard of y");
    assert_eq!(a.swaps(Some("y"), None).await, Ok(Changed::Compared(true)));
    assert_eq!(b.swaps(Some("y"), Some("x")).await, Ok(Changed::Compared(false)));
    assert_eq!(a.sets("x").await, Ok(Changed::Done));
    assert_eq!(b.does(Operation::Delete).await, Ok(Changed::Done), "b believes that it is gone already");
    a.catches_up(&fake);
    assert_eq!(a.has(), None);
    assert_eq!(b.swaps(None, Some("1")).await, Ok(Changed::Compared(true)));
    assert_eq!(a.adds(1).await, Ok(Changed::Sum(2)));
}

#[tokio::test]
async fn of_those_who_want_the_same_at_once_one_gets_it() {
    let fake = fake();
    let nodes = [1, 2, 3].map(|writer| node(&fake, writer));
    for round in 0..100 {
        let own = |index: usize| format!("{index} in {round}");
        let swaps = nodes.iter().enumerate().map(async |(index, node)| node.swaps(None, Some(&own(index))).await);
        let swapped = futures_util::future::join_all(swaps).await;
        let has_it: Vec<usize> = (0..3).filter(|index| swapped[*index] == Ok(Changed::Compared(true))).collect();
        assert_eq!(has_it.len(), 1, "{swapped:?}");
        nodes[0].catches_up(&fake);
        assert_eq!(nodes[0].has(), Some(own(has_it[0])));
        assert_eq!(nodes[0].swaps(Some(&own(has_it[0])), None).await, Ok(Changed::Compared(true)));
    }
}

#[tokio::test]
async fn all_that_is_counted_by_many_under_faults_is_counted_once() {
    for seed in 0..50 {
        let fake = fake();
        fake.content().chance = Some(SmallRng::seed_from_u64(seed));
        let nodes = [1, 2, 3].map(|writer| node(&fake, writer));
        let adds = nodes.iter().flat_map(|node| {
            (0..20).map(move |_| async move {
                loop {
                    match node.adds(1).await {
                        Ok(Changed::Sum(sum)) => return sum,
                        // Nothing has happened then.
                        Err(StateError::Unavailable(reason)) if reason == "not now" => {}
                        other => panic!("{other:?}"),
                    }
                }
            })
        });
        let mut sums = futures_util::future::join_all(adds).await;
        sums.sort_unstable();
        assert_eq!(sums, (1..=60).collect::<Vec<i64>>(), "seed {seed}");
        nodes[0].catches_up(&fake);
        assert_eq!(nodes[0].has().as_deref(), Some("60"), "seed {seed}");
    }
}

#[tokio::test]
async fn while_the_store_is_away_values_are_read_and_changes_are_refused_at_once() {
    let fake = fake();
    let (a, new) = (node(&fake, 1), Arc::new(Copy::new(PluginName::new("p"), Clock::Machine)));
    a.sets("x").await.expect("the store is there");
    a.follower.is_away("the link is cut");
    let writes = fake.content().writes;
    let refused = a.sets("y").await;
    assert!(matches!(&refused, Err(StateError::Unavailable(why)) if why.contains("the link is cut")), "{refused:?}");
    assert_eq!((a.has().as_deref(), fake.content().writes), (Some("x"), writes));
    let unknown = new.get("k");
    assert!(matches!(unknown, Err(StateError::Unavailable(_))), "what has never come is not said to be absent");
    a.catches_up(&fake);
    assert_eq!(a.sets("y").await, Ok(Changed::Done));
}

#[tokio::test]
async fn a_change_without_an_answer_says_whether_it_may_have_been_made() {
    let fake = fake();
    let a = node(&fake, 1);
    let soon = || Instant::now() + Duration::from_millis(200);
    faults(&fake, &[Fault::LostWrite]);
    fake.content().is_silent = true;
    let lost = a.does_until(Operation::Set(b"x".to_vec()), None, soon()).await;
    assert!(matches!(&lost, Err(StateError::Unavailable(why)) if why.contains("is not known")), "{lost:?}");
    let unread = a.does_until(Operation::Delete, None, soon()).await;
    assert_eq!(unread, Err(StateError::Unavailable("silent".to_owned())), "it had nothing to write");
}

#[tokio::test]
async fn a_value_ends_when_it_was_told_to_on_every_gateway_and_the_store_forgets_it_later() {
    let fake = fake();
    let (a, b) = (node(&fake, 1), node(&fake, 2));
    let second = Duration::from_secs(1);
    assert_eq!(a.does_for(Operation::Increment(5, Numbers::Exact), Some(second)).await, Ok(Changed::Sum(5)));
    assert_eq!(fake.content().time_to_live, Some(KEPT_AFTERWARDS + second));
    b.clock.set(1_000_999);
    assert_eq!(b.adds(1).await, Ok(Changed::Sum(6)), "it goes on with the end of the first");
    assert_eq!(b.has().as_deref(), Some("6"));
    b.clock.set(1_001_000);
    assert_eq!(b.has(), None);
    assert_eq!(b.adds(1).await, Ok(Changed::Sum(1)));
    assert_eq!(fake.content().time_to_live, None);
    assert_eq!(a.does(Operation::Delete).await, Ok(Changed::Done));
    assert_eq!(fake.content().time_to_live, Some(KEPT_AFTERWARDS));
    fake.content().records.clear();
    assert_eq!(b.adds(3).await, Ok(Changed::Sum(3)), "the store has forgotten it");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_not_written() {
    let fake = fake();
    let a = node(&fake, 1);
    let sets = async |length| a.does(Operation::Set(vec![7; length])).await;
    assert_eq!(sets(STATE_VALUE_BYTES + 1).await, Err(StateError::TooLarge));
    fake.content().longest = 10_000;
    assert_eq!(sets(10_000 - LONGEST_HEAD + 1).await, Err(StateError::TooLarge));
    assert_eq!(sets(10_000 - LONGEST_HEAD).await, Ok(Changed::Done));
    let change = |key: &str, allowed| Change {
        key: key.to_owned(),
        operation: Operation::Set(vec![7; 100]),
        time_to_live: None,
        allowed,
    };
    let until = Instant::now() + Duration::from_secs(600);
    assert_eq!(a.changes.make(change("l", 10_000), until).await, Err(StateError::Quota));
    assert_eq!(a.changes.make(change("l", 11_000), until).await, Ok(Changed::Done));
    assert_eq!(fake.content().writes, 2);
}

#[tokio::test]
async fn what_is_not_there_any_more_is_forgotten_and_what_was_just_written_is_not() {
    let fake = fake();
    let a = node(&fake, 1);
    a.sets("x").await.expect("the store is there");
    let older = fake.content().records["k"].clone();
    a.sets("y").await.expect("the store is there");
    a.follower.has("k", &older);
    assert_eq!(a.has().as_deref(), Some("y"), "an older record comes late");
    a.follower.begins(1);
    assert_eq!(a.has().as_deref(), Some("y"), "it is read while all comes again");
    a.sets("z").await.expect("the store is there");
    a.follower.has("k", &older);
    a.follower.is_complete();
    assert_eq!(a.has().as_deref(), Some("z"));
    a.follower.begins(1);
    a.follower.is_complete();
    assert_eq!(a.has(), None);
    // Another store in its place counts anew.
    a.follower.begins(2);
    let stored = Stored { revision: 1, ..older };
    a.follower.has("k", &stored);
    a.follower.is_complete();
    assert_eq!(a.has().as_deref(), Some("x"));
}

#[tokio::test]
async fn what_a_later_version_has_written_is_neither_absent_nor_replaced() {
    let fake = fake();
    let record = Bytes::from_static(&[9, 9, 9, 9]);
    fake.content().records.insert("k".to_owned(), Stored { revision: 5, record });
    let a = node(&fake, 1);
    assert!(matches!(a.changes.copy.get("k"), Err(StateError::Unavailable(_))));
    assert!(matches!(a.sets("x").await, Err(StateError::Unavailable(_))));
    assert_eq!(fake.content().writes, 0);
}

#[tokio::test]
async fn memory_is_freed_of_values_whose_time_is_over_although_nothing_comes() {
    let fake = fake();
    let a = node(&fake, 1);
    let second = Duration::from_secs(1);
    assert_eq!(a.does_for(Operation::Set(vec![7; 1_000]), Some(second)).await, Ok(Changed::Done));
    a.follower.tidies();
    assert!(a.changes.copy.bytes() > 1_000);
    a.clock.set(1_001_000);
    a.follower.tidies();
    assert_eq!(a.changes.copy.bytes(), 0);
}

#[tokio::test]
async fn what_was_in_a_store_is_not_taken_for_what_is_in_the_one_that_has_taken_its_place() {
    let fake = fake();
    let a = node(&fake, 1);
    a.sets("x").await.expect("the store is there");
    let stored = fake.content().records["k"].clone();
    let before = a.changes.copy.incarnation();
    a.follower.begins(2);
    a.changes.copy.knows(before, "k", &Stored { revision: 900, record: Record::default().encode() });
    a.follower.has("k", &stored);
    a.follower.is_complete();
    assert_eq!(a.has().as_deref(), Some("x"));
}

#[tokio::test]
async fn a_key_that_is_longer_than_any_gateway_writes_is_passed_over() {
    let fake = fake();
    let a = node(&fake, 1);
    a.sets("x").await.expect("the store is there");
    let stored = fake.content().records["k"].clone();
    let bytes = a.changes.copy.bytes();
    a.follower.has(&"k".repeat(1_025), &Stored { revision: 900, ..stored });
    assert_eq!(a.changes.copy.bytes(), bytes);
}
