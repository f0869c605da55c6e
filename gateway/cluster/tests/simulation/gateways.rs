//! What clients of several gateways get is what those of one would.

use crate::hubs::{Hubs, To};

#[test]
fn a_send_from_any_gateway_reaches_its_receivers_on_all_once_each() {
    let mut hubs = Hubs::new(1);
    [1, 2, 3].into_iter().for_each(|id| hubs.start(id));
    for client in 0..6u8 {
        hubs.open(1 + u32::from(client) / 2, usize::from(client) % 2, client % 3);
    }
    hubs.join((3, 0), 0, 7);
    hubs.join((1, 1), 5, 7);
    for at in [1, 2, 3] {
        for to in [To::All, To::Group(7), To::User(1), To::Client(0), To::Client(5)] {
            hubs.send((at, 1), to, None);
            hubs.send((at, 0), to, Some(5));
        }
    }
    hubs.run(200);
    assert!(hubs.is_whole);
    hubs.settle();
}

#[test]
fn a_join_that_has_returned_is_in_effect_for_the_next_send_from_any_gateway() {
    let mut hubs = Hubs::new(2);
    [1, 2, 3].into_iter().for_each(|id| hubs.start(id));
    hubs.delay = 100;
    hubs.open(1, 0, 0);
    for round in 0..50 {
        hubs.join((1 + round % 3, 0), 0, round as u8);
        hubs.send((1 + (round + 1) % 3, 1), To::Group(round as u8), None);
    }
    hubs.run(500);
    hubs.settle();
}

#[test]
fn a_client_that_was_let_in_gets_what_any_gateway_sends_from_then_on() {
    let mut hubs = Hubs::new(3);
    [1, 2].into_iter().for_each(|id| hubs.start(id));
    hubs.delay = 200;
    for user in 0..20 {
        hubs.open(1, 0, user);
        hubs.send((2, 1), To::All, None);
        hubs.send((2, 0), To::User(user), None);
        hubs.run(400);
        hubs.close(usize::from(user));
    }
    hubs.settle();
}

#[test]
fn a_client_that_has_moved_is_reached_after_the_gateway_that_it_negotiated_with_has_crashed() {
    let mut hubs = Hubs::new(4);
    [1, 2, 3].into_iter().for_each(|id| hubs.start(id));
    let negotiated = hubs.claim((1, 0), (2, 1)).expect("all is well");
    hubs.open_with(negotiated, (2, 1), 0);
    hubs.crash(1);
    hubs.run(8_000);
    hubs.is_whole = true;
    for at in [2, 3] {
        hubs.send((at, 0), To::Client(0), None);
    }
    hubs.start(4);
    hubs.send((4, 0), To::Client(0), None);
    hubs.join((3, 1), 0, 7);
    hubs.send((4, 1), To::Group(7), None);
    hubs.run(500);
    hubs.settle();
    hubs.check_moved();
    hubs.close(0);
    hubs.run(500);
    hubs.check_moved();
}

#[test]
fn whatever_happens_clients_get_what_they_must_and_nothing_twice() {
    for seed in crate::seeds() {
        println!("seed {seed}");
        anything(seed);
    }
}

/// A client negotiates with one gateway and comes to another, and one of the two is gone before it is let in.
fn open_while_one_crashes(hubs: &mut Hubs, at: (u32, usize), user: u8) {
    let Some(home) = hubs.anywhere().filter(|home| home.0 != at.0) else {
        return;
    };
    if let Some(negotiated) = hubs.claim(home, at) {
        match hubs.chance.below(2) {
            0 => hubs.crash(home.0),
            _ => return hubs.crash_instead_of_opening(negotiated, at.0),
        }
        hubs.open_with(negotiated, at, user);
    }
}

/// A random life of some gateways. What NATS loses it has when it comes back; while a gateway was given up, what was for it may be lost.
fn anything(seed: u64) {
    let mut hubs = Hubs::new(seed);
    let most = 2 + hubs.chance.below(3) as u32;
    (1..=most).for_each(|id| hubs.start(id));
    let mut last = most;
    for _ in 0..80 {
        let Some(at) = hubs.anywhere() else {
            last += 1;
            hubs.start(last);
            continue;
        };
        let (number, user) = (hubs.chance.below(3) as u8, hubs.chance.below(3) as u8);
        let client = hubs.anybody();
        match (hubs.chance.below(20), client) {
            (0..=3, _) => hubs.open(at.0, at.1, user),
            (4, Some(client)) => hubs.close(client),
            (5..=7, Some(client)) if hubs.are_all_connected() => hubs.join(at, client, number),
            (8, _) => hubs.disconnect(at.0),
            (9 | 10, _) => hubs.ids().into_iter().for_each(|id| hubs.connect(id)),
            (11, _) if hubs.chance.below(4) == 0 => hubs.crash(at.0),
            (12, _) if hubs.are_all_connected() => {
                if hubs.ids().len() < most as usize {
                    last += 1;
                    hubs.start(last);
                }
            }
            (13, _) => hubs.delay = hubs.chance.below(150),
            (15, _) if hubs.chance.below(4) == 0 => {
                if let Some(home) = hubs.anywhere() {
                    hubs.claim_in_vain(home, at);
                }
            }
            (14, _) if hubs.chance.below(4) == 0 => open_while_one_crashes(&mut hubs, at, user),
            (_, client) => {
                let to = match (hubs.chance.below(4), client) {
                    (0, Some(client)) => To::Client(client),
                    (1, _) => To::User(user),
                    (2, _) => To::Group(number),
                    _ => To::All,
                };
                let except = hubs.anybody();
                hubs.send(at, to, except);
            }
        }
        let milliseconds = hubs.chance.below(100);
        hubs.run(milliseconds);
    }
    hubs.ids().into_iter().for_each(|id| hubs.connect(id));
    hubs.run(8_000);
    hubs.settle();
    // From here on all is well again.
    hubs.is_whole = true;
    hubs.check_moved();
    for _ in 0..10 {
        if let Some(at) = hubs.anywhere() {
            hubs.send(at, To::All, None);
            if let Some(client) = hubs.anybody() {
                hubs.send(at, To::Client(client), None);
            }
        }
    }
    hubs.run(1_000);
    hubs.settle();
    while let Some(client) = hubs.anybody() {
        hubs.close(client);
    }
    hubs.run(1_000);
    hubs.check_moved();
}
