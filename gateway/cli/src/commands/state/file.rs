//! A file of what plugins keep: lines of JSON. The first says what it is, the last how many values there are, so that one that was cut
//! off is not taken for a whole one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hubgate_core::id::PluginName;
use hubgate_plugin_host::KeptValue;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// The only version so far.
const VERSION: u32 = 1;
/// The longest line, in bytes: a value of 1 MiB in base64, a key of 1 KiB and a plugin's name, all of it escaped.
const LONGEST_LINE: usize = 2 << 20;

/// A value, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) plugin: PluginName,
    pub(super) kept: KeptValue,
}

/// What a line says.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    First {
        #[serde(rename = "hubgateState")]
        version: u32,
    },
    Value {
        plugin: String,
        key: String,
        /// In base64.
        value: String,
        /// In milliseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<u64>,
    },
    Last {
        values: usize,
    },
}

/// A file that is being written. Before it is finished, nothing is in its place.
pub(super) struct StateFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    values: usize,
}

/// A file that is being read.
pub(super) struct Reader {
    source: BufReader<File>,
    line: usize,
    values: usize,
    is_over: bool,
}

impl StateFile {
    /// For this user alone: there may be secrets in it.
    pub(super) fn create(path: &Path) -> io::Result<StateFile> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".hubgate-").tempfile_in(folder)?;
        let mut file = StateFile { path: path.to_owned(), file: BufWriter::new(file), values: 0 };
        file.put(&Line::First { version: VERSION })?;
        Ok(file)
    }

    pub(super) fn write(&mut self, Value { plugin, kept }: &Value) -> io::Result<()> {
        self.values += 1;
        self.put(&Line::Value {
            plugin: plugin.as_str().to_owned(),
            key: kept.key.clone(),
            value: BASE64_STANDARD.encode(&kept.value),
            expires: kept.expires,
        })
    }

    /// Puts the file into its place, when the disk has it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.put(&Line::Last { values: self.values })?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn put(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Reader> {
        let mut reader = Reader { source: BufReader::new(File::open(path)?), line: 0, values: 0, is_over: false };
        match reader.line()? {
            Some(Line::First { version: VERSION }) => Ok(reader),
            Some(Line::First { version }) => bail!("a later version of Hubgate has written it (version {version})"),
            _ => bail!("`hubgate state export` has not written it"),
        }
    }

    /// The next value; none after the last one, if the file is whole.
    pub(super) fn next(&mut self) -> Result<Option<Value>> {
        if self.is_over {
            return Ok(None);
        }
        let line = self.line()?;
        let number = self.line;
        let here = || format!("line {number}");
        match line {
            Some(Line::Value { plugin, key, value, expires }) => {
                self.values += 1;
                let value = BASE64_STANDARD.decode(value).with_context(here)?;
                let kept = KeptValue { key, value, expires };
                Ok(Some(Value { plugin: PluginName::new(plugin), kept }))
            }
            Some(Line::Last { values }) if values == self.values && self.line()?.is_none() => {
                self.is_over = true;
                Ok(None)
            }
            Some(Line::First { .. } | Line::Last { .. }) => {
                Err(anyhow!("what is there does not belong there").context(here()))
            }
            None => bail!("it is not whole: it ends after line {}", number - 1),
        }
    }

    /// The next line; none after the last one.
    fn line(&mut self) -> Result<Option<Line>> {
        let mut text = Vec::new();
        (&mut self.source).take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut text)?;
        self.line += 1;
        match text.len() {
            0 => Ok(None),
            length if length > LONGEST_LINE => bail!("line {} is longer than any of such a file", self.line),
            // What is wrong with it may have a secret in it.
            _ => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|_| anyhow!("line {} is none of such a file", self.line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn value(key: &str, bytes: &[u8], expires: Option<u64>) -> Value {
        let kept = KeptValue { key: key.to_owned(), value: bytes.to_owned(), expires };
        Value { plugin: PluginName::new("p \"1\""), kept }
    }

    fn written(path: &Path, values: &[Value]) -> Vec<u8> {
        let mut file = StateFile::create(path).expect("there is room");
        values.iter().for_each(|value| file.write(value).expect("there is room"));
        assert!(!path.exists() || values.is_empty(), "it is not whole yet");
        file.finish().expect("there is room");
        fs::read(path).expect("it is there")
    }

    fn read(path: &Path) -> Result<Vec<Value>> {
        let mut reader = Reader::open(path)?;
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    #[test]
    fn what_is_written_is_read_and_of_this_user_alone() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("state");
        let long = "\u{1}".repeat(1_024);
        let values =
            [value("", b"", None), value("ä\n", &[0, 255], Some(u64::MAX)), value(&long, &vec![7; 1 << 20], Some(0))];
        written(&path, &values);
        assert_eq!(read(&path).expect("it is whole"), values);
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        written(&path, &[]);
        assert_eq!(read(&path).expect("it is whole"), []);
    }

    #[test]
    fn what_is_not_whole_or_something_else_is_refused_with_the_line_and_not_with_what_is_in_it() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("state");
        let whole = written(&path, &[value("a", b"1", None), value("b", b"2", None)]);
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("there is room");
            format!("{:#}", read(&path).expect_err("it is refused"))
        };
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 4);
        for length in 1..whole.len() - 1 {
            refused(&whole[..length]);
        }
        assert!(refused(&lines[..3].concat()).contains("it is not whole"));
        assert!(refused(&[lines[0], lines[1], lines[3]].concat()).contains("line 3"));
        assert!(refused(&[lines[0], lines[1], lines[0]].concat()).contains("line 3"));
        assert!(refused(&[&whole[..], lines[1]].concat()).contains("line"));
        assert!(refused(b"").contains("hubgate state export"));
        assert!(refused(b"{\"hubgateState\":2}\n").contains("later version"));
        let secret = refused(&[lines[0], &b"{\"plugin\":\"p\",\"key\":\"k\",\"value\":\"hunter2!\"}\n"[..]].concat());
        assert!(secret.contains("line 2") && !secret.contains("hunter2"), "{secret}");
        let long = [lines[0], "x".repeat(LONGEST_LINE + 1).as_bytes()].concat();
        assert!(refused(&long).contains("longer"));
    }
}
