//! The console's files that the gateway has: they are what their sources come to. Needs the packages of `console/package-lock.json`, from npm's
//! cache or registry.

use std::process::Command;

use hubgate_tests::command::{Finished, repository};

#[test]
fn the_console_in_the_gateway_is_what_its_sources_come_to() {
    let said = Finished::of(&mut Command::new(repository().join("console/check.sh"))).success();
    assert!(said.contains("is what its sources come to"), "{said}");
}
