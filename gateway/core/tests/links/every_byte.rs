//! A short conversation, with cuts at every byte of all that is said in it, in both directions, and again while that is said again.

use hubgate_core::time::Millis;
use hubgate_wire::signalr::HubProtocol;

use crate::world::{Answering, Filtering, Noticed, To, World};

const PROTOCOLS: [HubProtocol; 2] = [HubProtocol::Json, HubProtocol::MessagePack];
const ANSWERING: [Answering; 2] = [Answering::Plugin, Answering::HubServer];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A cut once so many bytes have passed in a direction.
#[derive(Debug, Clone, Copy)]
struct Cut {
    direction: Direction,
    after: usize,
    noticed: Noticed,
}

/// Lets everything flow, with the cuts that are still to come.
struct Line {
    world: World,
    /// The next one is last.
    cuts: Vec<Cut>,
    /// What has passed of the link that is open.
    up: usize,
    down: usize,
}

impl Line {
    fn new(world: World, cuts: &[Cut]) -> Line {
        Line { world, cuts: cuts.iter().rev().copied().collect(), up: 0, down: 0 }
    }

    /// Everything flows until nothing is on its way.
    fn flow(&mut self) {
        loop {
            let room = |line: &Line, direction, passed| match line.cuts.last() {
                Some(cut) if cut.direction == direction => cut.after - passed,
                _ => usize::MAX,
            };
            let (up, down) = (room(self, Direction::Up, self.up), room(self, Direction::Down, self.down));
            let passed = [self.world.flow_up(up), self.world.flow_down(down)];
            (self.up, self.down) = (self.up + passed[0], self.down + passed[1]);
            let is_due = |cut: &&Cut| match cut.direction {
                Direction::Up => self.up == cut.after,
                Direction::Down => self.down == cut.after,
            };
            if let Some(cut) = self.cuts.last().filter(is_due) {
                self.world.cut(cut.noticed);
                self.world.resume();
                self.cuts.pop();
                (self.up, self.down) = (0, 0);
            } else if passed == [0, 0] {
                return;
            }
        }
    }
}

/// Each side says something on its own, asks and answers, acknowledges and says more. Gives what passed of the last link, up and down.
fn converse(answering: Answering, protocol: HubProtocol, cuts: &[Cut]) -> (usize, usize) {
    let mut line = Line::new(World::new(answering, Filtering::No, protocol), cuts);
    line.flow();
    for round in 0..2 {
        line.world.client.says(false, 3);
        line.world.hub_says(To::Group, 110);
        line.flow();
        line.world.client.says(true, 4);
        line.flow();
        line.world.hub_answers();
        line.world.hub_answers();
        line.world.hub_says(To::Client, 2);
        line.world.client.says(false, 120);
        line.flow();
        if round == 0 {
            line.world.pass(Millis(1_250));
            line.flow();
        }
    }
    line.world.settle();
    (line.up, line.down)
}

fn for_all_ways(converse: impl Fn(Answering, HubProtocol)) {
    for answering in ANSWERING {
        for protocol in PROTOCOLS {
            converse(answering, protocol);
        }
    }
}

/// All cuts of a conversation in which so much passes.
fn cuts((up, down): (usize, usize), step: usize) -> impl Iterator<Item = Cut> {
    let cut = |direction, after| [Noticed::AtOnce, Noticed::Later].map(|noticed| Cut { direction, after, noticed });
    let ups = (0..=up).step_by(step).flat_map(move |after| cut(Direction::Up, after));
    ups.chain((0..=down).step_by(step).flat_map(move |after| cut(Direction::Down, after)))
}

#[test]
fn a_cut_at_any_byte_loses_and_doubles_nothing() {
    for_all_ways(|answering, protocol| {
        let whole = converse(answering, protocol, &[]);
        assert!(whole.0 > 300 && whole.1 > 300, "{whole:?} bytes have all kinds of messages");
        for cut in cuts(whole, 1) {
            converse(answering, protocol, &[cut]);
        }
    });
}

#[test]
fn a_second_cut_at_any_byte_while_all_is_said_again_loses_and_doubles_nothing() {
    for_all_ways(|answering, protocol| {
        let whole = converse(answering, protocol, &[]);
        for first in cuts(whole, 37) {
            let rest = converse(answering, protocol, &[first]);
            for second in cuts(rest, 13) {
                converse(answering, protocol, &[first, second]);
            }
        }
    });
}
