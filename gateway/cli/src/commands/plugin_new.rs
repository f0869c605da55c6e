//! `hubgate plugin new`: a project to begin with, from a template of its language.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::plugin_build::Language;
use super::sdk::{self, Files};

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Handler,
    Filter,
    /// A handler that has streams, timers and all else of a whole hub.
    Hub,
}

macro_rules! template {
    ($folder:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../templates/", $folder, "/", $file)))),+]
    };
}

/// Makes the folder of a project, which is named after the folder; fails if something is there already.
pub(crate) fn create(folder: &Path, language: Language, kind: Kind) -> Result<()> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    match std::fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{}: is there already; a project is made in a new folder", folder.display())
        }
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be made", folder.display())),
    }
    for (path, text) in files(language, kind) {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{}: cannot be made", parent.display()))?;
        }
        let text = fill_in(text, name, language, kind);
        std::fs::write(&file, text).with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    Ok(())
}

/// What is a name of a package in all languages.
fn check_name(name: &str) -> Result<()> {
    let is_plain = name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    match is_plain {
        true => Ok(()),
        false => bail!("\"{name}\" cannot be a project's name: lower-case letters, digits and `-`, a letter first"),
    }
}

fn files(language: Language, kind: Kind) -> impl Iterator<Item = (&'static str, &'static str)> {
    let tests: Files = match kind {
        // A hub answers what a handler does, and more.
        Kind::Handler | Kind::Hub => template!("tests/handler": "tests/hello.toml"),
        Kind::Filter => template!("tests/filter": "tests/hello.toml"),
    };
    let ignored = (".gitignore", ignored_files(language));
    let (package, shared) = shared_files(language);
    [package, shared, own_files(language, kind), tests].into_iter().flatten().copied().chain([ignored])
}

/// The package of a language, and what its projects have whatever they are for.
fn shared_files(language: Language) -> (Files, Files) {
    match language {
        Language::Rust => (sdk::RUST, template!("rust": "README.md", "Cargo.toml")),
        Language::JavaScript => (sdk::JAVASCRIPT, template!("js": "README.md", "jsconfig.json")),
        Language::TypeScript => (sdk::JAVASCRIPT, template!("ts": "README.md", "tsconfig.json")),
        Language::Python => (sdk::PYTHON, template!("python": "README.md")),
        Language::Go => (sdk::GO, template!("go": "README.md", "go.mod")),
        Language::C => (sdk::C, template!("c": "README.md")),
    }
}

fn own_files(language: Language, kind: Kind) -> Files {
    match (language, kind) {
        (Language::Rust, Kind::Handler) => template!("rust/handler": "src/lib.rs"),
        (Language::Rust, Kind::Filter) => template!("rust/filter": "src/lib.rs"),
        (Language::Rust, Kind::Hub) => template!("rust/hub": "src/lib.rs"),
        (Language::JavaScript, Kind::Handler) => {
            template!("js/handler": "package.json", "plugin.js", "answers.js", "answers.test.js")
        }
        (Language::JavaScript, Kind::Filter) => {
            template!("js/filter": "package.json", "plugin.js", "hide.js", "hide.test.js")
        }
        (Language::JavaScript, Kind::Hub) => {
            template!("js/hub": "package.json", "plugin.js", "answers.js", "answers.test.js")
        }
        (Language::TypeScript, Kind::Handler) => {
            template!("ts/handler": "package.json", "plugin.ts", "answers.ts", "answers.test.ts")
        }
        (Language::TypeScript, Kind::Filter) => {
            template!("ts/filter": "package.json", "plugin.ts", "hide.ts", "hide.test.ts")
        }
        (Language::TypeScript, Kind::Hub) => {
            template!("ts/hub": "package.json", "plugin.ts", "answers.ts", "answers.test.ts")
        }
        (Language::Python, Kind::Handler) => template!("python/handler": "pyproject.toml", "app.py", "test_app.py"),
        (Language::Python, Kind::Filter) => template!("python/filter": "pyproject.toml", "app.py", "test_app.py"),
        (Language::Go, Kind::Handler) => template!("go/handler": "plugin.go", "answers.go", "answers_test.go"),
        (Language::Go, Kind::Filter) => template!("go/filter": "plugin.go", "hide.go", "hide_test.go"),
        (Language::Go, Kind::Hub) => template!("go/hub": "plugin.go", "answers.go", "answers_test.go"),
        (Language::C, Kind::Handler) => {
            template!("c/handler": "plugin.c", "answers.c", "answers.h", "tests/test_answers.c")
        }
        (Language::C, Kind::Filter) => template!("c/filter": "plugin.c", "hide.c", "hide.h", "tests/test_hide.c"),
        (Language::C, Kind::Hub) => template!("c/hub": "plugin.c", "answers.c", "answers.h", "tests/test_answers.c"),
        (Language::Python, Kind::Hub) => template!("python/hub": "pyproject.toml", "app.py", "test_app.py"),
    }
}

fn ignored_files(language: Language) -> &'static str {
    match language {
        Language::Rust => "/target\n*.wasm\n.hubgate-*\n",
        Language::JavaScript | Language::TypeScript => "/node_modules\n*.wasm\n.hubgate-*\n",
        Language::Python => "/.venv\n__pycache__\n*.wasm\n.hubgate-*\n",
        Language::Go => "*.wasm\n.hubgate-*\n",
        Language::C => "/test\n*.wasm\n.hubgate-*\n",
    }
}

fn fill_in(text: &str, name: &str, language: Language, kind: Kind) -> String {
    let dev = format!("hubgate dev --plugin {name}.wasm --hub {name}");
    let (kind_name, serve) = match kind {
        Kind::Handler => ("handler", dev),
        Kind::Hub => ("whole hub", dev),
        Kind::Filter => (
            "filter",
            format!("# in hubgate.toml: plugins.{name}.path = \"{name}.wasm\" and hubs.\"*\".filters = [\"{name}\"]"),
        ),
    };
    let test = match (language, kind) {
        (Language::Rust, _) => "cargo test",
        (Language::JavaScript | Language::TypeScript, _) => "npm test",
        (Language::Python, _) => "python3 -m unittest",
        (Language::Go, _) => "go test",
        (Language::C, Kind::Handler | Kind::Hub) => {
            "cc -I. -o test tests/test_answers.c answers.c hubgate/values.c && ./test"
        }
        (Language::C, Kind::Filter) => "cc -I. -o test tests/test_hide.c hide.c hubgate/values.c && ./test",
    };
    let watched = match kind {
        Kind::Handler | Kind::Hub => {
            format!("hubgate dev --watch . --hub {name}    # builds and serves it, again on each save\n")
        }
        Kind::Filter => String::new(),
    };
    let text = text.replace("{{try}}\n", &watched);
    let text = text.replace("{{name}}", name).replace("{{kind}}", kind_name);
    text.replace("{{serve}}", &serve).replace("{{test}}", test)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn no_placeholder_is_left_in_any_project() {
        for language in Language::value_variants() {
            for kind in Kind::value_variants() {
                // Packages have no placeholders, and braces of their own.
                for (path, text) in files(*language, *kind).filter(|(path, _)| !path.starts_with("hubgate/")) {
                    let text = fill_in(text, "hello", *language, *kind);
                    assert!(!text.contains("{{name") && !text.contains("}}\n"), "{language:?} {path}: {text}");
                }
            }
        }
    }

    #[test]
    fn names_are_those_of_packages() {
        for name in ["hello", "a-2"] {
            check_name(name).expect(name);
        }
        for name in ["", "2a", "A", "a_b", "..", "a b", "ä"] {
            check_name(name).expect_err(name);
        }
    }
}
