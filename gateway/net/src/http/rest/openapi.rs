//! The REST API as tools read it: a document in OpenAPI 3.0, made of the table of its operations.
//!
//! Source: the OpenAPI Specification, version 3.0.3.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::table::{Kind, MOST_NAMES, Route, Version, WITHOUT_HUB, WithoutHub};

/// Stands for the endpoint in the text that all answers share. No other text of the document has it.
const ENDPOINT: &str = "\"ENDPOINT\"";

/// The document, for those who reach the gateway at `endpoint`.
pub(super) fn document(endpoint: &str) -> String {
    static TEXT: LazyLock<String> = LazyLock::new(|| whole().to_string());
    TEXT.replacen(ENDPOINT, &Value::from(endpoint).to_string(), 1)
}

fn whole() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "REST API of Hubgate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "How an application sends to clients, manages groups, and asks who is there: the operations of Azure SignalR Service's \
                            data plane REST API that this gateway has.",
        },
        "servers": [{ "url": "ENDPOINT" }],
        "security": [{ "accessKey": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": { "accessKey": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "Signed with an access key, HS256 or HS512; `aud` is the URL of the request without its query, `exp` is required.",
            } },
            "schemas": schemas(),
            "headers": { "ErrorCode": { "description": "The code of the error", "schema": { "type": "string" } } },
            "responses": { "Error": {
                "description": "What is wrong",
                "headers": { "x-ms-error-code": { "$ref": "#/components/headers/ErrorCode" } },
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
            } },
        },
    })
}

fn paths() -> Map<String, Value> {
    let (mut paths, mut ids) = (Map::new(), HashMap::new());
    for version in Version::ALL {
        for route in version.routes().iter().filter(|route| is_told(route)) {
            let path = format!("{}/{{hub}}{}", version.prefix(), path_after_hub(route));
            let of_path = paths.entry(path).or_insert_with(|| json!({}));
            of_path[route.method.to_ascii_lowercase()] = operation(route, version, id(route.operation.name, &mut ids));
            if route.method == "GET" {
                of_path["head"] = operation(route, version, id(route.operation.name, &mut ids));
            }
        }
    }
    for (path, found) in WITHOUT_HUB {
        if let Some((name, said)) = said_without_hub(found) {
            let read =
                |id: String| json!({ "operationId": id, "summary": said.0, "security": [], "responses": said.1 });
            let ids = [(); 2].map(|()| id(name, &mut ids));
            let [get, head] = ids.map(read);
            paths.insert(path.to_owned(), json!({ "get": get, "head": head }));
        }
    }
    paths
}

/// The name, the summary and the answers of what has no hub. The document does not tell of itself.
fn said_without_hub(found: WithoutHub) -> Option<(&'static str, (&'static str, Value))> {
    match found {
        WithoutHub::Health => {
            let responses = json!({ "200": { "description": "It is" }, "403": error(), "431": bodiless() });
            Some(("health", ("Is the gateway there?", responses)))
        }
        WithoutHub::AccessKey => {
            let responses = json!({ "501": error(), "403": error(), "431": bodiless() });
            Some(("accessKey", ("An access key for an Entra identity, of which the gateway knows none", responses)))
        }
        WithoutHub::Document => None,
    }
}

/// Whether this version of OpenAPI has the route's method.
fn is_told(route: &Route) -> bool {
    route.method != "QUERY"
}

/// An operation's name, with a number where others have it: each id is there once.
fn id(name: &'static str, ids: &mut HashMap<&'static str, usize>) -> String {
    let number = ids.entry(name).or_default();
    *number += 1;
    if *number == 1 { name.to_owned() } else { format!("{name}{number}") }
}

/// What comes after the hub, with the names that the parameters have.
pub(super) fn path_after_hub(route: &Route) -> String {
    let named = PATH_PARAMETERS.iter().fold(route.path.to_owned(), |path, (short, parameter)| {
        path.replace(short, &format!("{{{}}}", parameter.name))
    });
    if named.is_empty() { named } else { format!("/{named}") }
}

fn operation(route: &Route, version: Version, id: String) -> Value {
    let mut operation = json!({
        "operationId": id,
        "summary": route.operation.summary,
        "parameters": parameters(route),
        "responses": responses(route, version),
    });
    if let Some(forms) = forms(route.kind) {
        operation["requestBody"] = json!({ "required": true, "content": forms });
    }
    operation
}

/// A parameter of a path or a query.
struct Parameter {
    name: &'static str,
    description: &'static str,
    schema: fn() -> Value,
}

const HUB: Parameter = Parameter {
    name: "hub",
    description: "The hub's name",
    schema: || json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_`,.\\[\\]]{0,127}$" }),
};

/// Those that the table has in its paths, by what it calls them.
const PATH_PARAMETERS: [(&str, Parameter); 6] = [
    (
        "{c}",
        Parameter {
            name: "connectionId",
            description: "A connection's id",
            schema: || json!({ "type": "string", "minLength": 1 }),
        },
    ),
    (
        "{g}",
        Parameter { name: "group", description: "A group's name, which is not only white space", schema: group_name },
    ),
    ("{u}", Parameter { name: "user", description: "A user's id", schema: name }),
    (
        "{s}",
        Parameter {
            name: "streamId",
            description: "The id with which the client has asked for the stream",
            schema: name,
        },
    ),
    (
        "{gs}",
        Parameter {
            name: "groups",
            description: "Groups' names, with commas between them",
            schema: || names(group_name),
        },
    ),
    ("{us}", Parameter { name: "users", description: "Users' ids, with commas between them", schema: || names(name) }),
];

const OF_ALL: [Parameter; 2] = [
    Parameter {
        name: "application",
        description: "Its hubs are `{application}_{hub}`",
        schema: || json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_`,.\\[\\]]{0,127}$" }),
    },
    Parameter { name: "api-version", description: "Not looked at", schema: || json!({ "type": "string" }) },
];

const EXCLUDED: Parameter = Parameter {
    name: "excluded",
    description: "Connections that are left out",
    schema: || json!({ "type": "array", "items": { "type": "string", "pattern": "^[!-~]{1,128}$" } }),
};
const COUNT: Parameter = Parameter {
    name: "X-Hubgate-Count",
    description: "`1`: the answer says in `X-Hubgate-Recipients` how many connections of this gateway the send was for. Anything else is not looked at",
    schema: || json!({ "type": "string" }),
};
const REASON: Parameter =
    Parameter { name: "reason", description: "What closed clients are told", schema: || json!({ "type": "string" }) };
const TTL: Parameter = Parameter {
    name: "ttl",
    description: "For how many seconds connections that the user makes later still join",
    schema: || json!({ "type": "integer", "minimum": 0 }),
};
const COMPLETED: Parameter = Parameter {
    name: "completed",
    description: "Whether the item is the last of the stream",
    schema: || json!({ "type": "boolean" }),
};
const STREAM_ERROR: [Parameter; 2] = [
    Parameter {
        name: "reason",
        description: "The error with which the stream ends; without one it ends well",
        schema: || json!({ "type": "string" }),
    },
    Parameter { name: "error", description: "The same", schema: || json!({ "type": "string" }) },
];
const LIST: [Parameter; 3] = [
    Parameter {
        name: "top",
        description: "How many connections in all",
        schema: || json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
    },
    Parameter {
        name: "maxPageSize",
        description: "How many come at once, at most 200",
        schema: || json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
    },
    Parameter {
        name: "continuationToken",
        description: "One of a `nextLink`",
        schema: || json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{24}$" }),
    },
];
const TOKEN: [Parameter; 2] = [
    Parameter {
        name: "userId",
        description: "Who is to come",
        schema: || json!({ "type": "string", "maxLength": 1024 }),
    },
    Parameter {
        name: "minutesToExpire",
        description: "How long the token is valid; 60 if it is not said",
        schema: || json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
    },
];

/// Items that may be there without a value, although that is none of their schema's.
const MAY_BE_EMPTY: [&str; 5] = ["completed", "top", "maxPageSize", "continuationToken", "minutesToExpire"];

fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 1024 })
}

/// What is no white space of Unicode.
const NO_SPACE: &str = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

fn group_name() -> Value {
    json!({ "type": "string", "maxLength": 1024, "pattern": format!("[^{NO_SPACE}]") })
}

/// Several names, each of them escaped by itself.
fn names(of: fn() -> Value) -> Value {
    json!({ "type": "array", "minItems": 1, "maxItems": MOST_NAMES, "items": of() })
}

fn parameters(route: &Route) -> Vec<Value> {
    let of_path =
        PATH_PARAMETERS.iter().filter(|(short, _)| route.path.contains(short)).map(|(_, parameter)| parameter);
    let own: &[Parameter] = match route.kind {
        Kind::Send | Kind::SendToMany => &[EXCLUDED],
        Kind::StreamItem => &[COMPLETED],
        Kind::EndStream => &STREAM_ERROR,
        Kind::Close => &[EXCLUDED, REASON],
        Kind::Add if route.path.contains("{u}") => &[TTL],
        Kind::List => &LIST,
        Kind::GenerateToken => &TOKEN,
        Kind::Add
        | Kind::Exists
        | Kind::Remove
        | Kind::RemoveFromAllGroups
        | Kind::Invoke
        | Kind::Execute
        | Kind::Refresh
        | Kind::Claims => &[],
    };
    let is_in = |place: &'static str| {
        move |parameter: &Parameter| {
            json!({
                "name": parameter.name, "in": place, "required": place == "path", "description": parameter.description,
                "schema": (parameter.schema)(),
            })
        }
    };
    let of_query = |parameter: &Parameter| {
        let mut said = is_in("query")(parameter);
        if MAY_BE_EMPTY.contains(&parameter.name) {
            said["allowEmptyValue"] = true.into();
        }
        said
    };
    let of_path = std::iter::once(&HUB).chain(of_path).map(is_in("path"));
    let of_headers = (route.kind == Kind::Send).then_some(&COUNT).into_iter().map(is_in("header"));
    of_path.chain(own.iter().map(of_query)).chain(OF_ALL.iter().map(is_in("query"))).chain(of_headers).collect()
}

fn responses(route: &Route, version: Version) -> Value {
    let body = match route.kind {
        Kind::List => Some("Page"),
        Kind::Invoke => Some("Result"),
        Kind::GenerateToken => Some("Token"),
        Kind::Refresh | Kind::Claims => Some("Claims"),
        _ => None,
    };
    let mut done = json!({ "description": "Done, or yes" });
    if let Some(schema) = body {
        done["content"] = json!({ "application/json": { "schema": schema_of(schema) } });
    }
    if route.kind == Kind::Send {
        done["headers"] = json!({ "X-Hubgate-Recipients": {
            "description": "How many connections of this gateway the send was for, where `X-Hubgate-Count` has asked",
            "schema": { "type": "integer", "minimum": 0 },
        } });
    }
    let done = match route.kind {
        Kind::Execute => error(),
        _ => done,
    };
    let has_type = matches!(route.kind, Kind::Send | Kind::SendToMany | Kind::Invoke | Kind::StreamItem);
    let mut responses = Map::from_iter([(version.success(route).as_u16().to_string(), done)]);
    let errors = [400, 401, 403, 408, 413, 429, 503].into_iter();
    let own =
        [(404, may_be_absent(route)), (415, has_type)].into_iter().filter_map(|(status, has)| has.then_some(status));
    responses.extend(errors.chain(own).map(|status: u16| (status.to_string(), error())));
    responses.insert("431".to_owned(), bodiless());
    responses.into()
}

/// Whether it is an error if whom it is about is not there.
pub(super) fn may_be_absent(route: &Route) -> bool {
    match route.kind {
        Kind::Exists | Kind::Invoke | Kind::Refresh | Kind::Claims => true,
        Kind::Close | Kind::Add => route.path.contains("{c}"),
        _ => false,
    }
}

/// The answer to headers that are too large, which are not read.
fn bodiless() -> Value {
    json!({ "description": "The headers are too large; the answer has no body" })
}

fn error() -> Value {
    json!({ "$ref": "#/components/responses/Error" })
}

fn schema_of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The bodies that an operation reads.
fn forms(kind: Kind) -> Option<Value> {
    let json = |schema| json!({ "application/json": { "schema": schema_of(schema) } });
    let bytes = || json!({ "schema": { "type": "string", "format": "binary" } });
    let mut forms = match kind {
        Kind::Send | Kind::SendToMany | Kind::Invoke => json("Message"),
        Kind::StreamItem => json("Item"),
        Kind::Execute => return Some(json("Commands")),
        Kind::Refresh => return Some(json("Refresh")),
        Kind::Claims => return Some(json("ClaimsQuery")),
        _ => return None,
    };
    forms["application/x-msgpack"] = bytes();
    if kind != Kind::Invoke {
        forms["application/octet-stream"] = bytes();
    }
    Some(forms)
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let claims = || {
        let claim = json!({
            "type": "object", "required": ["type", "value"], "properties": { "type": text(), "value": text() },
        });
        json!({ "type": "array", "nullable": true, "items": claim })
    };
    json!({
        "Message": {
            "type": "object", "required": ["target"],
            "properties": { "target": name(), "arguments": { "type": "array", "nullable": true, "items": {} } },
        },
        "Item": { "nullable": true, "description": "Any one value" },
        "Commands": {
            "type": "array", "items": { "type": "object", "required": ["type"], "properties": { "type": {
                "type": "string", "enum": ["SendMessage", "JoinGroup", "LeaveGroup", "CloseConnection"],
            } } },
        },
        "Error": {
            "type": "object", "required": ["code", "message"], "properties": { "code": text(), "message": text() },
        },
        "Result": { "type": "object", "properties": { "result": { "nullable": true } } },
        "Claims": { "type": "object", "required": ["claims"], "properties": { "claims": claims() } },
        "ClaimsQuery": {
            "type": "object", "required": ["connectionToken"], "properties": { "connectionToken": text() },
        },
        "Refresh": {
            "type": "object", "required": ["connectionToken"],
            "properties": {
                "connectionToken": text(), "claims": claims(),
                "expireTime": { "type": "string", "format": "date-time", "nullable": true },
            },
        },
        "Token": { "type": "object", "required": ["token"], "properties": { "token": text() } },
        "Page": {
            "type": "object", "required": ["value"],
            "properties": {
                "value": { "type": "array", "items": {
                    "type": "object", "required": ["connectionId"], "properties": { "connectionId": text(), "userId": text() },
                } },
                "nextLink": text(),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: &str) -> Value {
        serde_json::from_str(&document(endpoint)).expect("it is JSON")
    }

    /// Every operation: path, method and what is said of it.
    fn operations(document: &Value) -> Vec<(&String, &String, &Value)> {
        let paths = document["paths"].as_object().expect("an object").iter();
        let of_path = |(path, methods)| (path, Value::as_object(methods).expect("an object"));
        paths
            .map(of_path)
            .flat_map(|(path, methods)| methods.iter().map(move |(method, said)| (path, method, said)))
            .collect()
    }

    #[test]
    fn it_is_for_the_endpoint_that_was_asked() {
        let odd = "https://example.com/a\"b";
        assert_eq!(read(odd)["servers"], json!([{ "url": odd }]));
        assert!(!document(odd).contains("ENDPOINT"));
    }

    #[test]
    fn every_operation_of_the_table_is_there_in_its_versions() {
        let document = read("http://localhost");
        let told = |version: Version| {
            let count = |method| version.routes().iter().filter(|route| route.method == method).count();
            version.routes().len() + count("GET") - count("QUERY")
        };
        assert_eq!(operations(&document).len(), Version::ALL.map(told).iter().sum::<usize>() + 2 * 4);
        let paths = &document["paths"];
        assert!(
            paths["/api/hubs/{hub}/groups/{group}/connections/{connectionId}"]["put"]["responses"]["404"].is_object()
        );
        assert!(paths["/api/v1/hubs/{hub}"]["post"]["responses"]["202"].is_object());
        assert!(paths["/api/v1/hubs/{hub}/connections/{connectionId}"]["delete"]["responses"]["202"].is_object());
        assert!(paths["/api/hubs/{hub}/connections/{connectionId}"]["delete"]["responses"]["200"].is_object());
    }

    #[test]
    fn each_id_is_there_once_and_each_name_in_a_path_is_a_parameter() {
        let document = read("http://localhost");
        let operations = operations(&document);
        let mut ids: Vec<&str> =
            operations.iter().map(|(.., said)| said["operationId"].as_str().expect("a text")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), operations.len());
        for (path, method, said) in operations {
            let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            let parameters = said["parameters"].as_array().into_iter().flatten();
            let named = parameters
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str());
            let (mut in_path, mut named): (Vec<&str>, Vec<&str>) = (in_path.collect(), named.collect());
            in_path.sort_unstable();
            named.sort_unstable();
            assert_eq!(in_path, named, "{method} {path}");
        }
    }

    #[test]
    fn what_it_refers_to_is_in_it() {
        let document = read("http://localhost");
        let mut texts = vec![&document];
        let mut references = 0;
        while let Some(value) = texts.pop() {
            match value {
                Value::Object(members) => {
                    if let Some(reference) = members.get("$ref") {
                        let pointer =
                            reference.as_str().and_then(|text| text.strip_prefix('#')).expect("it is in here");
                        assert!(document.pointer(pointer).is_some(), "{pointer}");
                        references += 1;
                    }
                    texts.extend(members.values());
                }
                Value::Array(items) => texts.extend(items),
                _ => {}
            }
        }
        assert!(references > 100, "{references}");
    }
}
