//! The contract with plugins, and the worlds of it that the gateway serves.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The text of `wit/plugin.wit`.
pub(super) const CONTRACT: &str = include_str!("../../../../../wit/plugin.wit");
/// The version of the contract.
pub(super) const VERSION: &str = "0.1.0";
/// The worlds that the gateway serves, the most usual ones first.
const WORLDS: [&str; 10] = [
    "handler",
    "filter",
    "whole-hub",
    "handler-with-http",
    "filter-with-http",
    "whole-hub-with-http",
    "filter-inbound",
    "filter-outbound",
    "negotiator",
    "negotiator-with-http",
];

/// Writes the contract into `folder`, which is made if need be; gives the file.
pub(crate) fn write_contract(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("plugin.wit");
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    std::fs::write(&file, CONTRACT).with_context(|| format!("{}: cannot be written", file.display()))?;
    Ok(file)
}

/// What a component exports and may import, by its name in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct World(&'static str);

impl World {
    pub(super) const HANDLER: World = World(WORLDS[0]);

    /// Fails for what the gateway does not serve.
    pub(super) fn named(name: &str) -> Result<World> {
        match WORLDS.into_iter().find(|world| *world == name) {
            Some(world) => Ok(World(world)),
            None => bail!("\"{name}\" is not a world that the gateway serves; it serves {}", WORLDS.join(", ")),
        }
    }

    pub(super) fn all() -> impl Iterator<Item = World> {
        WORLDS.into_iter().map(World)
    }

    pub(super) fn name(self) -> &'static str {
        self.0
    }

    /// The interfaces that a component of this world exports.
    pub(super) fn exports(self) -> &'static [&'static str] {
        match self.0 {
            "handler" | "handler-with-http" => &["lifecycle", "upstream"],
            "whole-hub" | "whole-hub-with-http" => &[
                "lifecycle",
                "upstream",
                "upstream-streams",
                "scheduled",
                "presence-events",
                "hub-lifetime",
                "authorizer",
            ],
            "negotiator" | "negotiator-with-http" => &["lifecycle", "authorizer"],
            "filter-inbound" => &["lifecycle", "inbound-filter"],
            "filter-outbound" => &["lifecycle", "outbound-filter"],
            _ => &["lifecycle", "inbound-filter", "outbound-filter"],
        }
    }
}

/// What a project's manifest says for Hubgate alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// The name of a [`World`].
    pub(super) world: String,
}

impl Default for Options {
    fn default() -> Options {
        Options { world: World::HANDLER.name().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_contracts() {
        assert!(CONTRACT.starts_with(&format!("package hubgate:plugin@{VERSION};\n")));
    }

    #[test]
    fn the_contract_has_every_world_that_a_project_may_name() {
        for world in World::all() {
            assert!(CONTRACT.contains(&format!("world {} {{", world.name())), "{world:?}");
        }
    }
}
