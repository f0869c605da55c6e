//! Projects that `hubgate plugin new` makes, in every language: they build, can serve, and do what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::command::{Finished, hubgate, repository};
use hubgate_tests::toolchains::{PACKAGES, hubgate_in, link_packages};
use serde_json::{Value, json};
use tempfile::TempDir;

static CARGO: Mutex<()> = Mutex::new(());

/// A project of a template, and what became of it.
struct Project {
    folder: TempDir,
    language: &'static str,
    kind: &'static str,
}

impl Project {
    fn new(language: &'static str, kind: &'static str) -> Project {
        let project = Project { folder: tempfile::tempdir().expect("there is room for a folder"), language, kind };
        project.run(&["new", "hello", "--language", language, "--kind", kind]).success();
        project
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("hello")
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(hubgate_in(self.folder.path()).arg("plugin").args(arguments))
    }

    /// The component that `plugin build` makes, and that `plugin check` takes for what the template says.
    fn component(&self) -> PathBuf {
        match self.language {
            "js" | "ts" => link_packages(&self.path()),
            // The versions that are here already.
            "rust" => {
                let lock = fs::read(repository().join("sdk/rust/Cargo.lock")).expect("it is there");
                fs::write(self.path().join("Cargo.lock"), lock).expect("the project can be written");
            }
            _ => {}
        }
        // Cargo's folder is shared, and has one file for all packages of a name.
        let building = (self.language == "rust").then(|| CARGO.lock().unwrap_or_else(PoisonError::into_inner));
        self.run(&["build", "hello", "-o", "hello.wasm"]).success();
        drop(building);
        let checked = self.run(&["check", "hello.wasm"]).success();
        let world = if self.kind == "hub" { "whole-hub" } else { self.kind };
        assert!(checked.contains(&format!("can serve as {world}")), "{checked}");
        self.its_test_passes_and_can_fail();
        self.folder.path().join("hello.wasm")
    }

    /// The project's script is played to what is built of it; another answer than the expected one is a failure.
    fn its_test_passes_and_can_fail(&self) {
        let script = self.path().join("tests/hello.toml");
        let text = fs::read_to_string(&script).expect("the project has a script");
        let (mine, other) = match self.kind {
            "handler" | "hub" => ("Hello, ann!", "Hello, bob!"),
            _ => ("\"a ******\"", "\"a secret\""),
        };
        assert!(text.contains(mine), "{text}");
        fs::write(script.with_file_name("other.toml"), text.replace(mine, other)).expect("the project can be written");
        // The build of a folder is the same for all kinds of projects: one of each language is built again.
        let played = match self.kind {
            "handler" => self.run(&["test", "hello"]),
            _ => self.run(&[
                "test",
                "hello.wasm",
                "--script",
                "hello/tests/hello.toml",
                "--script",
                "hello/tests/other.toml",
            ]),
        };
        assert_eq!(played.code, Some(1), "{played:?}");
        let lines: Vec<&str> = played.stdout.lines().map(str::trim_start).collect();
        let has = |sign: char, text: &str| lines.iter().any(|line| line.starts_with(sign) && line.contains(text));
        assert!(has('-', other) && has('+', mine), "{played:?}");
        assert!(played.stdout.contains("2 scripts") && !played.stdout.contains("tests/hello.toml"), "{played:?}");
    }
}

async fn served(component: &Path) -> Gateway {
    let config = "hubs.hello.mode = 'serverless'\nupstream = [{ plugin = 'hello' }]";
    let gateway = Gateway::serve().plugin("hello", component).with(config);
    // What an interpreter does first takes long on a busy machine.
    gateway.with("plugins.hello.call-time = '30s'").start().await
}

async fn the_handler_answers(component: &Path) {
    answers_as_a_handler(&served(component).await).await;
}

/// A hub also does something by itself, later.
async fn the_hub_answers(component: &Path) {
    let gateway = served(component).await;
    answers_as_a_handler(&gateway).await;
    let mut client = gateway.client("hello").connect().await;
    client.call("remind", json!([1, "Zoë"])).await.expect("it sets a timer");
    assert_eq!(client.event("reminded").await, json!(["Zoë"]));
    client.call("countdown", json!([3])).await.expect_err("it is streamed, and not called");
    let id = client.next_id();
    client.send(json!({ "type": 4, "invocationId": id, "target": "countdown", "arguments": [3] })).await;
    for number in [3, 2, 1] {
        assert_eq!(client.message().await, json!({ "type": 2, "invocationId": id, "item": number }));
    }
    assert_eq!(client.message().await, json!({ "type": 3, "invocationId": id }));
}

/// `hello` answers with the name, `count` with how often it was called, whoever calls it.
async fn answers_as_a_handler(gateway: &Gateway) {
    let mut client = gateway.client("hello").connect().await;
    for name in ["ann", "Zoë \"\\ 漢"] {
        let greeting = client.call("hello", json!([name])).await.expect("it answers");
        assert!(greeting.as_str().is_some_and(|text| text.contains(name)), "{greeting}");
    }
    for expected in [1, 2] {
        assert_eq!(client.call("count", json!([])).await, Ok(json!(expected)));
    }
    let mut other = gateway.client("hello").connect().await;
    assert_eq!(other.call("count", json!([])).await, Ok(json!(3)));
    client.call("nothing", json!([])).await.expect_err("there is no such method");
    client.call("hello", json!([])).await.expect_err("there is no name");
    assert_eq!(client.call("count", json!([])).await, Ok(json!(4)), "an error harms nothing");
}

/// What clients say and what they are sent has no `secret`.
async fn the_filter_hides_the_word(component: &Path) {
    let config = "hubs.probe.filters = ['hello']\nplugins.hello.call-time = '30s'";
    let gateway = Gateway::probe().plugin("hello", component).with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    let said = json!(["a secret, secrets"]);
    // The probe counts under the key that it hears: both directions are told apart by it.
    assert_eq!(client.call("echo", said.clone()).await, Ok(json!("a ******, ******s")));
    assert_eq!(client.call("count", json!(["secret"])).await, Ok(json!(1)));
    assert_eq!(client.call("count", json!(["******"])).await, Ok(json!(2)), "it was hidden before the handler saw it");
    let message = json!({ "target": "said", "arguments": said });
    let sent = gateway.rest(Method::POST, "/api/hubs/probe/:send?api-version=2022-06-01").json(&message).send().await;
    assert_eq!(sent.status, 202, "{sent:?}");
    assert_eq!(client.event("said").await, json!(["a ******, ******s"]));
    assert_eq!(client.call("echo", json!(["Sécret"])).await, Ok(json!("Sécret")));
}

#[tokio::test]
async fn a_handler_in_go() {
    let project = Project::new("go", "handler");
    let component = project.component();
    test_in_go(&project);
    the_handler_answers(&component).await;
}

#[tokio::test]
async fn a_filter_in_go() {
    let project = Project::new("go", "filter");
    let component = project.component();
    test_in_go(&project);
    the_filter_hides_the_word(&component).await;
}

/// Its collector may not start by itself, as it would trap where the gateway allocates.
#[tokio::test]
async fn a_handler_in_go_collects_its_garbage_while_a_call_lasts() {
    let project = Project::new("go", "handler");
    // Several times the memory that it has.
    let waste = r#"
        package main
        import ("hubgate/context"; "hubgate/handler")
        func init() {
            handler.Method("waste", func(*handler.Call) (any, error) {
                sum := 0
                for range 1500 { sum += len(context.Random(60_000)) }
                return sum, nil
            })
        }"#;
    fs::write(project.path().join("waste.go"), waste).expect("the project can be written");
    let component = project.component();
    let config = "hubs.hello.mode = 'serverless'\nupstream = [{ plugin = 'hello' }]";
    let gateway = Gateway::serve().plugin("hello", &component).with(config);
    let gateway = gateway.with("plugins.hello.call-time = '30s'\nplugins.hello.memory = '24MiB'").start().await;
    let mut client = gateway.client("hello").connect().await;
    assert_eq!(client.call("waste", json!([])).await, Ok(json!(90_000_000)));
}

/// The project's own test, as its first line says.
fn test_in_c(project: &Project) {
    let name = if project.kind == "filter" { "tests/test_hide.c" } else { "tests/test_answers.c" };
    let text = fs::read_to_string(project.path().join(name)).expect("it is there");
    let command = text.lines().next().and_then(|line| line.strip_prefix("// ")).expect("it begins with a command");
    Finished::of(Command::new("sh").args(["-c", command]).current_dir(project.path())).success();
}

/// The project's own test, on this machine.
fn test_in_go(project: &Project) {
    let tested = Finished::of(Command::new("go").arg("test").current_dir(project.path()).env("GOPROXY", "off"));
    assert!(tested.success().contains("ok"), "a test has run");
}

#[tokio::test]
async fn a_whole_hub_in_go() {
    let project = Project::new("go", "hub");
    let component = project.component();
    test_in_go(&project);
    the_hub_answers(&component).await;
}

#[tokio::test]
async fn a_whole_hub_in_c() {
    let project = Project::new("c", "hub");
    test_in_c(&project);
    the_hub_answers(&project.component()).await;
}

#[tokio::test]
async fn a_handler_in_c() {
    let project = Project::new("c", "handler");
    test_in_c(&project);
    the_handler_answers(&project.component()).await;
}

#[tokio::test]
async fn a_handler_in_c_is_made_by_its_makefile() {
    let project = Project::new("c", "handler");
    let source = project.path().join("src");
    fs::create_dir(&source).expect("the project can be written");
    for name in ["plugin.c", "answers.c", "answers.h"] {
        fs::rename(project.path().join(name), source.join(name)).expect("the project can be written");
    }
    let rule = "plugin.wasm: src/plugin.c src/answers.c hubgate/hubgate.c hubgate/values.c\n\
        \t$(CC) $(CFLAGS) $(LDFLAGS) -I. -o $@ $^\n";
    fs::write(project.path().join("Makefile"), rule).expect("the project can be written");
    the_handler_answers(&project.component()).await;
}

/// In a temporary folder whose name has a blank, and with an SDK whose header comes by way of another.
#[test]
fn a_makefile_in_c_gets_the_sdk_wherever_temporary_files_are() {
    let project = Project::new("c", "handler");
    fs::remove_dir_all(project.path().join("hubgate")).expect("it is there");
    let plugin = project.path().join("plugin.c");
    let source = fs::read_to_string(&plugin).expect("it is there");
    let includes = source.replace("#include \"hubgate/hubgate.h\"", "#include \"answers.h\" // has the SDK");
    assert_ne!(source, includes);
    fs::write(&plugin, includes).expect("the project can be written");
    let temporary = project.path().join("with a blank");
    fs::create_dir(&temporary).expect("the project can be written");
    let builds = || {
        let mut hubgate = hubgate_in(project.folder.path());
        hubgate.args(["plugin", "build", "hello", "-o", "hello.wasm"]).env("TMPDIR", &temporary);
        Finished::of(&mut hubgate).success();
    };
    builds();
    let rule = "plugin.wasm: plugin.c answers.c $(HUBGATE)/hubgate/hubgate.c $(HUBGATE)/hubgate/values.c\n\
        \t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^\n";
    fs::write(project.path().join("Makefile"), rule).expect("the project can be written");
    builds();
}

/// The bindings of the contract, which the build makes, instead of the SDK.
#[test]
fn a_filter_in_c_may_use_the_bare_bindings_of_its_world_with_and_without_a_makefile() {
    let project = Project::new("c", "filter");
    fs::remove_dir_all(project.path()).expect("it is there");
    fs::create_dir(project.path()).expect("the project can be written");
    let source = r#"
        #include "filter_inbound.h"
        bool exports_hubgate_plugin_lifecycle_init(filter_inbound_string_t *error) { return true; }
        void exports_hubgate_plugin_inbound_filter_inspect(exports_hubgate_plugin_inbound_filter_connection_t *client,
            exports_hubgate_plugin_inbound_filter_message_t *message, exports_hubgate_plugin_inbound_filter_verdict_t *verdict) {
            exports_hubgate_plugin_inbound_filter_connection_free(client);
            exports_hubgate_plugin_inbound_filter_message_free(message);
            verdict->tag = HUBGATE_PLUGIN_FILTERING_VERDICT_PASS;
        }"#;
    fs::write(project.path().join("plugin.c"), source).expect("the project can be written");
    let serves = || {
        project.run(&["build", "hello", "-o", "hello.wasm"]).success();
        let checked = project.run(&["check", "hello.wasm"]).success();
        assert!(checked.contains("filter"), "{checked}");
    };
    serves();
    let rule = "plugin.wasm: plugin.c\n\t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(HUBGATE)/filter_inbound.c \
        $(HUBGATE)/filter_inbound_component_type.o\n";
    fs::write(project.path().join("Makefile"), rule).expect("the project can be written");
    serves();
}

#[test]
fn a_makefile_without_the_rule_is_refused_with_what_make_says() {
    let project = Project::new("c", "handler");
    fs::write(project.path().join("Makefile"), "all:\n\ttrue\n").expect("the project can be written");
    let built = project.run(&["build", "hello", "-o", "hello.wasm"]);
    assert_eq!(built.code, Some(1), "{built:?}");
    assert!(built.stderr.contains("make has failed") && built.stderr.contains("plugin.wasm"), "{built:?}");
}

#[tokio::test]
async fn a_filter_in_c() {
    let project = Project::new("c", "filter");
    test_in_c(&project);
    the_filter_hides_the_word(&project.component()).await;
}

#[tokio::test]
async fn a_handler_in_python() {
    the_handler_answers(&Project::new("python", "handler").component()).await;
}

#[tokio::test]
async fn a_filter_in_python() {
    the_filter_hides_the_word(&Project::new("python", "filter").component()).await;
}

#[tokio::test]
async fn a_whole_hub_in_python() {
    the_hub_answers(&Project::new("python", "hub").component()).await;
}

#[tokio::test]
async fn a_handler_in_javascript() {
    the_handler_answers(&Project::new("js", "handler").component()).await;
}

#[tokio::test]
async fn a_filter_in_javascript() {
    the_filter_hides_the_word(&Project::new("js", "filter").component()).await;
}

#[tokio::test]
async fn a_whole_hub_in_javascript() {
    the_hub_answers(&Project::new("js", "hub").component()).await;
}

#[tokio::test]
async fn a_whole_hub_in_typescript() {
    the_hub_answers(&Project::new("ts", "hub").component()).await;
}

#[tokio::test]
async fn a_handler_in_typescript() {
    the_handler_answers(&Project::new("ts", "handler").component()).await;
}

#[tokio::test]
async fn a_filter_in_typescript() {
    the_filter_hides_the_word(&Project::new("ts", "filter").component()).await;
}

#[tokio::test]
async fn a_handler_in_rust() {
    the_handler_answers(&Project::new("rust", "handler").component()).await;
}

#[tokio::test]
async fn a_whole_hub_in_rust() {
    the_hub_answers(&Project::new("rust", "hub").component()).await;
}

#[tokio::test]
async fn a_filter_in_rust() {
    the_filter_hides_the_word(&Project::new("rust", "filter").component()).await;
}

#[test]
fn templates_ask_for_the_tools_that_were_tried() {
    let tried = fs::read(repository().join(PACKAGES).join("package.json")).expect("it is there");
    let tried: Value = serde_json::from_slice(&tried).expect("it is JSON");
    for (language, kind) in
        [("js", "handler"), ("js", "filter"), ("js", "hub"), ("ts", "handler"), ("ts", "filter"), ("ts", "hub")]
    {
        let package = fs::read(Project::new(language, kind).path().join("package.json")).expect("it is there");
        let package: Value = serde_json::from_slice(&package).expect("it is JSON");
        assert_eq!(package["name"], "hello");
        let asked = package["devDependencies"].as_object().expect("it depends on tools");
        assert!(!asked.is_empty());
        for (name, version) in asked {
            assert_eq!(*version, tried["devDependencies"][name], "{name}");
        }
    }
    let requirements = fs::read_to_string(repository().join(PACKAGES).join("requirements.txt")).expect("it is there");
    let componentize = requirements.lines().find(|line| line.starts_with("componentize-py==")).expect("it is pinned");
    let read_me = fs::read_to_string(Project::new("python", "handler").path().join("README.md")).expect("it is there");
    assert!(read_me.contains(&format!("pip install {componentize} ")), "{read_me}");
}

#[test]
fn what_is_there_is_not_overwritten_by_a_new_project() {
    let project = Project::new("c", "handler");
    let file = project.path().join("plugin.c");
    fs::write(&file, "mine").expect("the project can be written");
    let again = project.run(&["new", "hello", "--language", "python"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("is there already"), "{again:?}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "mine");
    assert!(!project.path().join("app.py").exists());
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let cures =
        [("c", "pip install ziglang"), ("go", "https://go.dev/dl"), ("python", "pip install componentize-py==")];
    for (language, cure) in cures {
        let project = Project::new(language, "handler");
        let mut command = hubgate_in(project.folder.path());
        command.args(["plugin", "build", "hello", "-o", "hello.wasm"]).env("PATH", project.folder.path());
        command.env_remove("WASI_SDK_PATH");
        let built = Finished::of(&mut command);
        assert_eq!(built.code, Some(1), "{built:?}");
        assert!(built.stderr.contains("is not installed; install it") && built.stderr.contains(cure), "{built:?}");
        assert!(!project.folder.path().join("hello.wasm").exists());
    }
}

#[test]
fn a_folder_without_a_project_is_refused_with_what_makes_one() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().display().to_string();
    let built = hubgate(["plugin", "build", &path, "-o", &format!("{path}/out.wasm")]);
    assert_eq!(built.code, Some(1), "{built:?}");
    for mark in ["Cargo.toml", "package.json", "app.py", "go.mod", ".c file"] {
        assert!(built.stderr.contains(mark), "{built:?}");
    }
}

#[test]
fn the_contract_is_written_as_it_stands() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let contract = fs::read(repository().join("wit/plugin.wit")).expect("it is there");
    Finished::of(hubgate_in(folder.path()).args(["plugin", "wit"])).success();
    Finished::of(hubgate_in(folder.path()).args(["plugin", "wit", "-o", "deep/er"])).success();
    for file in ["wit/plugin.wit", "deep/er/plugin.wit"] {
        assert_eq!(fs::read(folder.path().join(file)).expect("it was written"), contract);
    }
}
