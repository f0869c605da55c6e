//! What the parser says of a file, in the words of the configuration instead of those of the language that it is read with.

/// How alike two names must be, from 0 to 1, for one to be meant by the other.
const ALIKE: f64 = 0.8;

/// A message of the parser for somebody who knows TOML and no Rust.
pub(super) fn plain(message: &str) -> String {
    let after = |start: &str| message.strip_prefix(start).and_then(|rest| rest.split_once('`'));
    if let Some((key, known)) = after("unknown field `") {
        return unknown_key(key, &names(known));
    }
    if let Some((value, known)) = after("unknown variant `") {
        let known: Vec<String> = names(known).iter().map(|name| format!("\"{name}\"")).collect();
        return format!("\"{value}\" is none of {}", known.join(", "));
    }
    if let Some((key, _)) = after("missing field `") {
        return format!("the key `{key}` is missing");
    }
    if message == "wanted string or table" {
        return "must be a text in quotes".to_owned();
    }
    let mismatch = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match mismatch.and_then(|mismatch| mismatch.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("{} is not {}", value(found), kind(expected)),
        None => message.to_owned(),
    }
}

/// What stands between backticks.
fn names(list: &str) -> Vec<&str> {
    list.split('`').skip(1).step_by(2).collect()
}

/// With the key that was most likely meant instead of all that there are.
fn unknown_key(key: &str, known: &[&str]) -> String {
    match (alike(&key.replace('_', "-"), known.iter().copied()), known) {
        (Some(name), _) => format!("unknown key `{key}`: did you mean `{name}`?"),
        (None, []) => format!("unknown key `{key}`"),
        (None, known) => format!("unknown key `{key}`: there are {}", known.join(", ")),
    }
}

/// That no plugin has this name, with the one that was most likely meant.
pub(super) fn no_plugin<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match alike(name, known) {
        Some(meant) => format!("there is no [plugins.{name}]: did you mean `{meant}`?"),
        None => format!("there is no [plugins.{name}]"),
    }
}

/// The name that is most like another, if it is like it at all.
pub(super) fn alike<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let meant = name.to_ascii_lowercase();
    let names = known.map(|name| (strsim::jaro_winkler(&meant, &name.to_ascii_lowercase()), name));
    let (likeness, name) = names.max_by(|(one, a), (other, b)| one.total_cmp(other).then_with(|| b.cmp(a)))?;
    (likeness >= ALIKE).then_some(name)
}

/// A value that was found.
fn value(found: &str) -> &str {
    match found {
        "map" => "a table",
        "sequence" => "a list",
        found => {
            let found = ["string ", "integer ", "floating point ", "boolean "]
                .iter()
                .find_map(|kind| found.strip_prefix(kind))
                .unwrap_or(found);
            found.trim_matches('`')
        }
    }
}

/// What was expected.
fn kind(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "f32" | "f64" => "a number with a decimal point, such as 0.5",
        "a string" => "a text in quotes",
        "path string" => "a path in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list, such as [\"…\"]",
        "a map" => "a table, such as { … }",
        expected if expected.starts_with("struct ") => "a table, such as { … }",
        expected if expected.starts_with("enum ") => "a text in quotes",
        expected => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_speak_of_keys_texts_and_numbers() {
        for (message, plain_words) in [
            ("unknown field `lisen`, expected one of `listen`, `log`", "unknown key `lisen`: did you mean `listen`?"),
            ("unknown field `x`, expected `listen` or `log`", "unknown key `x`: there are listen, log"),
            ("unknown variant `a`, expected `b` or `c`", "\"a\" is none of \"b\", \"c\""),
            ("missing field `path`", "the key `path` is missing"),
            ("invalid type: map, expected a string", "a table is not a text in quotes"),
            ("invalid type: string \"x\", expected usize", "\"x\" is not a whole number from 0 on"),
            ("invalid value: integer `-1`, expected u16", "-1 is not a whole number from 0 to 65535"),
            ("invalid type: boolean `true`, expected struct Tls", "true is not a table, such as { … }"),
            ("wanted string or table", "must be a text in quotes"),
            ("must be a list of one or two texts", "must be a list of one or two texts"),
        ] {
            assert_eq!(plain(message), plain_words);
        }
    }
}
