//! The account and the certificates on the disk, by the directory that they are of: restarts ask for nothing that is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use hubgate_plugin_host::{FileError, RegularFile, private_folder};

use crate::settings::{AcmeSettings, DomainName};

/// The largest file, in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

/// The files of one directory and these domains, in a folder of this user alone.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
    account: PathBuf,
    certificate: PathBuf,
}

impl Store {
    pub(super) fn new(settings: &AcmeSettings) -> Store {
        let directory = format!("{}-{}", settings.directory.host(), short(&settings.directory.to_string()));
        let mut domains: Vec<&str> = settings.domains.iter().map(DomainName::as_str).collect();
        domains.sort_unstable();
        let names = short(&domains.join(" "));
        Store {
            account: settings.folder.join(format!("{directory}.account.json")),
            certificate: settings.folder.join(format!("{directory}.certificate-{names}.pem")),
            folder: settings.folder.clone(),
        }
    }

    /// Whether something could be kept.
    pub(super) fn check(&self) -> Result<(), String> {
        private_folder::check(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))
    }

    pub(super) fn account(&self) -> Result<Option<String>, String> {
        self.read(&self.account)
    }

    /// The chain and the key, in PEM.
    pub(super) fn certificate(&self) -> Result<Option<String>, String> {
        self.read(&self.certificate)
    }

    pub(super) fn keep_account(&self, credentials: &str) -> Result<(), String> {
        self.write(&self.account, credentials)
    }

    pub(super) fn keep_certificate(&self, pem: &str) -> Result<(), String> {
        self.write(&self.certificate, pem)
    }

    fn read(&self, file: &Path) -> Result<Option<String>, String> {
        match fs::symlink_metadata(&self.folder) {
            Ok(metadata) if private_folder::is_private(&metadata) => {}
            // Somebody else may have put something there.
            Ok(_) => return self.check().map(|()| None),
            Err(_) => return Ok(None),
        }
        match RegularFile::read_text(file, MAX_FILE_BYTES) {
            Ok(text) => Ok(Some(text)),
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
        }
    }

    fn write(&self, file: &Path, text: &str) -> Result<(), String> {
        let written = private_folder::write(&self.folder, file, &[text.as_bytes()]);
        written.map_err(|error| format!("{} cannot be written: {error}", file.display()))
    }
}

/// What tells texts apart in the names of files.
fn short(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
