//! The live poll, whose component is swapped from language to language while its voters stay connected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::Method;
use hubgate_tests::command::{Finished, repository};
use hubgate_tests::script::Script;
use hubgate_tests::toolchains::{hubgate_in, link_packages};
use hubgate_tests::wait::until_compiled;
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};

/// The folders of `examples/poll`, and what their components say of themselves.
const LANGUAGES: [(&str, &str); 6] =
    [("rust", "Rust"), ("js", "JavaScript"), ("python", "Python"), ("go", "Go"), ("ts", "TypeScript"), ("c", "C")];
const CHOICES: [&str; 3] = ["tea", "coffee", "water"];

#[tokio::test]
async fn the_poll_goes_on_in_another_language_and_nobody_votes_twice_or_is_closed() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let components: Vec<(PathBuf, &str)> =
        LANGUAGES.map(|(language, name)| (component(language, folder.path()), name)).into();
    // What an interpreter does first takes long on a busy machine.
    let config = "hubs.poll.mode = 'serverless'\nupstream = [{ plugin = 'poll' }]\nplugins.poll.call-time = '30s'";
    let gateway = Gateway::serve().plugin("poll", &components[0].0).with(config).start().await;
    let mut poll = Poll { gateway: &gateway, voters: Vec::new(), counts: [0; 3] };
    poll.enter_real_clients().await;
    let mut guest = gateway.client("poll").user("guest").connect().await;

    for (index, (component, language)) in components.iter().enumerate() {
        if index > 0 {
            gateway.replace_plugin("poll", &fs::read(component).expect("it was built"));
            let generation = json!(index + 1);
            until_compiled(language, async || {
                (gateway.plugin_status("poll").await["generation"] == generation).then_some(())
            })
            .await;
        }
        // Each time somebody votes for the first time, and all those that have voted before try again.
        poll.everybody_votes_who_may(index, language).await;
        the_rules_hold(&mut guest, &poll, language).await;
    }

    assert_eq!(gateway.clients_of("poll").await, 5, "nobody has left");
    for voter in &mut poll.voters {
        push(&gateway, &voter.user, "goHome", json!([])).await;
        voter.script.succeeds().await;
    }
}

/// One of the unmodified clients.
struct Voter {
    user: String,
    script: Script,
    has_voted: bool,
}

/// What the test knows of the poll.
struct Poll<'g> {
    gateway: &'g Gateway,
    voters: Vec<Voter>,
    counts: [u32; 3],
}

impl Poll<'_> {
    async fn enter_real_clients(&mut self) {
        let url = self.gateway.url();
        let token = |user: &str| self.gateway.token("poll").user(user).sign();
        let scripts = [
            ("ann", Script::start("voter.mjs", &["@microsoft/signalr", &url, "WebSockets", "json", &token("ann")])),
            ("bob", Script::start("voter.mjs", &["signalr-7", &url, "LongPolling", "json", &token("bob")])),
            (
                "cem",
                Script::start("voter.mjs", &["@microsoft/signalr", &url, "WebSockets", "messagepack", &token("cem")]),
            ),
            ("dee", Script::python("voter.py", &[&url, "json", &token("dee")])),
        ];
        for (user, mut script) in scripts {
            script.says("connected").await;
            self.voters.push(Voter { user: user.to_owned(), script, has_voted: false });
        }
    }

    /// The voter of this turn votes for the first time; those of earlier turns are refused, whatever language counted them.
    async fn everybody_votes_who_may(&mut self, turn: usize, language: &str) {
        for index in 0..=turn.min(self.voters.len() - 1) {
            let choice = (turn + index) % CHOICES.len();
            let is_first = !std::mem::replace(&mut self.voters[index].has_voted, true);
            push(self.gateway, &self.voters[index].user, "yourTurn", json!([CHOICES[choice]])).await;
            if is_first {
                self.counts[choice] += 1;
            }
            let counts = self.counts_in_order();
            let Voter { script, .. } = &mut self.voters[index];
            match is_first {
                true => script.says(&format!("voted {counts}")).await,
                false => script.says_something_with("You have voted already.").await,
            }
            script.says(&format!("answered by {language}")).await;
            if is_first {
                for other in (0..self.voters.len()).filter(|other| *other != index) {
                    self.voters[other].script.says(&format!("counts {counts}")).await;
                }
            }
        }
    }

    /// As JSON, in the order of the choices.
    fn counts_in_order(&self) -> String {
        let entries: Vec<String> =
            CHOICES.iter().zip(self.counts).map(|(choice, count)| format!("\"{choice}\":{count}")).collect();
        format!("{{{}}}", entries.join(","))
    }
}

/// What is the same in all languages.
async fn the_rules_hold(guest: &mut Client, poll: &Poll<'_>, language: &str) {
    assert_eq!(guest.call("language", json!([])).await, Ok(json!(language)));
    let counts: Value = serde_json::from_str(&poll.counts_in_order()).expect("it is JSON");
    assert_eq!(guest.call("counts", json!([])).await, Ok(counts), "{language}");
    let error = guest.call("vote", json!(["milk"])).await.expect_err("there is none");
    assert!(error.contains("There is no choice 'milk'."), "{language}: {error}");
    let error = guest.call("dance", json!([])).await.expect_err("there is no such method");
    assert!(error.contains("dance"), "{language}: {error}");
}

/// Calls a method of a user's client, as an application does.
async fn push(gateway: &Gateway, user: &str, method: &str, arguments: Value) {
    let path = format!("/api/hubs/poll/users/{user}/:send?api-version=2022-06-01");
    let message = json!({ "target": method, "arguments": arguments });
    let sent = gateway.rest(Method::POST, &path).json(&message).send().await;
    assert_eq!(sent.status, 202, "{sent:?}");
}

/// Builds an example as its reader does.
fn component(language: &str, folder: &Path) -> PathBuf {
    let output = folder.join(format!("{language}.wasm"));
    let mut source = repository().join("examples/poll").join(language);
    if language == "js" || language == "ts" {
        // With the packages that are installed for tests.
        let copied = folder.join(language);
        copy(&source, &copied);
        let _ = fs::remove_dir_all(copied.join("node_modules"));
        copy(&repository().join("sdk/js"), &copied.join("hubgate"));
        link_packages(&copied);
        source = copied;
    }
    let mut command = hubgate_in(folder);
    Finished::of(command.args(["plugin", "build"]).arg(source).arg("-o").arg(&output)).success();
    output
}

fn copy(from: &Path, to: &Path) {
    Finished::of(Command::new("cp").arg("-r").arg(from).arg(to)).success();
}
