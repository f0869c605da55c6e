//! What calls carry, as those who watch see it: what looks like a secret is left out, and so is what is long.

use hubgate_wire::payload::PayloadRef;
use serde_json::Value;

/// The longest payload that is looked at, and the longest text that is shown, in bytes.
const LONGEST_READ: usize = 64 * 1024;
const LONGEST_SHOWN: usize = 2_048;

/// How deep texts of JSON are read that are in texts of JSON, and at how many places of a text a token is looked for.
const DEEPEST: usize = 2;
const MOST_TOKENS: usize = 64;

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
    redact(&mut arguments, 0);
    let mut shown = arguments.to_string();
    if shown.len() > LONGEST_SHOWN {
        shown.truncate(shown.floor_char_boundary(LONGEST_SHOWN));
        shown.push('…');
    }
    shown
}

/// `depth`: of JSON within texts of JSON.
fn redact(value: &mut Value, depth: usize) {
    match value {
        Value::String(text) => redact_text(text, depth),
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, depth)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match is_name_of_secret(name) {
                    true => *value = REDACTED.into(),
                    false => redact(value, depth),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Also what is JSON itself, as some applications send their objects.
fn redact_text(text: &mut String, depth: usize) {
    let is_object_or_list = text.trim_start().starts_with(['{', '[']);
    if is_object_or_list
        && depth < DEEPEST
        && let Ok(mut inner) = serde_json::from_str::<Value>(text)
    {
        redact(&mut inner, depth + 1);
        *text = inner.to_string();
    } else if is_secret(text) {
        REDACTED.clone_into(text);
    }
}

fn is_name_of_secret(name: &str) -> bool {
    let name: String = name.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>().to_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret)) || name == "pwd" || name == "pin"
}

/// Text that has a JSON Web Token, or what an `Authorization` header, a connection string or the query of a signed URL has.
fn is_secret(text: &str) -> bool {
    const SCHEMES: [&str; 3] = ["bearer ", "basic ", "sharedaccesssignature "];
    const KEYS: [&str; 9] =
        ["accesskey=", "accountkey=", "password=", "pwd=", "token=", "secret=", "sig=", "api_key=", "apikey="];
    let lower = text.trim_start().to_ascii_lowercase();
    SCHEMES.iter().any(|scheme| lower.starts_with(scheme))
        || KEYS.iter().any(|key| lower.contains(key))
        || text.match_indices("eyJ").take(MOST_TOKENS).any(|(at, _)| is_json_web_token(&text[at..]))
}

fn is_json_web_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().take_while(|byte| is_part(*byte)).filter(|byte| *byte == b'.').take(2).count() == 2
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
        for secret in [
            "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
            "see eyJhbGciOiJI.eyJzdWIiOiIx.c2ln.",
            "wss://example.com/client/?hub=chat&access_token=abc",
            "https://example.com/blob?sv=1&sig=abc",
            "Bearer abc",
            "basic YTpi",
            "Endpoint=http://a;AccessKey=b;Version=1.0;",
        ] {
            let json = serde_json::to_string(&[secret, "kept"]).expect("texts are JSON");
            assert_eq!(shown_text(&json), r#"["[redacted]","kept"]"#, "{secret}");
        }
    }

    #[test]
    fn secrets_in_json_that_is_a_text_are_not_shown_either() {
        let inner = r#"{"password":"x","n":1}"#;
        let json = serde_json::to_string(&[inner, "{no json, and no secret"]).expect("texts are JSON");
        let shown: Vec<String> = serde_json::from_str(&shown_text(&json)).expect("a list");
        assert_eq!(sorted(&shown[0]), sorted(r#"{"password":"[redacted]","n":1}"#));
        assert_eq!(shown[1], "{no json, and no secret");
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
