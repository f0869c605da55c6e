//! The certificate of the clients' listener.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use hubgate_net::{Tls, TlsError};
use hubgate_plugin_host::RegularFile;

use super::{ConfigError, problem, schema};

/// The largest file of certificates or of a key, in bytes.
const MAX_PEM_BYTES: usize = 1 << 20;

/// The files of a certificate and its key, and what they hold.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) tls: Tls,
    /// Another one when the content of a file is.
    pub(crate) version: u64,
}

pub(super) fn files(entry: &schema::Tls, folder: &Path) -> Result<TlsFiles, ConfigError> {
    let (certificate, key) = (folder.join(&entry.certificate), folder.join(&entry.key));
    let certificates = read("server.tls.certificate", &certificate)?;
    let secret = read("server.tls.key", &key)?;
    let tls = Tls::new(&certificates, &secret).map_err(|error| match error.is_of_key() {
        true => wrong("server.tls.key", &key, &error),
        false => wrong("server.tls.certificate", &certificate, &error),
    })?;
    let mut hasher = DefaultHasher::new();
    (certificates, secret).hash(&mut hasher);
    Ok(TlsFiles { certificate, key, tls, version: hasher.finish() })
}

fn wrong(name: &str, file: &Path, error: &TlsError) -> ConfigError {
    problem(name, format!("{} {error}", file.display()))
}

fn read(name: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    let read = RegularFile::read(file, MAX_PEM_BYTES);
    read.map(|file| file.bytes).map_err(|error| problem(name, format!("cannot read {}: {error}", file.display())))
}
