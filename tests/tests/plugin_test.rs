//! `hubgate plugin test`: scripts of events, and what comes of them.

use std::fs;
use std::path::{Path, PathBuf};

use hubgate_tests::command::{Finished, hubgate};
use hubgate_tests::guests;
use serde_json::Value;
use tempfile::TempDir;

/// A component with a folder `tests` beside it.
struct Bench {
    folder: TempDir,
    component: PathBuf,
}

impl Bench {
    fn new(guest: &Path) -> Bench {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        fs::create_dir(folder.path().join("tests")).expect("the folder can be written");
        Bench { component: guest.to_owned(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Plays a script of these lines.
    fn play(&self, script: &str, options: &[&str]) -> Finished {
        let file = self.path("a.toml");
        fs::write(&file, script).expect("the folder can be written");
        self.play_file(&file, options)
    }

    fn play_file(&self, file: &Path, options: &[&str]) -> Finished {
        let mut command = std::process::Command::new(hubgate_tests::command::binary());
        command.arg("plugin").arg("test").arg(&self.component).arg("--script").arg(file).args(options);
        Finished::of(&mut command)
    }
}

fn probe() -> Bench {
    Bench::new(&guests::probe())
}

/// Plays a script to the probe, and all is as expected.
fn passes(script: &str) {
    let played = probe().play(script, &[]);
    assert_eq!(played.code, Some(0), "{script}\n{played:?}");
    assert!(played.stdout.ends_with("all as expected\n"), "{played:?}");
}

/// Plays a script to the probe, and this is told of it.
fn differs(script: &str, lines: &[&str]) {
    let played = probe().play(script, &[]);
    assert_eq!(played.code, Some(1), "{script}\n{played:?}");
    let told: Vec<&str> = played.stdout.lines().map(str::trim).collect();
    for line in lines {
        assert!(told.iter().any(|told| told.ends_with(line)), "{line}\n{}", played.stdout);
    }
}

fn invoke(method: &str, rest: &str) -> String {
    format!("[[step]]\nevent = 'invoke'\ntarget = '{method}'\n{rest}\n")
}

#[test]
fn what_comes_as_expected_passes() {
    passes(
        r#"
        now = 5
        [state]
        n = 3
        [clients.c1]
        claims = { role = ["a", "b"] }
        [[step]]
        event = "connected"
        user = "ann"
        [step.expect]
        state = { n = 3 }
        [[step]]
        event = "invoke"
        target = "whoami"
        [step.expect]
        result = { connectionId = "c1______________________", userId = "ann", claims = { role = ["a", "b"] } }
        [[step]]
        event = "invoke"
        target = "count"
        arguments = ["n"]
        expect = { result = 4, state = { n = 4 } }
        [[step]]
        event = "invoke"
        target = "sayToConnection"
        arguments = ["c2______________________", { deep = [1.5] }]
        [step.expect]
        actions = [{ send = { to = { connection = "c2" }, method = "said", arguments = [{ deep = [1.5] }] } }]
        [[step]]
        event = "invoke"
        target = "join"
        arguments = ["room"]
        expect.actions = [{ join = { member = { connection = "c1" }, group = "room" } }]
        [[step]]
        event = "invoke"
        target = "quit"
        arguments = ["bye"]
        expect.actions = [{ close = { target = { connection = "c1" }, reason = "bye", allow-reconnect = false } }]
        [[step]]
        event = "disconnected"
        reason = "gone"
        [step.expect.state]
        gone = 1
        n = 4
        "#,
    );
}

#[test]
fn an_answer_that_differs_is_shown_beside_the_expected_one_with_its_place() {
    let echo = invoke("echo", "arguments = [{ a = 'x' }]\n[step.expect]\nresult = { a = 'y' }");
    differs(&echo, &["a.toml:1: step 1, c1 invokes echo", "- result = { a = \"y\" }", "+ result = { a = \"x\" }"]);
    let nothing = invoke("say", "arguments = [1]\nexpect = { result = 1 }");
    differs(&nothing, &["- result = 1", "+ # no answer"]);
    let rejected = invoke("fail", "arguments = ['no']\nexpect = { result = 1 }");
    differs(&rejected, &["- result = 1", "+ error = \"no\""]);
    let answered = invoke("echo", "arguments = [1]\nexpect = { error = 'no' }");
    differs(&answered, &["- error = \"no\"", "+ result = 1"]);
    let sent = "expect.actions = [{ send = { to = { user = 'ann' }, method = 'said', arguments = [1] } }]";
    let to_ann = "actions: { send = { to = { user = \"ann\" }, method = \"said\", arguments = [1] } }";
    let to_bob = to_ann.replace("ann", "bob");
    let told = [format!("- {to_ann}"), format!("+ {to_bob}")];
    differs(&invoke("tell", &format!("arguments = ['bob', 1]\n{sent}")), &[&told[0], &told[1]]);
    differs(&invoke("echo", &format!("arguments = [1]\n{sent}")), &[&told[0]]);
    differs(&invoke("tell", "arguments = ['bob', 1]\nexpect.actions = []"), &[&told[1]]);
    let kept = invoke("count", "arguments = ['n']\nexpect.state = { m = 1 }");
    differs(&kept, &["- state.m = 1", "+ # no state.m", "+ state.n = 1"]);
    let two = invoke("echo", "arguments = [1]\nexpect = { result = 2 }").repeat(2);
    differs(&two, &["1 script, 2 steps: 2 not as expected (- expected, + came)"]);
}

#[test]
fn without_an_expectation_any_error_differs_and_any_answer_passes() {
    passes(&format!("{}{}", invoke("echo", "arguments = [1]"), invoke("say", "arguments = [1]")));
    differs(&invoke("fail", "arguments = ['no']"), &["a.toml:1: step 1, c1 invokes fail", "+ error = \"no\""]);
    differs(&invoke("trap", ""), &["a.toml:1: step 1, c1 invokes trap"]);
    // The budgets are the gateway's.
    differs(&invoke("grow", ""), &["+ error = { trapped = \"it wanted more than its memory\" }"]);
    differs(
        &format!("settings = {{ call-time = '50ms' }}\n{}", invoke("spin", "")),
        &["+ error = { trapped = \"it ran longer than its call-time\" }"],
    );
}

#[test]
fn an_error_is_expected_as_a_text_or_with_its_kind() {
    for expected in ["'no'", "{ rejected = 'no' }"] {
        passes(&invoke("fail", &format!("arguments = ['no']\nexpect.error = {expected}")));
    }
    for other in ["'n'", "{ failed = 'no' }", "{ trapped = 'no' }"] {
        differs(&invoke("fail", &format!("arguments = ['no']\nexpect.error = {other}")), &["+ error = \"no\""]);
    }
    passes(&invoke("trap", "expect.error = { trapped = 'unreachable' }"));
    for other in ["''", "'in'", "'unreachable'", "{ failed = 'unreachable' }"] {
        differs(&invoke("trap", &format!("expect.error = {other}")), &["a.toml:1: step 1, c1 invokes trap"]);
    }
}

#[test]
fn what_was_queued_before_an_error_is_no_action_and_what_was_flushed_is_one() {
    passes(&invoke("sayAndTrap", "arguments = [1]\nexpect = { error = { trapped = 'unreachable' }, actions = [] }"));
    let sent = "[{ send = { to = { connection = 'c1' }, method = 'said', arguments = ['1', 7] } }]";
    passes(&invoke("versions", &format!("arguments = [7]\nexpect = {{ result = ['1', 7], actions = {sent} }}")));
}

#[test]
fn state_lasts_over_the_steps_of_a_script_and_not_beyond_even_if_an_instance_breaks() {
    let count = |expected: u32| invoke("count", &format!("arguments = ['n']\nexpect.result = {expected}"));
    let trap = invoke("trap", "expect.error = { trapped = 'unreachable' }");
    let script = format!("{}{trap}{}", count(1), count(2));
    let bench = probe();
    let (one, other) = (bench.path("one.toml"), bench.path("other.toml"));
    fs::write(&one, &script).expect("the folder can be written");
    fs::write(&other, &script).expect("the folder can be written");
    let played = bench.play_file(&one, &["--script", &other.display().to_string()]).success();
    assert!(played.contains("2 scripts, 6 steps: all as expected"), "{played}");
}

#[test]
fn two_runs_print_the_same_and_chance_is_no_surprise() {
    let bench = Bench::new(&guests::ordinary_js());
    let script = format!(
        "now = 86400000\n{}",
        ["time", "chance", "chance"].map(|method| invoke(method, "expect.result = 0")).concat()
    );
    let [one, other] = [(); 2].map(|()| bench.play(&script, &[]));
    assert_eq!((one.code, &one.stdout), (Some(1), &other.stdout), "{one:?}");
    assert!(one.stdout.contains("+ result = [86400000"), "the script's clock is what time is: {one:?}");
}

#[test]
fn update_writes_what_came_and_leaves_comments_order_and_what_is_right() {
    let script = r#"# What it is about.
[[step]]
event = "invoke" # a call
target = "echo"
arguments = ["x"]
[step.expect]
# The answer.
result = "y" # it was so

[[step]]
event = "invoke"
target = "count"
arguments = ["n"]
expect = { result = 1.0, state = { n = 2, m = 1 } }

[[step]]
event = "invoke"
target = "say"
arguments-json = "[null]"

[[step]]
event = "invoke"
target = "fail"
arguments = ["no"]
"#;
    let updated = r#"# What it is about.
[[step]]
event = "invoke" # a call
target = "echo"
arguments = ["x"]
[step.expect]
# The answer.
result = "x" # it was so

[[step]]
event = "invoke"
target = "count"
arguments = ["n"]
expect = { result = 1.0, state = { n = 1} }

[[step]]
event = "invoke"
target = "say"
arguments-json = "[null]"

[step.expect]
actions = [{ send = { to = "all", method = "said", arguments-json = "[null]" } }]

[[step]]
event = "invoke"
target = "fail"
arguments = ["no"]

[step.expect]
error = "no"
actions = []
"#;
    let bench = probe();
    let link = bench.path("link.toml");
    let file = bench.path("a.toml");
    std::os::unix::fs::symlink(&file, &link).expect("the folder can be written");
    bench.play(script, &[]);
    bench.play_file(&link, &["--update"]).success();
    assert_eq!(fs::read_to_string(&file).expect("it is there"), updated);
    assert!(link.is_symlink());
    let again = bench.play_file(&file, &[]).success();
    assert!(again.contains("4 steps: all as expected"), "{again}");
}

#[test]
fn update_pins_that_nothing_was_done_and_what_of_a_trap_is_the_same_in_each_build() {
    let bench = Bench::new(&guests::ordinary_js());
    let steps = [("connected", ""), ("invoke", "target = 'none'\n")];
    let steps = steps.map(|(event, call)| format!("[[step]]\nevent = '{event}'\n{call}")).concat();
    bench.play(&steps, &["--update"]).success();
    let script = fs::read_to_string(bench.path("a.toml")).expect("it is there");
    assert_eq!(script.matches("[step.expect]").count(), 2, "{script}");
    assert_eq!(script.matches("actions = []").count(), 2, "{script}");

    let bench = probe();
    bench.play(&invoke("trap", ""), &["--update"]).success();
    let script = fs::read_to_string(bench.path("a.toml")).expect("it is there");
    assert!(
        script.contains("error = { trapped = \"wasm trap: wasm `unreachable` instruction executed\" }"),
        "{script}"
    );
    bench.play_file(&bench.path("a.toml"), &[]).success();
}

#[test]
fn all_json_that_the_gateway_takes_is_taken_and_written() {
    let calls = [r#"["\ud800"]"#, "[1e400]", "[null]"]
        .map(|json| ["echo", "say"].map(|method| invoke(method, &format!("arguments-json = '{json}'"))).concat());
    let bench = probe();
    bench.play(&calls.concat(), &["--update"]).success();
    let played = bench.play_file(&bench.path("a.toml"), &[]).success();
    assert!(played.contains("6 steps: all as expected"), "{played}");
    let expected = invoke("echo", "arguments-json = '[1e400]'\nexpect.result-json = 'null'");
    differs(&expected, &["- result-json = \"null\"", "+ result-json = \"1e400\""]);
}

#[test]
fn a_filter_is_shown_messages_and_its_verdict_compared() {
    let bench = Bench::new(&guests::filter());
    let step = |event: &str, wish: &str, verdict: &str| {
        let message = format!("message = {{ target = 'say', arguments = ['{wish}'] }}");
        format!("[[step]]\nevent = '{event}'\n{message}\nexpect.verdict = {verdict}\n")
    };
    let script = [
        "config = { mark = 'M', url = 'http://a.test/x' }\n[[http]]\nurl = 'http://a.test/x'\nbody = 'once'\n",
        "[[http]]\nurl = 'http://a.test/x'\nstatus = 503\n",
        &step("inbound", "hello", "'pass'"),
        &step("inbound", "reject", "{ reject = 'The filter says no.' }"),
        &step("inbound", "drop", "'drop'"),
        &step("outbound", "close", "{ close = 'The filter has had enough.' }"),
        &step("inbound", "mark", "{ replace = { target = 'say', arguments = ['mark', 'M'] } }"),
        &step("inbound", "fetch", "{ replace = { target = 'say', arguments = ['fetched', '200 once'] } }"),
        &step("inbound", "fetch", "{ replace = { target = 'say', arguments = ['fetched', '503 '] } }"),
        "[[step]]\nevent = 'outbound'\nto = [{ user = 'ann' }, 'all']\nfrom = { plugin = 'other' }\n",
        "message = { target = 'say', arguments = ['whence'] }\n",
        "expect.verdict = { replace = { target = 'say', arguments = ['plugin other', 2] } }\n",
        "[[step]]\nevent = 'outbound'\nmessage = { kind = 'completion', content = 'drop' }\nexpect.verdict = 'drop'\n",
        "[[step]]\nevent = 'inbound'\nclient = 'c2'\nuser = 'bob'\nmessage = { target = 'say', arguments = ['in:tell'] }\n",
        "expect.actions = [{ send = { to = 'all', method = 'seen', arguments = ['bob', 'say'] } }]\n",
    ]
    .concat();
    let played = bench.play(&script, &[]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let other = bench.play(&step("inbound", "hello", "'drop'"), &[]);
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stdout.contains("  - verdict = \"drop\"\n  + verdict = \"pass\"\n"), "{other:?}");
}

#[test]
fn what_no_script_answers_is_denied() {
    let bench = Bench::new(&guests::filter());
    let script = "config = { url = 'http://a.test/x' }\n[[step]]\nevent = 'inbound'\n\
                  message = { target = 'say', arguments = ['fetch'] }\nexpect.verdict = 'pass'\n";
    let played = bench.play(script, &[]);
    assert_eq!(played.code, Some(1), "{played:?}");
    assert!(
        played.stdout.contains("Denied") && played.stdout.contains("no [[http]] for GET http://a.test/x"),
        "{played:?}"
    );
}

#[test]
fn a_plugin_that_wants_messagepack_gets_it_as_a_client_sends_it() {
    let bench = Bench::new(&guests::ordinary_js());
    let script = "payload = 'native'\n[[step]]\nevent = 'invoke'\ntarget = 'raw'\narguments-base64 = 'kgHVBavN'\n\
                  expect.result-json = '[1,null]'\n";
    let played = bench.play(script, &[]);
    assert_eq!(played.code, Some(0), "{played:?}");
}

#[test]
fn a_script_or_a_component_that_cannot_be_used_ends_with_exit_code_2() {
    let check = |played: Finished, parts: &[&str]| {
        assert_eq!(played.code, Some(2), "{played:?}");
        assert!(parts.iter().all(|part| played.stderr.contains(part)), "{parts:?} {played:?}");
    };
    let bench = probe();
    check(
        bench.play("\n[[step]]\nevent = 'invoke'\ntarget = 'a'\nexpekt = {}\n", &[]),
        &["a.toml:5: unknown key `expekt`", "`expect`"],
    );
    check(
        bench.play("[[step]]\nevent = 'inbound'\nmessage = { target = 'a', arguments = [] }\n", &[]),
        &["a.toml:1:", "filter"],
    );
    let list = "step = [{ event = 'invoke', target = 'echo', arguments = [1] }]\n";
    check(bench.play(list, &["--update"]), &["a.toml", "[[step]]"]);
    check(bench.play_file(&bench.path("none.toml"), &[]), &["none.toml:1:", "cannot be read"]);
    fs::write(bench.path("bad.toml"), b"now = 1\n# \xff\n").expect("the folder can be written");
    check(bench.play_file(&bench.path("bad.toml"), &[]), &["bad.toml:2:", "UTF-8"]);
    let none = Bench::new(&bench.path("none.wasm"));
    check(none.play(&invoke("echo", ""), &[]), &["none.wasm", "cannot be read"]);
    fs::write(bench.path("text.wasm"), "no component").expect("the folder can be written");
    let text = Bench::new(&bench.path("text.wasm"));
    check(text.play(&invoke("echo", ""), &[]), &["text.wasm: cannot serve", "not a WebAssembly component"]);
    let lonely = hubgate(["plugin", "test", &bench.path("text.wasm").display().to_string()]);
    check(lonely, &["there is no script", "--script FILE"]);
}

#[test]
fn a_program_is_told_all_of_it_as_one_json_object() {
    let script =
        format!("{}{}", invoke("echo", "arguments = [1]\nexpect.result = 2"), invoke("echo", "arguments = [1]"));
    let played = probe().play(&script, &["--json"]);
    assert_eq!((played.code, played.stdout.lines().count()), (Some(1), 1), "{played:?}");
    let report: Value = serde_json::from_str(&played.stdout).expect("it is JSON");
    assert_eq!((&report["passed"], &report["failed"]), (&1.into(), &1.into()));
    let steps = &report["scripts"][0]["steps"];
    assert_eq!((&steps[0]["line"], &steps[0]["passed"], &steps[1]["passed"]), (&1.into(), &false.into(), &true.into()));
    assert_eq!(steps[0]["differences"][0]["got"][0], "result = 1");
}

#[test]
fn values_live_by_the_scripts_clock() {
    let bench = Bench::new(&guests::ready_made("rate-limit"));
    let step = |now: u64, verdict: &str, kept: &str| {
        let message = "message = { target = 'say', arguments = [] }";
        format!(
            "[[step]]\nevent = 'inbound'\nnow = {now}\n{message}\n[step.expect]\nverdict = {verdict}\n[step.expect.state]\n{kept}\n"
        )
    };
    let key = |window: u32| format!("\"test\\ncc1______________________\\nsay 1/10s\\n{window}\"");
    let script = [
        "config = { limits = 'say 1/10s' }\n".to_owned(),
        step(0, "'pass'", &format!("{} = 1", key(0))),
        step(9_999, "{ reject = 'Too many calls: the limit is say 1/10s.' }", &format!("{} = 2", key(0))),
        step(10_000, "'pass'", &format!("{} = 1", key(1))),
    ];
    let played = bench.play(&script.concat(), &[]);
    assert_eq!(played.code, Some(0), "{played:?}");
}
