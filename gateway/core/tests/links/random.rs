//! Random words, cuts, delays and ends.

use hubgate_core::time::Millis;
use hubgate_wire::signalr::HubProtocol;
use proptest::prelude::*;

use crate::naive::State;
use crate::world::{Answering, Filtering, Noticed, To, World};

#[derive(Debug, Clone)]
enum Step {
    ClientSays {
        is_call: bool,
        padding: usize,
    },
    ClientAcknowledges,
    HubSays {
        to: To,
        padding: usize,
    },
    HubAnswers,
    FiltersLetPass,
    FiltersTakeTheirTime,
    /// So many bytes of what is on its way come through.
    Up(usize),
    Down(usize),
    /// The link is cut once so many bytes more have passed in each direction.
    Cut {
        up: usize,
        down: usize,
        noticed: Noticed,
    },
    /// Of what was said before a cut, so many bytes come only now.
    LateBytes(usize),
    Resume,
    Pass(Millis),
    ClientLeaves,
    HubCloses,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop_oneof![4 => 0..300usize, 1 => Just(usize::MAX)];
    let padding = || prop_oneof![6 => 0..40usize, 1 => 90..300usize];
    let to = prop_oneof![Just(To::All), Just(To::Group), Just(To::Client)];
    let noticed = prop_oneof![Just(Noticed::AtOnce), Just(Noticed::Later)];
    let time = prop_oneof![8 => 1..3_000u64, 1 => 3_000..40_000u64];
    prop_oneof![
        300 => (any::<bool>(), padding()).prop_map(|(is_call, padding)| Step::ClientSays { is_call, padding }),
        20 => Just(Step::ClientAcknowledges),
        300 => (to, padding()).prop_map(|(to, padding)| Step::HubSays { to, padding }),
        250 => Just(Step::HubAnswers),
        400 => Just(Step::FiltersLetPass),
        20 => Just(Step::FiltersTakeTheirTime),
        400 => bytes().prop_map(Step::Up),
        400 => bytes().prop_map(Step::Down),
        100 => (0..120usize, 0..120usize, noticed).prop_map(|(up, down, noticed)| Step::Cut { up, down, noticed }),
        80 => bytes().prop_map(Step::LateBytes),
        250 => Just(Step::Resume),
        120 => time.prop_map(|time| Step::Pass(Millis(time))),
        2 => Just(Step::ClientLeaves),
        2 => Just(Step::HubCloses),
    ]
}

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::ClientSays { is_call, padding } if world.client.state == State::Here => {
            world.client.says(is_call, padding)
        }
        Step::ClientSays { .. } => {}
        Step::ClientAcknowledges => world.client.acknowledges(),
        Step::HubSays { to, padding } => world.hub_says(to, padding),
        Step::HubAnswers => world.hub_answers(),
        Step::FiltersLetPass => world.filters_let_pass(),
        Step::FiltersTakeTheirTime => world.filters_take_their_time(),
        Step::Up(most) => drop(world.flow_up(most)),
        Step::Down(most) => drop(world.flow_down(most)),
        Step::Cut { up, down, noticed } => {
            world.flow_up(up);
            world.flow_down(down);
            world.cut(noticed);
        }
        Step::LateBytes(most) => world.late_bytes_come(most),
        Step::Resume => world.resume(),
        Step::Pass(time) => world.pass(time),
        Step::ClientLeaves => world.client_leaves(),
        Step::HubCloses => world.hub_closes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_becomes_of_the_link_each_side_sees_what_the_other_says_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..150),
        filtering in prop_oneof![2 => Just(Filtering::No), 1 => Just(Filtering::All)],
        answering in prop_oneof![Just(Answering::Plugin), Just(Answering::HubServer)],
        protocol in prop_oneof![Just(HubProtocol::Json), Just(HubProtocol::MessagePack)],
    ) {
        let mut world = World::new(answering, filtering, protocol);
        for step in &steps {
            take(&mut world, step);
            world.check();
        }
        world.settle();
    }
}
