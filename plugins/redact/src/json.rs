//! Changes of strings inside of a JSON text that leave the rest of it byte for byte.

use memchr::{memchr, memchr2};

/// `json` with other strings in the place of those for which `change` gives one; `None` if it gives none. Names of an object's
/// members are not asked for. `json` is valid.
pub(crate) fn map_strings(json: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut changed = String::new();
    let (mut copied, mut position) = (0, 0);
    while let Some(quote) = memchr(b'"', &json.as_bytes()[position..]) {
        let start = position + quote;
        let end = end_of_string(json.as_bytes(), start);
        position = end;
        if is_name(&json[end..]) {
            continue;
        }
        let literal = &json[start..end];
        let unescaped: String;
        let string = match memchr(b'\\', literal.as_bytes()) {
            None => &literal[1..literal.len() - 1],
            Some(_) => {
                unescaped = match serde_json::from_str(literal) {
                    Ok(text) => text,
                    // Half a surrogate pair: no text, so nothing can match in it.
                    Err(_) => continue,
                };
                &unescaped
            }
        };
        if let Some(other) = change(string) {
            changed.push_str(&json[copied..start]);
            changed.push_str(&serde_json::Value::String(other).to_string());
            copied = end;
        }
    }
    (copied > 0).then(|| changed + &json[copied..])
}

/// Behind the closing quote of the string that starts at `start`.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(found) = memchr2(b'"', b'\\', &json[position..]) {
        match json[position + found] {
            b'"' => return position + found + 1,
            _ => position += found + 2,
        }
    }
    json.len()
}

fn is_name(behind: &str) -> bool {
    behind.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(':')
}
