//! The crates' order, as `ARCHITECTURE.md` gives it, and what the lower ones may not know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use hubgate_tests::command::repository;

/// Bottom-up. A crate may use those before it.
const LAYERS: [&str; 6] =
    ["hubgate-wire", "hubgate-core", "hubgate-cluster", "hubgate-plugin-host", "hubgate-net", "hubgate"];

/// The dependencies of each crate of the workspace, those of its tests left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let texts = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("a list").iter();
        dependencies
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().expect("a list").iter();
    packages.map(|package| (package["name"].as_str().expect("a name").to_owned(), texts(package))).collect()
}

#[test]
fn no_crate_uses_one_above_it() {
    let dependencies = dependencies();
    for (index, crate_name) in LAYERS.iter().enumerate() {
        for above in &LAYERS[index..] {
            let uses = dependencies[*crate_name].iter().any(|each| each == above);
            assert!(!uses, "{crate_name} uses {above}, which is not below it");
        }
    }
}

#[test]
fn the_bench_uses_wire_alone() {
    let ours: Vec<String> =
        dependencies()["hubgate-bench"].iter().filter(|name| name.starts_with("hubgate")).cloned().collect();
    assert!(ours.is_empty() || ours == ["hubgate-wire"], "{ours:?}");
}

/// All that the crates use that know no runtime, no engine, no clock and no random source.
const PURE: [(&str, &[&str]); 3] = [
    (
        "hubgate-wire",
        &[
            "aws-lc-rs",
            "base64",
            "bytes",
            "form_urlencoded",
            "http",
            "memchr",
            "percent-encoding",
            "serde",
            "serde_json",
            "thiserror",
        ],
    ),
    ("hubgate-core", &["base64", "bytes", "foldhash", "hubgate-wire", "indexmap", "slab", "thiserror"]),
    ("hubgate-cluster", &["bytes", "hubgate-core", "hubgate-wire", "thiserror"]),
];

#[test]
fn wire_core_and_cluster_know_no_runtime_no_engine_and_no_random_source() {
    let dependencies = dependencies();
    for (crate_name, expected) in PURE {
        assert_eq!(dependencies[crate_name], expected, "{crate_name} uses other libraries than it may");
    }
}

#[test]
fn a_shard_has_one_door_and_routes_to_parts_with_a_few_methods_each() {
    const MOST_METHODS: usize = 40;
    let core: Vec<_> = sources().into_iter().filter(|(path, _)| path.starts_with("gateway/core/src/")).collect();
    let mut methods = BTreeMap::<String, usize>::new();
    for (path, text) in &core {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        assert!(
            path.ends_with("/shard.rs") || !code.contains("\nimpl Shard "),
            "{path} is not where a shard's methods are"
        );
        for block in code.split("\nimpl").skip(1) {
            let (head, body) = block.split_once('{').unwrap_or((block, ""));
            if head.contains(" for ") {
                // Of a trait.
                continue;
            }
            let name: String =
                head.chars().skip_while(|c| !c.is_uppercase()).take_while(|c| c.is_alphanumeric()).collect();
            let body = body.split("\n}\n").next().unwrap_or_default();
            let begins = |line: &str| line.starts_with("    fn ") || line.starts_with("    pub");
            *methods.entry(name).or_default() +=
                body.lines().filter(|line| begins(line) && line.contains("fn ")).count();
        }
    }
    assert!(methods["Shard"] > 0 && methods["Clients"] > 0, "{methods:?}");
    let loft: Vec<_> = methods.iter().filter(|(_, count)| **count > MOST_METHODS).collect();
    assert!(loft.is_empty(), "these are to be several: {loft:?}");
    let public = core.iter().filter(|(path, _)| path.ends_with("/shard.rs"));
    let doors =
        public.flat_map(|(_, text)| text.lines()).filter(|line| line.contains("pub fn ") && line.contains("effects"));
    assert_eq!(doors.count(), 1, "effects come out of `Shard::handle` alone");
}

/// What names a hub protocol in the core beside the dialect, and why.
const HUB_PROTOCOLS: [(&str, &str); 6] = [
    ("client/dialect.rs", "what a client speaks"),
    ("event.rs", "what upstream is told of a client"),
    ("failure.rs", "texts"),
    ("link/asp_net.rs", "what a hub server has wrapped for the one of ASP.NET SignalR"),
    ("link/payloads.rs", "what a hub server has encoded for each"),
    ("outgoing.rs", "what is encoded once for each"),
];

#[test]
fn what_clients_speak_is_known_to_the_dialect_alone() {
    let core = sources()
        .into_iter()
        .filter_map(|(path, text)| Some((path.strip_prefix("gateway/core/src/")?.to_owned(), text)));
    // Also where several modules are named at once.
    let known = |text: &str| {
        let modules = text.split("signalr::").skip(1).map(|named| match named.strip_prefix('{') {
            Some(several) => several.split('}').next().unwrap_or_default(),
            None => named.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
        });
        let mut names = modules.flat_map(|named| named.split(|c: char| !c.is_alphanumeric() && c != '_'));
        text.contains("HubProtocol") || names.any(|name| name == "handshake" || name == "framing")
    };
    let mut found: Vec<String> = core.filter(|(_, text)| known(text)).map(|(path, _)| path).collect();
    found.sort();
    assert_eq!(found, HUB_PROTOCOLS.map(|(path, _)| path));
}

/// Where tasks and threads begin: the doors, and what is waited for where it begins.
const DOORS: [(&str, &str); 9] = [
    ("gateway/net/src/tasks.rs", "the door of the gateway"),
    ("gateway/net/src/admin/listener.rs", "connections of the admin listener, in a set that is waited for"),
    ("gateway/plugin-host/src/worker.rs", "the door of the plugin host"),
    ("gateway/plugin-host/src/offload.rs", "work that the call waits for"),
    ("gateway/plugin-host/src/compiler/child.rs", "the process that compiles"),
    ("gateway/cli/src/commands/watch.rs", "the process that builds, in a task that waits for it"),
    ("gateway/cli/src/commands/state/mod.rs", "values on their way into a plugin's state, in a set that is waited for"),
    ("gateway/cli/src/process.rs", "the process of a tool, which is waited for in place"),
    ("gateway/cli/src/log_lines.rs", "what writes the log: nobody could be told of its panic"),
];

#[test]
fn every_task_and_every_thread_has_an_owner() {
    const BEGINNINGS: [&str; 9] = [
        "tokio::spawn(",
        "spawn_local(",
        "spawn_blocking(",
        "thread::spawn(",
        "thread::Builder",
        "TokioExecutor",
        "JoinSet",
        "scope.spawn(",
        ".spawn()",
    ];
    let mut begins = Vec::new();
    for (path, text) in sources() {
        // Tests wait for theirs.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        if BEGINNINGS.iter().any(|beginning| code.contains(beginning)) {
            begins.push(path);
        }
    }
    let doors: Vec<String> = DOORS.iter().map(|(path, _)| (*path).to_owned()).collect();
    let others: Vec<&String> = begins.iter().filter(|path| !doors.contains(path)).collect();
    assert!(
        others.is_empty(),
        "tasks or threads begin beside the doors, where nobody hears of their panic: {others:?}"
    );
    let unused: Vec<&String> = doors.iter().filter(|path| !begins.contains(path)).collect();
    assert!(unused.is_empty(), "nothing begins there any more: {unused:?}");
}

/// The modules of these crates use each other in one direction.
const WITHOUT_CIRCLES: [&str; 6] = ["wire", "core", "cluster", "plugin-host", "net", "cli"];

type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_modules_use_each_other_in_a_circle() {
    for name in WITHOUT_CIRCLES {
        let uses = uses_of_modules(&format!("gateway/{name}/src/"), &sources());
        assert!(uses.values().any(|used| !used.is_empty()), "{name} has modules that use others");
        assert_eq!(circle(&uses), None, "{name}");
    }
}

#[test]
fn a_circle_of_modules_is_found_and_parents_and_children_are_none() {
    let source = |path: &str, text: &str| (format!("gateway/x/src/{path}"), text.to_owned());
    let mut sources = vec![
        source("lib.rs", "mod a; use crate::a::A;"),
        source("a.rs", "use crate::b::{B, C};"),
        source("b/mod.rs", "mod inner; use inner::C; // not crate::a::A"),
        source("b/inner.rs", "use super::B; use crate::c::D;"),
        source("c.rs", "#[cfg(test)]\nmod tests { use crate::a::A; }"),
    ];
    assert_eq!(circle(&uses_of_modules("gateway/x/src/", &sources)), None);
    sources[4].1 = "fn d(_: crate::a::A) {}".to_owned();
    let found = circle(&uses_of_modules("gateway/x/src/", &sources)).expect("a uses b, b uses c, and c uses a");
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from(["a".to_owned(), "b".to_owned(), "c".to_owned()]));
}

/// Where the code map is, which is made of the first sentences of modules.
const CODE_MAP: &str = "gateway/README.md";

#[test]
fn the_code_map_has_each_module_with_its_first_sentence() {
    let path = repository().join(CODE_MAP);
    let expected = code_map(&sources());
    if std::env::var_os("HUBGATE_BLESS").is_some() {
        fs::write(&path, &expected).expect("the code map can be written");
    }
    let found = fs::read_to_string(&path).expect("the code map is a file");
    let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(
        expected == found,
        "{CODE_MAP} is not what the modules say of themselves: {differs:?}; run this test with HUBGATE_BLESS=1"
    );
}

fn code_map(sources: &[(String, String)]) -> String {
    let mut map =
        "# Code map\n\nEach module of the gateway, with the sentence that it begins with. A test writes this page \
                   (`HUBGATE_BLESS=1 cargo test --release --workspace --test layers`) and\nfails when it is not true.\n"
            .to_owned();
    for crate_name in ["wire", "core", "cluster", "plugin-host", "net", "cli"] {
        map.push_str(&format!("\n## {crate_name}\n\n| module | what it is |\n|---|---|\n"));
        let folder = format!("gateway/{crate_name}/src/");
        let modules: BTreeMap<String, String> = sources
            .iter()
            .filter_map(|(path, text)| Some((path.strip_prefix(&folder)?, text)))
            .filter(|(path, _)| !["lib.rs", "main.rs"].contains(path))
            .map(|(path, text)| (module_path(path), first_sentence(text)))
            .collect();
        for (module, sentence) in modules {
            assert!(!sentence.is_empty(), "{crate_name}: {module} does not say what it is");
            map.push_str(&format!("| `{module}` | {} |\n", sentence.replace('|', "\\|")));
        }
    }
    map
}

/// The module that a file of a crate is.
fn module_path(path: &str) -> String {
    path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

/// The first sentence of a file's own documentation.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    match paragraph.split_once(". ") {
        Some((sentence, _)) => sentence.to_owned(),
        None => paragraph.trim_end_matches('.').to_owned(),
    }
}

/// Which modules, without what is inside of them, use which others of a crate.
fn uses_of_modules(folder: &str, sources: &[(String, String)]) -> Uses {
    let mut uses = Uses::new();
    for (path, text) in sources.iter().filter_map(|(path, text)| Some((path.strip_prefix(folder)?, text))) {
        let module = outermost(path.trim_end_matches(".rs"));
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().filter_map(|line| line.split("//").next());
        let used = lines.flat_map(|line| line.split("crate::").skip(1)).map(outermost);
        uses.entry(module.to_owned()).or_default().extend(used.map(str::to_owned));
    }
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    for (module, used) in &mut uses {
        used.retain(|name| name != module && modules.contains(name));
    }
    uses
}

/// The first name of a path.
fn outermost(path: &str) -> &str {
    path.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or_default()
}

/// The modules of a circle, if there is one.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    let mut left = uses.clone();
    // What uses none of those that are left is in no circle.
    while let Some(leaf) = left.iter().find(|(_, used)| used.is_empty()).map(|(name, _)| name.clone()) {
        left.remove(&leaf);
        for used in left.values_mut() {
            used.remove(&leaf);
        }
    }
    let mut way: Vec<String> = vec![left.keys().next()?.clone()];
    loop {
        let next = left[way.last()?].first()?.clone();
        if let Some(start) = way.iter().position(|name| *name == next) {
            return Some(way.split_off(start));
        }
        way.push(next);
    }
}

/// The gateway's sources, by their paths in the repository.
fn sources() -> Vec<(String, String)> {
    let root = repository();
    let (mut found, mut folders) = (Vec::new(), vec![root.join("gateway")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it can be listed").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("it is below").display().to_string();
            if path.is_dir() && !["tests", "benches", "examples"].iter().any(|kind| name.ends_with(kind)) {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("/tests.rs") {
                found.push((name, fs::read_to_string(&path).expect("sources are text")));
            }
        }
    }
    found
}
