//! What `inspect` says of components.

use hubgate_plugin_host::{Compilation, LoadError, PluginReport, inspect};

use crate::support::{foreign_guest, future_guest, guest, looping_guest, stranger_guest, unready_guest};

fn inspect_here(component: &[u8]) -> Result<PluginReport, LoadError> {
    inspect(component, Compilation::default())
}

#[test]
fn a_component_that_can_serve_is_described() {
    let component = guest("1.0.000");
    let report = inspect_here(&component).unwrap();
    assert_eq!(report.worlds, ["handler"]);
    assert_eq!(report.size_bytes, component.len());
    assert_eq!(report.memory_bytes, Ok(64 << 10));
    assert!(report.imports.contains(&"hubgate:plugin/hub@0.1.0".to_owned()), "{:?}", report.imports);
    assert!(report.exports.contains(&"hubgate:plugin/upstream@0.1.0".to_owned()), "{:?}", report.exports);
    assert!(report.digest.starts_with("sha256:"), "{}", report.digest);
}

#[test]
fn a_component_that_wants_a_configuration_is_described_and_says_so() {
    let report = inspect_here(&unready_guest()).unwrap();
    assert_eq!(report.worlds, ["handler"]);
    assert!(report.memory_bytes.is_err_and(|reason| reason.contains("no thanks")));
}

#[test]
fn a_component_that_cannot_serve_is_refused_with_the_reason() {
    let check = |component: &[u8], expected: fn(&LoadError) -> bool| {
        let error = inspect_here(component).expect_err("the component cannot serve");
        assert!(expected(&error), "{error:?}");
    };
    check(&foreign_guest(), |error| matches!(error, LoadError::WrongWorld { .. }));
    check(&future_guest(), |error| matches!(error, LoadError::OtherContract { found } if found == "0.2"));
    check(&stranger_guest(), |error| matches!(error, LoadError::UnknownImport(why) if why.contains("`stranger`")));
    check(&looping_guest(), |error| matches!(error, LoadError::Transient(why) if why.contains("too long")));
    check(&wat::parse_str("(component)").unwrap(), |error| matches!(error, LoadError::WrongWorld { .. }));
    check(&wat::parse_str("(module)").unwrap(), |error| matches!(error, LoadError::CoreModule));
    check(b"\0asm\x0d\0\x01\0\x00\x00", |error| matches!(error, LoadError::Invalid(_)));
}

#[test]
fn no_prefix_and_no_flipped_byte_makes_the_host_panic() {
    let component = guest("1.0.000");
    for end in (0..component.len()).step_by(97) {
        assert!(inspect_here(&component[..end]).is_err(), "{end} bytes");
    }
    for at in (8..component.len()).step_by(193) {
        let mut flipped = component.clone();
        flipped[at] ^= 0x41;
        // Whatever comes of it: an answer.
        inspect_here(&flipped).ok();
    }
}
