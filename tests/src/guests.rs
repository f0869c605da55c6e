//! The components that tests serve, and files that are none.

use std::path::{Path, PathBuf};

/// The folder with the built guests.
const FOLDER: &str = "HUBGATE_GUESTS";

/// `examples/probe`, whose `version` answers `1`.
pub fn probe() -> PathBuf {
    guest("probe.wasm")
}

/// `examples/probe`, whose `version` answers `2`.
pub fn probe_2() -> PathBuf {
    guest("probe-2.wasm")
}

/// `examples/probe-hub`, whose `version` answers `1`.
pub fn probe_hub() -> PathBuf {
    guest("probe-hub.wasm")
}

/// `examples/probe-hub`, whose `version` answers `2`.
pub fn probe_hub_2() -> PathBuf {
    guest("probe-hub-2.wasm")
}

/// `examples/chat-rust`.
pub fn chat() -> PathBuf {
    guest("chat.wasm")
}

/// `examples/chat-js`.
pub fn chat_js() -> PathBuf {
    guest("chat-js.wasm")
}

/// `tests/guests/javascript`.
pub fn ordinary_js() -> PathBuf {
    guest("ordinary-js.wasm")
}

/// The filter of `tests/guests/filter`, which does what messages tell it.
pub fn filter() -> PathBuf {
    guest("filter.wasm")
}

/// The authorizer of `tests/guests/door`, which does what requests tell it, and whose claim `door` is `1`.
pub fn door() -> PathBuf {
    guest("door.wasm")
}

/// The same, whose claim `door` is `2`.
pub fn door_2() -> PathBuf {
    guest("door-2.wasm")
}

/// `tests/guests/filter-javascript`.
pub fn filter_js() -> PathBuf {
    guest("filter-js.wasm")
}

/// The plugin of `tests/guests/hostile`, which turns on its host.
pub fn hostile() -> PathBuf {
    guest("hostile.wasm")
}

/// The `handler` or the `filter` of `tests/guests/conformance` in a language.
pub fn conformance(language: &str, kind: &str) -> PathBuf {
    guest(&format!("conformance-{language}-{kind}.wasm"))
}

/// A plugin of `plugins/`.
pub fn ready_made(name: &str) -> PathBuf {
    guest(&format!("{name}.wasm"))
}

/// A sample of `examples/hubs`.
pub fn sample(name: &str) -> PathBuf {
    guest(&format!("hub-{name}.wasm"))
}

/// A component that exports nothing.
pub fn of_no_world() -> Vec<u8> {
    wat::parse_str("(component)").expect("the text is a component")
}

/// A WebAssembly module that is no component.
pub fn core_module() -> Vec<u8> {
    wat::parse_str("(module (memory 1))").expect("the text is a module")
}

/// A component of a kilobyte that asks for more machine code than any machine has memory for: of its components, each makes
/// ten instances of the one before.
pub fn compiler_bomb() -> Vec<u8> {
    const DEPTH: usize = 9;
    let ten = |instance: &str| instance.repeat(10);
    let mut text = format!("(component (component $c0 (core module $m) {})", ten("(core instance (instantiate $m))"));
    for level in 1..DEPTH {
        let instances = ten(&format!("(instance (instantiate $c{}))", level - 1));
        text += &format!("(component $c{level} {instances})");
    }
    text += &format!("(instance (instantiate $c{})))", DEPTH - 1);
    wat::parse_str(text).expect("the text is a component")
}

pub fn bytes(guest: &Path) -> Vec<u8> {
    std::fs::read(guest).unwrap_or_else(|error| panic!("{}: {error}", guest.display()))
}

fn guest(name: &str) -> PathBuf {
    let Some(folder) = std::env::var_os(FOLDER) else {
        panic!("{FOLDER} is not set: run scripts/build-guests.sh, and set {FOLDER} to the folder that it names");
    };
    let path = Path::new(&folder).join(name);
    assert!(path.is_file(), "{} is not there: run scripts/build-guests.sh", path.display());
    path
}
