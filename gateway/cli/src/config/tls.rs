//! The certificate of the clients' listener.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use hubgate_net::{Tls, TlsError};
use hubgate_plugin_host::RegularFile;

use super::problem::{Problem, Problems};
use super::schema;

/// The largest file of certificates or of a key, in bytes.
const MAX_PEM_BYTES: usize = 1 << 20;

const CERTIFICATE: &str = "server.tls.certificate";
const KEY: &str = "server.tls.key";

/// What the files of a certificate and its key hold.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) tls: Tls,
    /// Another one when the content of a file is.
    pub(crate) version: u64,
}

/// None without TLS, or where it cannot be had.
pub(super) fn files(entry: &schema::Tls, problems: &mut Problems) -> Option<TlsFiles> {
    match (&entry.certificate, &entry.key) {
        (None, None) => None,
        // They are refused together.
        _ if entry.acme.is_some() => None,
        (Some(certificate), Some(key)) => problems.take(read_files(certificate, key)),
        (Some(_), None) => {
            problems.push(KEY, "must name the key's file, as `certificate` names one");
            None
        }
        (None, Some(_)) => {
            problems.push(CERTIFICATE, "must name the certificate's file, as `key` names one");
            None
        }
    }
}

fn read_files(certificate: &Path, key: &Path) -> Result<TlsFiles, Problem> {
    let certificates = read(CERTIFICATE, certificate)?;
    let secret = read(KEY, key)?;
    let wrong = |name, file: &Path, error: &TlsError| Problem::new(name, format!("{} {error}", file.display()));
    let tls = Tls::new(&certificates, &secret).map_err(|error| match error.is_of_key() {
        true => wrong(KEY, key, &error),
        false => wrong(CERTIFICATE, certificate, &error),
    })?;
    let mut hasher = DefaultHasher::new();
    (certificates, secret).hash(&mut hasher);
    Ok(TlsFiles { tls, version: hasher.finish() })
}

pub(super) fn read(name: &str, file: &Path) -> Result<Vec<u8>, Problem> {
    let read = RegularFile::read(file, MAX_PEM_BYTES);
    read.map(|file| file.bytes).map_err(|error| Problem::new(name, format!("cannot read {}: {error}", file.display())))
}
