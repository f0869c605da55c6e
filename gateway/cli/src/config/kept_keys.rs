//! Where the access keys are kept, and how one of them becomes another there while the gateway runs.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use hubgate_net::KeyPlace;
use hubgate_plugin_host::{FileError, RegularFile};
use hubgate_wire::token::AccessKey;
use toml::de::{DeTable, DeValue};

use super::MAX_FILE_BYTES;
use super::kept_file::{KeptFile, RewrittenFile};
use super::read_file::ReadFile;
use super::secrets::{self, Source};

/// What has the access keys.
#[derive(Debug, Clone)]
pub(crate) enum KeptKeys {
    /// `server.access-keys` in this configuration.
    Configuration(PathBuf),
    /// A file of their own, which this key of the configuration, or this variable, names.
    File(&'static str, PathBuf),
    /// A variable of the environment, which has the value that the process was started with.
    Variable(&'static str),
}

/// Why no other key can be put there, and what to do instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysStay {
    #[error(
        "the access keys come from {0}, which cannot change while the gateway runs: change it where it is set and start the gateway \
         again, or keep the keys in a file (`server.access-keys-file`)"
    )]
    Variable(&'static str),
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: FileError },
    #[error(
        "{} cannot be written: {source}. Change the key there by hand, or keep the keys in a file that the gateway may write \
         (`server.access-keys-file`)",
        path.display()
    )]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{} cannot have a new key: {why}", path.display())]
    Unfit { path: PathBuf, why: String },
}

/// A key that has become another one in its file.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// As they are now.
    pub(crate) keys: Vec<AccessKey>,
    pub(crate) file: RewrittenFile,
}

impl fmt::Display for KeptKeys {
    /// Where they can be changed by hand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeptKeys::Configuration(file) => write!(f, "`{}` in {}", secrets::KEYS, file.display()),
            KeptKeys::File(_, file) => write!(f, "{}", file.display()),
            KeptKeys::Variable(name) => f.write_str(name),
        }
    }
}

impl KeptKeys {
    /// Where the keys of this configuration are kept, if it has any.
    pub(super) fn of(source: &Source<'_>, configuration: &Path) -> KeptKeys {
        let name = source.name();
        match source {
            Source::Keys(_) => KeptKeys::Configuration(configuration.to_owned()),
            Source::File(file) => KeptKeys::File(name, (*file).to_owned()),
            Source::FileVariable(file) => KeptKeys::File(name, file.clone()),
            Source::Variable(_) => KeptKeys::Variable(name),
        }
    }

    /// Puts a new key in the place of one, or a second one beside the only one. Whoever reads the file finds all of the one or all of
    /// the other, and nothing else in it changes. It takes its time: a disk may.
    pub(crate) fn regenerate(&self, place: KeyPlace, in_effect: &[ReadFile]) -> Result<Rewritten, KeysStay> {
        let (key, named) = match self {
            KeptKeys::Variable(name) => return Err(KeysStay::Variable(name)),
            KeptKeys::Configuration(file) => (secrets::KEYS, file),
            KeptKeys::File(key, file) => (*key, file),
        };
        let unreadable = |source| KeysStay::Unreadable { path: named.clone(), source };
        let before = KeptFile::read(named, in_effect).map_err(unreadable)?;
        let path = before.path.clone();
        let unfit = |why| KeysStay::Unfit { path: path.clone(), why };
        let spans = |text: &str| match self {
            KeptKeys::Configuration(_) => spans_in_configuration(text),
            KeptKeys::File(..) | KeptKeys::Variable(_) => Some(secrets::spans(text)),
        };
        let moved =
            || unfit(format!("`{key}` has no access keys there any more: have the gateway read it again first"));
        let found = spans(&before.text).filter(|spans| !spans.is_empty()).ok_or_else(moved)?;
        let after = match self {
            KeptKeys::Configuration(_) => with_key(&before.text, &found, place, as_toml),
            KeptKeys::File(..) | KeptKeys::Variable(_) => with_line(&before.text, &found, place),
        };
        let keys = match self {
            KeptKeys::Configuration(_) => texts_in_configuration(&after),
            KeptKeys::File(..) | KeptKeys::Variable(_) => secrets::split(&after),
        };
        let keys = secrets::one_or_two(key, &keys).map_err(|problem| unfit(problem.text))?;
        let unwritable = |source| KeysStay::Unwritable { path: path.clone(), source };
        Ok(Rewritten { keys, file: before.replace(after).map_err(unwritable)? })
    }
}

/// Where the access keys stand in a configuration, with their quotes.
fn spans_in_configuration(text: &str) -> Option<Vec<Range<usize>>> {
    keys_in_configuration(text, |span, _| span)
}

fn texts_in_configuration(text: &str) -> Vec<String> {
    keys_in_configuration(text, |_, key| key.to_owned()).unwrap_or_default()
}

fn keys_in_configuration<T>(text: &str, of: impl Fn(Range<usize>, &str) -> T) -> Option<Vec<T>> {
    let document = DeTable::parse(text).ok()?;
    let DeValue::Table(server) = document.get_ref().get("server")?.get_ref() else { return None };
    let DeValue::Array(keys) = server.get("access-keys")?.get_ref() else { return None };
    let keys = keys.iter().map(|key| match key.get_ref() {
        DeValue::String(text) => Some(of(key.span(), text)),
        _ => None,
    });
    keys.collect()
}

fn as_toml(key: &str) -> String {
    format!("\"{key}\"")
}

/// The text with a new key in the place of the one that stands there, or after the only one.
fn with_key(text: &str, found: &[Range<usize>], place: KeyPlace, written: fn(&str) -> String) -> String {
    let new = written(&secrets::random_secret());
    match found.get(place.index()) {
        Some(span) => format!("{}{new}{}", &text[..span.start], &text[span.end..]),
        None => {
            let end = found.last().map_or(text.len(), |last| last.end);
            format!("{}, {new}{}", &text[..end], &text[end..])
        }
    }
}

/// The same of a file of keys, where a second one has a line of its own.
fn with_line(text: &str, found: &[Range<usize>], place: KeyPlace) -> String {
    if place.index() < found.len() {
        return with_key(text, found, place, str::to_owned);
    }
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let begun = if text.ends_with('\n') { "" } else { line_end };
    format!("{text}{begun}{}{line_end}", secrets::random_secret())
}

/// The file of keys in a gateway's own folder, made at the first start for its owner alone. An empty one is an error.
pub(super) fn own_file(folder: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = folder.join("access-key");
    match File::options().write(true).create_new(true).mode(0o600).open(&file) {
        Ok(mut created) => created.write_all(secrets::random_secret().as_bytes())?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = RegularFile::read_text(&file, MAX_FILE_BYTES).map_err(io::Error::other)?;
            if text.trim().is_empty() {
                let why = format!("{} is empty: delete it, a new key is made then", file.display());
                return Err(io::Error::other(why));
            }
        }
        Err(error) => return Err(error),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// The text of a file after a key of it was made anew, with `NEW` for the new one.
    fn after(text: &str, place: KeyPlace, kept: fn(PathBuf) -> KeptKeys) -> String {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("file");
        fs::write(&file, text).expect("the folder is ours");
        let rewritten = kept(file.clone()).regenerate(place, &[]).expect("it can be written");
        let new = rewritten.keys[place.index()].expose().to_owned();
        let after = fs::read_to_string(&file).expect("it is text");
        assert_eq!((after.matches(&new).count(), new.len()), (1, 64), "{after}");
        let shown = format!("{rewritten:?}");
        assert!(![&new, A, B].into_iter().any(|key| shown.contains(key)), "keys are secrets: {shown}");
        rewritten.file.undo().expect("nobody else has changed it");
        assert_eq!(fs::read_to_string(&file).expect("it is text"), text);
        assert_eq!(fs::read_dir(folder.path()).expect("it is a folder").count(), 1, "nothing else is left");
        after.replace(&new, "NEW")
    }

    #[test]
    fn nothing_but_the_key_changes_in_a_configuration() {
        for (before, primary, secondary) in [
            (
                "server.access-keys=['A']  # own\r\n",
                "server.access-keys=[\"NEW\"]  # own\r\n",
                "server.access-keys=['A', \"NEW\"]  # own\r\n",
            ),
            (
                "# first\n[server]\naccess-keys = [\n  \"A\", # who signs\n  'B',\n]\nlog = \"A\"\n",
                "# first\n[server]\naccess-keys = [\n  \"NEW\", # who signs\n  'B',\n]\nlog = \"A\"\n",
                "# first\n[server]\naccess-keys = [\n  \"A\", # who signs\n  \"NEW\",\n]\nlog = \"A\"\n",
            ),
            (
                "server = { shards = 1, access-keys = [\"A\",\n] }",
                "server = { shards = 1, access-keys = [\"NEW\",\n] }",
                "server = { shards = 1, access-keys = [\"A\", \"NEW\",\n] }",
            ),
        ] {
            let [before, primary, secondary] =
                [before, primary, secondary].map(|text| text.replace('A', A).replace('B', B));
            assert_eq!(after(&before, KeyPlace::Primary, KeptKeys::Configuration), primary);
            assert_eq!(after(&before, KeyPlace::Secondary, KeptKeys::Configuration), secondary);
        }
    }

    #[test]
    fn nothing_but_the_key_changes_in_a_file_of_keys() {
        for (before, primary, secondary) in [
            ("A", "NEW", "A\nNEW\n"),
            ("\u{feff}# A, B\r\n A \r\n", "\u{feff}# A, B\r\n NEW \r\n", "\u{feff}# A, B\r\n A \r\nNEW\r\n"),
            ("A , B\n\n# end", "NEW , B\n\n# end", "A , NEW\n\n# end"),
            ("A\n# the next\nB", "NEW\n# the next\nB", "A\n# the next\nNEW"),
        ] {
            let [before, primary, secondary] =
                [before, primary, secondary].map(|text| text.replace('A', A).replace('B', B));
            let kept = |file| KeptKeys::File("server.access-keys-file", file);
            assert_eq!(after(&before, KeyPlace::Primary, kept), primary);
            assert_eq!(after(&before, KeyPlace::Secondary, kept), secondary);
        }
    }

    #[test]
    fn the_file_that_a_link_leads_to_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        fs::write(&file, A).expect("the folder is ours");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("it is ours");
        symlink("file", &link).expect("the folder is ours");
        let kept = KeptKeys::File("server.access-keys-file", link.clone());
        kept.regenerate(KeyPlace::Primary, &[]).expect("it can be written");
        assert!(link.is_symlink() && !fs::read_to_string(&file).expect("it is text").contains(A));
        assert_eq!(fs::metadata(&file).expect("it is there").mode() & 0o7777, 0o640);
    }

    #[test]
    fn keys_that_are_no_longer_there_or_cannot_be_written_stay() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("file");
        for (text, why) in
            [("[server]\nshards = 1", "has no access keys there"), ("[server", "has no access keys there")]
        {
            fs::write(&file, text).expect("the folder is ours");
            let stay = KeptKeys::Configuration(file.clone()).regenerate(KeyPlace::Primary, &[]).expect_err("no keys");
            assert!(stay.to_string().contains(why), "{stay}");
        }
        fs::write(&file, "short").expect("the folder is ours");
        let kept = KeptKeys::File("server.access-keys-file", file.clone());
        let stay = kept.regenerate(KeyPlace::Secondary, &[]).expect_err("the other one cannot be one");
        assert!(stay.to_string().contains("at least"), "{stay}");
        fs::write(&file, A).expect("the folder is ours");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o400)).expect("it is ours");
        let stay = kept.regenerate(KeyPlace::Primary, &[]).expect_err("read-only").to_string();
        assert!(stay.contains("cannot be written") && stay.contains("server.access-keys-file"), "{stay}");
        assert_eq!(fs::read_to_string(&file).expect("it is text"), A);
    }
}
