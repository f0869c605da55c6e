//! What a dry run says of components, and that it is dry.

use hubgate_plugin_host::{Compilation, DryRun, DryRunOutcome, LoadError, dry_run};

use crate::support::{
    foreign_guest, future_guest, growing_guest, guest, http_guest, lifeless_guest, looping_guest, stranger_guest,
    trapping_guest, unready_guest, wasi_http_guest,
};

fn run(component: &[u8]) -> Result<DryRun, LoadError> {
    dry_run(component, Compilation::default())
}

#[test]
fn each_export_is_called_once_and_what_it_costs_is_told() {
    let component = guest("1.0.000");
    let dry_run = run(&component).unwrap();
    assert_eq!((dry_run.failure(), dry_run.worlds.as_slice()), (None, &["handler"][..]));
    let exports: Vec<_> = dry_run.calls.iter().map(|call| call.export).collect();
    assert_eq!(exports, ["upstream.connected", "upstream.invoke", "upstream.disconnected"]);
    assert!(dry_run.calls.iter().all(|call| !matches!(call.outcome, DryRunOutcome::BrokenOff(_))), "{dry_run:?}");
    let (start, bytes) = dry_run.start.unwrap();
    assert_eq!((bytes, dry_run.size_bytes), (64 << 10, component.len()));
    assert!(
        !start.is_zero() && !dry_run.compile_time.is_zero() && dry_run.call_time.is_some_and(|time| !time.is_zero())
    );
}

#[test]
fn a_trap_is_a_failure_that_says_where() {
    let failure = run(&trapping_guest()).unwrap().failure().expect("it traps");
    assert!(failure.starts_with("`upstream.invoke` broke off: ") && failure.contains("unreachable"), "{failure}");
}

#[test]
fn an_init_that_refuses_or_never_ends_without_a_look_at_its_configuration_is_a_failure() {
    let failure = |component: &[u8]| run(component).unwrap().failure().expect("it has no instance");
    assert_eq!(failure(&unready_guest()), "`init` failed: no thanks");
    assert_eq!(failure(&looping_guest()), "`init` took too long");
}

#[test]
fn an_init_has_the_memory_that_a_plugin_has_by_default() {
    let failure = run(&growing_guest()).unwrap().failure().expect("it has no instance");
    assert!(failure.contains("more memory") && failure.contains("64 MiB"), "{failure}");
}

#[test]
fn what_needs_http_is_tried_without() {
    let dry_run = run(&http_guest()).unwrap();
    assert!(dry_run.asks_by_http && dry_run.failure().is_none(), "{dry_run:?}");
}

#[test]
fn what_cannot_serve_is_told_what_to_do() {
    for (component, cause, cure) in [
        (future_guest(), "it was built for contract 0.2, and this gateway serves 0.1", "`hubgate plugin wit` writes"),
        (lifeless_guest(), "it exports no `hubgate:plugin/lifecycle@0.1`", "export its `init`"),
        (wasi_http_guest(), "it asks for HTTP by `wasi:http/outgoing-handler@0.2.0`", "the contract's import `http`"),
        (foreign_guest(), "it serves no world that this gateway has", "build it for the world `handler` or `filter`"),
        (stranger_guest(), "it imports what this gateway does not have", "stranger"),
        (wat::parse_str("(module)").unwrap(), "it is a core WebAssembly module", "`hubgate plugin build` makes one"),
        (b"fn main() {}".to_vec(), "it is not a WebAssembly component", "`hubgate plugin build` makes one"),
    ] {
        let error = run(&component).expect_err(cause).to_string();
        assert!(error.starts_with(cause) && error.contains(cure), "{cause}: {error}");
    }
}
