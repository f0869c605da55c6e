//! W3C trace context: which trace a request or a message belongs to, and which span of it has caused it.
//!
//! Source: W3C Recommendation "Trace Context", sections 3.2 and 3.3.

use std::sync::Arc;

pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// Longer states are left out, as the recommendation allows beyond 512 characters.
const LONGEST_STATE: usize = 512;
/// The length of version 00.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;

/// A span, as others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) is_sampled: bool,
    /// What other systems keep in the trace, as it came.
    pub(crate) state: Option<Arc<str>>,
}

impl Context {
    /// A new trace, with its first span.
    pub(crate) fn begin() -> Context {
        Context { trace_id: random(), span_id: random(), is_sampled: true, state: None }
    }

    /// A new span of the same trace.
    pub(crate) fn child(&self) -> Context {
        Context { span_id: random(), ..self.clone() }
    }

    /// By headers of any case. One that is not valid is none, and neither are two; states are one list, in order.
    pub(crate) fn of<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>) -> Option<Context> {
        let (mut parents, mut states) = (Vec::new(), Vec::new());
        for (name, value) in headers {
            if name.eq_ignore_ascii_case(TRACEPARENT) {
                parents.push(value);
            } else if name.eq_ignore_ascii_case(TRACESTATE) {
                states.push(value);
            }
        }
        let [parent] = parents[..] else { return None };
        Some(Context { state: parse_state(&states.join(",")), ..Context::parse(parent)? })
    }

    /// Whether the trace is one of this part of all, from 0 to 1. All who ask of a trace are told the same.
    ///
    /// Source: W3C Recommendation "Trace Context Level 2", "Random Trace ID Flag": the last seven bytes are random.
    pub(super) fn is_within(&self, ratio: f64) -> bool {
        const RANDOM_BITS: u32 = 56;
        // As many of them as a number with a fraction has.
        const BITS: u32 = f64::MANTISSA_DIGITS;
        let random = u128::from_be_bytes(self.trace_id) & ((1 << RANDOM_BITS) - 1);
        ((random >> (RANDOM_BITS - BITS)) as f64) < ratio * (1_u64 << BITS) as f64
    }

    fn parse(text: &str) -> Option<Context> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(LENGTH)?;
        let version = hex::<1>(&head[..2])?[0];
        // What later versions add comes after another hyphen; version 255 is forbidden.
        let is_whole = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !is_whole || [head[2], head[35], head[52]] != *b"---" {
            return None;
        }
        let (trace_id, span_id) = (hex(&head[3..35])?, hex(&head[36..52])?);
        let is_sampled = hex::<1>(&head[53..])?[0] & SAMPLED != 0;
        let is_none = trace_id == [0; 16] || span_id == [0; 8];
        (!is_none).then_some(Context { trace_id, span_id, is_sampled, state: None })
    }

    /// As the value of `traceparent`.
    pub(crate) fn traceparent(&self) -> String {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let span_id = u64::from_be_bytes(self.span_id);
        format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(self.is_sampled))
    }

    /// The headers by which it is told.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let state = self.state.as_ref().map(|state| (TRACESTATE, state.to_string()));
        [(TRACEPARENT, self.traceparent())].into_iter().chain(state)
    }
}

/// Whether a header tells of a trace.
pub(crate) fn is_of_trace(name: &str) -> bool {
    name.eq_ignore_ascii_case(TRACEPARENT) || name.eq_ignore_ascii_case(TRACESTATE)
}

/// A list of entries `key=value`. Nobody here looks at them.
fn parse_state(text: &str) -> Option<Arc<str>> {
    let text = text.replace('\t', " ");
    let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let is_entry = |entry: &str| {
        let entry = entry.trim();
        entry.is_empty() || entry.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
    };
    let is_valid = !text.trim().is_empty()
        && text.len() <= LONGEST_STATE
        && text.bytes().all(is_visible)
        && text.split(',').all(is_entry);
    is_valid.then(|| text.into())
}

/// Digits and small letters alone.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// An id that is not zero.
fn random<const N: usize>() -> [u8; N] {
    loop {
        let mut id = [0; N];
        rand::fill(&mut id[..]);
        if id != [0; N] {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parent(text: &str) -> Option<Context> {
        Context::of([("TraceParent", text)].into_iter())
    }

    #[test]
    fn a_context_is_told_as_it_was_read() {
        let context = Context::of([("traceparent", VALID), ("tracestate", "a=1,b=2")].into_iter()).expect("valid");
        let told: Vec<_> = context.headers().collect();
        assert_eq!(told, [("traceparent", VALID.to_owned()), ("tracestate", "a=1,b=2".to_owned())]);
        let child = context.child();
        assert_eq!((child.trace_id, child.state.as_deref()), (context.trace_id, Some("a=1,b=2")));
        assert_ne!(child.span_id, context.span_id);
        assert!(!parent(&VALID.replace("-01", "-00")).expect("valid").is_sampled);
        assert!(parent(&VALID.replace("-01", "-03")).expect("valid").is_sampled, "other flags are not looked at");
    }

    #[test]
    fn a_part_of_all_traces_is_the_same_for_all_who_ask() {
        let with_end = |end: &str| parent(&VALID.replace("ce929d0e0e4736", end)).expect("valid");
        let (first, last) = (with_end("00000000000000"), with_end("ffffffffffffff"));
        assert!(first.is_within(0.1) && first.is_within(1.0) && !first.is_within(0.0));
        assert!(last.is_within(1.0) && !last.is_within(0.9));
        assert!(with_end("7fffffffffffff").is_within(0.5) && !with_end("80000000000000").is_within(0.5));
    }

    #[test]
    fn later_versions_may_add_to_it() {
        let later = VALID.replacen("00", "cc", 1);
        assert_eq!(parent(&later), parent(VALID));
        assert_eq!(parent(&format!("{later}-more")), parent(VALID));
        assert_eq!(parent(&format!("{later}more")), None);
    }

    #[test]
    fn what_is_not_valid_is_no_context() {
        for wrong in [
            "",
            "00",
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &format!("{VALID}-more"),
            &VALID[..54],
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &VALID.replace("-01", "_01"),
            &VALID.replace("-01", "-0g"),
            &"é".repeat(40),
        ] {
            assert_eq!(parent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_state_that_is_not_valid_or_long_is_left_out() {
        let states = [("traceparent", VALID), ("tracestate", "a=1,\tb=2"), ("TraceState", "c=3")];
        let context = Context::of(states.into_iter()).expect("valid");
        assert_eq!(context.state.as_deref(), Some("a=1, b=2,c=3"), "all are one list");
        assert_eq!(Context::of([("traceparent", VALID); 2].into_iter()), None, "it is not known which counts");
        for wrong in ["", " ", "novalue", "a=\u{e9}", "a=1\r\nb: 2", &format!("a={}", "x".repeat(512))] {
            let context = Context::of([("traceparent", VALID), ("tracestate", wrong)].into_iter()).expect("valid");
            assert_eq!(context.state, None, "{wrong}");
        }
    }
}
