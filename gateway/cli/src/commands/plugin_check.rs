//! `hubgate plugin check`: whether a component can serve, and what it is like.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hubgate_plugin_host::{DryRun, DryRunOutcome, MAX_COMPONENT_BYTES, RegularFile, dry_run};
use serde_json::{Value, json};

use super::run_gateway::compilation;
use crate::{Failure, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    file: PathBuf,
    /// Names all imports and exports, WASI's too.
    #[arg(long)]
    verbose: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Exit code 1 says that the component cannot serve.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let checked = check(&arguments.file);
    let (dry_run, failure) = match checked {
        Ok(dry_run) => {
            let failure = dry_run.failure().map(|reason| anyhow!(reason));
            (Some(dry_run), failure)
        }
        Err(error) => (None, Some(error)),
    };
    let context = || format!("{}: cannot serve", arguments.file.display());
    match (arguments.json, &dry_run) {
        (true, dry_run) => print(as_json(&arguments.file, dry_run.as_ref(), failure.as_ref()))?,
        (false, Some(dry_run)) if failure.is_none() => print(in_words(&arguments.file, dry_run, arguments.verbose))?,
        (false, _) => {}
    }
    match failure {
        Some(failure) => Err(Failure::Failed(failure.context(context()))),
        None => Ok(()),
    }
}

fn check(file: &Path) -> Result<DryRun> {
    if file.is_dir() {
        bail!("it is a folder: build it first, with `hubgate plugin build {0} -o {0}.wasm`", file.display());
    }
    let component = RegularFile::read(file, MAX_COMPONENT_BYTES).context("it cannot be read")?.bytes;
    if component.is_empty() {
        bail!("the file is empty");
    }
    Ok(dry_run(&component, compilation(None))?)
}

fn in_words(file: &Path, dry_run: &DryRun, is_verbose: bool) -> String {
    let http = if dry_run.asks_by_http { "; needs http: say `allow-http`" } else { "" };
    let mut lines = vec![format!("{}: can serve as {}{http}", file.display(), dry_run.worlds.join(" and "))];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    line("size", format!("{} bytes, {}", dry_run.size_bytes, dry_run.digest));
    match &dry_run.start {
        Ok((took, bytes)) => {
            let compiled = time(dry_run.compile_time);
            line("start", format!("{compiled} to compile, {} for an instance of {}", time(*took), size(*bytes)));
        }
        Err(reason) => line("start", format!("no instance without configuration: {}", what_init_said(reason))),
    }
    if let Some(took) = dry_run.call_time {
        line("call", format!("{} (median, in an instance that is reused)", time(took)));
    }
    for call in &dry_run.calls {
        let outcome = match &call.outcome {
            DryRunOutcome::Answered => "answers".to_owned(),
            DryRunOutcome::Refused(reason) => format!("refuses: {}", super::plugin_test::shown(reason)),
            DryRunOutcome::BrokenOff(reason) => format!("breaks off without configuration: {reason}"),
        };
        line("tried", format!("{} {outcome}", call.export));
    }
    if !dry_run.configuration.is_empty() {
        line("config", format!("it asks for {}", super::plugin_test::shown(&dry_run.configuration.join(", "))));
    }
    if is_verbose {
        line("imports", dry_run.imports.join(", "));
        line("exports", dry_run.exports.join(", "));
    }
    lines.join("\n")
}

/// Without the words in which the host passes it on.
fn what_init_said(reason: &str) -> &str {
    reason.strip_prefix("`init` failed: ").unwrap_or(reason)
}

fn time(time: Duration) -> String {
    match time.as_nanos() {
        nanos @ 0..10_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        nanos @ 10_000..1_000_000 => format!("{} µs", nanos / 1_000),
        nanos @ 1_000_000..10_000_000_000 => format!("{} ms", nanos / 1_000_000),
        nanos => format!("{} s", nanos / 1_000_000_000),
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn as_json(file: &Path, dry_run: Option<&DryRun>, failure: Option<&anyhow::Error>) -> Value {
    let mut object = json!({
        "file": file.display().to_string(),
        "canServe": failure.is_none(),
        "reason": failure.map(|failure| format!("{failure:#}")),
    });
    let Some(dry_run) = dry_run else { return object };
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let calls = dry_run.calls.iter().map(|call| {
        let (outcome, reason) = match &call.outcome {
            DryRunOutcome::Answered => ("answered", None),
            DryRunOutcome::Refused(reason) => ("refused", Some(reason)),
            DryRunOutcome::BrokenOff(reason) => ("brokenOff", Some(reason)),
        };
        json!({ "export": call.export, "outcome": outcome, "reason": reason })
    });
    let more = json!({
        "worlds": dry_run.worlds,
        "needsHttp": dry_run.asks_by_http,
        "sizeBytes": dry_run.size_bytes,
        "digest": dry_run.digest,
        "compileMs": milliseconds(dry_run.compile_time),
        "startMs": dry_run.start.as_ref().ok().map(|(took, _)| milliseconds(*took)),
        "memoryBytes": dry_run.start.as_ref().ok().map(|(_, bytes)| bytes),
        "callMs": dry_run.call_time.map(milliseconds),
        "calls": calls.collect::<Vec<_>>(),
        "configuration": dry_run.configuration,
        "imports": dry_run.imports,
        "exports": dry_run.exports,
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}
