//! Nodes that serve as one, in a world of which the tests have the seed: what carries their frames is slow, loses some, breaks off, and
//! nodes come, leave and crash. What each hears of another is always the next that the other said, or it was told that some is lost.

mod chance;
mod gateways;
mod hubs;
mod world;

use hubgate_cluster::Report;
use hubgate_core::id::NodeId;
use world::{Carrier, NODE_TIMEOUT, OUTAGE_GRACE, RESEND_AGE, World};

/// The seeds of random lives: the first thousand, or `SIMULATION_SEEDS` from `SIMULATION_FIRST` on.
#[allow(clippy::disallowed_methods, reason = "whoever runs the tests may want more of them, or one that has failed")]
fn seeds() -> std::ops::Range<u64> {
    let number = |name, otherwise| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let first = number("SIMULATION_FIRST", 0);
    first..first + number("SIMULATION_SEEDS", 1_000)
}

const QUICK: Carrier = Carrier { delay: 5, lost: 0, doubled: 0 };

/// Three nodes that know each other.
fn three(carrier: Carrier) -> World {
    let mut world = World::new(1, carrier);
    [1, 2, 3].into_iter().for_each(|id| world.start(id));
    world.run(4_000);
    for id in [1, 2, 3] {
        assert!(world.node(id).has_joined() && !world.node(id).is_degraded(), "{id}");
        assert_eq!(world.known(id), [1, 2, 3].into_iter().filter(|each| *each != id).collect::<Vec<_>>());
    }
    world
}

fn talk(world: &mut World, rounds: usize) {
    for _ in 0..rounds {
        world.ids().into_iter().for_each(|id| world.say(id, None, 50));
        world.run(20);
    }
}

#[test]
fn nodes_that_start_together_know_each_other_and_hear_all_in_order() {
    let mut world = three(QUICK);
    talk(&mut world, 100);
    world.run(100);
    assert_eq!(world.unheard(), []);
    assert!(!world.is_anything_lost());
}

#[test]
fn nothing_is_lost_when_what_carries_frames_is_gone_for_a_while() {
    let mut world = three(QUICK);
    talk(&mut world, 10);
    world.disconnect_all();
    talk(&mut world, 50);
    world.run(20_000);
    assert!(world.ids().into_iter().all(|id| world.node(id).is_degraded()));
    world.connect_all();
    world.run(2_000);
    assert_eq!(world.unheard(), []);
    assert!(!world.is_anything_lost() && !world.node(1).is_degraded());
    let began = world.reports.iter().filter(|(_, report)| *report == Report::OutageBegan).count();
    assert_eq!(began, 3, "{:?}", world.reports);
}

#[test]
fn what_is_told_at_once_may_be_more_than_the_resend_buffer_holds() {
    // Acknowledgements take longer than a tick.
    let mut world = three(Carrier { delay: 400, ..QUICK });
    world.reports.clear();
    for number in 0..1_000 {
        // Names of 100 characters: nearly twice the buffer.
        world.use_hub(1, &format!("h{number:099}"));
    }
    world.run(3_000);
    assert_eq!((world.used(2, 1).len(), world.used(3, 1).len()), (1_000, 1_000));
    assert!(!world.is_anything_lost(), "{:?}", world.reports);
}

#[test]
fn what_waits_longer_than_the_resend_buffer_is_counted_as_lost_and_all_goes_on() {
    let mut world = three(QUICK);
    world.disconnect_all();
    talk(&mut world, 1);
    world.run(RESEND_AGE + 1_000);
    talk(&mut world, 1);
    world.connect_all();
    world.run(3_000);
    assert_eq!(world.node(1).counts().lost, 4, "of each round one message for each");
    talk(&mut world, 5);
    world.run(1_000);
    assert_eq!(world.unheard(), []);
}

#[test]
fn what_is_known_of_a_node_stays_until_it_is_told_anew() {
    let mut world = three(QUICK);
    world.use_hub(2, "chat");
    world.run(200);
    world.disconnect_all();
    talk(&mut world, 1);
    let messages_lost = |world: &World| {
        world.reports.iter().any(|(id, report)| *id == 1 && matches!(report, Report::MessagesLost { .. }))
    };
    for _ in 0..RESEND_AGE / 100 + 50 {
        world.run(100);
        assert_eq!(world.used(1, 2), ["chat"]);
    }
    assert!(messages_lost(&world) && world.broken.contains(&(1, 2)));
    world.use_hub(2, "news");
    // Said to a node that is not reached, and of which nothing is kept any longer.
    talk(&mut world, 1);
    world.broken.clear();
    world.connect_all();
    assert!(world.broken.contains(&(1, 2)), "what was begun meanwhile is over");
    for _ in 0..300 {
        world.run(10);
        assert!(world.used(1, 2).contains(&"chat".to_owned()));
    }
    assert_eq!(world.used(1, 2), ["chat", "news"]);
}

#[test]
fn frames_that_are_lost_or_come_twice_are_sent_again_or_dropped() {
    let mut world = three(QUICK);
    world.carrier = Carrier { delay: 30, lost: 100, doubled: 100 };
    talk(&mut world, 300);
    world.carrier = QUICK;
    world.run(5_000);
    assert_eq!(world.unheard(), []);
    assert!(!world.is_anything_lost() && world.node(1).counts().resent > 0);
}

#[test]
fn a_node_that_crashes_is_gone_for_the_others_after_the_timeout() {
    let mut world = three(QUICK);
    world.crash(3);
    world.run(NODE_TIMEOUT - 1_500);
    assert_eq!(world.known(1), [2, 3]);
    world.run(1_800);
    assert_eq!((world.known(1), world.known(2)), (vec![2], vec![1]));
    assert!(world.reports.contains(&(1, Report::NodeLost(NodeId(3)))));
    world.crash(2);
    world.run(NODE_TIMEOUT + 300);
    assert_eq!(world.known(1), [0u32; 0], "it hears itself, so the other one is gone");
}

#[test]
fn a_node_that_leaves_is_gone_at_once() {
    let mut world = three(QUICK);
    world.leave(2);
    world.run(50);
    assert_eq!((world.known(1), world.known(3)), (vec![3], vec![1]));
    assert!(!world.is_anything_lost());
}

#[test]
fn nobody_is_given_up_before_the_grace_of_an_outage_ends() {
    let mut world = three(QUICK);
    world.disconnect_all();
    world.run(OUTAGE_GRACE - 1_000);
    assert_eq!(world.known(1), [2, 3]);
    world.run(2_000);
    assert_eq!(world.known(1), [0u32; 0]);
    assert!(world.reports.contains(&(1, Report::OutageGraceOver)));
    world.connect_all();
    world.run(3_000);
    assert_eq!(world.known(1), [2, 3]);
    talk(&mut world, 5);
    world.run(1_000);
    assert_eq!(world.unheard(), []);
}

#[test]
fn nobody_is_given_up_when_what_carries_frames_stands_still_without_a_word() {
    let mut world = World::new(1, QUICK);
    // Each is heard at another time than the others.
    for id in [1, 2, 3] {
        world.start(id);
        world.run(300);
    }
    world.run(4_000);
    for time in 0..20 {
        world.carrier.lost = 1_000;
        talk(&mut world, 5);
        world.run(NODE_TIMEOUT - 1_500 + 100 * time);
        world.carrier = QUICK;
        world.run(NODE_TIMEOUT + 2_000);
        assert!(!world.is_anything_lost(), "the {time}th time: {:?}", world.reports);
        assert_eq!(world.unheard(), []);
        assert!(world.ids().into_iter().all(|id| !world.node(id).is_degraded()));
    }
}

#[test]
fn nodes_that_wait_for_each_other_for_a_second_only_are_heard_in_time() {
    let mut world = World::new(1, Carrier { delay: 100, ..QUICK });
    world.node_timeout = 1_000;
    [1, 2, 3].into_iter().for_each(|id| world.start(id));
    world.run(4_000);
    world.reports.clear();
    world.run(60_000);
    assert!(!world.is_anything_lost(), "{:?}", world.reports);
    world.crash(3);
    world.run(1_200);
    assert_eq!((world.known(1), world.known(2)), (vec![2], vec![1]));
}

#[test]
fn a_node_that_was_cut_off_longer_than_the_timeout_begins_anew_with_the_others() {
    let mut world = three(QUICK);
    world.disconnect(3);
    talk(&mut world, 10);
    world.run(NODE_TIMEOUT + 1_000);
    assert_eq!(
        (world.known(1), world.known(3)),
        (vec![2], vec![1, 2]),
        "one is gone for the others, which are not for it"
    );
    world.connect(3);
    world.run(3_000);
    assert_eq!((world.known(1), world.known(3)), (vec![2, 3], vec![1, 2]));
    talk(&mut world, 10);
    world.run(1_000);
    assert_eq!(world.unheard(), []);
}

#[test]
fn what_a_node_announces_is_known_to_all_before_anybody_goes_on_and_to_those_that_come_later() {
    let mut world = three(QUICK);
    world.use_hub(1, "chat");
    assert_eq!(world.announcements(1), 0, "the others do not know it");
    world.run(30);
    assert_eq!((world.used(2, 1), world.used(3, 1)), (vec!["chat".to_owned()], vec!["chat".to_owned()]));
    assert_eq!(world.announcements(1), 1);
    world.start(4);
    world.run(4_000);
    assert!(world.node(4).has_joined());
    assert_eq!((world.used(4, 1), world.used(4, 2)), (vec!["chat".to_owned()], vec![]));
    world.crash(1);
    world.run(NODE_TIMEOUT + 1_500);
    assert_eq!(world.used(4, 1), [""; 0], "it is forgotten with its node");
}

#[test]
fn nobody_waits_for_nodes_that_are_not_reached() {
    let mut world = World::new(1, QUICK);
    world.start(1);
    world.use_hub(1, "alone");
    assert_eq!(world.announcements(1), 1, "there are no others");
    world.start(2);
    world.run(4_000);
    world.disconnect(2);
    world.use_hub(1, "slow");
    world.run(NODE_TIMEOUT - 1_500);
    assert_eq!(world.announcements(1), 1, "the other one may only be slow");
    world.run(3_000);
    assert_eq!(world.announcements(1), 2, "it is gone");
}

#[test]
fn a_node_with_the_id_of_another_hears_of_it_before_it_has_joined() {
    let mut world = three(QUICK);
    world.start_like(4, 2);
    world.run(1_500);
    assert!(world.is_id_taken(4) && !world.node(4).has_joined() && !world.is_id_taken(2));
}

#[test]
fn a_node_that_serves_keeps_its_id_and_one_that_comes_draws_another() {
    let mut world = World::new(1, QUICK);
    world.start(1);
    world.disconnect(1);
    world.serve(1);
    world.start_like(2, 1);
    world.run(500);
    world.connect(1);
    world.run(1_500);
    assert!(!world.is_id_taken(1) && world.is_id_taken(2));
}

#[test]
fn two_nodes_that_serve_with_one_id_keep_it_and_a_third_one_stays_with_the_one_that_it_knows() {
    let mut world = three(QUICK);
    world.reports.clear();
    world.start_like(4, 2);
    world.serve(4);
    world.run(30_000);
    assert!(!world.is_id_taken(2) && !world.is_id_taken(4));
    assert_eq!((world.known(1), world.known(3)), (vec![2, 3], vec![1, 2]));
    assert!(!world.is_anything_lost(), "{:?}", world.reports);
    for id in [1, 2, 3, 4] {
        let told = world.reports.iter().filter(|report| **report == (id, Report::IdShared(NodeId(2)))).count();
        assert_eq!(told, 1, "{id}: {:?}", world.reports);
    }
    world.crash(2);
    world.run(NODE_TIMEOUT + 3_000);
    assert_eq!((world.known(1), world.known(3)), (vec![2, 3], vec![1, 2]), "the other one takes its place");
}

#[test]
fn what_is_told_twice_to_a_node_that_joins_slowly_is_not_lost() {
    let mut world = three(QUICK);
    for number in 0..100 {
        world.use_hub(1, &format!("hub{number}"));
    }
    world.run(500);
    for delay in [500, 1_500, 3_000] {
        world.carrier.delay = delay;
        world.start(4);
        world.run(30_000);
        assert!(world.node(4).has_joined());
        assert_eq!((world.used(4, 1).len(), world.known(4)), (100, vec![1, 2, 3]));
        assert!(!world.is_anything_lost(), "{:?}", world.reports);
        world.leave(4);
        world.run(5_000);
    }
}

#[test]
fn whatever_happens_each_hears_the_next_or_knows_that_some_is_lost() {
    for seed in seeds() {
        println!("seed {seed}");
        anything(seed);
    }
}

/// A random life of some nodes, after which all are there, and hear each other.
fn anything(seed: u64) {
    let mut world = World::new(seed, QUICK);
    let most = 2 + world.chance.below(3) as u32;
    for _ in 0..60 {
        let ids = world.ids();
        let one = world.chance.one_of(&ids);
        match (world.chance.below(20), one) {
            (0 | 1, _) => {
                let id = 1 + world.chance.below(u64::from(most)) as u32;
                if !ids.contains(&id) {
                    world.start(id);
                }
            }
            (2, Some(id)) => world.crash(id),
            (3, Some(id)) => world.leave(id),
            (4 | 5, Some(id)) => world.disconnect(id),
            (6, _) => world.disconnect_all(),
            (7..=10, _) => world.connect_all(),
            (11, _) => {
                let (lost, doubled) = (world.chance.below(200), world.chance.below(200));
                world.carrier = Carrier { delay: world.chance.below(200), lost, doubled };
            }
            (12, _) => world.carrier = QUICK,
            (14, Some(id)) => {
                let hub = format!("hub{}", world.chance.below(5));
                world.use_hub(id, &hub);
            }
            (13, Some(id)) => (0..world.chance.below(400)).for_each(|_| world.say(id, None, 100)),
            (_, Some(id)) => world.say(id, None, 20),
            (_, None) => world.start(1),
        }
        let span = match world.chance.below(10) {
            0 => 20_000,
            1..=3 => 2_000,
            _ => 200,
        };
        let milliseconds = world.chance.below(span);
        world.run(milliseconds);
    }
    world.carrier = QUICK;
    world.connect_all();
    world.run(OUTAGE_GRACE + 10_000);
    let ids = world.ids();
    for id in &ids {
        let node = world.node(*id);
        assert!(node.has_joined() && !node.is_degraded(), "seed {seed}: {node:#?}");
        let others: Vec<u32> = ids.iter().copied().filter(|each| each != id).collect();
        assert_eq!(world.known(*id), others, "seed {seed}, node {id}");
    }
    ids.iter().for_each(|id| world.say(*id, None, 10));
    world.run(2_000);
    for (one, other) in ids.iter().flat_map(|one| ids.iter().map(move |other| (*one, *other))) {
        assert_eq!(world.used(one, other), world.used(other, other), "seed {seed}: what {one} knows of {other}");
    }
    let unheard: Vec<_> = world.unheard();
    assert_eq!(unheard, [], "seed {seed}");
}
