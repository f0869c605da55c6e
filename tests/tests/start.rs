//! The start: what it says of itself, and why it does not come about.

use std::path::Path;
use std::process::Command;

use hubgate_tests::command::{Finished, binary};
use hubgate_tests::gateway::Setup;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};

/// A start that ends by itself.
fn serve(setup: Setup, arguments: &[&str]) -> Finished {
    let (_folder, file) = setup.written();
    Finished::of(Command::new(binary()).args(["serve", "--config"]).arg(file).args(arguments))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn a_gateway_says_where_it_listens_and_what_it_serves() {
    let config = "hubs.chat.mode = 'serverless'\nhubs.chat.filters = ['redact']\nplugins.redact.config.patterns = 'secret'
                  upstream = [{ hubs = ['probe'], plugin = 'probe' }, { categories = ['messages'], url = 'http://localhost:1/a?code=c' }]";
    let gateway = Gateway::probe().plugin("redact", &guests::ready_made("redact")).with(config).start().await;
    let address = gateway.address().to_string();
    let digest = gateway.plugin_status("probe").await["digest"].as_str().expect("it serves").to_owned();
    for line in [
        &["serving a hub", "hub=\"probe\"", "mode=\"serverless\""][..],
        &["serving a hub", "hub=\"chat\"", "filters=\"redact\""],
        &["serving a hub", "hub=\"*\"", "mode=\"default\""],
        &["asking upstream", "item=0", "hubs=\"probe\"", "plugin=\"probe\""],
        &["asking upstream", "item=1", "categories=\"messages\"", "url=\"http://localhost:1/a\""],
        &["compiling a component", "plugin=probe"],
        &["a plugin was loaded", "plugin=probe", "took=", &digest],
        &["using a plugin", "plugin=probe", "state=serving", &digest],
        &["listening", &format!("listen={address}"), "admin="],
    ] {
        gateway.logs(line).await;
    }
    assert!(!gateway.log().contains("code=c"), "a query may be a secret");
    let mut gateway = gateway;
    gateway.restart().await;
    let lines =
        |part: &str| gateway.log().lines().filter(|line| line.contains(part) && line.contains("plugin=probe")).count();
    assert_eq!((lines("a plugin was loaded"), lines("compiling a component")), (2, 1), "it is kept compiled");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_before_anybody_waits_for_the_data_folder() {
    let gateway = Gateway::probe().start().await;
    let data = format!("server.data-dir = '{}'", text(&gateway.folder().join("data")));
    let address = gateway.address().to_string();
    let refused = serve(Gateway::probe().with(&data), &["--listen", &address]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let told = format!("--listen = \"{address}\": cannot listen there: ");
    assert!(refused.stderr.contains(&told), "{refused:?}");
    assert!(refused.stderr.contains("stop it, or take another port"), "{refused:?}");
    assert!(!refused.stderr.contains("waiting for it to end") && !refused.stderr.contains("loaded"), "{refused:?}");

    let elsewhere = serve(Gateway::probe().with(&data), &["--listen", "127.0.0.1:0"]);
    assert_eq!(elsewhere.code, Some(2), "{elsewhere:?}");
    assert!(elsewhere.stderr.contains("another gateway has the folder open: waiting for it to end"), "{elsewhere:?}");
    assert!(elsewhere.stderr.contains("hubgate: the state of plugins cannot be used: "), "{elsewhere:?}");
}

#[test]
fn a_cause_is_told_once() {
    let cause = "No such file or directory";
    let missing = Gateway::probe().with("plugins.probe.path = 'gone.wasm'");
    for ended in [
        serve(missing, &["--strict", "--listen", "127.0.0.1:0"]),
        serve(Gateway::serve().with("admin.token-file = 'gone'"), &[]),
        Finished::of(Command::new(binary()).args(["serve", "--config", "/nowhere/hubgate.toml"])),
        Finished::of(Command::new(binary()).args(["config", "import-emulator", "/nowhere/settings.json"])),
    ] {
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert_eq!(last.matches(cause).count(), 1, "{ended:?}");
    }
}

#[tokio::test]
async fn a_plugin_whose_file_is_missing_is_one_line_of_the_log() {
    let gateway = Gateway::probe().with("plugins.probe.path = 'late.wasm'").start().await;
    let file = gateway.folder().join("late.wasm");
    let new = file.with_extension("new");
    std::fs::write(&new, guests::bytes(&guests::probe())).expect("the folder can be written");
    std::fs::rename(new, file).expect("the folder can be written");
    until("the file to be seen", async || (gateway.plugin_status("probe").await["state"] == "serving").then_some(()))
        .await;
    let log = gateway.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.len() == 1 && errors[0].contains("late.wasm cannot be read"), "{errors:?}");
}
