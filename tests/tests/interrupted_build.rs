//! A build that is interrupted leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use hubgate_tests::command::binary;
use hubgate_tests::wait::until;

/// A project whose tool never ends, and says when it has begun.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("the folder can be written");
    fs::create_dir_all(folder.path().join("node_modules/.bin")).expect("the folder can be written");
    write("package.json", r#"{ "name": "a", "main": "a.js", "devDependencies": { "componentize-qjs": "0" } }"#);
    write("a.js", "");
    fs::create_dir(folder.path().join("node_modules/componentize-qjs")).expect("the folder can be written");
    write("node_modules/componentize-qjs/package.json", r#"{ "version": "99.0.0" }"#);
    let tool = "node_modules/.bin/componentize-qjs";
    write(tool, "#!/bin/sh\ntouch begun\nexec sleep 600\n");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path().join(tool), executable).expect("the folder can be written");
    folder
}

#[tokio::test]
async fn an_interrupted_build_leaves_no_temporary_folder() {
    for command in ["build", "test"] {
        let project = project();
        fs::create_dir(project.path().join("tests")).expect("the folder can be written");
        fs::write(project.path().join("tests/a.toml"), "[[step]]\nevent = 'connected'\n").expect("it can be written");
        let mut hubgate = Command::new(binary());
        hubgate.args(["plugin", command, "."]).current_dir(project.path()).process_group(0);
        if command == "build" {
            hubgate.args(["-o", "a.wasm"]);
        }
        let mut running = hubgate.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary can be run");
        until("the tool to begin", async || project.path().join("begun").exists().then_some(())).await;
        // As a terminal does at Ctrl-C: to all of the group.
        let group = format!("-{}", running.id());
        assert!(Command::new("kill").args(["-INT", "--", &group]).status().expect("there is `kill`").success());
        let ended = running.wait().expect("it is a child");
        assert!(ended.code().is_some_and(|code| code > 0), "{command}: {ended}");
        let names =
            fs::read_dir(project.path()).expect("it is there").map(|entry| entry.expect("it is there").file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".hubgate")).collect();
        assert!(left.is_empty(), "{command}: {left:?}");
    }
}
