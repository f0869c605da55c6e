//! The languages that projects are written in.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::order::Order;
use super::{c, go, javascript, python, rust};

/// A language that a project can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    Rust,
    #[value(name = "js")]
    JavaScript,
    #[value(name = "ts")]
    TypeScript,
    Python,
    /// Experimental.
    Go,
    C,
}

/// What a toolchain gives.
pub(super) enum Built {
    /// A core module, which names its world or has the exports of one.
    Module(Vec<u8>),
    Component(Vec<u8>),
}

impl Language {
    /// The language of the project in `folder`.
    pub(super) fn of(folder: &Path) -> Result<Language> {
        let has = |name: &str| folder.join(name).is_file();
        match () {
            () if has("Cargo.toml") => Ok(Language::Rust),
            () if has("package.json") => Ok(match javascript::is_typescript(folder)? {
                true => Language::TypeScript,
                false => Language::JavaScript,
            }),
            () if has("pyproject.toml") || has("app.py") => Ok(Language::Python),
            () if has("go.mod") => Ok(Language::Go),
            () if c::is_project(folder)? => Ok(Language::C),
            () => bail!(
                "{}: there is no project in a language that can be built: no Cargo.toml (Rust), package.json (JavaScript, \
                 TypeScript), pyproject.toml or app.py (Python), go.mod (Go), Makefile or .c file (C); a .wasm file of any toolchain can be given \
                 instead",
                folder.display()
            ),
        }
    }

    /// What whoever builds has to know.
    pub(crate) fn remark(self) -> Option<&'static str> {
        match self {
            Language::Go => Some("Go is experimental: see docs/languages/go.md"),
            Language::Rust | Language::JavaScript | Language::TypeScript | Language::Python | Language::C => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::JavaScript => "JavaScript",
            Language::TypeScript => "TypeScript",
            Language::Python => "Python",
            Language::Go => "Go",
            Language::C => "C",
        }
    }

    pub(super) fn build(self, folder: &Path, order: &Order) -> Result<Built> {
        match self {
            Language::Rust => {
                let module = rust::build(folder, order)?;
                let bytes = std::fs::read(&module).with_context(|| format!("{}: cannot be read", module.display()))?;
                Ok(Built::Module(bytes))
            }
            Language::JavaScript | Language::TypeScript => javascript::build(folder, order).map(Built::Component),
            Language::Python => python::build(folder, order).map(Built::Component),
            Language::Go => go::build(folder, order).map(Built::Module),
            Language::C => c::build(folder, order).map(Built::Module),
        }
    }
}
