//! The live poll of `examples/poll`: one language takes another's place while clients are connected.

use std::path::PathBuf;

use hubgate_tests::command::{Finished, repository};
use hubgate_tests::toolchains::{hubgate_in, project_of};
use hubgate_tests::wait::until_compiled;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The folder of each language, and what its `language()` answers.
const LANGUAGES: [(&str, &str); 6] =
    [("js", "JavaScript"), ("rust", "Rust"), ("ts", "TypeScript"), ("go", "Go"), ("c", "C"), ("python", "Python")];

/// Components by what their `language()` answers.
struct Polls {
    folder: TempDir,
    languages: Vec<&'static str>,
}

impl Polls {
    fn build() -> Polls {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let there = LANGUAGES.iter().filter(|(folder, _)| repository().join("examples/poll").join(folder).is_dir());
        let languages = there.map(|(name, language)| {
            let project = project_of(&format!("examples/poll/{name}"));
            let output = folder.path().join(format!("{language}.wasm"));
            let mut build = hubgate_in(repository());
            build.args(["plugin", "build"]).arg(project.path()).arg("-o").arg(output);
            Finished::of(&mut build).success();
            *language
        });
        Polls { languages: languages.collect(), folder }
    }

    fn component(&self, language: &str) -> PathBuf {
        self.folder.path().join(format!("{language}.wasm"))
    }
}

fn counts(tea: u64, coffee: u64) -> Value {
    json!({ "tea": tea, "coffee": coffee, "water": 0 })
}

async fn is_answered_in(client: &mut Client, language: &str) {
    until_compiled(language, async || (client.call("language", json!([])).await == Ok(json!(language))).then_some(()))
        .await;
}

#[tokio::test]
async fn a_poll_goes_on_while_it_is_swapped_from_language_to_language() {
    let polls = Polls::build();
    let gateway = Gateway::serve().plugin("poll", &polls.component(polls.languages[0]));
    let config = "hubs.poll.mode = 'serverless'\nupstream = [{ plugin = 'poll' }]\nplugins.poll.call-time = '30s'";
    let gateway = gateway.with(config).start().await;
    let mut ann = gateway.client("poll").user("ann").connect().await;
    let mut watching = vec![gateway.client("poll").user("ann").connect().await];
    for user in ["bob", "carl"] {
        watching.push(gateway.client("poll").user(user).connect().await);
    }
    assert_eq!(ann.call("counts", json!([])).await, Ok(counts(0, 0)));
    assert_eq!(ann.call("vote", json!(["coffee"])).await, Ok(counts(0, 1)));
    for client in &mut watching {
        assert_eq!(client.event("counts").await, json!([counts(0, 1)]));
    }
    for (votes, language) in (1..).zip(&polls.languages) {
        gateway.replace_plugin("poll", &guests::bytes(&polls.component(language)));
        is_answered_in(&mut ann, language).await;
        assert_eq!(ann.call("counts", json!([])).await, Ok(counts(votes - 1, 1)), "{language}");
        let again = ann.call("vote", json!(["tea"])).await.expect_err("one vote a user holds");
        assert!(again.ends_with("You have voted already."), "{language}: {again}");
        let other = ann.call("vote", json!(["juice"])).await.expect_err("there is none");
        assert!(other.ends_with("There is no choice 'juice'."), "{language}: {other}");
        // Whoever has no user votes as a connection.
        let mut voter = gateway.client("poll").connect().await;
        assert_eq!(voter.call("vote", json!(["tea"])).await, Ok(counts(votes, 1)), "{language}");
        voter.call("vote", json!(["tea"])).await.expect_err("one vote a connection holds");
        for client in &mut watching {
            assert_eq!(client.event("counts").await, json!([counts(votes, 1)]), "{language}");
        }
        voter.leave().await;
    }
    for client in &mut watching {
        assert_eq!(client.call("language", json!([])).await, Ok(json!(polls.languages.last())));
    }
}

#[tokio::test]
async fn the_choices_of_a_poll_are_those_of_its_configuration_in_their_order() {
    let polls = Polls::build();
    for language in &polls.languages {
        let gateway = Gateway::serve().plugin("poll", &polls.component(language));
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
