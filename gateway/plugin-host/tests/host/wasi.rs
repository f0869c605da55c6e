//! The quiet WASI 0.2: what ordinary toolchains count on is there, and nothing of the machine is reachable through it.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, SystemTime};

use hubgate_core::event::UpstreamFailure;
use hubgate_plugin_host::{Compilation, LoadError, PluginSource, inspect};
use hubgate_wire::payload::Payload;
use serde_json::{Value, json};

use crate::support::{Shard, built_guest, capture_log, client, invocation, on_a_shard, settings, wasi_http_guest};

/// The guest of `tests/guests/wasi`.
fn wasi() -> Shard {
    let mut settings = settings(PluginSource::File(built_guest("wasi.wasm")));
    settings.budgets.call_time = Duration::from_secs(30);
    Shard::start(settings)
}

async fn call(shard: &Shard, method: &str, arguments: &Value) -> Result<Value, UpstreamFailure> {
    let answer = shard.plugins.call(invocation(client("ann"), method, &arguments.to_string())).await;
    let Some(Payload::Json(text)) = answer.result? else { return Ok(Value::Null) };
    Ok(serde_json::from_str(text.as_str()).expect("a result is JSON"))
}

async fn answer(method: &str, arguments: &Value) -> Value {
    call(&wasi(), method, arguments).await.unwrap_or_else(|failure| panic!("{method}: {failure:?}"))
}

#[test]
fn clocks_tell_the_time_and_can_be_waited_for() {
    on_a_shard(async {
        let told = answer("clocks", &json!([])).await;
        let number = |index: usize| told[index].as_u64().expect("a number");
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs();
        assert!((now - 60..=now).contains(&number(0)), "{told} at {now}");
        assert!(number(1) < number(2), "the clock goes on: {told}");
        assert!(number(2) >= 5_000_000, "5 ms were waited for: {told}");
    });
}

#[test]
fn random_bytes_differ_and_a_call_for_too_many_is_a_trap() {
    on_a_shard(async {
        let shard = wasi();
        let mut drawn = Vec::new();
        for _ in 0..4 {
            let bytes = call(&shard, "random", &json!([])).await.expect("bytes");
            drawn.extend(bytes.as_array().expect("two draws").clone());
        }
        assert!(drawn.iter().all(|bytes| bytes.as_array().is_some_and(|bytes| bytes.len() == 16)), "{drawn:?}");
        for (index, bytes) in drawn.iter().enumerate() {
            assert!(!drawn[..index].contains(bytes), "{drawn:?}");
        }
        assert_eq!(call(&shard, "muchRandom", &json!([64 << 10])).await, Ok(json!(64 << 10)));
        let refused = call(&shard, "muchRandom", &json!([(64 << 10) + 1])).await;
        assert!(matches!(refused, Err(UpstreamFailure::Trapped(_))), "{refused:?}");
    });
}

#[test]
fn what_is_printed_are_lines_of_the_plugins_log() {
    let log = capture_log();
    on_a_shard(async {
        answer("print", &json!(["one\ntwo", "a warn\u{1b}ing\n"])).await;
    });
    for line in ["one", "two"] {
        assert!(log.has(&["INFO", "plugin:", "plugin=p", line]), "no {line} in\n{}", log.text());
    }
    assert!(log.has(&["WARN", "plugin=p", "a warn\\u{1b}ing"]), "{}", log.text());
}

#[test]
fn exit_traps_the_call_and_not_the_gateway() {
    on_a_shard(async {
        let shard = wasi();
        let exited = call(&shard, "exit", &json!([])).await;
        assert!(matches!(&exited, Err(UpstreamFailure::Trapped(why)) if why.contains("exit")), "{exited:?}");
        assert_eq!(call(&shard, "folders", &json!([])).await, Ok(json!(0)));
    });
}

#[test]
fn nothing_of_the_process_can_be_seen() {
    assert!(std::env::vars_os().next().is_some(), "there is something to hide");
    on_a_shard(async {
        assert_eq!(answer("process", &json!([])).await, json!([[[], []], null, false]));
        let read = call(&wasi(), "read", &json!([])).await;
        assert_eq!(read, Err(UpstreamFailure::Rejected("closed".to_owned())), "standard input is at its end");
    });
}

#[test]
fn no_folder_is_open_so_no_file_can_be() {
    on_a_shard(async {
        assert_eq!(answer("folders", &json!([])).await, json!(0));
    });
}

#[test]
fn no_name_is_resolved_and_no_socket_reaches_even_this_machine() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    tcp.set_nonblocking(true).expect("a socket has the option");
    udp.set_nonblocking(true).expect("a socket has the option");
    let tcp_port = tcp.local_addr().expect("it is bound").port();
    let udp_port = udp.local_addr().expect("it is bound").port();
    on_a_shard(async {
        for (method, arguments, refusal) in [
            ("resolve", json!([]), "permanent-resolver-failure"),
            ("connect", json!([tcp_port]), "access-denied"),
            ("listen", json!([]), "access-denied"),
            ("send", json!([udp_port]), "access-denied"),
        ] {
            assert_eq!(answer(method, &arguments).await, json!(refusal), "{method}");
        }
    });
    assert!(tcp.accept().is_err(), "nobody has connected");
    assert!(udp.recv(&mut [0; 16]).is_err(), "nobody has sent");
}

#[test]
fn http_is_no_part_of_it() {
    let error = inspect(&wasi_http_guest(), Compilation::default()).expect_err("the component cannot serve");
    assert!(matches!(&error, LoadError::WasiHttp(import) if import == "wasi:http/outgoing-handler@0.2.0"), "{error:?}");
}
