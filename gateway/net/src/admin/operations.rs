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
    Ready,
    Document,
    Session,
    Plugins,
    PluginLog,
    Swap,
    Rollback,
    Hubs,
    Hub,
    SetMode,
    Send,
    Cluster,
    Clients,
    CloseClient,
    Trace,
    Keys,
    Regenerate(KeyPlace),
}

/// Which token opens a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// No token opens more.
    Nothing,
    /// That for reading is enough.
    ToRead,
    /// Secrets are told.
    Secrets,
    /// Something changes.
    ToChange,
}

/// What the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nobody reads it.
    Nothing,
    /// An object with the schema of this name.
    Json(&'static str),
    Component,
}

/// A parameter of a query.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// Whether it asks for what the token for reading does not open.
    pub(super) is_for_secrets: bool,
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
    /// What it does, in a few words.
    pub(super) summary: &'static str,
    /// What its query may have; `None`: nobody looks.
    pub(super) query: Option<&'static [Parameter]>,
    pub(super) body: Body,
    /// The statuses of refusals, but for those that the token, the page or the query bring about.
    pub(super) refusals: &'static [u16],
}

const READ: Operation = Operation {
    method: "GET",
    path: "",
    door: Door::Metrics,
    needs: Needs::ToRead,
    name: "",
    summary: "",
    query: None,
    body: Body::Nothing,
    refusals: &[],
};
const CHANGE: Operation = Operation { method: "POST", needs: Needs::ToChange, query: Some(&[]), ..READ };

const fn parameter(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, is_for_secrets: false }
}

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/admin/connections",
        door: Door::Clients,
        name: "listConnections",
        summary: "Who is connected, page by page",
        query: Some(&[
            parameter("hub", "Those of this hub"),
            parameter("user", "Those of this user"),
            parameter("group", "Those in this group"),
            parameter("id", "The one with this id"),
            parameter("limit", "The most of a page, 1 to 1,000; 100 if not said"),
            parameter("after", "The `next` of the page before"),
        ]),
        refusals: &[503],
        ..READ
    },
    Operation {
        method: "DELETE",
        path: "/admin/connections/{id}",
        door: Door::CloseClient,
        name: "closeConnection",
        summary: "Closes a connection",
        query: Some(&[parameter("reason", "What the client is told")]),
        refusals: &[404, 503],
        ..CHANGE
    },
    Operation {
        path: "/admin/hubs",
        door: Door::Hubs,
        name: "listHubs",
        summary: "The hubs that the configuration names, and those that were met since the start",
        ..READ
    },
    Operation {
        path: "/admin/hubs/{hub}",
        door: Door::Hub,
        name: "getHub",
        summary: "A hub",
        refusals: &[404],
        ..READ
    },
    Operation {
        method: "PUT",
        path: "/admin/hubs/{hub}",
        door: Door::SetMode,
        name: "setMode",
        summary: "Writes a hub's mode into the configuration and goes by it",
        query: Some(&[parameter("dry-run", "Tells what would come of it, and changes nothing")]),
        body: Body::Json("Mode"),
        refusals: &[404, 408, 409, 413, 415, 503],
        ..CHANGE
    },
    Operation {
        path: "/admin/hubs/{hub}/send",
        door: Door::Send,
        name: "send",
        summary: "Calls a method of clients",
        body: Body::Json("Send"),
        refusals: &[404, 408, 413, 415, 503],
        ..CHANGE
    },
    Operation {
        path: "/admin/plugins",
        door: Door::Plugins,
        name: "listPlugins",
        summary: "The plugins, and what serves of them",
        ..READ
    },
    Operation {
        path: "/admin/plugins/{name}/log",
        door: Door::PluginLog,
        needs: Needs::Secrets,
        name: "getPluginLog",
        summary: "The last lines of the log about a plugin",
        refusals: &[404],
        ..READ
    },
    Operation {
        path: "/admin/plugins/{name}/swap",
        door: Door::Swap,
        name: "swapPlugin",
        summary: "Writes a component into a plugin's file, if it can be served, and serves it",
        query: Some(&[parameter("dry-run", "Tries the component, and changes nothing")]),
        body: Body::Component,
        refusals: &[404, 408, 409, 413, 415, 422, 503],
        ..CHANGE
    },
    Operation {
        path: "/admin/plugins/{name}/rollback",
        door: Door::Rollback,
        name: "rollBackPlugin",
        summary: "Brings back the version of a plugin that served before",
        refusals: &[404, 409, 503],
        ..CHANGE
    },
    Operation {
        path: "/admin/trace",
        door: Door::Trace,
        name: "watchMessages",
        summary: "The way that messages take, as server-sent events, from now on",
        query: Some(&[
            parameter("hub", "What begins in this hub"),
            parameter("user", "What this user's clients say, and what is sent to the user"),
            parameter("connection", "What this client says, and what is sent to it"),
            parameter("method", "Calls of this method by clients"),
            Parameter {
                is_for_secrets: true,
                ..parameter("payloads", "With the arguments of calls, but for what looks like a secret")
            },
        ]),
        refusals: &[429],
        ..READ
    },
    Operation {
        path: "/admin/cluster",
        door: Door::Cluster,
        name: "getCluster",
        summary: "The nodes of the cluster that this node knows",
        refusals: &[404],
        ..READ
    },
    Operation {
        path: "/admin/keys",
        door: Door::Keys,
        needs: Needs::Secrets,
        name: "listKeys",
        summary: "The connection strings, one for each access key",
        ..READ
    },
    Operation {
        path: "/admin/keys/primary:regenerate",
        door: Door::Regenerate(KeyPlace::Primary),
        name: "regeneratePrimaryKey",
        summary: "Makes the access key anew that signs",
        refusals: &[409, 503],
        ..CHANGE
    },
    Operation {
        path: "/admin/keys/secondary:regenerate",
        door: Door::Regenerate(KeyPlace::Secondary),
        name: "regenerateSecondaryKey",
        summary: "Makes the secondary access key anew; where there is none, one is made",
        refusals: &[409, 503],
        ..CHANGE
    },
    Operation {
        path: "/admin/session",
        door: Door::Session,
        name: "getSession",
        summary: "What the token of the request is good for",
        ..READ
    },
    Operation {
        path: "/admin/openapi.json",
        door: Door::Document,
        name: "openApi",
        summary: "This API as a document",
        ..READ
    },
    Operation {
        path: "/readyz",
        door: Door::Ready,
        needs: Needs::Nothing,
        name: "ready",
        summary: "Whether the gateway is ready, as on the listener of clients",
        refusals: &[503],
        ..READ
    },
    Operation {
        path: "/metrics",
        door: Door::Metrics,
        name: "metrics",
        summary: "What is counted, for Prometheus",
        ..READ
    },
];

impl Operation {
    /// Whether a query has what the token for reading does not open.
    pub(super) fn asks_for_secrets(&self, uri: &Uri) -> bool {
        let mut secret = self.query.unwrap_or_default().iter().filter(|known| known.is_for_secrets);
        secret.any(|known| Query::of(uri).get(known.name).is_some_and(|asked| asked != "false"))
    }

    /// Whoever misspells a name is told so: what it was to narrow would be everything. Of a name that is repeated, one value would not count.
    pub(super) fn check_query(&self, uri: &Uri) -> Result<(), Denial> {
        let Some(known) = self.query else { return Ok(()) };
        if let Some(repeated) = known.iter().find(|known| Query::of(uri).all(known.name).nth(1).is_some()) {
            return Err(Denial::bad_request(format!("The query has `{}` more than once.", repeated.name)));
        }
        match Query::of(uri).items().find(|(name, _)| !known.iter().any(|known| name.eq_ignore_ascii_case(known.name)))
        {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(LONGEST_SHOWN).collect();
                let known: Vec<&str> = known.iter().map(|known| known.name).collect();
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
    format!("Nothing is here. Operators have the console at /, {}, and {last}.", rows.join(", "))
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
    fn a_query_has_known_names_alone_and_each_once() {
        let check = |path: &'static str| {
            let uri = Uri::from_static(path);
            let Found::Operation(operation, _) = find(&Method::GET, uri.path()) else { panic!("it is one: {path}") };
            operation.check_query(&uri).is_ok()
        };
        for good in ["/admin/connections", "/admin/connections?hub=a&USER=b", "/metrics?a&a"] {
            assert!(check(good), "{good}");
        }
        for bad in ["/admin/connections?hubs=a", "/admin/connections?hub=a&Hub=a", "/admin/connections?hub=a&%68ub=b"] {
            assert!(!check(bad), "{bad}");
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
