//! A filter that refuses calls beyond a rate: per user and per method.
//!
//! Configuration: `limits`, one a line: a method or `*`, and how many calls of one user in which time: `send 5/10s`. Of all
//! lines that a call falls under, none may be exceeded; `*` counts the calls of all methods together. A client without a user
//! is counted by its connection. Counts are the whole gateway's, in windows that begin at multiples of their length.

use std::cell::OnceCell;

use hubgate_plugin::filter::{Filter, Kind, Message, Verdict};
use hubgate_plugin::{Connection, config, context, log, state};

thread_local! {
    static LIMITS: OnceCell<Vec<Limit>> = const { OnceCell::new() };
}

/// One line of the configuration.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    /// In upper case; none: of all methods together.
    method: Option<String>,
    calls: i64,
    /// In milliseconds.
    window: u64,
    /// As it was written.
    text: String,
}

struct RateLimit;

impl Filter for RateLimit {
    fn init() -> Result<(), String> {
        let limits = limits(&config::get("limits").unwrap_or_default())?;
        LIMITS.with(|cell| cell.set(limits)).map_err(|_| "the instance was made before".to_owned())
    }

    fn inbound(client: Connection, message: Message) -> Verdict {
        let (Kind::Invocation | Kind::StreamInvocation, Some(target)) = (message.kind, &message.target) else {
            return Verdict::Pass;
        };
        let method = upper_case(target);
        let now = context::now();
        let who = match &client.user_id {
            Some(user) => format!("u{user}"),
            None => format!("c{}", client.id),
        };
        LIMITS.with(|limits| {
            let limits = limits.get().map(Vec::as_slice).unwrap_or_default();
            for limit in limits.iter().filter(|limit| limit.method.as_ref().is_none_or(|each| *each == method)) {
                let window = now / limit.window;
                let key = format!("{}\n{who}\n{}\n{window}", client.hub, limit.text);
                match state::increment(&key, 1, Some(limit.window)) {
                    Ok(calls) if calls > limit.calls => {
                        return Verdict::Reject(format!("Too many calls: the limit is {}.", limit.text));
                    }
                    Ok(_) => {}
                    // Counting fails rather than that calls do.
                    Err(error) => log::write(log::Level::Warn, &format!("a call was not counted: {error:?}"), &[]),
                }
            }
            Verdict::Pass
        })
    }
}

/// Hub servers find their methods without regard to case.
fn upper_case(method: &str) -> String {
    method.chars().flat_map(char::to_uppercase).collect()
}

fn limits(text: &str) -> Result<Vec<Limit>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let limits =
        lines.map(|line| limit(line).ok_or_else(|| format!("`limits`: \"{line}\" is not like \"send 5/10s\"")));
    let limits = limits.collect::<Result<Vec<Limit>, String>>()?;
    match limits.is_empty() {
        true => Err("`limits` is missing: say one a line, such as \"send 5/10s\"".to_owned()),
        false => Ok(limits),
    }
}

fn limit(line: &str) -> Option<Limit> {
    let (method, rate) = line.rsplit_once(char::is_whitespace)?;
    let (calls, window) = rate.split_once('/')?;
    let method = Some(method.trim_end()).filter(|method| *method != "*").map(upper_case);
    let calls = calls.parse().ok().filter(|calls| *calls > 0)?;
    let digits = window.find(|character: char| !character.is_ascii_digit())?;
    let unit = match &window[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let count: u64 = if digits == 0 { 1 } else { window[..digits].parse().ok()? };
    let window = count.checked_mul(unit).filter(|window| *window > 0)?;
    Some(Limit { method, calls, window, text: line.to_owned() })
}

hubgate_plugin::export_inbound_filter!(RateLimit);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_method_a_number_and_a_time() {
        let check = |line: &str, method: Option<&str>, calls: i64, window: u64| {
            let limit = limit(line).unwrap();
            assert_eq!((limit.method.as_deref(), limit.calls, limit.window), (method, calls, window), "{line}");
        };
        check("send 5/10s", Some("SEND"), 5, 10_000);
        check("*  100/m", None, 100, 60_000);
        check("two words 1/250ms", Some("TWO WORDS"), 1, 250);
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        for line in ["send", "send 5", "send 0/s", "send 5/0s", "send 5/10", "send -1/s", "send 5/10d"] {
            assert!(limits(line).unwrap_err().contains(line), "{line}");
        }
        assert!(limits(" \n").unwrap_err().contains("missing"));
    }
}
