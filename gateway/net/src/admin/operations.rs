//! What operators can ask for: one table, by which requests find their way, and of which tools read.

use http::{Method, Uri};

use super::outcome::Denial;
use crate::http::{Query, name_in};
use crate::key_regeneration::KeyPlace;

/// What is repeated of a name that is not known, in characters.
const LONGEST_SHOWN: usize = 100;

/// Where a request leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Metrics,
    Plugins,
    Rollback,
    Hubs,
    Hub,
    Cluster,
    Clients,
    CloseClient,
    Keys,
    Regenerate(KeyPlace),
}

/// Which token opens a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// That for reading is enough.
    ToRead,
    /// Secrets are told.
    Secrets,
    /// Something changes.
    ToChange,
}

/// A row of [`OPERATIONS`].
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// What is in braces is any one segment, and a name; there is one at most.
    pub(super) path: &'static str,
    pub(super) door: Door,
    pub(super) needs: Needs,
    /// For the log and for tools.
    pub(super) name: &'static str,
    /// The names that its query may have; `None`: nobody looks.
    pub(super) query: Option<&'static [&'static str]>,
}

#[rustfmt::skip]
pub(super) const OPERATIONS: &[Operation] = &[
    row("GET",    "/metrics",                         Door::Metrics,     Needs::ToRead,   "metrics",               None),
    row("GET",    "/admin/plugins",                   Door::Plugins,     Needs::ToRead,   "listPlugins",           None),
    row("POST",   "/admin/plugins/{name}/rollback",   Door::Rollback,    Needs::ToChange, "rollBackPlugin",        Some(&[])),
    row("GET",    "/admin/hubs",                      Door::Hubs,        Needs::ToRead,   "listHubs",              None),
    row("GET",    "/admin/hubs/{hub}",                Door::Hub,         Needs::ToRead,   "getHub",                None),
    row("GET",    "/admin/connections",               Door::Clients,     Needs::ToRead,   "listConnections",       Some(&["hub", "user", "group", "id", "limit", "after"])),
    row("DELETE", "/admin/connections/{id}",          Door::CloseClient, Needs::ToChange, "closeConnection",       Some(&["reason"])),
    row("GET",    "/admin/cluster",                   Door::Cluster,     Needs::ToRead,   "getCluster",            None),
    row("GET",    "/admin/keys",                      Door::Keys,        Needs::Secrets,  "listKeys",              None),
    row("POST",   "/admin/keys/primary:regenerate",   Door::Regenerate(KeyPlace::Primary),   Needs::ToChange, "regeneratePrimaryKey",   Some(&[])),
    row("POST",   "/admin/keys/secondary:regenerate", Door::Regenerate(KeyPlace::Secondary), Needs::ToChange, "regenerateSecondaryKey", Some(&[])),
];

const fn row(
    method: &'static str,
    path: &'static str,
    door: Door,
    needs: Needs,
    name: &'static str,
    query: Option<&'static [&'static str]>,
) -> Operation {
    Operation { method, path, door, needs, name, query }
}

impl Operation {
    /// Whoever misspells a name is told so: what it was to narrow would be everything.
    pub(super) fn check_query(&self, uri: &Uri) -> Result<(), Denial> {
        let Some(known) = self.query else { return Ok(()) };
        match Query::of(uri).items().find(|(name, _)| !known.iter().any(|known| name.eq_ignore_ascii_case(known))) {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(LONGEST_SHOWN).collect();
                let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Denial::bad_request(format!("The query has no `{name}` here; it may have: {has}.")))
            }
        }
    }
}

/// What a path and a method lead to.
#[derive(Debug)]
pub(super) enum Found<'p> {
    /// The name is that of the path, still encoded; empty where its paths have none.
    Operation(&'static Operation, &'p str),
    /// The path has other methods, as the header `Allow` lists them.
    OtherMethods(String),
    Nothing,
}

pub(super) fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    let of_path = || OPERATIONS.iter().filter_map(|row| Some((row, name_in(row.path, path)?)));
    if let Some((row, name)) = of_path().find(|(row, _)| method == row.method) {
        return Found::Operation(row, name);
    }
    let methods: Vec<&str> = of_path().map(|(row, _)| row.method).collect();
    match methods.is_empty() {
        true => Found::Nothing,
        false => Found::OtherMethods(methods.join(", ")),
    }
}

/// All of it in a line, for whoever asks for something else.
pub(super) fn listed() -> String {
    let mut rows: Vec<String> = OPERATIONS.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    let last = rows.pop().unwrap_or_default();
    format!("Nothing is here. Operators have {}, and {last}.", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_doors_of_their_own_and_each_has_its_methods() {
        let Found::Operation(rollback, name) = find(&Method::POST, "/admin/plugins/a%2Fb/rollback") else {
            panic!("it is one");
        };
        assert_eq!((rollback.door, name), (Door::Rollback, "a%2Fb"));
        let Found::OtherMethods(methods) = find(&Method::GET, "/admin/plugins/a/rollback") else {
            panic!("it is only posted to");
        };
        assert_eq!(methods, "POST");
        for nothing in ["/client", "/admin", "/admin/hubs/a/b", "/admin/keys/tertiary:regenerate"] {
            assert!(matches!(find(&Method::GET, nothing), Found::Nothing), "{nothing}");
        }
    }

    #[test]
    fn whatever_is_not_only_read_is_a_change() {
        for operation in OPERATIONS {
            assert_eq!(operation.method == "GET", operation.needs != Needs::ToChange, "{}", operation.name);
            assert!(operation.needs != Needs::ToChange || operation.query.is_some(), "{}", operation.name);
        }
        assert!(listed().contains("GET /admin/plugins, ") && listed().lines().count() == 1);
    }
}
