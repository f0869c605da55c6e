//! Words for what was found in a file, and the names that were most likely meant.

/// How alike two names must be, from 0 to 1, for one to be meant by the other.
const ALIKE: f64 = 0.8;

/// A value that was found.
pub(super) fn in_words(found: &toml::Value) -> String {
    match found {
        toml::Value::Table(_) => "a table".to_owned(),
        toml::Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
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
