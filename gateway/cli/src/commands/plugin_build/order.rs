//! What whoever builds asks for beside the project.

use anyhow::Result;

use super::contract::World;

/// Options of a build.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Order {
    /// The world of the contract that it is built for, instead of the one that the project names.
    #[arg(long, value_name = "NAME", value_parser = World::named)]
    pub(super) world: Option<World>,
    /// Shows all that the tools print; otherwise what those print that fail, and warnings of compilers.
    #[arg(long)]
    pub(super) verbose: bool,
}

impl Order {
    /// The world that is asked for, or else the one that the project names.
    pub(super) fn world_or(&self, of_project: impl FnOnce() -> Result<World>) -> Result<World> {
        self.world.map_or_else(of_project, Ok)
    }
}
