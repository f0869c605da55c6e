//! What `hubgate plugin build` says meanwhile, what it asks of tools, and what it refuses.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use hubgate_tests::command::{Finished, repository};
use hubgate_tests::guests;
use hubgate_tests::toolchains::hubgate_in;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A project in Python, and a builder of such projects that does what a test says.
struct Project {
    folder: TempDir,
}

impl Project {
    /// `script` is in the builder's place once it has been asked for its version.
    fn built_by(version: &str, script: &str) -> Project {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let project = Project { folder };
        let programs = project.path("project/.venv/bin");
        fs::create_dir_all(&programs).expect("there is room for a folder");
        let classes = "class Lifecycle: pass\nclass Upstream: pass\nclass InboundFilter: pass\n";
        fs::write(project.path("project/app.py"), classes).expect("the folder can be written");
        let builder = programs.join("componentize-py");
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo \"componentize-py {version}\"; exit; fi\n\
             echo \"$*\" > {}\nfor output; do :; done\n{script}\n",
            project.path("arguments").display()
        );
        fs::write(&builder, script).expect("the folder can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&builder, mode).expect("it is ours");
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build(&self, options: &[&str]) -> Finished {
        let mut command = hubgate_in(self.folder.path());
        Finished::of(command.args(["plugin", "build", "project", "-o", "made.wasm"]).args(options))
    }
}

/// Copies a component to where the builder is to write it.
fn makes_the_probe() -> String {
    format!("echo I am chatting; cp '{}' \"$output\"", guests::probe().display())
}

#[test]
fn a_build_names_its_tool_and_says_what_it_has_made_and_how_long_it_took() {
    let project = Project::built_by("0.25.1", &makes_the_probe());
    let built = project.build(&[]);
    assert!(built.stderr.starts_with("componentize-py … ") && built.stderr.ends_with(" s\n"), "{built:?}");
    assert!(!built.stderr.contains("chatting"), "{built:?}");
    let size = fs::metadata(project.path("made.wasm")).expect("it is there").len() as f64 / 1000.0;
    let said = format!("made.wasm: handler in Python, {size:.1} kB, built in ");
    assert!(built.stdout.starts_with(&said) && built.stdout.ends_with(" s\n"), "{built:?}");
    assert_eq!(built.code, Some(0), "{built:?}");
}

#[test]
fn a_program_is_told_of_a_build_as_one_json_object() {
    let project = Project::built_by("0.25.1", &makes_the_probe());
    let built = project.build(&["--json"]);
    assert_eq!((built.code, built.stdout.lines().count()), (Some(0), 1), "{built:?}");
    let mut report: Value = serde_json::from_str(&built.stdout).expect("it is JSON");
    assert!(report["buildMs"].take().as_f64().is_some_and(|time| time > 0.0), "{built:?}");
    let remark = report["remark"].take();
    assert!(remark.is_null() || remark.is_string(), "{built:?}");
    let size = fs::metadata(project.path("made.wasm")).expect("it is there").len();
    let expected = json!({
        "file": "made.wasm", "purpose": "handler", "language": "Python", "remark": null, "sizeBytes": size, "buildMs": null,
    });
    assert_eq!(report, expected);
}

#[test]
fn what_a_tool_prints_is_shown_if_it_is_asked_for_or_if_the_tool_fails() {
    let project = Project::built_by("0.25.1", &makes_the_probe());
    let built = project.build(&["--verbose"]);
    assert!(built.stderr.contains("\nI am chatting\n"), "{built:?}");
    assert!(built.stdout.starts_with("made.wasm: handler in Python"), "nothing else: {built:?}");
    let project = Project::built_by("0.25.1", "echo I am chatting; echo It went wrong. >&2; exit 3");
    for options in [&[][..], &["--verbose"]] {
        let built = project.build(options);
        assert_eq!(built.code, Some(1), "{built:?}");
        for said in ["I am chatting", "It went wrong.", "exit status: 3"] {
            assert_eq!(built.stderr.matches(said).count(), 1, "{built:?}");
        }
    }
}

#[test]
fn a_tool_that_is_too_old_is_refused_with_what_is_needed_and_where_it_comes_from() {
    let project = Project::built_by("0.13.5", &makes_the_probe());
    let built = project.build(&[]);
    assert_eq!(built.code, Some(1), "{built:?}");
    for said in ["componentize-py 0.13.5 is too old", "need 0.25.0 or newer", "pip install componentize-py=="] {
        assert!(built.stderr.contains(said), "{built:?}");
    }
    assert!(!project.path("arguments").exists(), "it was not run");
}

#[test]
fn the_tools_that_are_named_are_those_that_were_tried() {
    let requirements = fs::read_to_string(repository().join("tests/languages/requirements.txt")).expect("it is there");
    let packages = fs::read_to_string(repository().join("tests/languages/package.json")).expect("it is there");
    let tools = fs::read_to_string(repository().join("gateway/cli/src/commands/plugin_build/tool.rs"));
    let tools = tools.expect("it is there");
    for tool in ["componentize-py==", "ziglang=="] {
        let pinned = requirements.lines().find(|line| line.starts_with(tool)).expect("it is pinned");
        assert!(tools.contains(&format!("pip install {pinned}`")), "{pinned}");
    }
    for tool in ["componentize-qjs", "esbuild"] {
        let version = packages.split(&format!("\"{tool}\": \"")).nth(1).and_then(|rest| rest.split('"').next());
        let version = version.expect("it is pinned");
        assert!(tools.contains(&format!("npm install --save-dev {tool}@{version}`")), "{tool}@{version}");
    }
}

#[test]
fn a_world_that_is_asked_for_wins_over_the_projects_and_is_what_has_to_come_out() {
    let project = Project::built_by("0.25.1", &makes_the_probe());
    fs::write(project.path("project/pyproject.toml"), "tool.hubgate.world = 'filter'").expect("it can be written");
    let built = project.build(&["--world", "handler"]);
    assert_eq!(built.code, Some(0), "{built:?}");
    let arguments = || fs::read_to_string(project.path("arguments")).expect("the builder was run");
    assert!(arguments().contains(" -w handler "), "{}", arguments());
    let built = project.build(&["--world", "filter-inbound"]);
    assert!(arguments().contains(" -w filter-inbound "), "{}", arguments());
    assert_eq!(built.code, Some(1), "{built:?}");
    assert!(built.stderr.contains("it is not of the world filter-inbound: it exports no inbound-filter"), "{built:?}");
    let built = project.build(&["--world", "handlr"]);
    assert_eq!(built.code, Some(2), "{built:?}");
    assert!(built.stderr.contains("it serves handler, filter"), "{built:?}");
}

#[test]
fn a_component_that_the_gateway_would_not_call_is_refused() {
    let project = Project::built_by("0.25.1", "cp ../nothing.wasm \"$output\"");
    fs::write(project.path("nothing.wasm"), guests::of_no_world()).expect("the folder can be written");
    let mut command = hubgate_in(project.folder.path());
    let built = Finished::of(command.args(["plugin", "build", "nothing.wasm", "-o", "made.wasm"]));
    assert_eq!(built.code, Some(1), "{built:?}");
    assert!(built.stderr.contains("it exports nothing: a handler exports `upstream`"), "{built:?}");
    assert!(!project.path("made.wasm").exists());
}

#[test]
fn a_crate_without_its_export_is_told_which_line_is_missing_and_warnings_are_shown() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let run = |arguments: &[&str]| {
        let mut command: Command = hubgate_in(folder.path());
        Finished::of(command.arg("plugin").args(arguments))
    };
    run(&["new", "forgetful", "--language", "rust"]).success();
    let locked = fs::copy(repository().join("sdk/rust/Cargo.lock"), folder.path().join("forgetful/Cargo.lock"));
    locked.expect("the project can be written");
    let library = folder.path().join("forgetful/src/lib.rs");
    let text = fs::read_to_string(&library).expect("it is there");
    fs::write(&library, text.replace("hubgate_plugin::export!(Plugin);", "")).expect("the project can be written");
    let built = run(&["build", "forgetful", "-o", "made.wasm"]);
    assert_eq!(built.code, Some(1), "{built:?}");
    assert!(built.stderr.contains("it exports nothing: say `hubgate_plugin::export!(Name);`"), "{built:?}");
    assert!(built.stderr.contains("struct `Plugin` is never constructed"), "{built:?}");
    assert!(!built.stderr.contains("Compiling"), "{built:?}");
    fs::write(&library, "nonsense").expect("the project can be written");
    let built = run(&["build", "forgetful", "-o", "made.wasm"]);
    assert_eq!(built.code, Some(1), "{built:?}");
    assert_eq!(built.stderr.matches("src/lib.rs:1:").count(), 1, "{built:?}");
}
