//! The live poll, whose component is swapped from language to language while its voters stay connected.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use http::Method;
use hubgate_tests::command::{Finished, leavings, repository};
use hubgate_tests::script::Script;
use hubgate_tests::toolchains::{hubgate_in, project_of};
use hubgate_tests::wait::until_compiled;
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};

/// The folders of `examples/poll`, and what their components say of themselves.
const LANGUAGES: [(&str, &str); 6] =
    [("rust", "Rust"), ("js", "JavaScript"), ("python", "Python"), ("go", "Go"), ("ts", "TypeScript"), ("c", "C")];
const CHOICES: [&str; 3] = ["tea", "coffee", "water"];

#[tokio::test]
async fn the_poll_goes_on_in_another_language_and_nobody_votes_twice_or_is_closed() {
    let components = components();
    // What an interpreter does first takes long on a busy machine.
    let config = "hubs.poll.mode = 'serverless'\nupstream = [{ plugin = 'poll' }]\nplugins.poll.call-time = '30s'\nserver.timeouts.client = '10m'";
    let gateway = Gateway::serve().plugin("poll", &components[0].0).with(config).start().await;
    let mut poll = Poll { gateway: &gateway, voters: Vec::new(), counts: [0; 3] };
    poll.enter_real_clients().await;
    let mut guest = gateway.client("poll").user("guest").connect().await;
    // One vote a user holds, wherever it came from.
    let mut twin = gateway.client("poll").user("ann").connect().await;

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
        is_refused(&mut twin, "coffee", "You have voted already.", language).await;
        poll.a_stranger_votes(&mut guest, language).await;
    }

    assert_eq!(gateway.clients_of("poll").await, 6, "nobody has left");
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
        // Between two polls a client may be silent for a minute: much else may run on the machine.
        let token = |user: &str| self.gateway.token("poll").user(user).claim("asrs.s.ttl", 60).sign();
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

    /// Whoever has no user votes as a connection; all hear of it.
    async fn a_stranger_votes(&mut self, guest: &mut Client, language: &str) {
        guest.everything_so_far().await;
        let mut stranger = self.gateway.client("poll").connect().await;
        self.counts[0] += 1;
        let counts = self.counts_in_order();
        let told: Value = serde_json::from_str(&counts).expect("it is JSON");
        assert_eq!(stranger.call("vote", json!([CHOICES[0]])).await, Ok(told.clone()), "{language}");
        is_refused(&mut stranger, CHOICES[0], "You have voted already.", language).await;
        assert_eq!(guest.event("counts").await, json!([told]), "{language}");
        for voter in &mut self.voters {
            voter.script.says(&format!("counts {counts}")).await;
        }
        stranger.leave().await;
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
    is_refused(guest, "milk", "There is no choice 'milk'.", language).await;
    let error = guest.call("dance", json!([])).await.expect_err("there is no such method");
    assert!(error.contains("dance"), "{language}: {error}");
}

async fn is_refused(client: &mut Client, choice: &str, words: &str, language: &str) {
    let error = client.call("vote", json!([choice])).await.expect_err("the vote is refused");
    assert!(error.ends_with(words), "{language}: {error}");
}

#[tokio::test]
async fn the_choices_of_a_poll_are_those_of_its_configuration_in_their_order() {
    for (component, language) in components() {
        let gateway = Gateway::serve().plugin("poll", component);
        let config = "hubs.poll.mode = 'serverless'\nupstream = [{ plugin = 'poll' }]
            plugins.poll = { call-time = '30s', config = { choices = 'red,green,blue' } }";
        let gateway = gateway.with(config).start().await;
        let mut client = gateway.client("poll").connect().await;
        let id = client.start_call("counts", json!([])).await;
        // As a value the fields would have no order.
        let answered = client.next_text().await;
        assert!(answered.contains(&format!("\"{id}\"")), "{language}: {answered}");
        let answered = answered.replace(' ', "");
        assert!(answered.contains(r#"{"red":0,"green":0,"blue":0}"#), "{language}: {answered}");
    }
}

/// Calls a method of a user's client, as an application does.
async fn push(gateway: &Gateway, user: &str, method: &str, arguments: Value) {
    let path = format!("/api/hubs/poll/users/{user}/:send?api-version=2022-06-01");
    let message = json!({ "target": method, "arguments": arguments });
    let sent = gateway.rest(Method::POST, &path).json(&message).send().await;
    assert_eq!(sent.status, 202, "{sent:?}");
}

/// The components in their order, built once for all tests as their readers do.
fn components() -> &'static [(PathBuf, &'static str)] {
    static COMPONENTS: OnceLock<Vec<(PathBuf, &str)>> = OnceLock::new();
    COMPONENTS.get_or_init(|| {
        let folder = leavings("poll");
        let built = LANGUAGES.map(|(language, name)| {
            let project = project_of(&format!("examples/poll/{language}"));
            let output = folder.join(format!("{language}.wasm"));
            let mut build = hubgate_in(repository());
            Finished::of(build.args(["plugin", "build"]).arg(project.path()).arg("-o").arg(&output)).success();
            (output, name)
        });
        built.into()
    })
}
