//! What calls carry, as those who watch see it: what looks like a secret is left out, and so is what is long.

use hubgate_wire::payload::PayloadRef;
use serde_json::Value;

/// The longest payload that is looked at, and the longest text that is shown, in bytes.
const LONGEST_READ: usize = 64 * 1024;
const LONGEST_SHOWN: usize = 2_048;

const REDACTED: &str = "[redacted]";
/// Parts of names whose values are secret, in lower case, without what separates words.
const SECRETS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "accountkey",
    "credential",
    "cookie",
    "connectionstring",
];

/// The arguments of a call as JSON, in one line.
pub(super) fn shown(arguments: PayloadRef<'_>) -> String {
    if arguments.len() > LONGEST_READ {
        return format!("[{} bytes]", arguments.len());
    }
    let mut arguments: Value = match serde_json::from_str(&arguments.to_json()) {
        Ok(arguments) => arguments,
        Err(_) => return format!("[{} bytes that are no JSON]", arguments.len()),
    };
    redact(&mut arguments);
    let mut shown = arguments.to_string();
    if shown.len() > LONGEST_SHOWN {
        shown.truncate(shown.floor_char_boundary(LONGEST_SHOWN));
        shown.push('…');
    }
    shown
}

fn redact(value: &mut Value) {
    match value {
        Value::String(text) if is_secret(text) => REDACTED.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Object(fields) => {
            for (name, value) in fields {
                match is_name_of_secret(name) {
                    true => *value = REDACTED.into(),
                    false => redact(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_name_of_secret(name: &str) -> bool {
    let name: String = name.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>().to_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret)) || name == "pwd" || name == "pin"
}

/// A JSON Web Token, what an `Authorization` header has, or a connection string.
fn is_secret(text: &str) -> bool {
    let text = text.trim_start();
    let scheme = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let lower = || text.to_ascii_lowercase();
    (text.starts_with("eyJ") && text.bytes().filter(|&byte| byte == b'.').count() >= 2)
        || scheme("bearer ")
        || scheme("basic ")
        || ["accesskey=", "accountkey=", "sharedaccesskey=", "password=", "pwd="]
            .iter()
            .any(|key| lower().contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_text(json: &str) -> String {
        shown(PayloadRef::Json(json))
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        let json = r#"["ann",{"userName":"ann","Pass-Word":"a","api_key":["b"],"x":{"refreshToken":{"c":1}},"PIN":7}]"#;
        let expected = r#"["ann",{"userName":"ann","Pass-Word":"[redacted]","api_key":"[redacted]","x":{"refreshToken":"[redacted]"},"PIN":"[redacted]"}]"#;
        assert_eq!(sorted(&shown_text(json)), sorted(expected));
        for secret in
            ["eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "Bearer abc", "basic YTpi", "Endpoint=http://a;AccessKey=b;Version=1.0;"]
        {
            let json = serde_json::to_string(&[secret, "kept"]).expect("texts are JSON");
            assert_eq!(shown_text(&json), r#"["[redacted]","kept"]"#, "{secret}");
        }
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_very_long_is_not_read() {
        let long = shown_text(&format!("[\"{}\"]", "é".repeat(LONGEST_SHOWN)));
        assert!(long.ends_with("é…") && long.len() <= LONGEST_SHOWN + '…'.len_utf8(), "{}", long.len());
        let very_long = format!("[\"{}\"]", "x".repeat(LONGEST_READ));
        assert_eq!(shown_text(&very_long), format!("[{} bytes]", very_long.len()));
    }

    fn sorted(json: &str) -> Value {
        serde_json::from_str(json).expect("it is JSON")
    }
}
