//! Scripts of `hubgate plugin test` for whole hubs: streams, timers, questions to clients, presence and sign-in.

use std::fs;
use std::path::Path;

use hubgate_tests::command::Finished;
use hubgate_tests::guests;

fn play_file(guest: &Path, script: &Path, options: &[&str]) -> Finished {
    let mut command = std::process::Command::new(hubgate_tests::command::binary());
    command.arg("plugin").arg("test").arg(guest).arg("--script").arg(script).args(options);
    Finished::of(&mut command)
}

/// Plays a script of these lines.
fn play_to(guest: &Path, script: &str) -> Finished {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("a.toml");
    fs::write(&file, script).expect("the folder can be written");
    play_file(guest, &file, &[])
}

/// The same to the probe of a whole hub.
fn play(script: &str) -> Finished {
    play_to(&guests::probe_hub(), script)
}

/// All is as expected.
fn passes(script: &str) {
    let played = play(script);
    assert_eq!(played.code, Some(0), "{script}\n{played:?}");
}

#[test]
fn a_stream_is_opened_and_what_is_pushed_to_it_and_ends_it_is_compared() {
    let script = r#"
        [[step]]
        event = "stream"
        stream = "counting"
        target = "numbers"
        arguments = [120, 0]
        [step.expect]
        actions = [{ push = { stream = "counting", items = ITEMS } }, { finish = { stream = "counting" } }]
        [[step]]
        event = "stream"
        target = "failAfter"
        arguments = [2]
        [step.expect]
        actions = [{ push = { stream = "s1", items = [0, 1] } }, { finish = { stream = "s1", error = "enough" } }]
        [[step]]
        event = "stream"
        stream = "unknown"
        target = "nothing"
        expect.error = "The probe has no method 'nothing' with streams."
        "#;
    let items = format!("{:?}", (0..120).collect::<Vec<i32>>());
    passes(&script.replace("ITEMS", &items));
    let played = play(&script.replace("ITEMS", "[0]"));
    assert_eq!(played.code, Some(1), "{played:?}");
    assert!(played.stdout.contains("a.toml:2: step 1, c1 opens counting by numbers"), "{played:?}");
    assert!(played.stdout.contains("- actions: { push = { stream = \"counting\", items = [0] } }"), "{played:?}");
}

#[test]
fn a_full_stream_takes_no_more_until_a_step_says_that_it_has_room_again() {
    passes(
        r#"
        settings = { stream-items = 50 }
        [[step]]
        event = "stream"
        target = "numbers"
        arguments = [51, 0]
        [[step]]
        event = "writable"
        [step.expect]
        actions = [{ push = { stream = "s1", items = [50] } }, { finish = { stream = "s1" } }]
        "#,
    );
    passes(
        r#"
        settings = { stream-items = 50 }
        [[step]]
        event = "stream"
        target = "numbers"
        arguments = [51, 0]
        [[step]]
        event = "cancelled"
        expect = { actions = [], state = { "cancelled/c1______________________" = 1 } }
        [[step]]
        event = "writable"
        expect = { actions = [] }
        "#,
    );
}

#[test]
fn uploads_come_item_by_item_and_the_call_is_answered_once_they_have_ended() {
    passes(
        r#"
        [[step]]
        event = "stream"
        stream = "zipped"
        target = "zip"
        uploads = ["a", "b"]
        [[step]]
        event = "item"
        upload = "a"
        item = 7
        [[step]]
        event = "ended"
        upload = "a"
        expect.actions = []
        [[step]]
        event = "ended"
        upload = "b"
        [step.expect]
        actions = [{ finish = { stream = "zipped", result = [1, 0] } }]
        "#,
    );
}

#[test]
fn timers_fire_at_their_times_while_the_clock_moves_on() {
    passes(
        r#"
        now = 1000
        [[step]]
        event = "invoke"
        target = "every"
        arguments = ["t", 100]
        [step.expect]
        timers = [{ name = "t", every = 100, due = 1100, durable = true }]
        [[step]]
        event = "invoke"
        target = "later"
        arguments = ["once", 150, "hello"]
        [step.expect]
        timers = [{ name = "once", after = 150, payload = "lhello" }, { name = "t", every = 100, durable = true }]
        [[step]]
        event = "timers"
        advance = 99
        expect.actions = []
        [[step]]
        event = "timers"
        advance = 101
        [step.expect]
        actions = [
            { send = { to = "all", method = "ticked", arguments = ["t", 1] } },
            { send = { to = "all", method = "said", arguments = ["hello"] } },
            { send = { to = "all", method = "ticked", arguments = ["t", 2] } },
        ]
        timers = [{ name = "t", every = 100, due = 1300, durable = true }]
        "#,
    );
}

#[test]
fn clients_answer_what_the_script_lets_them() {
    passes(
        r#"
        [[ask]]
        client = "c1"
        method = "double"
        answer = 14
        [[ask]]
        method = "double"
        error = "timed-out"
        [[step]]
        event = "invoke"
        target = "askMe"
        arguments = ["double", 7]
        [step.expect]
        result = 14
        actions = [{ ask = { client = "c1", method = "double", arguments = [7] } }]
        [[step]]
        event = "invoke"
        target = "askMe"
        arguments = ["other", 7]
        expect.error = "the script has no [[ask]] for other of c1"
        "#,
    );
}

#[test]
fn a_group_that_changes_a_start_and_a_request_are_told_of() {
    passes(
        r#"
        [[step]]
        event = "presence"
        group = "room"
        joined = ["c1", "c2"]
        [step.expect]
        actions = [{ send = { to = "all", method = "changed", arguments = ["room", 2, 0] } }]
        [[step]]
        event = "invoke"
        target = "howMany"
        arguments = ["room"]
        expect.result = 2
        [[step]]
        event = "started"
        expect = { state = { started = 1 } }
        [[step]]
        event = "authorize"
        headers = { x-user = "ann", x-role = "admin" }
        expect.grant = { user = "ann", claims = { role = "admin" } }
        [[step]]
        event = "authorize"
        headers = { x-user = "nobody" }
        expect.refused = { forbidden = "Nobody may not come." }
        "#,
    );
    let bob = "[[step]]\nevent = 'authorize'\nheaders = { x-user = 'bob' }\nexpect.refused = { forbidden = 'no' }";
    let played = play(bob);
    assert!(played.stdout.contains("- refused = { forbidden = \"no\" }"), "{played:?}");
    assert!(played.stdout.contains("+ grant = { user = \"bob\" }"), "{played:?}");
}

#[test]
fn update_writes_what_a_whole_hub_has_done() {
    let script = "[[step]]\nevent = \"stream\"\ntarget = \"failAfter\"\narguments = [1]\n\n\
                  [[step]]\nevent = \"invoke\"\ntarget = \"every\"\narguments = [\"t\", 50]\n\n\
                  [[step]]\nevent = \"authorize\"\nheaders = { x-user = \"ann\" }\n";
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("a.toml");
    fs::write(&file, script).expect("the folder can be written");
    play_file(&guests::probe_hub(), &file, &["--update"]).success();
    let updated = fs::read_to_string(&file).expect("it is there");
    for written in [
        "actions = [{ push = { stream = \"s1\", items = [0] } }, { finish = { stream = \"s1\", error = \"enough\" } }]",
        "timers = [{ name = \"t\", every = 50, due = 50, durable = true }]",
        "grant = { user = \"ann\" }",
    ] {
        assert!(updated.contains(written), "{written}\n{updated}");
    }
    assert_eq!(updated.matches("timers =").count(), 1, "only the step that has set it says so: {updated}");
    play_file(&guests::probe_hub(), &file, &[]).success();
}

#[test]
fn a_stream_that_no_step_has_opened_is_refused_with_the_line() {
    for (script, part) in [
        ("[[step]]\nevent = 'item'\nupload = 'a'\nitem = 1\n", "a.toml:1: no step before has opened the upload \"a\""),
        ("[[step]]\nevent = 'cancelled'\n", "a.toml:1: no step before has opened the stream \"s1\""),
        ("[[step]]\nevent = 'started'\ngroup = 'a'\n", "`group` has no place in a step of `started`"),
        ("[[step]]\nevent = 'timers'\nnow = 1\nadvance = 1\n", "`now` and `advance` both set the clock"),
    ] {
        let played = play(script);
        assert_eq!(played.code, Some(2), "{script}\n{played:?}");
        assert!(played.stderr.contains(part), "{part}\n{played:?}");
    }
    let played = play_to(&guests::probe(), "[[step]]\nevent = 'started'\n");
    assert!(played.stderr.contains("the component is a handler, and this step is for a whole-hub"), "{played:?}");
}
