//! The clients of others, which run in Node.js, Python, Java and Go.

use std::collections::VecDeque;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::command::{leavings, repository};
use crate::python::python_program;
use crate::wait::{LONG_DEADLINE, until_within, within};

/// A program of `tests/clients` that runs. It says in lines how far it is, and `done` at its end.
#[derive(Debug)]
pub struct Script {
    name: String,
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: VecDeque<String>,
}

impl Script {
    /// Starts a script of `tests/clients/javascript`, whose packages must be there.
    pub fn start(name: &str, arguments: &[&str]) -> Script {
        Script::start_with(name, arguments, &[])
    }

    /// The same as [`Script::start`] with variables of the environment.
    pub fn start_with(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Script {
        require_packages("tests/clients/javascript");
        let folder = repository().join("tests/clients/javascript");
        let mut command = Command::new("node");
        command.arg(folder.join(name)).current_dir(&folder).envs(environment.iter().copied());
        Script::run(name, command, arguments)
    }

    /// Starts a script of `tests/clients/python`.
    pub fn python(name: &str, arguments: &[&str]) -> Script {
        let mut command = Command::new(python_program("python"));
        command.arg(repository().join("tests/clients/python").join(name));
        Script::run(name, command, arguments)
    }

    /// Starts the class `Scenarios` of `tests/clients/java`.
    pub fn java(arguments: &[&str]) -> Script {
        let folder = leavings("java");
        let mut command = Command::new("java");
        command.arg("-cp").arg(format!("{0}/lib/*:{0}/classes", folder.display())).arg("Scenarios");
        Script::run("java", command, arguments)
    }

    /// Starts the program of `tests/clients/go`.
    pub fn go(arguments: &[&str]) -> Script {
        Script::run("go", Command::new(leavings("go").join("client")), arguments)
    }

    fn run(name: &str, mut command: Command, arguments: &[&str]) -> Script {
        // Its standard error is that of the test, which shows it when it fails.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = process.stdout.take().expect("it is piped");
        let name = format!("{name} {}", arguments.join(" "));
        Script { name, process, lines: BufReader::new(stdout).lines(), said: VecDeque::new() }
    }

    /// The next line that the script says.
    pub async fn line(&mut self) -> String {
        let what = format!("{} to say something", self.name);
        let line = within(LONG_DEADLINE, &what, self.lines.next_line()).await.expect("the script writes text");
        line.unwrap_or_else(|| panic!("{what} in vain"))
    }

    /// Waits until the script says exactly this.
    pub async fn says(&mut self, line: &str) {
        self.says_what(line, |said| said == line).await;
    }

    /// Waits until the script says a line with this in it.
    pub async fn says_something_with(&mut self, part: &str) {
        self.says_what(part, |said| said.contains(part)).await;
    }

    async fn says_what(&mut self, wanted: &str, is_wanted: impl Fn(&str) -> bool) {
        let what = format!("{} to say {wanted:?}", self.name);
        let said = within(LONG_DEADLINE, &what, async {
            loop {
                match self.lines.next_line().await.expect("the script writes text") {
                    Some(said) if is_wanted(&said) => return true,
                    Some(said) => self.said.push_back(said),
                    None => return false,
                }
            }
        });
        let said = said.await;
        assert!(said, "{what} in vain; it said {:?}", self.said);
    }

    /// Waits for the script's end, which must be a success; gives what it has said that nobody has waited for.
    pub async fn account(mut self) -> impl Iterator<Item = String> {
        self.succeeds().await;
        self.said.into_iter()
    }

    /// Waits for the script's end, which must be a success.
    pub async fn succeeds(&mut self) {
        self.says("done").await;
        let process = &mut self.process;
        let what = format!("{} to end", self.name);
        let status =
            until_within(LONG_DEADLINE, &what, async || process.try_wait().expect("a child can be waited for")).await;
        assert!(status.success(), "{}: {status}", self.name);
    }
}

/// Fails if `folder` of the repository has no packages.
pub fn require_packages(folder: &str) {
    let installed = repository().join(folder).join("node_modules").is_dir();
    assert!(installed, "{folder}/node_modules is not there: scripts/test.sh installs it");
}
