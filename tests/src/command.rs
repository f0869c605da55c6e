//! One run of the binary that ends by itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `hubgate` with `arguments` to its end.
pub fn hubgate<const N: usize>(arguments: [&str; N]) -> Finished {
    Finished::of(Command::new(binary()).args(arguments))
}

impl Finished {
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Finished {
        let output = command.stdin(Stdio::null()).output();
        let output: Output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it printed, given that it succeeded.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

/// The binary under test: `HUBGATE_BIN`, or the one that was built beside the tests.
pub fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("HUBGATE_BIN") {
        return binary.into();
    }
    let test = std::env::current_exe().expect("a test knows its own file");
    // …/target/PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).expect("cargo puts tests two folders deep");
    let candidates = [profile.join("hubgate"), profile.with_file_name("release").join("hubgate")];
    let found = candidates.iter().find(|candidate| candidate.is_file());
    found.cloned().unwrap_or_else(|| {
        panic!("{} is not there: run cargo build --release, or set HUBGATE_BIN", candidates[1].display())
    })
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests have a folder of their own in the repository")
}

/// A program of the folder `examples` of this package.
pub fn built_example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test.ancestors().nth(2).expect("cargo puts tests two folders deep in its profile's");
    profile.join("examples").join(name)
}

/// Where tests leave what people may look at: the folder `name` in the target directory.
pub fn leavings(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let target = test.ancestors().nth(3).expect("cargo puts tests three folders deep in the target directory");
    let folder = target.join(name);
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}
