//! Access keys and the admin token: from the configuration, a file, or the environment.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hubgate_plugin_host::RegularFile;
use hubgate_wire::token::AccessKey;

use super::Warning;
use super::origins::Origins;
use super::problem::{Problem, Problems};
use super::schema;

/// The largest file of keys or of a token, in bytes.
const MAX_SECRET_FILE_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: char = '\u{feff}';
/// The key of the configuration that has them.
pub(super) const KEYS: &str = "server.access-keys";
const KEYS_VARIABLE: &str = "HUBGATE_ACCESS_KEYS";
const KEYS_FILE_VARIABLE: &str = "HUBGATE_ACCESS_KEYS_FILE";

/// Where access keys are given, the first one first.
pub(super) fn sources(server: &schema::Server) -> Vec<Source<'_>> {
    let keys = &server.access_keys.0;
    let sources = [
        (!keys.is_empty()).then_some(Source::Keys(keys)),
        server.access_keys_file.as_deref().map(Source::File),
        std::env::var(KEYS_VARIABLE).ok().map(Source::Variable),
        std::env::var_os(KEYS_FILE_VARIABLE).map(|file| Source::FileVariable(file.into())),
    ];
    sources.into_iter().flatten().collect()
}

/// A place where access keys are given.
pub(super) enum Source<'a> {
    Keys(&'a [String]),
    File(&'a Path),
    Variable(String),
    FileVariable(PathBuf),
}

impl Source<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Source::Keys(_) => KEYS,
            Source::File(_) => "server.access-keys-file",
            Source::Variable(_) => KEYS_VARIABLE,
            Source::FileVariable(_) => KEYS_FILE_VARIABLE,
        }
    }

    fn is_of_the_environment(&self) -> bool {
        matches!(self, Source::Variable(_) | Source::FileVariable(_))
    }

    fn read(&self) -> Result<Vec<AccessKey>, Problem> {
        match self {
            Source::Keys(keys) => one_or_two(self.name(), keys),
            Source::File(file) => keys_in(self.name(), file),
            Source::Variable(keys) => one_or_two(self.name(), &split(keys)),
            Source::FileVariable(file) => keys_in(self.name(), file),
        }
    }
}

/// Variables of the environment whose keys are not taken: those of the configuration come first, as service units set variables that a
/// configuration need not heed.
pub(super) fn unused(server: &schema::Server) -> Vec<Warning> {
    let sources = sources(server);
    let Some(first) = sources.first().filter(|first| !first.is_of_the_environment()) else { return Vec::new() };
    let variables = sources.iter().filter(|source| source.is_of_the_environment());
    let warning = |source: &Source<'_>| Warning {
        key: source.name().to_owned(),
        text: format!("its access keys are not used: `{}` comes first", first.name()),
    };
    variables.map(warning).collect()
}

/// The file that access keys are read from, if they are.
pub(super) fn keys_file(server: &schema::Server) -> Option<PathBuf> {
    match sources(server).into_iter().next()? {
        Source::File(file) => Some(file.to_owned()),
        Source::FileVariable(file) => Some(file),
        Source::Keys(_) | Source::Variable(_) => None,
    }
}

/// One or two keys, from the configuration or else from the environment; each of them has one source at most.
pub(super) fn access_keys(server: &schema::Server, origins: &mut Origins, problems: &mut Problems) -> Vec<AccessKey> {
    let sources = sources(server);
    let Some(first) = sources.first() else {
        let missing =
            format!("set one or two keys, or server.access-keys-file, {KEYS_VARIABLE} or {KEYS_FILE_VARIABLE}");
        problems.push(KEYS, missing);
        return Vec::new();
    };
    let source = first.name();
    let is_beside = |other: &&Source<'_>| other.is_of_the_environment() == first.is_of_the_environment();
    if let Some(other) = sources[1..].iter().find(is_beside) {
        let both = format!("is set, and {source} is set too: keep one of them, with one or two keys");
        problems.push(other.name(), both);
    }
    let keys = problems.take(first.read()).unwrap_or_default();
    if first.is_of_the_environment() {
        origins.is_given_by(KEYS, source);
    }
    keys
}

pub(super) fn one_or_two(source: &str, keys: &[String]) -> Result<Vec<AccessKey>, Problem> {
    if !matches!(keys.len(), 1 | 2) {
        return Err(Problem::new(source, format!("holds {} keys: one or two are needed", keys.len())));
    }
    if let [one, other] = keys
        && one == other
    {
        return Err(Problem::new(
            source,
            "holds the same key twice: one is enough, or another one is needed".to_owned(),
        ));
    }
    keys.iter().map(|key| access_key(key).map_err(|why| Problem::new(source, why))).collect()
}

const MAKES_A_GOOD_ONE: &str = "`openssl rand -base64 48` makes a good one";

/// The fewest bytes of a key: HS256 needs as many as its hash has (RFC 7518, section 3.2).
pub(super) const SHORTEST_KEY: usize = 32;

/// A key that can be one. What is wrong is told without a part of it.
pub(crate) fn access_key(key: &str) -> Result<AccessKey, String> {
    let is_connection_string = key.contains(';') || key.to_ascii_lowercase().contains("accesskey=");
    if is_connection_string {
        return Err("holds a connection string: keep what follows `AccessKey=` in it, up to the next `;`".to_owned());
    }
    if key.starts_with(['"', '\'']) || key.ends_with(['"', '\'']) {
        return Err("holds a key in quotes, which would be a part of it: leave them out".to_owned());
    }
    if key.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Err(
            "holds a key with blanks or control characters in it: one key a line, or commas between them".to_owned()
        );
    }
    match key.len() {
        length if length < SHORTEST_KEY => {
            Err(format!("holds a key of {length} bytes: it must have at least {SHORTEST_KEY}; {MAKES_A_GOOD_ONE}"))
        }
        _ => Ok(AccessKey::new(key)),
    }
}

fn keys_in(source: &str, file: &Path) -> Result<Vec<AccessKey>, Problem> {
    one_or_two(source, &split(&secret_in(source, file)?))
}

pub(super) fn secret_in(key: &str, file: &Path) -> Result<String, Problem> {
    let text = RegularFile::read_text(file, MAX_SECRET_FILE_BYTES)
        .map_err(|error| Problem::new(key, format!("cannot read {}: {error}", file.display())))?;
    // Some editors mark UTF-8 so.
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map_or(text.clone(), str::to_owned))
}

/// The secret that a file holds, and nothing else; blanks around it are no part of it.
pub(super) fn only_secret_in(key: &str, file: &Path) -> Result<String, Problem> {
    match secret_in(key, file)?.trim() {
        "" => Err(Problem::new(key, format!("{} is empty", file.display()))),
        secret => Ok(secret.to_owned()),
    }
}

pub(super) fn split(text: &str) -> Vec<String> {
    spans(text).into_iter().map(|span| text[span].to_owned()).collect()
}

/// Where keys stand in a text: on lines of their own, or with commas between them. A line that begins with `#` is a comment.
pub(super) fn spans(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    // Some editors mark UTF-8 so.
    let mut at = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    for line in text[at..].split_inclusive('\n') {
        let mut start = at;
        at += line.len();
        if line.trim_start().starts_with('#') {
            continue;
        }
        for part in line.split(',') {
            let key = part.trim();
            let begin = start + part.len() - part.trim_start().len();
            start += part.len() + 1;
            if !key.is_empty() {
                spans.push(begin..begin + key.len());
            }
        }
    }
    spans
}

/// The fewest bytes of an admin token: 64 random bits in hexadecimal digits, and some more in base64.
const SHORTEST_TOKEN: usize = 16;

/// What opens the admin listener.
pub(super) struct AdminTokens {
    /// That in the file, or a random one.
    pub(super) admin: String,
    pub(super) read: Option<String>,
}

/// The tokens of the admin listener, which are two where there are two.
pub(super) fn admin_tokens(admin: &schema::Admin, problems: &mut Problems) -> AdminTokens {
    const READ: &str = "admin.read-token-file";
    let token = admin.token_file.as_deref().map_or(Ok(random_secret()), |file| token_in("admin.token-file", file));
    let token = problems.take(token).unwrap_or_default();
    let read = admin.read_token_file.as_deref().and_then(|file| problems.take(token_in(READ, file)));
    if read.as_ref().is_some_and(|read| *read == token) {
        problems.push(READ, "has the admin token: whoever may only read needs another one");
    }
    AdminTokens { admin: token, read }
}

fn token_in(key: &'static str, file: &Path) -> Result<String, Problem> {
    let token = only_secret_in(key, file)?;
    match token.len() {
        length if length < SHORTEST_TOKEN => {
            let why = format!("holds a token of {length} bytes: it must have at least {SHORTEST_TOKEN}");
            Err(Problem::new(key, format!("{} {why}; {MAKES_A_GOOD_ONE}", file.display())))
        }
        _ => Ok(token),
    }
}

/// 256 random bits as text.
pub(super) fn random_secret() -> String {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the operating system has random bytes");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
