//! One handler and one filter in every language (`tests/guests/conformance`): the same events in, the same decisions out. What
//! a language can do is what its probes did, and what the page about languages says.

mod abilities;
mod filter;
mod handler;
mod hub;
mod limits;
mod rig;
mod values;

use abilities::Abilities;
use rig::{Language, Rig};

async fn conforms(language: &'static Language) {
    let rig = Rig::of(language).await;
    values::come_back_as_they_were(&rig).await;
    values::of_wrong_types_are_refused(&rig).await;
    values::that_are_not_unicode_end_nothing(&rig).await;
    values::of_integers_are_exact_as_far_as_the_language_goes(&rig).await;
    handler::decides_who_comes_and_hears_who_goes(&rig).await;
    handler::answers_with_errors(&rig).await;
    handler::keeps_state(&rig).await;
    handler::knows_its_surroundings(&rig).await;
    handler::asks_other_servers(&rig).await;
    hub::reaches_whom_it_names(&rig).await;
    hub::does_what_was_asked_when_the_call_succeeds_and_nothing_otherwise(&rig).await;
    hub::fails_when_the_hub_refuses(&rig).await;
    hub::closes(&rig).await;
    limits::break_off_what_goes_beyond_and_nothing_else(&rig).await;
    filter::decides_in_both_directions(&rig).await;
    let found = Abilities::found_by(&rig).await;
    found.are_on_the_page();
}

#[tokio::test]
async fn rust() {
    conforms(&Language::RUST).await;
}

#[tokio::test]
async fn python() {
    conforms(&Language::PYTHON).await;
}

#[tokio::test]
async fn javascript() {
    conforms(&Language::JAVASCRIPT).await;
}

#[tokio::test]
async fn typescript() {
    conforms(&Language::TYPESCRIPT).await;
}

#[tokio::test]
async fn go() {
    conforms(&Language::GO).await;
}

#[tokio::test]
async fn c() {
    conforms(&Language::C).await;
}
