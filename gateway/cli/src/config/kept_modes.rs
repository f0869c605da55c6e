//! A hub's mode in the configuration file, as operators change it while the gateway runs.

use std::io;
use std::path::{Path, PathBuf};

use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;
use hubgate_plugin_host::FileError;
use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, TableLike, value};

use super::kept_file::{KeptFile, RewrittenFile};
use super::read_file::ReadFile;

/// Why a hub's mode stays in the file, and what to do instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModeStays {
    #[error("the configuration {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: FileError },
    #[error("the configuration {} is not TOML: {why}", path.display())]
    NotToml { path: PathBuf, why: String },
    #[error("the configuration {} has no table `{key}`, but something else there", path.display())]
    NoTable { path: PathBuf, key: String },
    #[error(
        "the configuration {} cannot be written: {source}. Set `{key} = \"{mode}\"` there by hand, or where the file comes from",
        path.display()
    )]
    Unwritable { path: PathBuf, source: io::Error, key: String, mode: &'static str },
}

/// The path of the key with a hub's own mode, as TOML has it.
pub(crate) fn key(hub: &HubName) -> String {
    mode_in(&entry(hub.as_str()))
}

/// The path of the table with this name, quoted where it must be.
fn entry(name: &str) -> String {
    format!("hubs.{}", Key::new(name))
}

fn mode_in(entry: &str) -> String {
    format!("{entry}.mode")
}

/// Writes the mode of a hub into a configuration; nothing is written where it stands there already. It takes its time: a disk may.
pub(crate) fn write(
    file: &Path,
    in_effect: &[ReadFile],
    hub: &HubName,
    mode: Mode,
) -> Result<Option<RewrittenFile>, ModeStays> {
    let Edited { before, after, key } = edit(file, in_effect, hub, mode)?;
    if before.text == after {
        return Ok(None);
    }
    let path = before.path.clone();
    let rewritten = before.replace(after);
    rewritten.map(Some).map_err(|source| ModeStays::Unwritable { path, source, key, mode: mode.name() })
}

/// Says why the same could not be written; it changes nothing.
pub(crate) fn check(file: &Path, in_effect: &[ReadFile], hub: &HubName, mode: Mode) -> Result<(), ModeStays> {
    let Edited { before, after, key } = edit(file, in_effect, hub, mode)?;
    if before.text == after {
        return Ok(());
    }
    let unwritable = |source| ModeStays::Unwritable { path: before.path.clone(), source, key, mode: mode.name() };
    before.check().map_err(unwritable)
}

/// A configuration as it is and as it is to be.
struct Edited {
    before: KeptFile,
    after: String,
    /// The path of what differs.
    key: String,
}

fn edit(file: &Path, in_effect: &[ReadFile], hub: &HubName, mode: Mode) -> Result<Edited, ModeStays> {
    let before = KeptFile::read(file, in_effect);
    let before = before.map_err(|source| ModeStays::Unreadable { path: file.to_owned(), source })?;
    let path = || before.path.clone();
    let mut document: DocumentMut = before
        .text
        .parse()
        .map_err(|error: toml_edit::TomlError| ModeStays::NotToml { path: path(), why: error.message().to_owned() })?;
    let key = set_mode(document.as_table_mut(), hub, mode);
    let key = key.map_err(|key| ModeStays::NoTable { path: path(), key })?;
    let after = with_line_ends_of(&before.text, document.to_string());
    Ok(Edited { before, after, key })
}

/// Sets the mode of a hub, however its entry is spelled; gives the path of the key, or that of what should be a table and is none.
fn set_mode(file: &mut Table, hub: &HubName, mode: Mode) -> Result<String, String> {
    let hubs = file.entry("hubs").or_insert_with(|| {
        let mut hubs = Table::new();
        hubs.set_implicit(true);
        Item::Table(hubs)
    });
    let is_inline = hubs.is_inline_table();
    let hubs = hubs.as_table_like_mut().ok_or("hubs")?;
    let is_hub = |name: &str| HubName::parse(name).is_ok_and(|name| name == *hub);
    let name = hubs.iter().map(|(name, _)| name).find(|name| is_hub(name)).unwrap_or(hub.as_str()).to_owned();
    if !hubs.contains_key(&name) {
        let new = if is_inline { value(InlineTable::new()) } else { Item::Table(Table::new()) };
        hubs.insert(&name, new);
    }
    let own = hubs.get_mut(&name).and_then(Item::as_table_like_mut).ok_or_else(|| entry(&name))?;
    put(own, mode.name());
    Ok(mode_in(&entry(&name)))
}

/// In the place of the mode that stands there, with what stands around it.
fn put(hub: &mut dyn TableLike, mode: &str) {
    match hub.get_mut("mode").and_then(Item::as_value_mut) {
        Some(present) if present.as_str() == Some(mode) => {}
        Some(present) => {
            let decor = present.decor().clone();
            *present = mode.into();
            *present.decor_mut() = decor;
        }
        None => drop(hub.insert("mode", value(mode))),
    }
}

/// The editor of TOML ends each line by itself.
fn with_line_ends_of(before: &str, after: String) -> String {
    match before.contains("\r\n") {
        true => after.replace("\r\n", "\n").replace('\n', "\r\n"),
        false => after,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The text after the mode of `chat` was set.
    fn after(text: &str) -> String {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("hubgate.toml");
        fs::write(&file, text).expect("the folder is ours");
        let hub = HubName::parse("chat").expect("a name");
        check(&file, &[], &hub, Mode::Default).expect("it can be written");
        assert_eq!(fs::read_to_string(&file).expect("it is text"), text, "to check changes nothing");
        let rewritten = write(&file, &[], &hub, Mode::Default).expect("it can be written");
        let after = fs::read_to_string(&file).expect("it is text");
        if let Some(rewritten) = rewritten {
            rewritten.undo().expect("nobody else has changed it");
            assert_eq!(fs::read_to_string(&file).expect("it is text"), text);
        }
        after
    }

    #[test]
    fn nothing_but_the_mode_changes() {
        for (before, expected) in [
            (
                "# ours\n[hubs.chat]\nmode = 'serverless' # for now\nfilters = []\n\n[admin]\n",
                "# ours\n[hubs.chat]\nmode = \"default\" # for now\nfilters = []\n\n[admin]\n",
            ),
            ("hubs.Chat.mode='classic'\r\n[admin]\r\n", "hubs.Chat.mode=\"default\"\r\n[admin]\r\n"),
            ("hubs = { chat = { mode = 'serverless' } } # all\n", "hubs = { chat = { mode = \"default\" } } # all\n"),
            ("[hubs.chat]\nmode = \"default\"\n", "[hubs.chat]\nmode = \"default\"\n"),
        ] {
            assert_eq!(after(before), expected);
        }
    }

    #[test]
    fn a_hub_that_has_no_mode_gets_one_and_all_else_stays() {
        for before in [
            "",
            "# nothing yet\n",
            "[hubs.chat] # ours\nfilters = ['a']\n\n# next\n[admin]\nhosts = []\n",
            "[hubs.\"*\"]\nmode = 'serverless'\n[admin]\n",
            "[hubs]\nother = { mode = 'classic' }\n[server]\nshards = 1\n",
            "hubs.other.mode = 'classic'\n",
        ] {
            let text = after(before);
            let mut now: toml::Table = text.parse().expect("it is TOML");
            let chat = now["hubs"]["chat"].as_table_mut().expect("a table");
            assert_eq!(chat.remove("mode").as_ref().and_then(toml::Value::as_str), Some("default"), "{text}");
            let was: toml::Table = before.parse().expect("it is TOML");
            match was.get("hubs").and_then(|hubs| hubs.get("chat")) {
                Some(chat) => assert_eq!(&now["hubs"]["chat"], chat),
                None => assert!(now["hubs"]["chat"].as_table().is_some_and(toml::Table::is_empty), "{text}"),
            }
            for line in before.lines() {
                assert!(text.contains(line), "{line} of {text}");
            }
        }
        let inline = after("hubs = { other = { mode = 'classic' } }\n");
        assert!(inline.parse::<toml::Table>().expect("it is TOML")["hubs"]["chat"]["mode"].is_str(), "{inline}");
    }

    #[test]
    fn what_cannot_have_a_mode_is_named() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("hubgate.toml");
        for (hub, text, named) in [
            ("chat", "hubs = 1", "`hubs`"),
            ("chat", "[hubs]\nchat = 'x'", "`hubs.chat`"),
            ("my.chat", "[hubs]\n'my.chat' = 'x'", "`hubs.\"my.chat\"`"),
            ("chat", "[hubs", "is not TOML"),
        ] {
            fs::write(&file, text).expect("the folder is ours");
            let hub = HubName::parse(hub).expect("a name");
            let stays = write(&file, &[], &hub, Mode::Default).expect_err("it has no place for it").to_string();
            assert!(stays.contains(named) && stays.contains("hubgate.toml"), "{stays}");
            assert_eq!(fs::read_to_string(&file).expect("it is text"), text);
        }
    }
    #[test]
    fn the_key_of_a_mode_is_the_hubs_own_as_toml_has_it() {
        for (hub, expected) in [("Chat_1", "hubs.chat_1.mode"), ("my.chat", "hubs.\"my.chat\".mode")] {
            assert_eq!(key(&HubName::parse(hub).expect("a name")), expected);
        }
    }
}
