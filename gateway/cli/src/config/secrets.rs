//! Access keys and the admin token: from the configuration, a file, or the environment.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use hubgate_plugin_host::RegularFile;
use hubgate_wire::token::AccessKey;

use super::{ConfigError, problem, schema};

/// The largest file of keys or of a token, in bytes.
const MAX_SECRET_FILE_BYTES: usize = 64 << 10;
const KEYS_VARIABLE: &str = "HUBGATE_ACCESS_KEYS";
const KEYS_FILE_VARIABLE: &str = "HUBGATE_ACCESS_KEYS_FILE";

/// One or two keys: from `server.access-keys`, else the file, else the environment.
pub(super) fn access_keys(server: &schema::Server, folder: &Path) -> Result<Vec<AccessKey>, ConfigError> {
    if !server.access_keys.0.is_empty() {
        one_or_two("server.access-keys", &server.access_keys.0)
    } else if let Some(file) = &server.access_keys_file {
        keys_in("server.access-keys-file", &folder.join(file))
    } else if let Ok(keys) = std::env::var(KEYS_VARIABLE) {
        one_or_two(KEYS_VARIABLE, &split(&keys)).map_err(ConfigError::outside_file)
    } else if let Some(file) = std::env::var_os(KEYS_FILE_VARIABLE) {
        keys_in(KEYS_FILE_VARIABLE, Path::new(&file)).map_err(ConfigError::outside_file)
    } else {
        let missing =
            format!("set one or two keys, or server.access-keys-file, {KEYS_VARIABLE} or {KEYS_FILE_VARIABLE}");
        Err(problem("server.access-keys", missing))
    }
}

fn one_or_two(source: &str, keys: &[String]) -> Result<Vec<AccessKey>, ConfigError> {
    if !matches!(keys.len(), 1 | 2) {
        return Err(problem(source, format!("holds {} keys: one or two are needed", keys.len())));
    }
    keys.iter().map(|key| access_key(key).map_err(|why| problem(source, why))).collect()
}

/// The fewest bytes of a key: HS256 needs as many as its hash has (RFC 7518, section 3.2).
const SHORTEST_KEY: usize = 32;

/// A key that can be one. What is wrong is told without a part of it.
fn access_key(key: &str) -> Result<AccessKey, String> {
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
            let make = "`openssl rand -base64 48` makes a good one";
            Err(format!("holds a key of {length} bytes: it must have at least {SHORTEST_KEY}; {make}"))
        }
        _ => Ok(AccessKey::new(key)),
    }
}

fn keys_in(source: &str, file: &Path) -> Result<Vec<AccessKey>, ConfigError> {
    one_or_two(source, &split(&secret_in(source, file)?))
}

fn secret_in(key: &str, file: &Path) -> Result<String, ConfigError> {
    let text = RegularFile::read_text(file, MAX_SECRET_FILE_BYTES)
        .map_err(|error| problem(key, format!("cannot read {}: {error}", file.display())))?;
    // Some editors mark UTF-8 so.
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// Keys stand on lines of their own, or with commas between them. A line that begins with `#` is a comment.
fn split(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// The token in the file, or a random one.
pub(super) fn admin_token(file: Option<&Path>, folder: &Path) -> Result<String, ConfigError> {
    let Some(file) = file else {
        return Ok(random_secret());
    };
    let file = folder.join(file);
    match secret_in("admin.token-file", &file)?.trim() {
        "" => Err(problem("admin.token-file", format!("{} is empty", file.display()))),
        token => Ok(token.to_owned()),
    }
}

/// The access key kept in `folder`; made at the first start, readable by its owner alone.
pub(super) fn access_key_in(folder: &Path) -> io::Result<AccessKey> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = folder.join("access-key");
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        Ok(mut created) => {
            let key = random_secret();
            created.write_all(key.as_bytes())?;
            Ok(AccessKey::new(&key))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let key = RegularFile::read_text(&file, MAX_SECRET_FILE_BYTES).map_err(io::Error::other)?;
            match key.trim() {
                "" => Err(io::Error::other(format!("{} is empty: delete it, a new key is made then", file.display()))),
                key => Ok(AccessKey::new(key)),
            }
        }
        Err(error) => Err(error),
    }
}

/// 256 random bits as text.
fn random_secret() -> String {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the operating system has random bytes");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
