//! A filter that refuses calls beyond a rate: per user and per method.
//!
//! Configuration: `limits`, one a line: a method or `*`, and how many calls of one user in which time: `send 5/10s`. Of all
//! lines that a call falls under, none may be exceeded; `*` counts the calls of all methods together. A client without a user
//! is counted by its connection. Counts are the whole gateway's, in windows that begin at multiples of their length. A call
//! that cannot be counted is a failure of the filter: its `on-error` says what becomes of the call.

use std::cell::OnceCell;
use std::time::Duration;

use hubgate_plugin::filter::{Filter, Kind, Message, Verdict, folded};
use hubgate_plugin::{Connection, config, context, state};
use sha2::{Digest, Sha256};

/// Users with longer ids are told apart by a digest, in bytes.
const LONGEST_USER: usize = 256;

thread_local! {
    static LIMITS: OnceCell<Vec<Limit>> = const { OnceCell::new() };
}

/// One line of the configuration.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    /// Folded; none: of all methods together.
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
        let method = folded(target);
        let now = context::now();
        let who = who(&client);
        LIMITS.with(|limits| {
            let limits = limits.get().map(Vec::as_slice).unwrap_or_default();
            for limit in limits.iter().filter(|limit| limit.method.as_ref().is_none_or(|each| *each == method)) {
                let window = now / limit.window;
                let key = format!("{}\n{who}\n{}\n{window}", client.hub, limit.text);
                match state::increment(&key, 1, Some(Duration::from_millis(limit.window))) {
                    Ok(calls) if calls > limit.calls => {
                        return Verdict::Reject(format!("Too many calls: the limit is {}.", limit.text));
                    }
                    Ok(_) => {}
                    Err(error) => panic!("a call cannot be counted: {error:?}"),
                }
            }
            Verdict::Pass
        })
    }
}

/// Whose calls are counted together, short enough for a key.
fn who(client: &Connection) -> String {
    match &client.user_id {
        Some(user) if user.len() > LONGEST_USER => {
            let digest = Sha256::digest(user).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            format!("h{digest}")
        }
        Some(user) => format!("u{user}"),
        None => format!("c{}", client.id),
    }
}

fn limits(text: &str) -> Result<Vec<Limit>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let limits =
        lines.map(|line| limit(line).ok_or_else(|| format!("`limits`: \"{line}\" is not like \"send 5/10s\"")));
    let limits = limits.collect::<Result<Vec<Limit>, String>>()?;
    let is_twice = |(index, limit): (usize, &Limit)| limits[..index].contains(limit);
    if let Some(index) = limits.iter().enumerate().position(is_twice) {
        return Err(format!("`limits` has \"{}\" twice", limits[index].text));
    }
    match limits.is_empty() {
        true => Err("`limits` is missing: say one a line, such as \"send 5/10s\"".to_owned()),
        false => Ok(limits),
    }
}

fn limit(line: &str) -> Option<Limit> {
    let (method, rate) = line.rsplit_once(char::is_whitespace)?;
    let (calls, window) = rate.split_once('/')?;
    let method = Some(method.trim_end()).filter(|method| *method != "*").map(folded);
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
        assert!(limits("send 1/s\nsend 1/s").unwrap_err().contains("twice"));
    }

    #[test]
    fn everybody_has_a_count_of_their_own_and_a_short_name() {
        let client = |id: &str, user: Option<String>| {
            who(&Connection { hub: "h".to_owned(), id: id.to_owned(), user_id: user })
        };
        let long = |end: &str| client("1", Some("x".repeat(4_000) + end));
        let all = [client("1", None), client("2", None), client("1", Some("1".to_owned())), long("a"), long("b")];
        for (index, who) in all.iter().enumerate() {
            assert!(who.len() < 300 && !all[..index].contains(who), "{who}");
        }
        assert_eq!(long("a"), long("a"));
    }
}
