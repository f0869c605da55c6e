//! Where in the file a key stands.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line, from 1, of a key's path such as `hubs.chat.filters` or `upstream[0].url`, or of the innermost table around it that is
/// there. None where the file has nothing of it.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    Some(line_at(text, in_table(document.get_ref(), key)?))
}

/// The line, from 1, of a place in the text.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

fn in_table(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let rest_after =
        |name: &str| path.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let entries = table.iter().filter_map(|(name, value)| Some((name, value, rest_after(name.get_ref())?)));
    // A name may have dots in it: it is the longest one that fits.
    let (name, value, rest) = entries.min_by_key(|(_, _, rest)| rest.len())?;
    Some(in_value(value, rest).unwrap_or(name.span().start))
}

fn in_value(value: &Spanned<DeValue<'_>>, path: &str) -> Option<usize> {
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, path.strip_prefix('.')?),
        DeValue::Array(list) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = list.get(index.parse::<usize>().ok()?)?;
            Some(in_value(item, rest).unwrap_or(item.span().start))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_wherever_they_stand() {
        let text = "[server]\nlisten = 'x'\nendpoints = [\n  'a',\n  'b',\n]\n\n[hubs.'a.b']\nmode = 'default'\n\n\
                    [[upstream]]\nplugin = 'p'\n[[upstream]]\nurl = 'u'\n[plugins.p.config]\nx = 'y'\n";
        for (key, line) in [
            ("server.listen", Some(2)),
            ("server.endpoints[1]", Some(5)),
            ("server.limits.message", Some(1)),
            ("hubs.a.b.mode", Some(9)),
            ("upstream[0].plugin", Some(12)),
            ("upstream[1].url", Some(14)),
            ("upstream[1].retries", Some(13)),
            ("plugins.p.config.x", Some(16)),
            ("admin.listen", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
    }
}
