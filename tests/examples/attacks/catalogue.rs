//! The attacks that there are.

use futures_util::future::LocalBoxFuture;
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;

use crate::{places, plugins, state, transports};

/// What an attack achieved, in its own words, or why it broke off.
pub(crate) type Played = Result<String, Box<dyn std::error::Error>>;

/// An attack, and the gateway that it is played against.
pub(crate) struct Attack {
    /// Its name on the command line and in the table.
    pub(crate) name: &'static str,
    /// What is done, in a line.
    pub(crate) what: &'static str,
    pub(crate) setup: fn() -> Setup,
    /// Plays it. The attackers leave when it is over.
    pub(crate) play: for<'g> fn(&'g Gateway) -> LocalBoxFuture<'g, Played>,
}

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "pings-before-handshake",
        what: "a client without a token sends 6 million WebSocket pings and reads nothing",
        setup: Gateway::probe,
        play: |gateway| Box::pin(transports::pings_before_handshake(gateway)),
    },
    Attack {
        name: "pings",
        what: "the same after the hub handshake",
        setup: Gateway::probe,
        play: |gateway| Box::pin(transports::pings(gateway)),
    },
    Attack {
        name: "http2-polls",
        what: "long polls over HTTP/2 whose flow-control window is 0",
        setup: transports::secure,
        play: |gateway| Box::pin(transports::polls_with_a_closed_window(gateway)),
    },
    Attack {
        name: "small-messages",
        what: "280,000 tiny messages each for two clients that do not poll",
        setup: plugins::hostile,
        play: |gateway| Box::pin(transports::small_messages_without_polls(gateway)),
    },
    Attack {
        name: "calls-of-the-departed",
        what: "400 clients queue 1 MiB of calls each and leave; the gateway has room for 5",
        setup: state::with_a_silent_upstream_and_few_clients,
        play: |gateway| Box::pin(state::calls_of_the_departed(gateway)),
    },
    Attack {
        name: "descriptors",
        what: "connections use up the file descriptors while /metrics is scraped",
        setup: places::with_few_descriptors,
        play: |gateway| Box::pin(places::descriptors(gateway)),
    },
    Attack {
        name: "long-user-ids",
        what: "a plugin adds users with ids of 8 MiB to a group, 45 in one call",
        setup: plugins::hostile,
        play: |gateway| Box::pin(plugins::long_user_ids(gateway)),
    },
    Attack {
        name: "memberships",
        what: "a plugin adds 1.2 million invented users to a group",
        setup: plugins::hostile,
        play: |gateway| Box::pin(plugins::memberships(gateway)),
    },
    Attack {
        name: "memberships-with-an-end",
        what: "a REST caller adds 60,000 invented users to a group for one second",
        setup: state::with_a_bare_hub,
        play: |gateway| Box::pin(state::memberships_with_an_end(gateway)),
    },
    Attack {
        name: "pipelined-requests",
        what: "HTTP/1.1 requests whose answers are not read, on all places for HTTP connections",
        setup: places::with_few_places,
        play: |gateway| Box::pin(places::pipelined_requests_unread(gateway)),
    },
    Attack {
        name: "http2-answers",
        what: "HTTP/2 answers that the window does not let come, pings answered, on all places",
        setup: places::with_few_places_and_tls,
        play: |gateway| Box::pin(places::answers_with_a_closed_window(gateway)),
    },
    Attack {
        name: "request-now-and-then",
        what: "a request every 8 seconds on all places",
        setup: places::with_few_places,
        play: |gateway| Box::pin(places::a_request_now_and_then(gateway)),
    },
    Attack {
        name: "plugin-output",
        what: "a plugin writes 20 MB of short lines in one host call, for 6 seconds",
        setup: plugins::hostile,
        play: |gateway| Box::pin(plugins::output(gateway)),
    },
    Attack {
        name: "plugin-actions",
        what: "a plugin submits 14 MB of JSON in one host call, for 6 seconds",
        setup: plugins::hostile,
        play: |gateway| Box::pin(plugins::large_actions(gateway)),
    },
    Attack {
        name: "hub-names",
        what: "clients without a token invent 16,000 hub names",
        setup: state::with_open_hubs,
        play: |gateway| Box::pin(state::hub_names(gateway)),
    },
    Attack {
        name: "compiler",
        what: "a plugin's file is replaced by a small component that the compiler makes gigabytes of",
        setup: plugins::with_a_victim,
        play: |gateway| Box::pin(plugins::compiler(gateway)),
    },
    Attack {
        name: "posts",
        what: "280 POSTs of 1 MiB to a client that is not read, because its calls wait",
        setup: transports::with_a_silent_upstream,
        play: |gateway| Box::pin(transports::posts_to_a_paused_client(gateway)),
    },
    Attack {
        name: "rewritten-state",
        what: "a plugin rewrites 48 MiB of state for 6 seconds",
        setup: plugins::hostile,
        play: |gateway| Box::pin(plugins::rewritten_state(gateway)),
    },
    Attack {
        name: "burst",
        what: "50 clients with 4 MB of waiting answers each leave together",
        setup: Gateway::probe,
        play: |gateway| Box::pin(state::burst(gateway)),
    },
];
