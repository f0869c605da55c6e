//! `hubgate config check --deep`: would everything be served? By the gateway's own checks, and without a trace.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hubgate_tests::command::{Finished, hubgate};
use hubgate_tests::gateway::Setup;
use hubgate_tests::{Gateway, guests};

const ANY_PORT: &str = "server.listen = '127.0.0.1:0'";

fn check(file: &Path) -> Finished {
    hubgate(["config", "check", "--deep", "--config", &file.display().to_string()])
}

fn checked(setup: Setup) -> Finished {
    let (_folder, file) = setup.written();
    check(&file)
}

/// The check ends with exit code 2, and its first finding is an error about `key` that says `why`.
fn refused(setup: Setup, key: &str, why: &str) {
    let checked = checked(setup);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    let first = checked.stderr.lines().next().unwrap_or_default();
    let is_about = first.starts_with("error: ") && first.contains("hubgate.toml, line ");
    assert!(is_about && first.contains(&format!("{key}: ")) && first.contains(why), "{key}, {why}: {checked:?}");
}

#[test]
fn what_would_be_served_is_said_to_be_and_nothing_stays_of_the_check() {
    let setup = Gateway::probe()
        .with(ANY_PORT)
        .plugin("redact", &guests::ready_made("redact"))
        .with("hubs.probe.filters = ['redact']\nplugins.redact.config.patterns = 'secret'");
    let (folder, file) = setup.written();
    let checked = check(&file);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    assert!(checked.stdout.contains("everything would be served"), "{checked:?}");
    assert!(!folder.path().join("data").exists(), "a check keeps nothing");
}

#[test]
fn a_folder_for_certificates_that_others_may_read_is_named() {
    let setup = Gateway::serve().with(ANY_PORT).with("server.tls.acme.domains = ['a.example']");
    let (folder, file) = setup.written();
    assert_eq!(check(&file).code, Some(0), "there is none yet");
    let certificates = folder.path().join("data/acme");
    fs::create_dir_all(&certificates).expect("the folder is ours");
    fs::set_permissions(&certificates, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    let checked = check(&file);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(["server.data-dir", "data/acme", "0700"].iter().all(|part| checked.stderr.contains(part)), "{checked:?}");
}

#[test]
fn a_plugin_that_would_not_serve_is_named_by_the_key_that_has_to_change() {
    let probe = || Gateway::probe().with(ANY_PORT);
    refused(probe().with("plugins.probe.path = 'gone.wasm'"), "plugins.probe.path", "gone.wasm cannot be read");
    let filter = |use_as: &str| Gateway::serve().with(ANY_PORT).plugin("f", &guests::filter()).with(use_as);
    refused(filter("hubs.chat.filters = ['f']"), "plugins.f.allow-http", "needs the `http` import");
    let upstream = "upstream = [{ plugin = 'f' }]\nhubs.'*'.mode = 'serverless'\nplugins.f.allow-http = ['http://a']";
    refused(filter(upstream), "plugins.f.path", "it is a filter, and `[[upstream]]` names it as a handler");
    let handler = probe().with("hubs.probe.filters = ['probe']\nupstream = []");
    refused(handler, "plugins.probe.path", "it is a handler, and a hub names it among its `filters`");
    let redact = Gateway::serve().with(ANY_PORT).plugin("redact", &guests::ready_made("redact"));
    refused(redact.with("hubs.chat.filters = ['redact']"), "plugins.redact.config", "`init` failed");
    let (folder, file) = probe().written();
    fs::write(folder.path().join("plugins/probe.wasm"), guests::core_module()).expect("the folder can be written");
    let module = check(&file);
    assert!(module.code == Some(2) && module.stderr.contains("plugins.probe.path: "), "{module:?}");
    assert!(module.stderr.contains("is a core WebAssembly module"), "{module:?}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound");
    for key in ["server.listen", "admin.listen"] {
        let setup = Gateway::serve().with(ANY_PORT).with(&format!("{key} = '{address}'"));
        refused(setup, key, &format!("{key}: \"{address}\": cannot listen there: "));
        let setup = Gateway::serve().with(ANY_PORT).with(&format!("{key} = '{address}'"));
        refused(setup, key, "Another program listens there");
    }
    let elsewhere = Gateway::serve().with("server.listen = '192.0.2.1:8888'");
    refused(elsewhere, "server.listen", "It is not an address of this machine");
    let (folder, file) =
        Gateway::serve().with(&format!("server.listen = '{address}'\nadmin.listen = '{address}'")).written();
    drop(taken);
    let both = check(&file);
    assert_eq!(both.code, Some(2), "{both:?}");
    assert!(both.stderr.contains("admin.listen: has the same address as `server.listen`"), "{both:?}");
    drop(folder);
}

#[tokio::test]
async fn a_data_folder_that_plugins_cannot_have_is_named() {
    refused(
        Gateway::probe().with(ANY_PORT).with("server.data-dir = '/proc/hubgate'"),
        "server.data-dir",
        "the state of plugins cannot be used",
    );
    let open = tempfile::tempdir().expect("there is room for a folder");
    let state = open.path().join("state");
    fs::create_dir(&state).expect("the folder is empty");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    let with =
        |folder: &Path| Gateway::probe().with(ANY_PORT).with(&format!("server.data-dir = '{}'", folder.display()));
    refused(with(open.path()), "server.data-dir", "nobody else may have access");

    let gateway = Gateway::probe().start().await;
    let data = gateway.folder().join("data");
    refused(with(&data), "server.data-dir", "another gateway has it open");
    let without_plugins = Gateway::serve().with(ANY_PORT).with(&format!("server.data-dir = '{}'", data.display()));
    assert_eq!(checked(without_plugins).code, Some(0), "without plugins nobody needs the folder");
    assert_eq!(gateway.plugin_status("probe").await["state"], "serving", "the check does not disturb it");
}

#[test]
fn what_a_plugin_is_granted_in_vain_is_a_warning() {
    let granted = checked(Gateway::probe().with(ANY_PORT).with("plugins.probe.allow-http = ['http://localhost:1']"));
    assert_eq!(granted.code, Some(0), "{granted:?}");
    assert!(granted.stderr.contains("plugins.probe.allow-http: has no effect"), "{granted:?}");
}

#[test]
fn the_check_that_is_not_deep_warns_of_a_file_that_is_missing() {
    let (_folder, file) = Gateway::probe().with("plugins.probe.path = 'gone.wasm'").written();
    let checked = hubgate(["config", "check", "--config", &file.display().to_string()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.stderr.starts_with("warning: ")
            && checked.stderr.contains("plugins.probe.path: ")
            && checked.stderr.contains("gone.wasm"),
        "{checked:?}"
    );
}
