//! The packages for plugins of the languages, as projects have them in their folder `hubgate`.

/// Files by their paths in a project.
pub(super) type Files = &'static [(&'static str, &'static str)];

/// Files of a folder in `sdk`.
macro_rules! sdk {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        &[$((concat!("hubgate/", $file), include_str!(concat!("../../../../sdk/", $folder, "/", $file)))),+]
    };
}

pub(super) const RUST: Files = sdk!["rust":
    "Cargo.toml",
    "README.md",
    "src/authorizer.rs",
    "src/bindings.rs",
    "src/client_results.rs",
    "src/filter.rs",
    "src/http.rs",
    "src/hub.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/presence.rs",
    "src/state.rs",
    "src/streams.rs",
    "src/timers.rs",
    "src/whole_hub.rs",
    "wit/plugin.wit",
];

/// Serves TypeScript, too.
pub(super) const JAVASCRIPT: Files = sdk!["js":
    "package.json",
    "answers.js",
    "client.d.ts",
    "client.js",
    "contract.d.ts",
    "filter.js",
    "globals.d.ts",
    "handler.js",
    "http.d.ts",
    "http.js",
    "hub.d.ts",
    "hub.js",
    "imports.js",
    "index.d.ts",
    "index.js",
    "log.d.ts",
    "log.js",
    "negotiator.d.ts",
    "negotiator.js",
    "parts.js",
    "payload.js",
    "presence.d.ts",
    "presence.js",
    "state.d.ts",
    "state.js",
    "streams.d.ts",
    "streams.js",
    "timers.d.ts",
    "timers.js",
    "whole-hub.d.ts",
    "whole-hub.js",
];

/// A project without one of its own is built with this.
pub(super) const PYTHON: Files = sdk!["python/hubgate":
    "__init__.py",
    "arguments.py",
    "asks.py",
    "authorizer.py",
    "contract/componentize_py_types.py",
    "contract/wit_world/__init__.py",
    "contract/wit_world/exports/__init__.py",
    "contract/wit_world/exports/authorizer.py",
    "contract/wit_world/exports/hub_lifetime.py",
    "contract/wit_world/exports/inbound_filter.py",
    "contract/wit_world/exports/lifecycle.py",
    "contract/wit_world/exports/outbound_filter.py",
    "contract/wit_world/exports/presence_events.py",
    "contract/wit_world/exports/scheduled.py",
    "contract/wit_world/exports/upstream.py",
    "contract/wit_world/exports/upstream_streams.py",
    "contract/wit_world/imports/__init__.py",
    "contract/wit_world/imports/client_results.py",
    "contract/wit_world/imports/config.py",
    "contract/wit_world/imports/connections.py",
    "contract/wit_world/imports/context.py",
    "contract/wit_world/imports/filtering.py",
    "contract/wit_world/imports/http.py",
    "contract/wit_world/imports/hub.py",
    "contract/wit_world/imports/log.py",
    "contract/wit_world/imports/presence.py",
    "contract/wit_world/imports/state.py",
    "contract/wit_world/imports/streams.py",
    "contract/wit_world/imports/timers.py",
    "contract/wit_world/imports/types.py",
    "errors.py",
    "exports.py",
    "filter.py",
    "handler.py",
    "http.py",
    "hub.py",
    "log.py",
    "payloads.py",
    "presence.py",
    "py.typed",
    "state.py",
    "streams.py",
    "testing.py",
    "testing_hub.py",
    "texts.py",
    "timers.py",
    "whole_hub.py",
];

pub(super) const GO: Files = sdk!["go":
    "authorizer/authorizer.go",
    "config/config.go",
    "connections/connections.go",
    "context/context.go",
    "filter/filter.go",
    "go.mod",
    "handler/handler.go",
    "http/http.go",
    "hub/hub.go",
    "hubgate.go",
    "inbound/inbound.go",
    "internal/abi/collect.go",
    "internal/abi/imports_elsewhere.go",
    "internal/abi/imports_wasip1.go",
    "internal/abi/memory.go",
    "internal/arguments/arguments.go",
    "internal/values/values.go",
    "log/log.go",
    "outbound/outbound.go",
    "presence/presence.go",
    "state/state.go",
    "timers/timers.go",
    "wholehub/ask.go",
    "wholehub/exports.go",
    "wholehub/streams.go",
    "wholehub/wholehub.go",
];

pub(super) const C: Files = sdk!["c":
    "hubgate.c",
    "hubgate.h",
    "hubgate_macros.h",
    "values.c",
    "whole_hub.c",
    "whole_hub.h",
    "whole_hub_macros.h",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The files in a folder and below, but for those of tests and of tools.
    fn files(folder: &Path, within: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder.join(within)).expect("it can be listed") {
            let entry = entry.expect("it can be listed");
            let name = entry.file_name().into_string().expect("it is text");
            let is_of_tests = name == "tests" || name.ends_with("_test.go");
            let is_of_tools = ["target", "node_modules", "__pycache__", "Cargo.lock"].contains(&&*name);
            if is_of_tests || is_of_tools || name.starts_with('.') {
                continue;
            }
            match entry.file_type().expect("it can be asked").is_dir() {
                true => files(folder, &format!("{within}{name}/"), found),
                false => drop(found.insert(format!("hubgate/{within}{name}"))),
            }
        }
    }

    #[test]
    fn a_new_project_has_the_whole_package_of_its_language() {
        let packages = [("rust", RUST), ("js", JAVASCRIPT), ("python/hubgate", PYTHON), ("go", GO), ("c", C)];
        for (folder, package) in packages {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk").join(folder);
            let mut all = BTreeSet::new();
            files(&folder, "", &mut all);
            let written: BTreeSet<String> = package.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(written, all, "{}", folder.display());
        }
    }
}
