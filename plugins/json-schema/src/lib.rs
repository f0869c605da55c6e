//! A filter that refuses calls whose arguments do not fit a JSON schema.
//!
//! Configuration: `schemas`, a JSON object that has a schema for each method; a schema describes the array of the call's
//! arguments. `others`: `pass` (the default) or `reject` calls of methods that have none. Schemas are self-contained: nothing
//! is fetched.

use std::cell::OnceCell;
use std::collections::HashMap;

use hubgate_plugin::filter::{Filter, Kind, Message, Verdict, folded};
use hubgate_plugin::{Connection, Payload, config};
use jsonschema::Validator;
use serde_json::Value;

/// How much of what does not fit a caller is told, in characters.
const LONGEST_REASON: usize = 300;

thread_local! {
    static SCHEMAS: OnceCell<Schemas> = const { OnceCell::new() };
}

#[derive(Debug)]
struct Schemas {
    /// By the method's folded name.
    by_method: HashMap<String, Validator>,
    rejects_others: bool,
}

struct JsonSchema;

impl Filter for JsonSchema {
    fn init() -> Result<(), String> {
        let schemas =
            config::get("schemas").ok_or("`schemas` is missing: a JSON object with a schema for each method")?;
        let schemas = Schemas::new(&schemas, config::get("others").as_deref())?;
        SCHEMAS.with(|cell| cell.set(schemas)).map_err(|_| "the instance was made before".to_owned())
    }

    fn inbound(_: Connection, message: Message) -> Verdict {
        let (Kind::Invocation | Kind::StreamInvocation, Some(target)) = (message.kind, &message.target) else {
            return Verdict::Pass;
        };
        let arguments = match &message.content {
            Some(Payload::Json(text)) => text.as_str(),
            Some(Payload::Msgpack(_)) => {
                return Verdict::Reject(
                    "The filter `json-schema` reads JSON: leave its `payload` at \"json\".".to_owned(),
                );
            }
            None => "[]",
        };
        SCHEMAS.with(|schemas| match schemas.get().map(|schemas| schemas.check(target, arguments)) {
            Some(Err(reason)) => Verdict::Reject(reason),
            Some(Ok(())) | None => Verdict::Pass,
        })
    }
}

impl Schemas {
    fn new(text: &str, others: Option<&str>) -> Result<Schemas, String> {
        let schemas: HashMap<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("`schemas` is no JSON object: {error}"))?;
        let mut by_method = HashMap::new();
        for (method, schema) in schemas {
            let validator = jsonschema::validator_for(&schema)
                .map_err(|error| format!("`schemas`: the schema of \"{method}\" is none: {error}"))?;
            if by_method.insert(folded(&method), validator).is_some() {
                return Err(format!("`schemas` has \"{method}\" twice: case does not tell methods apart"));
            }
        }
        let rejects_others = match others {
            None | Some("pass") => false,
            Some("reject") => true,
            Some(other) => return Err(format!("`others` is \"pass\" or \"reject\", and not \"{other}\"")),
        };
        Ok(Schemas { by_method, rejects_others })
    }

    /// Why a call does not fit, if it does not.
    fn check(&self, target: &str, arguments: &str) -> Result<(), String> {
        let Some(validator) = self.by_method.get(&folded(target)) else {
            return match self.rejects_others {
                true => Err(format!("'{target}' is not a method that may be called.")),
                false => Ok(()),
            };
        };
        let arguments: Value = serde_json::from_str(arguments).map_err(|error| format!("Wrong arguments: {error}"))?;
        validator.validate(&arguments).map_err(|error| {
            let mut reason = format!("Wrong arguments: {error}");
            let place = error.instance_path().to_string();
            if !place.is_empty() {
                reason += &format!(" (at {place})");
            }
            reason.chars().take(LONGEST_REASON).collect()
        })
    }
}

hubgate_plugin::export_inbound_filter!(JsonSchema);

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: &str = r#"{ "Send": { "type": "array", "minItems": 1, "maxItems": 1, "items": { "type": "string", "maxLength": 3 } } }"#;

    #[test]
    fn arguments_must_fit_the_schema_of_their_method() {
        let schemas = Schemas::new(SEND, None).unwrap();
        assert_eq!(schemas.check("send", r#"["abc"]"#), Ok(()));
        assert_eq!(
            schemas.check("SEND", r#"["abcd"]"#).unwrap_err(),
            "Wrong arguments: \"abcd\" is longer than 3 characters (at /0)"
        );
        assert!(schemas.check("send", "[]").is_err());
        assert_eq!(schemas.check("other", "[1]"), Ok(()));
    }

    #[test]
    fn methods_without_a_schema_can_be_refused() {
        let schemas = Schemas::new(SEND, Some("reject")).unwrap();
        assert!(schemas.check("other", "[]").unwrap_err().contains("'other'"));
        assert_eq!(schemas.check("Send", r#"["a"]"#), Ok(()));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(Schemas::new("[]", None).unwrap_err().contains("no JSON object"));
        assert!(Schemas::new(r#"{"a":{"type":"nothing"}}"#, None).unwrap_err().contains("\"a\""));
        assert!(Schemas::new(r#"{"a":{"$ref":"https://example.com/s"}}"#, None).is_err());
        assert!(Schemas::new(r#"{"a":true,"A":true}"#, None).unwrap_err().contains("twice"));
        assert!(Schemas::new("{}", Some("maybe")).unwrap_err().contains("maybe"));
    }
}
