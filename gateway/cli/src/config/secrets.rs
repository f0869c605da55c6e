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
    let (source, keys) = if !server.access_keys.0.is_empty() {
        ("server.access-keys", server.access_keys.0.clone())
    } else if let Some(file) = &server.access_keys_file {
        ("server.access-keys-file", keys_in("server.access-keys-file", &folder.join(file))?)
    } else if let Ok(keys) = std::env::var(KEYS_VARIABLE) {
        (KEYS_VARIABLE, split(&keys))
    } else if let Some(file) = std::env::var_os(KEYS_FILE_VARIABLE) {
        (KEYS_FILE_VARIABLE, keys_in(KEYS_FILE_VARIABLE, Path::new(&file))?)
    } else {
        let missing =
            format!("set one or two keys, or server.access-keys-file, {KEYS_VARIABLE} or {KEYS_FILE_VARIABLE}");
        return Err(problem("server.access-keys", missing));
    };
    match keys.as_slice() {
        [_] | [_, _] if keys.iter().all(|key| !key.is_empty()) => {
            Ok(keys.iter().map(|key| AccessKey::new(key)).collect())
        }
        _ => Err(problem(source, "must hold one or two keys")),
    }
}

fn keys_in(key: &str, file: &Path) -> Result<Vec<String>, ConfigError> {
    Ok(split(&secret_in(key, file)?))
}

fn secret_in(key: &str, file: &Path) -> Result<String, ConfigError> {
    RegularFile::read_text(file, MAX_SECRET_FILE_BYTES)
        .map_err(|error| problem(key, format!("cannot read {}: {error}", file.display())))
}

/// Keys stand on lines of their own, or behind commas.
fn split(text: &str) -> Vec<String> {
    text.split([',', '\n']).map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
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
pub(crate) fn access_key_in(folder: &Path) -> io::Result<AccessKey> {
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
pub(crate) fn random_secret() -> String {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the operating system has random bytes");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
