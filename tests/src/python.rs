//! What is installed for tests from PyPI: `tests/clients/python/requirements.txt`, into the folder `python` of the target
//! directory.

use std::path::PathBuf;

use crate::command::leavings;

/// A program of the virtual environment.
pub fn python_program(name: &str) -> PathBuf {
    let program = leavings("python").join("bin").join(name);
    assert!(program.is_file(), "{} is not there: scripts/test.sh installs it", program.display());
    program
}
