//! What a component is for, by what it exports.

use std::collections::BTreeSet;

use anyhow::{Context, Error, Result, anyhow, bail};
use wit_parser::decoding::{DecodedWasm, decode};

use super::contract::{VERSION, World};
use super::language::Language;
use super::module::Interfaces;

/// What a component is, in words: "handler with http". Fails if the gateway would not call it, or if it is not of the world that
/// was asked for.
pub(super) fn of(component: &[u8], language: Option<Language>, asked: Option<World>) -> Result<String> {
    let Interfaces { exports, imports } = interfaces(component).context("it cannot be read")?;
    let parts = parts(&exports);
    if parts.is_empty() {
        return Err(uncalled(&exports, language));
    }
    if let Some(world) = asked {
        let missing: Vec<&str> =
            world.exports().iter().copied().filter(|name| !exports.contains(&ours(name))).collect();
        if !missing.is_empty() {
            bail!(
                "it is not of the world {}: it exports no {}, but {}",
                world.name(),
                missing.join(" and no "),
                list(&exports)
            );
        }
    }
    let what = parts.join(" and ");
    Ok(if imports.contains(&ours("http")) { format!("{what} with http") } else { what })
}

/// What a component is that exports these; nothing if the gateway calls none of them.
fn parts(exports: &BTreeSet<String>) -> Vec<&'static str> {
    let has = |name| exports.contains(&ours(name));
    let serving = match has("upstream") {
        true if has("upstream-streams") => Some("whole hub"),
        true => Some("handler"),
        false => has("authorizer").then_some("negotiator"),
    };
    let filter = match (has("inbound-filter"), has("outbound-filter")) {
        (true, true) => Some("filter"),
        (true, false) => Some("inbound filter"),
        (false, true) => Some("outbound filter"),
        (false, false) => None,
    };
    serving.into_iter().chain(filter).collect()
}

/// Those of a component.
fn interfaces(component: &[u8]) -> Result<Interfaces> {
    match decode(component)? {
        DecodedWasm::Component(resolve, world) => Ok(Interfaces::of_world(&resolve, world)),
        DecodedWasm::WitPackage(..) => bail!("it is a package of interfaces, and no component"),
    }
}

/// Why the gateway would not call what exports these, and what to do.
fn uncalled(exports: &BTreeSet<String>, language: Option<Language>) -> Error {
    let of_other_version = exports.iter().find_map(|name| {
        let (_, version) = name.strip_prefix("hubgate:plugin/")?.split_once('@')?;
        (version != VERSION).then_some(version)
    });
    if let Some(version) = of_other_version {
        return anyhow!(
            "it is built for contract {version}, and this gateway serves {VERSION}: build it with the SDK of this gateway's \
             version, or with the contract that `hubgate plugin wit` writes"
        );
    }
    let found = match exports.is_empty() {
        true => "it exports nothing".to_owned(),
        false => format!("it exports {}, which the gateway does not call", list(exports)),
    };
    let cure = match language {
        Some(Language::Rust) => {
            "say `hubgate_plugin::export!(Name);` of the type that implements `Handler`, or `export_filter!` of one that \
             implements `Filter`, or `export_authorizer!` of one that implements `Authorizer`"
        }
        _ => {
            "a handler exports `upstream`, a filter `inbound-filter`, `outbound-filter` or both, a negotiator `authorizer`"
        }
    };
    anyhow!("{found}: {cure}")
}

fn list(exports: &BTreeSet<String>) -> String {
    exports.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The full name of an interface of the contract.
fn ours(name: &str) -> String {
    format!("hubgate:plugin/{name}@{VERSION}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exports(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_a_component_is_follows_from_what_it_exports() {
        let is = |names: &[&str]| parts(&names.iter().map(|name| ours(name)).collect()).join(" and ");
        assert_eq!(is(&["lifecycle", "upstream"]), "handler");
        assert_eq!(is(&["lifecycle", "upstream", "scheduled", "authorizer"]), "handler");
        assert_eq!(is(&["lifecycle", "upstream", "upstream-streams"]), "whole hub");
        assert_eq!(is(&["lifecycle", "authorizer"]), "negotiator");
        assert_eq!(is(&["upstream", "inbound-filter", "outbound-filter"]), "handler and filter");
        assert_eq!(is(&["upstream", "inbound-filter"]), "handler and inbound filter");
        assert_eq!(is(&["lifecycle", "scheduled"]), "");
    }

    #[test]
    fn what_the_gateway_would_not_call_is_told_with_what_to_do() {
        let nothing = uncalled(&exports(&[]), Some(Language::Rust)).to_string();
        assert!(nothing.contains("exports nothing") && nothing.contains("hubgate_plugin::export!("), "{nothing}");
        let program = uncalled(&exports(&["wasi:cli/run@0.2.6"]), None).to_string();
        assert!(program.contains("wasi:cli/run@0.2.6") && program.contains("`upstream`"), "{program}");
        let newer = uncalled(&exports(&["hubgate:plugin/upstream@0.2.0"]), None).to_string();
        assert!(newer.contains("built for contract 0.2.0, and this gateway serves 0.1.0"), "{newer}");
    }
}
