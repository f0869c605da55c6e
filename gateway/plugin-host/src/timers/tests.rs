//! Timers with the store that keeps them, by a clock that is set.

use std::path::Path;

use futures_util::FutureExt;
use hubgate_core::event::{HubEvent, UpstreamFailure};

use super::firing::START_AGAIN;
use super::*;
use crate::clock::ScriptedClock;

struct Rig {
    clock: Arc<ScriptedClock>,
    timers: Arc<Timers>,
    store: Arc<Store>,
    plugin: PluginTimers,
    hub: HubName,
}

impl Rig {
    /// A gateway that starts at this time.
    fn start(folder: &Path, now: u64) -> Rig {
        let clock = Arc::new(ScriptedClock::at(now));
        let timers = Arc::new(Timers::new(1, Clock::Scripted(clock.clone())));
        let store = Arc::new(Store::open(Some(folder)).expect("the folder is ours"));
        let plugin = timers.of(&name(), &store);
        Rig { clock, timers, store, plugin, hub: HubName::parse("hub").expect("it is a hub's name") }
    }

    async fn sets(&self, timer: &str, when: Schedule, lifetime: Lifetime) -> Result<(), TimerError> {
        let wish = Wish { name: timer.to_owned(), when, payload: timer.as_bytes().to_vec(), lifetime };
        let values = self.store.values(&name());
        self.plugin.set(&self.hub, wish, (&Budgets::default(), values.bytes())).await
    }

    /// What is due now.
    fn due(&self) -> Option<Firing> {
        self.timers.next(0).now_or_never()
    }

    async fn fires(&self, result: Result<(), &UpstreamFailure>) -> Option<String> {
        let firing = self.due()?;
        let told = told(&firing);
        firing.settle(result, &self.plugin).await;
        Some(told)
    }

    fn names(&self) -> Vec<String> {
        self.plugin.page(&self.hub, None, 10).into_iter().map(|(name, _)| name.to_string()).collect()
    }
}

fn name() -> PluginName {
    PluginName::new("p")
}

/// The name of a timer, or the hub of a start.
fn told(firing: &Firing) -> String {
    let call = firing.call();
    match call.event {
        HubEvent::TimerFired { name, payload } => {
            assert_eq!(name.as_bytes(), &payload[..]);
            name.to_string()
        }
        HubEvent::Started => call.hub.as_str().to_owned(),
        HubEvent::PresenceChanged { .. } => panic!("it is no firing"),
    }
}

fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(private).tempdir().expect("there is room for a folder")
}

#[tokio::test]
async fn a_durable_timer_fires_again_after_an_end_between_its_fire_and_what_came_of_it() {
    let folder = folder();
    let before = Rig::start(folder.path(), 1_000);
    before.sets("once", Schedule::After(10), Lifetime::Durable).await.unwrap();
    before.sets("process", Schedule::After(10), Lifetime::Process).await.unwrap();
    before.clock.set(1_010);
    let firing = before.due().expect("it is due");
    assert_eq!(told(&firing), "once");
    drop((firing, before));

    let after = Rig::start(folder.path(), 2_000);
    assert_eq!(after.names(), ["once"]);
    assert_eq!(after.fires(Ok(())).await, Some("once".to_owned()));
    assert_eq!(after.names(), Vec::<String>::new());
    drop(after);
    assert_eq!(Rig::start(folder.path(), 3_000).names(), Vec::<String>::new());
}

#[tokio::test]
async fn of_the_times_that_were_missed_while_no_gateway_ran_one_is_fired_and_the_next_are_where_they_were() {
    let folder = folder();
    let before = Rig::start(folder.path(), 1_000);
    before.sets("tick", Schedule::Every(10), Lifetime::Durable).await.unwrap();
    before.clock.set(1_010);
    assert_eq!(before.fires(Ok(())).await, Some("tick".to_owned()));
    drop(before);

    let after = Rig::start(folder.path(), 1_077);
    assert_eq!(after.fires(Ok(())).await, Some("tick".to_owned()));
    assert_eq!(after.fires(Ok(())).await, None);
    after.clock.set(1_080);
    assert_eq!(after.fires(Ok(())).await, Some("tick".to_owned()));
    drop(after);
    assert_eq!(Rig::start(folder.path(), 1_080).plugin.page(&HubName::parse("hub").unwrap(), None, 1)[0].1.due, 1_090);
}

#[tokio::test]
async fn what_its_own_call_has_set_anew_is_kept_whatever_comes_of_the_call() {
    let folder = folder();
    let rig = Rig::start(folder.path(), 0);
    rig.sets("again", Schedule::After(0), Lifetime::Durable).await.unwrap();
    let firing = rig.due().expect("it is due");
    rig.sets("again", Schedule::After(50), Lifetime::Durable).await.unwrap();
    firing.settle(Ok(()), &rig.plugin).await;
    assert_eq!(rig.names(), ["again"]);
    drop(rig);
    let after = Rig::start(folder.path(), 50);
    assert_eq!(after.fires(Ok(())).await, Some("again".to_owned()));
}

#[tokio::test]
async fn a_timer_in_the_place_of_a_durable_one_and_a_cancelled_one_are_not_kept() {
    let folder = folder();
    let rig = Rig::start(folder.path(), 0);
    for timer in ["instead", "cancelled"] {
        rig.sets(timer, Schedule::After(50), Lifetime::Durable).await.unwrap();
    }
    rig.sets("instead", Schedule::After(50), Lifetime::Process).await.unwrap();
    assert_eq!(rig.plugin.cancel(&rig.hub, "cancelled").await, Ok(true));
    assert_eq!(rig.plugin.cancel(&rig.hub, "cancelled").await, Ok(false));
    assert_eq!(rig.names(), ["instead"]);
    drop(rig);
    assert_eq!(Rig::start(folder.path(), 0).names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_fire_that_is_dropped_or_breaks_off_or_is_not_tried_comes_again() {
    let folder = folder();
    let rig = Rig::start(folder.path(), 0);
    rig.sets("t", Schedule::After(0), Lifetime::Process).await.unwrap();
    drop(rig.due().expect("it is due"));
    assert_eq!(rig.fires(Ok(())).await, None);
    rig.clock.set(100);
    assert_eq!(rig.fires(Err(&UpstreamFailure::TimedOut)).await, Some("t".to_owned()));
    rig.clock.set(499);
    assert_eq!(rig.fires(Ok(())).await, None);
    rig.clock.set(500);
    assert_eq!(rig.fires(Err(&UpstreamFailure::Busy)).await, Some("t".to_owned()));
    rig.clock.set(1_500);
    assert_eq!(rig.fires(Err(&UpstreamFailure::Failed("on purpose".to_owned()))).await, Some("t".to_owned()));
    assert_eq!(rig.names(), Vec::<String>::new());
    let counted = |event| rig.plugin.account().counted(event);
    assert_eq!(
        [TimerEvent::Set, TimerEvent::Fired, TimerEvent::Failed, TimerEvent::TriedAgain].map(counted),
        [1, 2, 1, 1]
    );
}

#[tokio::test]
async fn the_timers_of_a_plugin_that_is_gone_end_and_durable_ones_come_back_with_it() {
    let folder = folder();
    let rig = Rig::start(folder.path(), 0);
    rig.sets("kept", Schedule::After(0), Lifetime::Durable).await.unwrap();
    rig.sets("ended", Schedule::After(0), Lifetime::Process).await.unwrap();
    rig.timers.retain([].into_iter());
    assert!(rig.due().is_none());
    let refused = rig.sets("late", Schedule::After(0), Lifetime::Process).await;
    assert!(matches!(refused, Err(TimerError::Unavailable(_))), "{refused:?}");
    let again = rig.timers.of(&name(), &rig.store);
    let names: Vec<_> = again.page(&rig.hub, None, 10).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["kept".into()]);
}

#[tokio::test]
async fn a_version_is_told_of_each_hub_once_and_the_next_one_again() {
    let folder = folder();
    let rig = Rig::start(folder.path(), 0);
    let named = |hub: &str| (name(), HubName::parse(hub).expect("it is a hub's name"));
    let told = async || {
        let mut told = Vec::new();
        while let Some(hub) = rig.fires(Ok(())).await {
            told.push(hub);
        }
        told
    };
    rig.timers.name_hubs(vec![named("a"), named("b"), (PluginName::new("q"), named("c").1)]);
    rig.plugin.begin(1);
    assert_eq!(told().await, ["a", "b"]);
    rig.timers.name_hubs(vec![named("a"), named("d")]);
    rig.plugin.begin(1);
    assert_eq!(told().await, ["d"]);
    rig.plugin.begin(2);
    assert_eq!(rig.fires(Err(&UpstreamFailure::NotServing)).await, Some("a".to_owned()));
    assert_eq!(told().await, ["d"]);
    rig.clock.set(START_AGAIN);
    assert_eq!(told().await, ["a"]);
    rig.plugin.begin(3);
    drop(rig.due().expect("it is due"));
    assert_eq!(told().await, ["d"]);
    rig.clock.set(2 * START_AGAIN);
    assert_eq!(told().await, ["a"], "what is dropped is tried again");
}

#[tokio::test]
async fn a_plugin_that_comes_back_is_told_of_its_hubs_again() {
    let folder = folder();
    let rig = Rig::start(folder.path(), 0);
    rig.timers.name_hubs(vec![(name(), rig.hub.clone())]);
    rig.plugin.begin(1);
    assert!(rig.fires(Ok(())).await.is_some());
    rig.timers.retain([].into_iter());
    let again = rig.timers.of(&name(), &rig.store);
    again.begin(1);
    assert!(rig.fires(Ok(())).await.is_some());
}
