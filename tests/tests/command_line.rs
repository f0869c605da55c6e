//! The commands that end by themselves: what they print, and their exit codes.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubgate_tests::command::{Finished, binary, hubgate, repository};
use hubgate_tests::script::require_packages;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};
use serde_json::{Value, json};

#[test]
fn help_and_version_are_results() {
    let help = hubgate(["--help"]).success();
    for command in ["dev", "serve", "config", "token", "plugin"] {
        assert!(help.contains(command), "{help}");
    }
    assert_eq!(hubgate(["-V"]).success(), concat!("hubgate ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn the_version_names_the_commit_the_contract_and_the_engine() {
    let version = hubgate(["--version"]).success();
    assert!(version.starts_with(concat!("hubgate ", env!("CARGO_PKG_VERSION"), "\n")), "{version}");
    let told = |name: &str| {
        let line = version.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}: {version}")).trim().to_owned()
    };
    let read = |file: &str| std::fs::read_to_string(repository().join(file)).expect("the file is there");
    assert!(read("wit/plugin.wit").contains(&format!("package {};", told("contract"))), "{version}");
    let locked = format!("name = \"wasmtime\"\nversion = \"{}\"", told("wasmtime"));
    assert!(read("Cargo.lock").contains(&locked), "{version}");
    let commit = told("commit");
    assert!(commit == "unknown" || commit.chars().all(|char| char.is_ascii_hexdigit()), "{version}");
    assert!(told("date") == "unknown" || told("date").split('-').count() == 3, "{version}");
}

#[test]
fn options_of_all_commands_stand_under_a_heading_of_their_own() {
    for help in [hubgate(["--help"]), hubgate(["serve", "--help"]), hubgate(["token", "client", "--help"])] {
        let help = help.success();
        let (own, shared) = help.split_once("\nOptions of all commands:\n").expect(&help);
        assert!(!own.contains("--log"), "{help}");
        assert!(shared.contains("--log ") && shared.contains("--log-format "), "{help}");
    }
}

/// Has a name that people may come near to, and that is nothing for them.
const HIDDEN: &str = "compile-component";

#[test]
fn no_suggestion_no_completion_and_no_page_names_a_hidden_command() {
    let mistyped = hubgate(["compile-componen"]);
    assert_eq!(mistyped.code, Some(2), "{mistyped:?}");
    let mut said = vec![mistyped.stderr, hubgate(["help"]).success(), hubgate(["man"]).success()];
    said.extend(SHELLS.map(|shell| hubgate(["completions", shell]).success()));
    for said in said {
        assert!(!said.contains(HIDDEN), "{said}");
    }
}

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];

#[test]
fn shells_get_a_script_that_knows_commands_and_options() {
    for shell in SHELLS {
        let script = hubgate(["completions", shell]).success();
        for word in ["import-emulator", "admin-listen", "rollback"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let script = folder.path().join("hubgate.bash");
    std::fs::write(&script, hubgate(["completions", "bash"]).success()).expect("the folder can be written");
    // As bash asks it when somebody has typed `hubgate conf` and then the tabulator key.
    let ask = r#"source "$0"; COMP_WORDS=(hubgate conf); COMP_CWORD=1; _hubgate hubgate conf hubgate; echo "${COMPREPLY[@]}""#;
    let completed = Finished::of(Command::new("bash").args(["-c", ask]).arg(&script)).success();
    assert_eq!(completed.trim(), "config");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let page = hubgate(["man"]).success();
    assert!(page.contains(".TH hubgate 1") && page.contains("hubgate\\-serve"), "{page}");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let pages = folder.path().join("man1");
    hubgate(["man", "-o", &pages.display().to_string()]).success();
    for name in ["hubgate.1", "hubgate-serve.1", "hubgate-config-check.1", "hubgate-plugin-rollback.1"] {
        let page = std::fs::read_to_string(pages.join(name)).expect(name);
        assert!(page.contains(".SH NAME"), "{name}: {page}");
    }
    let nowhere = hubgate(["man", "-o", "/proc/nowhere"]);
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("--output /proc/nowhere"), "{nowhere:?}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for finished in [
        hubgate([]),
        hubgate(["fly"]),
        hubgate(["serve"]),
        hubgate(["serve", "--config"]),
        hubgate(["dev", "--mode", "sometimes"]),
        hubgate(["dev", "--mode", "sometimes"]),
        hubgate(["dev", "--plugin", "a.wasm"]),
        hubgate(["dev", "--hub", "chat"]),
        hubgate(["dev", "--www", "/nowhere/at/all"]),
        hubgate([
            "token",
            "client",
            "--connection-string",
            "Endpoint=http://localhost;AccessKey=a-key-that-is-long-enough-for-HS256;Version=1.0;",
        ]),
        hubgate(["token", "client", "--hub", "chat"]),
        hubgate(["token", "client", "--hub", "chat", "--connection-string", "nonsense"]),
        hubgate(["plugin", "check"]),
        hubgate(["plugin", "build", "."]),
    ] {
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert_eq!(finished.stdout, "", "{finished:?}");
        assert_ne!(finished.stderr, "", "{finished:?}");
    }
}

#[tokio::test]
async fn a_client_token_from_the_connection_string_opens_its_hub() {
    let gateway = Gateway::probe().start().await;
    let connection = gateway.ready().connection_string.clone();
    let printed = hubgate([
        "token",
        "client",
        "--hub",
        "probe",
        "--user",
        "ann",
        "--claim",
        "role=admin",
        "--claim",
        "role=editor",
        "--connection-string",
        &connection,
    ])
    .success();
    let token = printed.strip_suffix('\n').expect("one line is printed");
    assert!(!token.contains(char::is_whitespace) && token.split('.').count() == 3, "only the token: {printed}");

    let mut client = gateway.client("probe").token(token).connect().await;
    let me = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!((&me["userId"], &me["claims"]["role"]), (&json!("ann"), &json!(["admin", "editor"])));
    let elsewhere = gateway.client("other").token(token).negotiate("").await;
    assert_eq!(elsewhere.status, 401, "it opens no other hub");
}

#[test]
fn a_token_is_told_with_its_audience_and_its_end_as_json() {
    let connection = "Endpoint=http://127.0.0.1:8888;AccessKey=a-key-that-is-long-enough-for-HS256;Version=1.0;";
    for (command, more, audience) in [
        ("client", "--hub=chat", "http://127.0.0.1:8888/client/?hub=chat"),
        ("server", "--hub=chat", "http://127.0.0.1:8888/server/?hub=chat"),
        ("rest", "--url=http://127.0.0.1:8888/api/v1/hubs/chat", "http://127.0.0.1:8888/api/v1/hubs/chat"),
    ] {
        let told = hubgate(["token", command, more, "--connection-string", connection, "--json"]).success();
        let told: Value = serde_json::from_str(&told).expect("one object");
        assert_eq!(told["audience"], audience, "{told}");
        assert!(told["token"].as_str().is_some_and(|token| token.split('.').count() == 3), "{told}");
        assert!(told["expires"].as_u64().is_some_and(|expires| expires > 1_700_000_000), "{told}");
    }
}

#[test]
fn the_port_of_a_connection_string_is_that_of_the_endpoint() {
    let audience = |connection: &str| {
        let token = hubgate(["token", "client", "--hub", "chat", "--connection-string", connection]).success();
        let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok()).expect("a token");
        let claims: Value = serde_json::from_slice(&claims).expect("claims are JSON");
        claims["aud"].as_str().expect("a text").to_owned()
    };
    let with = |endpoint: &str, more: &str| {
        format!("Endpoint={endpoint};AccessKey=a-key-that-is-long-enough-for-HS256;Version=1.0;{more}")
    };
    assert_eq!(audience(&with("http://localhost", "Port=8080;")), "http://localhost:8080/client/?hub=chat");
    assert_eq!(audience(&with("http://localhost:1/base/", "port=8080")), "http://localhost:8080/base/client/?hub=chat");
    assert_eq!(audience(&with("http://localhost", "")), "http://localhost/client/?hub=chat");
    let wrong = with("http://localhost", "Port=many;");
    let refused = hubgate(["token", "client", "--hub", "chat", "--connection-string", &wrong]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--connection-string: Port is not a number"), "{refused:?}");
}

#[tokio::test]
async fn a_client_token_from_the_configuration_opens_the_gateway_that_it_configures() {
    let config = "server.endpoints = ['http://realtime.example.com']";
    let (folder, file) = Gateway::probe().with(config).written();
    let gateway = Gateway::probe().with(config).start().await;
    let file = file.display().to_string();
    let token = hubgate(["token", "client", "--hub", "probe", "--config", &file]).success();
    gateway.client("probe").token(token.trim()).connect().await;
    drop(folder);
}

#[tokio::test]
async fn a_client_token_expires_when_it_was_told_to() {
    let gateway = Gateway::probe().start().await;
    let connection = gateway.ready().connection_string.clone();
    let arguments = ["token", "client", "--hub", "probe", "--lifetime", "1s", "--connection-string", &connection];
    let token = hubgate(arguments).success();
    let refused =
        async || (gateway.client("probe").token(token.trim()).negotiate("").await.status == 401).then_some(());
    until("the token to expire", refused).await;
}

#[test]
fn a_component_that_can_serve_is_described() {
    for guest in [guests::probe(), guests::probe_2(), guests::chat()] {
        let described = hubgate(["plugin", "check", &guest.display().to_string()]).success();
        assert!(described.contains("can serve as handler\n"), "its world is named: {described}");
        assert!(!described.contains("hubgate:plugin/hub"), "its imports are not: {described}");
        for tried in ["upstream.connected answers", "upstream.invoke refuses: ", "upstream.disconnected answers"] {
            assert!(described.contains(tried), "{tried}: {described}");
        }
        for figure in [" to compile, ", " for an instance of ", "median, in an instance that is reused"] {
            assert!(described.contains(figure), "{figure}: {described}");
        }
        let verbose = hubgate(["plugin", "check", &guest.display().to_string(), "--verbose"]).success();
        assert!(verbose.contains("hubgate:plugin/hub"), "its imports are named: {verbose}");
        let size = guests::bytes(&guest).len();
        assert!(described.contains(&size.to_string()), "its size, {size} bytes, is named: {described}");
    }
}

#[test]
fn each_export_of_a_whole_hub_is_tried_once() {
    let hub = guests::probe_hub();
    let described = hubgate(["plugin", "check", &hub.display().to_string()]).success();
    assert!(described.contains("can serve as whole-hub\n"), "{described}");
    let tried: Vec<&str> = described.lines().filter_map(|line| line.trim().strip_prefix("tried")).collect();
    let tried: Vec<&str> = tried.into_iter().map(str::trim).collect();
    let outcomes = [
        "hub-lifetime.started answers",
        "upstream.connected answers",
        "upstream.invoke refuses: The probe has no method 'hubgate-check'.",
        "upstream-streams.begin refuses: The probe has no method 'hubgate-check' with streams.",
        "upstream-streams.item refuses: ",
        "upstream-streams.ended answers",
        "upstream-streams.writable answers",
        "upstream-streams.cancelled answers",
        "scheduled.fired answers",
        "presence-events.changed answers",
        "upstream.disconnected answers",
        "authorizer.authorize refuses: Who are you?",
    ];
    assert_eq!(tried.len(), outcomes.len(), "{described}");
    for (tried, outcome) in tried.iter().zip(outcomes) {
        assert!(tried.starts_with(outcome), "{outcome}: {described}");
    }
}

#[test]
fn a_component_that_only_decides_who_may_come_is_tried_as_that() {
    let door = guests::door().display().to_string();
    let checked = hubgate(["plugin", "check", &door, "--json"]).success();
    let told: serde_json::Value = serde_json::from_str(&checked).expect("it is one JSON object");
    assert_eq!(told["worlds"], serde_json::json!(["negotiator"]));
    assert_eq!(told["calls"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(told["calls"][0]["export"], "authorizer.authorize");
}

#[test]
fn a_component_that_serves_with_a_configuration_alone_is_described_and_says_so() {
    for name in ["redact", "rate-limit", "json-schema"] {
        let described = hubgate(["plugin", "check", &guests::ready_made(name).display().to_string()]).success();
        assert!(described.contains("can serve as filter"), "{described}");
        assert!(described.contains("no instance without configuration: `"), "the key is named: {described}");
    }
}

#[test]
fn a_folder_and_an_empty_file_are_no_component_and_that_is_said() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let refused = |path: &std::path::Path| hubgate(["plugin", "check", &path.display().to_string()]).stderr;
    let text = refused(folder.path());
    assert!(text.contains("it is a folder: build it first") && text.contains("hubgate plugin build"), "{text}");
    let file = folder.path().join("empty.wasm");
    std::fs::write(&file, "").expect("the folder is ours");
    let text = refused(&file);
    assert!(text.contains("the file is empty"), "{text}");
}

#[test]
fn a_program_is_told_of_a_component_as_one_json_object() {
    let check = |file: &std::path::Path| hubgate(["plugin", "check", &file.display().to_string(), "--json"]);
    let told = |checked: &str| serde_json::from_str::<serde_json::Value>(checked).expect("it is one JSON object");
    let filter = told(&check(&guests::filter()).success());
    assert_eq!((&filter["canServe"], &filter["worlds"]), (&true.into(), &serde_json::json!(["filter"])));
    assert_eq!(filter["needsHttp"], true);
    assert_eq!(
        filter["calls"][1],
        serde_json::json!({ "export": "outbound-filter.inspect", "outcome": "answered", "reason": null })
    );
    assert!(filter["callMs"].as_f64().is_some_and(|time| time > 0.0) && filter["compileMs"].is_f64(), "{filter}");
    let configured = told(&check(&guests::ready_made("rate-limit")).success());
    assert_eq!(configured["configuration"], serde_json::json!(["limits"]));
    let file = tempfile::NamedTempFile::new().expect("there is room for a file");
    std::fs::write(file.path(), guests::core_module()).expect("the file can be written");
    let refused = check(file.path());
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let told = told(&refused.stdout);
    assert_eq!(told["canServe"], false);
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("core WebAssembly module")), "{told}");
}

#[test]
fn a_component_that_needs_http_is_told_what_grants_it() {
    let described = hubgate(["plugin", "check", &guests::filter().display().to_string()]).success();
    assert!(described.contains("can serve as filter; needs http: say `allow-http`\n"), "{described}");
}

#[test]
fn a_file_that_cannot_serve_is_exit_code_1_with_the_reason() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let probe = guests::bytes(&guests::probe());
    for (name, content, reason) in [
        ("truncated.wasm", &probe[..probe.len() / 2], "it is truncated"),
        ("text.wasm", b"This is no WebAssembly.", "`hubgate plugin build` makes one of a project"),
        ("empty.wasm", b"", "the file is empty"),
        ("module.wasm", &guests::core_module(), "`hubgate plugin build` makes one of it"),
        ("no-world.wasm", &guests::of_no_world(), "build it for the world `handler` or `filter`"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, content).expect("the folder can be written");
        let checked = hubgate(["plugin", "check", &file.display().to_string()]);
        assert_eq!(checked.code, Some(1), "{checked:?}");
        assert!(checked.stderr.contains(name) && checked.stderr.contains(reason), "{checked:?}");
    }
    let missing = hubgate(["plugin", "check", "/nowhere/at/all.wasm"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("/nowhere/at/all.wasm"), "{missing:?}");
}

#[test]
fn a_key_that_the_gateway_would_refuse_signs_no_token() {
    let connection = "Endpoint=http://127.0.0.1:8888;AccessKey=short;Version=1.0;";
    let refused = hubgate(["token", "client", "--hub", "chat", "--connection-string", connection]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let why = "--connection-string: AccessKey: holds a key of 5 bytes: it must have at least 32";
    assert!(refused.stderr.contains(why), "{refused:?}");
    let unit = hubgate(["token", "client", "--hub", "chat", "--lifetime", "60", "--connection-string", connection]);
    assert!(unit.stderr.contains("60 has no unit: write \"60s\""), "{unit:?}");
}

#[test]
fn what_cannot_be_built_is_exit_code_1_and_leaves_the_output_as_it_was() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let output = folder.path().join("out.wasm");
    std::fs::write(&output, "as it was").expect("the folder can be written");
    std::fs::write(folder.path().join("text.wasm"), "This is no WebAssembly.").expect("the folder can be written");
    std::fs::write(folder.path().join("module.wasm"), guests::core_module()).expect("the folder can be written");
    std::fs::create_dir(folder.path().join("empty")).expect("the folder can be written");
    for source in ["text.wasm", "empty", "missing"] {
        let source = folder.path().join(source);
        let built = hubgate(["plugin", "build", &source.display().to_string(), "-o", &output.display().to_string()]);
        assert_eq!(built.code, Some(1), "{built:?}");
        assert_ne!(built.stderr, "", "{built:?}");
        assert_eq!(std::fs::read_to_string(&output).expect("it is there"), "as it was");
    }
}

#[test]
fn a_project_that_cannot_be_compiled_names_the_command_that_may_help() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    std::fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"broken\"\n").expect("it can be written");
    let mut command = Command::new(binary());
    command.args(["plugin", "build"]).arg(folder.path()).arg("-o").arg(folder.path().join("out.wasm"));
    // A cargo that fails, beside a compiler whose answer names no folder with the target's libraries.
    command.env("CARGO", "false").env("RUSTC", "echo");
    let built = Finished::of(&mut command);
    assert_eq!(built.code, Some(1), "{built:?}");
    assert!(built.stderr.contains("rustup target add wasm32-unknown-unknown"), "{built:?}");
}

#[test]
fn a_script_without_what_its_world_needs_is_refused_when_it_is_built() {
    require_packages("examples/chat-js");
    let lifecycle = "export const lifecycle = { init() {} };\n";
    let half = |name: &str, functions: &str| format!("{lifecycle}export const {name} = {{ {functions} }};");
    for (world, script, told) in [
        (
            "handler",
            half("upstream", "connected() {}, disconnected() {}, invok() {}"),
            "did you mean to name `invok` `invoke`?",
        ),
        ("handler", half("Upstream", "connected() {}"), "did you mean to name `Upstream` `upstream`?"),
        ("handler", "const upstream = {};".to_owned(), "there is no export `upstream`: the script exports nothing"),
        (
            "filter",
            half("upstream", "connected() {}, disconnected() {}, invoke() {}"),
            "there is no export `inboundFilter`: the script exports `lifecycle`, `upstream`",
        ),
        ("filter", half("upstream", "invoke() {}"), "did you mean \"hubgate\": { \"world\": \"handler\" }"),
        ("filter", half("inboundFilter", "inspect() {}"), "{ \"world\": \"filter-inbound\" }"),
        (
            "handler",
            half("upstream", "connected() {}, disconnected() {}, async invoke() {}"),
            "`upstream.invoke` is async",
        ),
    ] {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = |name: &str| folder.path().join(name);
        let package = json!({ "type": "module", "main": "main.js", "hubgate": { "world": world } });
        std::fs::write(file("package.json"), package.to_string()).expect("the folder can be written");
        std::fs::write(file("main.js"), &script).expect("the folder can be written");
        std::os::unix::fs::symlink(repository().join("examples/chat-js/node_modules"), file("node_modules"))
            .expect("the folder can be written");
        let [source, output] = [folder.path().to_owned(), file("out.wasm")].map(|path| path.display().to_string());
        let built = hubgate(["plugin", "build", &source, "-o", &output]);
        assert_eq!(built.code, Some(1), "{built:?}");
        assert!(built.stderr.contains(told), "{}", built.stderr);
        assert!(!file("out.wasm").exists(), "{built:?}");
    }
}

#[test]
fn a_module_becomes_a_component_that_can_serve() {
    // A component is copied as it is: what other tools have made can be put into place by the same command.
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let output = folder.path().join("out.wasm").display().to_string();
    let probe = guests::probe().display().to_string();
    hubgate(["plugin", "build", &probe, "-o", &output]).success();
    hubgate(["plugin", "check", &output]).success();
}

#[tokio::test]
async fn the_status_of_a_cluster_is_that_of_none_where_a_gateway_serves_alone() {
    let gateway = Gateway::probe().start().await;
    let ready = gateway.folder().join("ready.json");
    for json in [None, Some("--json")] {
        let mut command = Command::new(binary());
        let asked = command.args(["cluster", "status", "--ready-file"]).arg(&ready).args(json);
        let told = Finished::of(asked.env_remove("HUBGATE_ADMIN_TOKEN"));
        let alone = "This gateway serves alone: its configuration has no [cluster].";
        assert!(told.code == Some(1) && told.stderr.contains(alone) && told.stdout.is_empty(), "{told:?}");
    }
}
