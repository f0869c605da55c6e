//! A build that is interrupted leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use hubgate_tests::Gateway;
use hubgate_tests::command::binary;
use hubgate_tests::gateway::signal;
use hubgate_tests::wait::until;
use tempfile::TempDir;

/// A project whose tool never ends, and says when it has begun.
fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("the folder can be written");
    fs::create_dir_all(folder.path().join("node_modules/.bin")).expect("the folder can be written");
    write("package.json", r#"{ "name": "a", "main": "a.js", "devDependencies": { "componentize-qjs": "0" } }"#);
    write("a.js", "");
    fs::create_dir(folder.path().join("node_modules/componentize-qjs")).expect("the folder can be written");
    write("node_modules/componentize-qjs/package.json", r#"{ "version": "99.0.0" }"#);
    let tool = "node_modules/.bin/componentize-qjs";
    write(tool, "#!/bin/sh\necho $$ > began && mv began begun\nexec sleep 600\n");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path().join(tool), executable).expect("the folder can be written");
    folder
}

async fn has_begun(project: &TempDir) {
    until("the tool to begin", async || project.path().join("begun").exists().then_some(())).await;
}

fn has_no_temporary_folder(project: &TempDir) {
    let names = fs::read_dir(project.path()).expect("it is there").map(|entry| entry.expect("it is there").file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".hubgate")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Whether the tool's process is there.
fn tool_runs(project: &TempDir) -> bool {
    let process = fs::read_to_string(project.path().join("begun")).expect("it has begun");
    signal(process.trim().parse().expect("it is a number"), "0")
}

#[tokio::test]
async fn an_interrupted_build_leaves_no_temporary_folder_and_no_tool() {
    // A terminal sends SIGINT to all of a group at Ctrl-C; who manages services sends SIGTERM to one process.
    for (command, name, to_all) in
        [("build", "INT", true), ("test", "INT", true), ("build", "TERM", false), ("build", "INT", false)]
    {
        let project = project();
        fs::create_dir(project.path().join("tests")).expect("the folder can be written");
        fs::write(project.path().join("tests/a.toml"), "[[step]]\nevent = 'connected'\n").expect("it can be written");
        let mut hubgate = Command::new(binary());
        hubgate.args(["plugin", command, "."]).current_dir(project.path()).process_group(0);
        if command == "build" {
            hubgate.args(["-o", "a.wasm"]);
        }
        let mut running = hubgate.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary can be run");
        has_begun(&project).await;
        let target = format!("{}{}", if to_all { "-" } else { "" }, running.id());
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), "--", &target])
                .status()
                .expect("there is `kill`")
                .success()
        );
        let ended = running.wait().expect("it is a child");
        assert!(ended.code().is_some_and(|code| code > 0), "{command} {name}: {ended}");
        has_no_temporary_folder(&project);
        assert!(!tool_runs(&project), "{command} {name}");
    }
}

#[tokio::test]
async fn a_watched_project_is_left_as_it_was_whether_its_first_build_is_ended_or_a_later_one() {
    let first = project();
    let mut dev = Command::new(binary());
    dev.args(["dev", "--hub", "a", "--watch"]).arg(first.path()).current_dir(first.path());
    let mut running =
        dev.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be run");
    has_begun(&first).await;
    signal(running.id(), "TERM");
    assert!(!running.wait().expect("it is a child").success());
    has_no_temporary_folder(&first);
    assert!(!tool_runs(&first));

    let later = project();
    let tool = later.path().join("node_modules/.bin/componentize-qjs");
    let never_ends = fs::read_to_string(&tool).expect("it is there");
    fs::write(&tool, "#!/bin/sh\nexit 1\n").expect("the folder can be written");
    let mut gateway = Gateway::dev(["--watch", &later.path().display().to_string(), "--hub", "a"]).start().await;
    fs::write(&tool, never_ends).expect("the folder can be written");
    fs::write(later.path().join("a.js"), "// saved").expect("the folder can be written");
    has_begun(&later).await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    until("the build to end", async || (!tool_runs(&later)).then_some(())).await;
    let is_clean = async || {
        let mut names =
            fs::read_dir(later.path()).expect("it is there").map(|entry| entry.expect("it is there").file_name());
        (!names.any(|name| name.to_string_lossy().starts_with(".hubgate-"))).then_some(())
    };
    until("the build to leave nothing", is_clean).await;
}
