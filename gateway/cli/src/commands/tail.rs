//! `hubgate tail`: the way that messages take through a running gateway.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::admin_client::{AdminClient, AdminOptions};
use super::plugin_test::shown;
use crate::Failure;

/// The gateway says something at least every 15 seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Spans that are kept until the first one of their trace is told, in number.
const MAX_KEPT: usize = 10_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only traces that start in this hub.
    #[arg(long, value_name = "HUB")]
    hub: Option<String>,
    /// Calls made by this user's clients, and sends to the user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Calls made by the client with this id, and sends to it.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Calls of this method by clients.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Also show the arguments of calls (needs the admin token, and is logged). Values that look like secrets are redacted; others may still show.
    #[arg(long)]
    payloads: bool,
    #[command(flatten)]
    gateway: AdminOptions,
    /// Prints each span as a JSON object on a line.
    #[arg(long)]
    json: bool,
}

/// Prints until the gateway or the reader ends it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = AdminClient::new(&arguments.gateway)?.with_patience(PATIENCE);
    let mut kept = Kept::default();
    let mut event = String::new();
    for line in client.follow(&path(arguments))? {
        let line = line.context("the gateway has ended it")?;
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event);
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let data: Value = serde_json::from_str(data).context("what the gateway tells is not JSON")?;
        let told = match (event.as_str(), arguments.json) {
            ("span", true) => Some(data.to_string()),
            ("span", false) => kept.take(data).map(|trace| trace.trim_end().to_owned()),
            ("missed", true) => Some(json!({ "missed": data["count"] }).to_string()),
            ("missed", false) => Some(format!("({} more did not fit)", data["count"])),
            _ => None,
        };
        if let Some(told) = told
            && !still_read(&told)?
        {
            return Ok(());
        }
    }
    Err(anyhow!("the gateway has ended it").into())
}

/// Prints a line; gives whether somebody reads on.
fn still_read(line: &str) -> Result<bool, Failure> {
    match writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(anyhow!(error).context("cannot write to standard output"))),
    }
}

fn path(Arguments { hub, user, id, method, payloads, .. }: &Arguments) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("hub", hub), ("user", user), ("connection", id), ("method", method)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    if *payloads {
        query.append_pair("payloads", "true");
    }
    format!("/admin/trace?{}", query.finish())
}

/// Spans whose traces are not told as a whole yet. The first one of a trace is told last.
#[derive(Debug, Default)]
struct Kept {
    by_parent: HashMap<String, Vec<Value>>,
    /// The parents of all that came, in order; some may be told by now.
    order: VecDeque<String>,
}

impl Kept {
    /// A span is told; gives the trace as text if that is whole.
    fn take(&mut self, span: Value) -> Option<String> {
        if span["root"] == true {
            let mut text = String::new();
            self.write(&mut text, &span, 0);
            return Some(text);
        }
        let parent = span["parent"].as_str()?.to_owned();
        self.order.push_back(parent.clone());
        self.by_parent.entry(parent).or_default().push(span);
        if self.order.len() > MAX_KEPT {
            // Its trace is whole, or something of it did not fit.
            self.order.pop_front().and_then(|parent| self.by_parent.remove(&parent));
        }
        None
    }

    fn write(&mut self, text: &mut String, span: &Value, depth: usize) {
        writeln!(text, "{}", line(span, depth)).expect("a text takes what is written");
        let id = span["span"].as_str().unwrap_or_default();
        let mut children = self.by_parent.remove(id).unwrap_or_default();
        children.sort_by(|one, other| one["at"].as_str().cmp(&other["at"].as_str()));
        for child in children {
            self.write(text, &child, depth + 1);
        }
    }
}

/// A span: when, what, how long, what is known of it, and whether it failed.
fn line(span: &Value, depth: usize) -> String {
    let text = |field: &str| shown(span[field].as_str().unwrap_or("?"));
    let at = span["at"].as_str().and_then(|at| at.split_once('T')).map_or("?", |(_, time)| time.trim_end_matches('Z'));
    let name = format!("{}{}", "  ".repeat(depth), text("name"));
    let micros = span["micros"].as_u64().unwrap_or_default();
    let took = format!("{}.{:03} ms", micros / 1_000, micros % 1_000);
    let mut line = format!("{}  {name:<28} {took:>12}", shown(at));
    for (name, value) in span["attributes"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), shown);
        write!(line, "  {}={value}", shown(name)).expect("a text takes what is written");
    }
    if let Some(failed) = span["failed"].as_str() {
        write!(line, "  FAILED: {}", shown(failed)).expect("a text takes what is written");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, name: &str) -> Value {
        json!({
            "trace": "t", "span": id, "parent": parent, "root": parent.is_none(), "name": name, "at": "2026-01-01T12:00:00.000001Z",
            "micros": 1_234, "failed": null, "attributes": { "hub": "chat" },
        })
    }

    #[test]
    fn a_trace_is_a_tree_once_its_first_span_is_told() {
        let mut kept = Kept::default();
        assert_eq!(kept.take(span("3", Some("2"), "send group")), None);
        assert_eq!(kept.take(span("9", Some("8"), "handle")), None, "another trace");
        assert_eq!(kept.take(span("2", Some("1"), "handle")), None);
        let trace = kept.take(span("1", None, "chat/send")).expect("it is whole");
        let lines: Vec<&str> = trace.lines().collect();
        assert_eq!(lines.len(), 3, "{trace}");
        assert!(
            lines[0].starts_with("12:00:00.000001  chat/send ") && lines[0].contains("1.234 ms  hub=chat"),
            "{trace}"
        );
        assert!(lines[1].contains("  handle") && lines[2].contains("    send group"), "{trace}");
    }

    #[test]
    fn spans_whose_trace_never_becomes_whole_are_bounded() {
        let mut kept = Kept::default();
        for number in 0..3 * MAX_KEPT {
            kept.take(span("x", Some(&format!("p{}", number % (2 * MAX_KEPT))), "deliver"));
        }
        assert!(kept.order.len() <= MAX_KEPT && kept.by_parent.len() <= MAX_KEPT);
        let spans: usize = kept.by_parent.values().map(Vec::len).sum();
        assert!(spans <= MAX_KEPT, "{spans}");
    }

    #[test]
    fn no_name_steers_a_terminal() {
        let mut hostile = span("1", None, "chat/\u{1b}[2J\nroot");
        hostile["attributes"]["user"] = "ann\u{1b}]0;x\u{7}".into();
        hostile["failed"] = "a\nb".into();
        let line = line(&hostile, 0);
        assert!(!line.contains(|letter: char| letter.is_control()), "{line:?}");
    }
}
