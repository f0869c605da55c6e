//! The package `hubgate` for plugins in Python, on the host's own Python, and the projects that begin with it.

use std::fs;
use std::path::Path;

use hubgate_tests::command::{Finished, repository};
use hubgate_tests::toolchains::{hubgate_in, tool_in};

const PACKAGE: &str = "sdk/python";
/// As the package says it in `pyproject.toml` of a project.
const CONTRACT: &str = "hubgate/contract";

/// Runs the tests in `folder` as a user does, and has a checker look at the types.
fn is_tested_and_checked(folder: &Path, files: &[&str]) {
    let tested = Finished::of(tool_in(folder, "python3").args(["-m", "unittest"]).env("PYTHONDONTWRITEBYTECODE", "1"));
    assert_eq!(tested.code, Some(0), "{tested:?}");
    assert!(tested.stderr.contains("Ran ") && !tested.stderr.contains("Ran 0 "), "{tested:?}");
    let cache = tempfile::tempdir().expect("there is room for a folder");
    let mut checker = tool_in(folder, "mypy");
    checker.args(["--strict", "--python-version", "3.11", "--cache-dir"]).arg(cache.path()).args(files);
    Finished::of(checker.env("MYPYPATH", CONTRACT)).success();
}

#[test]
fn the_package_passes_its_tests_and_a_strict_checker() {
    let files = ["test_sdk.py", "test_whole_hub.py", "hubgate/filter.py", "hubgate/http.py"];
    is_tested_and_checked(&repository().join(PACKAGE), &files);
}

#[test]
fn new_projects_pass_their_tests_and_a_strict_checker() {
    for kind in ["handler", "filter", "hub"] {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let new = ["plugin", "new", "hello", "--language", "python", "--kind", kind];
        Finished::of(hubgate_in(folder.path()).args(new)).success();
        is_tested_and_checked(&folder.path().join("hello"), &["app.py", "test_app.py"]);
    }
}

#[test]
fn the_example_of_a_webhook_passes_its_tests() {
    let example = repository().join("examples/webhook-python");
    let mut tests = tool_in(&example, "python3");
    tests.args(["-m", "unittest"]).env("PYTHONPATH", repository().join(PACKAGE)).env("PYTHONDONTWRITEBYTECODE", "1");
    let tested = Finished::of(&mut tests);
    assert_eq!(tested.code, Some(0), "{tested:?}");
}

#[test]
fn what_cannot_be_a_plugin_is_refused_by_the_build_with_what_to_do() {
    let of_the_project = [
        (
            "from hubgate import method\n@method\nasync def hello(client): pass",
            "`hello` is `async def`, but a plugin answers at once: write `def`",
        ),
        ("import hubgate", "decorate a function with `@hubgate.method`"),
        ("import hubgate.http", "say `world = \"handler-with-http\"`"),
        ("import hubgate.filter", "say `world = \"filter\"`"),
        ("import hubgate.whole_hub", "say `world = \"whole-hub\"`"),
        (
            "from hubgate import method\n@method\ndef hello(name: str): pass",
            "write `def hello(client: Connection, name: str)`",
        ),
    ];
    // Of no harm where the project is imported first, on this machine.
    let of_the_component = [
        (
            "import os\nfrom hubgate import method\nSALT = os.urandom(4)",
            "there is no chance while modules are imported",
        ),
        ("import random\nDICE = random.Random()", "Ask for it in a method, or in a function with @init"),
    ];
    let told_at_once = of_the_project.map(|mistake| (mistake, true));
    for ((text, cure), is_told_at_once) in
        told_at_once.into_iter().chain(of_the_component.map(|mistake| (mistake, false)))
    {
        let folder = project_of(text);
        let built = build(&folder);
        assert_eq!(built.code, Some(1), "{built:?}");
        assert!(built.stderr.contains(cure), "{built:?}");
        assert!(!built.stderr.contains("Stack backtrace") && !folder.path().join("made.wasm").exists(), "{built:?}");
        assert_eq!(!built.stderr.contains("componentize-py"), is_told_at_once, "{built:?}");
    }
}

#[test]
fn a_mistake_is_told_before_a_component_is_made() {
    let text = "from hubgate import method\nimport requests\n@method\ndef hello(client): pass";
    let missing = build(&project_of(text));
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let at_once = missing.stderr.split("componentize-py").next().unwrap_or_default();
    assert!(at_once.contains("File \"app.py\", line 2, in <module>\n"), "{missing:?}");
    assert!(at_once.contains("a component has no sockets, which requests needs"), "{missing:?}");
    // An interpreter that is older than the component's tells it, and lets the component's decide.
    let typo = build(&project_of("from hubgate import method\n@method\ndef hello(client) pass"));
    assert_eq!(typo.code, Some(1), "{typo:?}");
    let at_once = typo.stderr.split("componentize-py").next().unwrap_or_default();
    assert!(at_once.contains("File \"app.py\", line 3\n") && at_once.contains("SyntaxError"), "{typo:?}");
}

/// The first import is on this machine, whose Python has other modules than a component's.
#[test]
fn what_only_this_machine_lacks_does_not_end_the_build() {
    let text = "import sys\nfrom hubgate import method\nif sys.platform != 'wasi': import not_there\n\
        @method\ndef hello(client): pass";
    let folder = project_of(text);
    let built = build(&folder);
    assert_eq!(built.code, Some(0), "{built:?}");
    assert!(built.stderr.contains("No module named 'not_there'"), "{built:?}");
}

/// A folder with an `app.py`.
fn project_of(app: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    fs::write(folder.path().join("app.py"), app).expect("it can be written");
    folder
}

fn build(folder: &tempfile::TempDir) -> Finished {
    Finished::of(hubgate_in(folder.path()).args(["plugin", "build", ".", "-o", "made.wasm"]))
}

#[test]
fn the_packages_contract_is_what_the_builder_makes_of_it() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let mut builder = tool_in(folder.path(), "componentize-py");
    builder.arg("-d").arg(repository().join("wit/plugin.wit"));
    builder.args(["-w", "whole-hub-with-http", "-w", "filter-with-http", "bindings", "made"]);
    Finished::of(&mut builder).success();
    let package = repository().join(PACKAGE).join(CONTRACT);
    for file in python_files(&package) {
        let made = fs::read_to_string(folder.path().join("made").join(&file)).unwrap_or_default();
        let shipped = fs::read_to_string(package.join(&file)).expect("it is there");
        assert!(shipped == made, "{}: it is not made of wit/plugin.wit", file.display());
    }
    let world = Path::new("wit_world");
    let of_world = |folder: &Path| {
        let mut files = python_files(folder);
        files.retain(|file| file.starts_with(world));
        files
    };
    assert_eq!(of_world(&package), of_world(&folder.path().join("made")));
}

/// Paths within the folder, in order.
fn python_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|kind| kind == "py") => {
                    files.push(path.strip_prefix(folder).expect("it is inside").to_owned());
                }
                false => {}
            }
        }
    }
    files.sort();
    files
}
