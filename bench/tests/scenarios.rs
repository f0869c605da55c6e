//! The scenarios, run against a floor server: what they count, never how fast it is.

mod support;

use support::{Fault, Target, bad_wire, bench};

const SHORT: &str = "--rounds 1 --time 50ms --patience 300ms --size 10 --json";

#[test]
fn every_scenario_gets_all_that_it_sends() {
    let target = Target::start();
    for scenario in [
        "echo --clients 5",
        "echo --clients 3 --burst 4",
        "echo --clients 3 --rate 500",
        "broadcast --clients 7",
        "broadcast --clients 7 --burst 10",
        "broadcast --clients 3 --rate 200 --burst 2",
        "broadcast --clients 3 --size 200000",
        "group --clients 4 --groups-per-client 3",
        "connect --clients 2",
        "idle --clients 20",
    ] {
        let run = bench(&format!("{scenario} --url {} {}", target.url(), SHORT.replace("--size 10", "")));
        assert_eq!(run.code, Some(0), "{scenario}: {}", run.errors);
        assert_eq!(run.faults(), [0; 4], "{scenario}");
        let json = run.json();
        assert_eq!(json["scenario"], scenario.split(' ').next().unwrap());
        assert!(json["cpuMicros"].is_number(), "{scenario}: {json}");
        assert_eq!(json["floorRatio"].is_number(), !scenario.starts_with("idle"), "{scenario}: {json}");
        assert_eq!(
            json["coalescingFloorRatio"].is_number(),
            scenario.contains("--burst") || scenario.contains("--rate")
        );
        assert_eq!(json["rssKilobytesPerConnection"].is_number(), scenario.starts_with("idle"));
        assert_eq!(json["p99Micros"].is_number(), !scenario.starts_with("idle"));
    }
}

#[test]
fn an_application_sends_to_each_client_by_rest() {
    let gateway = Target::start();
    let string = format!("Endpoint=http://{};AccessKey=0123456789abcdef;Version=1.0;", gateway.address);
    let refused = bench(&format!("rest --clients 2 --url {} {SHORT}", gateway.url()));
    assert!(refused.errors.contains("--connection-string"), "{}", refused.errors);
    let unanswered = bench(&format!("rest --clients 2 --no-floor --connection-string {string} --hub probe {SHORT}"));
    assert_ne!(unanswered.code, Some(0), "a floor knows no hubs");
}

#[test]
fn clients_get_in_with_and_without_negotiating() {
    let target = Target::start();
    let string = format!("Endpoint=http://{};AccessKey=0123456789abcdef;Version=1.0;", target.address);
    for way in [
        format!("--url {} --negotiate never", target.url()),
        format!("--url {} --negotiate once", target.url()),
        format!("--url {} --negotiate each", target.url()),
        format!("--connection-string {string} --hub probe"),
        format!("--connection-string {string} --hub probe --negotiate"),
    ] {
        let run = bench(&format!("echo --clients 2 --no-floor {way} {SHORT}"));
        assert_eq!((run.code, run.json()["lost"].as_u64()), (Some(0), Some(0)), "{way}: {}", run.errors);
        assert!(run.json()["floorRatio"].is_null(), "{way}");
    }
}

#[test]
fn lost_doubled_late_and_strange_messages_are_counted_and_fail() {
    let target = Target::start();
    for (fault, expected) in [
        (Fault::Lost, [1, 0, 0, 0]),
        (Fault::Doubled, [0, 1, 0, 0]),
        (Fault::Late, [0, 0, 1, 0]),
        (Fault::Strange, [1, 0, 0, 1]),
    ] {
        let wire = bad_wire(target.address, fault);
        // Four at once: what is late comes in the same burst.
        for scenario in ["echo --clients 1", "broadcast --clients 1"] {
            let run = bench(&format!("{scenario} --burst 4 --url http://{wire}/ --no-floor --negotiate never {SHORT}"));
            assert_eq!(run.code, Some(1), "{fault:?}, {scenario}: {}", run.errors);
            assert_eq!(run.faults(), expected, "{fault:?}, {scenario}");
        }
    }
}

#[test]
fn the_table_says_what_was_lost() {
    let target = Target::start();
    let wire = bad_wire(target.address, Fault::Lost);
    let arguments = SHORT.replace("--json", "");
    let run = bench(&format!("echo --clients 2 --url http://{wire}/ --negotiate never {arguments}"));
    assert_eq!(run.code, Some(1), "{}", run.errors);
    assert!(run.output.contains("2 lost, 0 doubled"), "{}", run.output);
    assert!(run.output.contains("\nfloor "), "{}", run.output);
}

#[test]
fn a_target_that_ends_a_connection_is_an_error_and_no_hang() {
    let target = Target::start();
    let wire = bad_wire(target.address, Fault::Cut);
    let run = bench(&format!("echo --clients 1 --url http://{wire}/ --no-floor --negotiate never {SHORT}"));
    assert_eq!(run.code, Some(1));
    assert!(run.errors.contains("closed the connection of client 0"), "{}", run.errors);
}

#[test]
fn a_hub_that_sends_something_else_is_an_error_and_no_hang() {
    let target = Target::start();
    let run = bench(&format!("broadcast --clients 2 --url {} --no-floor --receive other {SHORT}", target.url()));
    assert_eq!(run.code, Some(1));
    assert!(run.errors.contains("--receive"), "{}", run.errors);
}

#[test]
fn nobody_waits_for_those_that_stop_reading() {
    let target = Target::start();
    let run = bench(&format!("broadcast --clients 5 --stalled 2 --url {} {SHORT}", target.url()));
    assert_eq!(run.code, Some(0), "{}", run.errors);
    assert_eq!(run.faults(), [0; 4]);
    assert_eq!(run.json()["stalled"], 2);
    assert_eq!(run.json()["stalledClosed"], 0, "so little fits into the buffers");
}

#[test]
fn a_dead_target_and_a_foreign_one_are_refused_by_a_clear_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = bench(&format!("echo --url http://{free}/ {SHORT}"));
    assert_eq!(dead.code, Some(1));
    assert!(dead.errors.contains("Connection refused"), "{}", dead.errors);
    // A documentation address: nobody is there, and nothing is sent.
    let foreign = bench(&format!("echo --url http://192.0.2.1/ {SHORT}"));
    assert_eq!(foreign.code, Some(1));
    assert!(foreign.errors.contains("--remote"), "{}", foreign.errors);
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    for wrong in ["echo", "echo --url http://127.0.0.1:1 --clients 0", "echo --connection-string x", "fly"] {
        assert_eq!(bench(wrong).code, Some(2), "{wrong}");
    }
    let crowded = bench("idle --url http://127.0.0.1:1 --clients 30000");
    assert!(crowded.errors.contains("at most 19936"), "{}", crowded.errors);
}
