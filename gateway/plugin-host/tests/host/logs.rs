//! What plugins write, what is written about them, and the quiet WASI.

use std::time::Duration;

use hubgate_plugin_host::{Compilation, LoadError, inspect};

use crate::support::{Shard, capture_log, guest, is_pending, json, on_a_shard, wasi_guest};

#[test]
fn a_plugin_writes_lines_with_its_name() {
    let log = capture_log();
    on_a_shard(async {
        let shard = Shard::embedded(guest("1.0.000"), |_| ());
        assert!(shard.invoke("write", "[\"to the log\"]").await.result.is_ok());
    });
    assert!(log.has(&["INFO", "plugin:", "plugin=p", "to the log"]), "{}", log.text());
}

#[test]
fn a_plugin_that_writes_too_much_is_cut_off_and_that_is_said() {
    let log = capture_log();
    on_a_shard(async {
        let shard = Shard::embedded(guest("1.0.000"), |_| ());
        let line = format!("[\"{}\"]", "x".repeat(20_000));
        for _ in 0..2_000 {
            assert!(shard.invoke("write", &line).await.result.is_ok());
        }
        let written = log.text();
        let lines = written.lines().filter(|line| line.contains("xxxx")).count();
        assert!((500..1_500).contains(&lines), "{lines} lines");
        assert!(written.lines().all(|line| line.len() < 9_000), "a line is longer than 8 KiB");
    });
}

#[test]
fn a_failed_call_is_logged_with_plugin_and_reason_and_a_rejection_is_not() {
    let log = capture_log();
    on_a_shard(async {
        let shard =
            Shard::embedded(guest("1.0.000"), |settings| settings.budgets.call_time = Duration::from_millis(20));
        for method in ["trap", "spin", "grow", "fail", "reject"] {
            shard.invoke(method, "[]").await.result.unwrap_err();
        }
    });
    assert!(log.has(&["ERROR", "plugin=p", "hub=chat", "broke off", "unreachable"]), "{}", log.text());
    for reason in ["longer than its call-time", "more than its memory", "failed: no thanks"] {
        assert!(log.has(&["WARN", "plugin=p", "hub=chat", reason]), "no {reason} in\n{}", log.text());
    }
    assert_eq!(log.text().matches("no thanks").count(), 1, "{}", log.text());
}

#[test]
fn standard_error_is_the_plugins_log_the_environment_is_empty_and_waiting_leaves_the_thread_to_others() {
    let init = "
        (call $write (call $stderr) (i32.const 768) (i32.const 9) (i32.const 64))
        (call $environment (i32.const 64))
        (if (i32.load (i32.const 68)) (then unreachable))
        (call $block (call $after (i64.const 50000000)))";
    let log = capture_log();
    on_a_shard(async {
        let shard = Shard::embedded(wasi_guest(init), |_| ());
        let mut first = Box::pin(shard.invoke("echo", "[1]"));
        assert!(is_pending(&mut first).await, "`init` waits 50 ms");
        assert_eq!(first.await.result, Ok(Some(json("[1]"))));
    });
    assert!(log.has(&["WARN", "plugin:", "plugin=p", "no thanks"]), "{}", log.text());
}

#[test]
fn there_are_no_folders_and_no_network() {
    // Looks up "localhost"; a failure is 1 behind the answer's first byte.
    let init = "
        (call $directories (i32.const 64))
        (if (i32.load (i32.const 68)) (then unreachable))
        (i64.store (i32.const 96) (i64.const 0x736f686c61636f6c))
        (i32.store8 (i32.const 104) (i32.const 0x74))
        (call $resolve (call $network) (i32.const 96) (i32.const 9) (i32.const 64))
        (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then unreachable))";
    inspect(&wasi_guest(init), Compilation::default()).expect("its `init` finds nothing, and ends");
}

#[test]
fn exit_is_a_trap() {
    let error = inspect(&wasi_guest("(call $exit (i32.const 1))"), Compilation::default()).expect_err("`init` exits");
    assert!(matches!(&error, LoadError::Init(why) if why.contains("trapped") && why.contains("exit")), "{error:?}");
}
