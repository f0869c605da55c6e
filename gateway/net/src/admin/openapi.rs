//! The admin API as tools read it: a document in OpenAPI 3.0, made of the table of its operations.
//!
//! Source: the OpenAPI Specification, version 3.0.3.

use serde_json::{Map, Value, json};

use super::operations::{Body, Door, Needs, OPERATIONS, Operation};

pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for row in OPERATIONS {
        let of_path = paths.entry(row.path).or_insert_with(|| json!({}));
        of_path[row.method.to_ascii_lowercase()] = operation(row);
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Admin API of Hubgate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators and their tools ask of a running gateway, and change there.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "The admin token; that of `admin.read-token-file` is enough where something is only read.",
            } },
            "schemas": schemas(),
            "responses": { "Error": {
                "description": "What is wrong",
                "content": { "text/plain": { "schema": { "type": "string" } } },
            } },
        },
    })
}

fn operation(row: &Operation) -> Value {
    let mut responses = Map::from_iter([("200".to_owned(), success(row))]);
    let of_query: &[u16] = if row.query.is_some() { &[400] } else { &[] };
    for status in [401, 403].iter().chain(of_query).chain(row.refusals) {
        responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Error" }));
    }
    let description = match row.needs {
        Needs::Nothing => "Needs no token.",
        Needs::ToRead => "The read token is enough.",
        Needs::Secrets => "Needs the admin token: the answer has secrets.",
        Needs::ToChange => "Needs the admin token, and is refused where `admin.read-only` is set.",
    };
    let mut operation = json!({
        "operationId": row.name,
        "summary": row.summary,
        "description": description,
        "parameters": parameters(row),
        "responses": responses,
    });
    if row.needs == Needs::Nothing {
        operation["security"] = json!([]);
    }
    let content = match row.body {
        Body::Nothing => return operation,
        Body::Json(schema) => {
            json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
        }
        Body::Component => json!({ "application/wasm": { "schema": { "type": "string", "format": "binary" } } }),
    };
    operation["requestBody"] = json!({ "required": true, "content": content });
    operation
}

fn success(row: &Operation) -> Value {
    let content = match row.door {
        Door::Metrics => json!({ "application/openmetrics-text": { "schema": { "type": "string" } } }),
        Door::Trace => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        Door::Ready => json!({ "text/plain": { "schema": { "type": "string" } } }),
        _ => json!({ "application/json": { "schema": { "type": "object" } } }),
    };
    json!({ "description": row.summary, "content": content })
}

fn parameters(row: &Operation) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let names = row.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let of_path = names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text }));
    let of_query = row.query.unwrap_or_default().iter().map(|parameter| {
        json!({ "name": parameter.name, "in": "query", "description": parameter.description, "schema": text })
    });
    of_path.chain(of_query).collect()
}

/// Those that the table names.
fn schemas() -> Value {
    let named = |name: &str| {
        let properties = Map::from_iter([(name.to_owned(), json!({ "type": "string" }))]);
        json!({ "type": "object", "properties": properties, "required": [name], "additionalProperties": false })
    };
    let to: Vec<Value> = [json!({ "type": "string", "enum": ["all"] })]
        .into_iter()
        .chain(["user", "group", "connection"].map(named))
        .collect();
    json!({
        "Mode": {
            "type": "object",
            "properties": { "mode": { "type": "string", "enum": ["default", "serverless", "classic"] } },
            "required": ["mode"],
            "additionalProperties": false,
        },
        "Send": {
            "type": "object",
            "properties": {
                "to": { "oneOf": to },
                "method": { "type": "string", "minLength": 1, "maxLength": 1024 },
                "arguments": { "type": "array", "items": {} },
            },
            "required": ["to", "method"],
            "additionalProperties": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_each_operation_once_and_what_it_refers_to() {
        let document = document();
        let paths = document["paths"].as_object().expect("it has paths");
        let operations: Vec<&Value> =
            paths.values().flat_map(|methods| methods.as_object().expect("it has methods").values()).collect();
        assert_eq!(operations.len(), OPERATIONS.len());
        let ids: BTreeSet<&str> = operations.iter().filter_map(|operation| operation["operationId"].as_str()).collect();
        assert_eq!(ids.len(), OPERATIONS.len(), "each id is there once");
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
