//! Core modules: the world that each is of, and the component that it becomes.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, WorldId, WorldKey};

use super::contract::{CONTRACT, World};

const PACKAGE: &str = "hubgate:plugin/";

/// A component of a core module, which names its world, or has the exports of one.
pub(super) fn encode(module: &[u8]) -> Result<Vec<u8>> {
    let mut module = module.to_vec();
    // Without a world the encoder makes a component that is valid, and empty.
    if wit_component::metadata::decode(&module)?.0.is_none() {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("plugin.wit", CONTRACT)?;
        let interfaces = Interfaces::of_module(&module)?;
        let world = interfaces.world(&resolve, package)?;
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    }
    // Only modules that ask for WASI's preview 1 get the adapter.
    let (name, adapter) = (WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    ComponentEncoder::default().module(&module)?.adapter(name, adapter)?.validate(true).encode()
}

/// The interfaces of a world, or the contract's of a module, by their whole names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Interfaces {
    pub(super) exports: BTreeSet<String>,
    pub(super) imports: BTreeSet<String>,
}

impl Interfaces {
    /// Those that the functions of a module are named after.
    fn of_module(module: &[u8]) -> Result<Interfaces> {
        let mut interfaces = Interfaces::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        interfaces.imports.extend(of_contract(import?.module));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let interface = export?.name.split_once('#').map(|(interface, _)| interface);
                        interfaces.exports.extend(interface.and_then(of_contract));
                    }
                }
                _ => {}
            }
        }
        Ok(interfaces)
    }

    pub(super) fn of_world(resolve: &Resolve, world: WorldId) -> Interfaces {
        let names = |keys: Vec<&WorldKey>| {
            let interfaces = keys.into_iter().filter_map(|key| match key {
                WorldKey::Interface(id) => resolve.id_of(*id),
                WorldKey::Name(_) => None,
            });
            interfaces.collect()
        };
        let world = &resolve.worlds[world];
        Interfaces { exports: names(world.exports.keys().collect()), imports: names(world.imports.keys().collect()) }
    }

    /// The world with these exports, and no fewer imports.
    fn world(&self, resolve: &Resolve, package: wit_parser::PackageId) -> Result<WorldId> {
        if self.exports.is_empty() {
            bail!(
                "it names no world and exports none of the contract's functions; build it with bindings of \
                 wit/plugin.wit, as `wit-bindgen` makes them"
            );
        }
        for world in World::all() {
            let id = resolve.select_world(&[package], Some(world.name())).context("the contract has it")?;
            let of_world = Interfaces::of_world(resolve, id);
            if of_world.exports == self.exports && self.imports.is_subset(&of_world.imports) {
                return Ok(id);
            }
        }
        let list = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!(
            "no world has all that it exports ({}) and imports ({}); the gateway serves the worlds {}",
            list(&self.exports),
            list(&self.imports),
            World::all().map(World::name).collect::<Vec<_>>().join(", ")
        )
    }
}

fn of_contract(interface: &str) -> Option<String> {
    interface.starts_with(PACKAGE).then(|| interface.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world_of(exports: &[&str], imports: &[&str]) -> Result<String> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("plugin.wit", CONTRACT).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| format!("{PACKAGE}{name}@0.1.0")).collect();
        let interfaces = Interfaces { exports: names(exports), imports: names(imports) };
        interfaces.world(&resolve, package).map(|world| resolve.worlds[world].name.clone())
    }

    #[test]
    fn the_exports_of_a_module_say_its_world_and_http_is_among_the_imports() {
        assert_eq!(world_of(&["lifecycle", "upstream"], &["hub", "state"]).unwrap(), "handler");
        assert_eq!(world_of(&["lifecycle", "upstream"], &["http"]).unwrap(), "handler-with-http");
        assert_eq!(world_of(&["lifecycle", "inbound-filter", "outbound-filter"], &[]).unwrap(), "filter");
        assert_eq!(world_of(&["lifecycle", "outbound-filter"], &["log"]).unwrap(), "filter-outbound");
    }

    #[test]
    fn exports_of_no_world_are_named() {
        let error = world_of(&["lifecycle", "upstream", "inbound-filter"], &[]).unwrap_err().to_string();
        assert!(error.contains("inbound-filter@0.1.0") && error.contains("handler-with-http"), "{error}");
        assert!(world_of(&[], &["log"]).unwrap_err().to_string().contains("names no world"));
    }
}
