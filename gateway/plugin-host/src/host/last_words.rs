//! What a guest's language says of an error that breaks its call off: the error and its place, found in what the guest prints. A trap by
//! itself only tells of the language's runtime.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::REASON_BYTES;
use crate::printable::printable;

/// The last words of the present call, which the instance's streams hear too.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    /// Whether a line was heard: most calls print none, and take no lock.
    has_heard: AtomicBool,
    heard: Mutex<Heard>,
}

/// What is to become of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Logged,
    /// Of a language's runtime, about an error that is known already.
    Noise,
}

impl LastWords {
    /// Another call begins.
    pub(super) fn forget(&self) {
        if self.has_heard.swap(false, Ordering::Relaxed) {
            *self.lock() = Heard::default();
        }
    }

    /// A line of standard error.
    pub(super) fn printed(&self, line: &str) -> Line {
        self.has_heard.store(true, Ordering::Relaxed);
        self.lock().printed(line)
    }

    /// What the guest writes to its log.
    pub(super) fn logged(&self, message: &str) {
        // In JavaScript, the words of the gateway's own guard around the script.
        let thrown = message.strip_prefix('`').and_then(|rest| rest.split_once("` has thrown "));
        if let Some((_, error)) = thrown {
            self.has_heard.store(true, Ordering::Relaxed);
            self.lock().thrown(error);
        }
    }

    /// The error of the call on one line, with its place in brackets where that is known.
    pub(crate) fn get(&self) -> Option<String> {
        let heard = self.lock();
        let text = heard.text.as_deref()?;
        // Both are bounded by the length of a line.
        let text = match &heard.place {
            Some(place) => format!("{} ({place})", printable(text, REASON_BYTES / 2)),
            None => text.to_owned(),
        };
        Some(printable(&text, REASON_BYTES))
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Heard {
    text: Option<String>,
    /// Such as `app.py:17`.
    place: Option<String>,
    now: Now,
}

/// What the next line is part of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Now {
    #[default]
    Anything,
    /// Of Python: places, then the error.
    Traceback,
    /// Of Rust: the error.
    PanicMessage,
    /// Of Go: functions, each with its place in the line after it.
    Goroutine { is_plugins: bool },
    /// Of the runtime that runs the script, until the call is over.
    Noise,
}

impl Heard {
    fn printed(&mut self, line: &str) -> Line {
        if line.is_empty() {
            return Line::Logged;
        }
        if self.now == Now::Noise || line.starts_with("note: run with `RUST_BACKTRACE=1`") {
            return Line::Noise;
        }
        if line.starts_with("Traceback (most recent call last):") {
            *self = Heard { now: Now::Traceback, ..Heard::default() };
        } else if let Some((_, place)) =
            line.split_once("' ").filter(|_| line.starts_with("thread '")).and_then(panicked)
        {
            if self.text.is_some() {
                self.now = Now::Noise;
                return Line::Noise;
            }
            self.place = Some(place.to_owned());
            self.now = Now::PanicMessage;
        } else if let Some(error) = line.strip_prefix("panic: ").or_else(|| line.strip_prefix("fatal error: ")) {
            let text = Some(error.trim_end_matches(" [recovered]").to_owned());
            *self = Heard { text, place: None, now: Now::Goroutine { is_plugins: false } };
        } else if line.starts_with("Assertion failed: ") {
            *self = Heard { text: Some(line.to_owned()), ..Heard::default() };
        } else {
            self.go_on(line);
        }
        Line::Logged
    }

    /// A line of what has begun.
    fn go_on(&mut self, line: &str) {
        match self.now {
            Now::Traceback => match line.trim_start().strip_prefix("File \"") {
                Some(frame) => self.place = python_place(frame).or(self.place.take()),
                None if line.starts_with(' ') => {}
                None => {
                    self.text = Some(line.to_owned());
                    self.now = Now::Anything;
                }
            },
            Now::PanicMessage => {
                self.text = Some(line.to_owned());
                self.now = Now::Anything;
            }
            Now::Goroutine { is_plugins } => match line.strip_prefix('\t') {
                Some(place) if is_plugins && self.place.is_none() => {
                    let place = place.split(" +0x").next().unwrap_or(place);
                    self.place = Some(place.rsplit('/').next().unwrap_or(place).to_owned());
                }
                Some(_) => {}
                None => self.now = Now::Goroutine { is_plugins: line.starts_with("main.") },
            },
            Now::Anything | Now::Noise => {}
        }
    }

    /// An error of JavaScript with its stack.
    fn thrown(&mut self, error: &str) {
        let (text, stack) = error.split_once("\n    at ").unwrap_or((error, ""));
        let mut places = stack.lines().filter_map(|frame| {
            let place = frame.rsplit_once('(').map_or(frame, |(_, place)| place.trim_end_matches(')'));
            Some(place.trim_start_matches("at ").trim_start_matches('/'))
                .filter(|place| place.ends_with(|end: char| end.is_ascii_digit()))
        });
        let place = places.find(|place| !place.starts_with("hubgate/")).map(str::to_owned);
        *self = Heard { text: Some(text.to_owned()), place, now: Now::Anything };
    }
}

/// The place of `thread 'NAME' (ID) panicked at PLACE:`, of which the name is split off.
fn panicked<'a>((name, rest): (&'a str, &'a str)) -> Option<(&'a str, &'a str)> {
    let (_, place) = rest.split_once("panicked at ").filter(|(id, _)| id.is_empty() || id.starts_with('('))?;
    Some((name, place.trim_end_matches(':')))
}

/// Of `app.py", line 17, in hello`, unless it is in the SDK or in Python's own library.
fn python_place(frame: &str) -> Option<String> {
    let (path, rest) = frame.split_once("\", line ")?;
    let line: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let is_own = !path.starts_with('<')
        && !["hubgate/", "/python", "python3", "site-packages", "bundled/"].iter().any(|part| path.contains(part));
    let name =
        path.trim_start_matches('/').trim_start_matches(|digit: char| digit.is_ascii_digit()).trim_start_matches('/');
    is_own.then(|| format!("{name}:{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told after these lines of standard error, and those that the log has.
    fn told(lines: &str) -> (Option<String>, Vec<&str>) {
        let words = LastWords::default();
        let logged = lines.lines().filter(|line| words.printed(line) == Line::Logged).collect();
        (words.get(), logged)
    }

    #[test]
    fn an_exception_of_python_is_its_last_line_and_the_projects_last_place() {
        let traceback = "Traceback (most recent call last):\n  File \"/0/hubgate/_answers.py\", line 90, in invoke\n\
                         \x20 File \"/0/app.py\", line 17, in hello\n    return 1 / 0\n           ~~^~~\n\
                         \x20 File \"/python/json/decoder.py\", line 3, in decode\nZeroDivisionError: division by zero";
        let noise = "thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1293:21:\n\
                     Python function threw an unexpected exception\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let (said, all) =
            (Some("ZeroDivisionError: division by zero (app.py:17)".to_owned()), format!("{traceback}\n{noise}"));
        assert_eq!(told(&all), (said.clone(), traceback.lines().collect()));
        // The one that was raised last has broken the call off.
        let before = "Traceback (most recent call last):\n  File \"/0/x.py\", line 1, in f\nKeyError: 'a'\n\n\
                      During handling of the above exception, another exception occurred:\n";
        assert_eq!(told(&format!("{before}\n{all}")).0, said);
    }

    #[test]
    fn a_panic_of_go_has_the_place_in_the_plugins_own_package() {
        let trace = "panic: assignment to entry in nil map [recovered]\n\ngoroutine 1 [running]:\nhubgate/handler.parse(0x2)\n\
                     \thubgate@v0.0.0/handler/handler.go:56 +0x8\nmain.hello(0x2c0060)\n\texample.com/hello/plugin.go:18 +0xe\n\
                     main.other()\n\texample.com/hello/other.go:2 +0x1";
        assert_eq!(told(trace).0.as_deref(), Some("assignment to entry in nil map (plugin.go:18)"));
    }

    #[test]
    fn a_panic_of_rust_and_an_assertion_of_c_are_told_with_their_places() {
        let panic = "thread '<unnamed>' (1) panicked at src/lib.rs:12:5:\nindex out of bounds\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let (said, logged) = told(panic);
        assert_eq!((said.as_deref(), logged.len()), (Some("index out of bounds (src/lib.rs:12:5)"), 2));
        let assertion = "Assertion failed: i < 4 (plugin.c: hello: 12)";
        assert_eq!(told(assertion).0.as_deref(), Some(assertion));
        assert_eq!(told("it goes well\nthread count: 5").0, None);
    }

    #[test]
    fn an_error_of_javascript_is_told_on_one_line_and_its_runtimes_words_are_noise() {
        let words = LastWords::default();
        words.logged(
            "`upstream.invoke` has thrown ReferenceError: x is not defined\n    at call (native)\n    at invoke (/hubgate/handler.js:2:1)\n    \
             at hello (/plugin.js:13:32)",
        );
        let panic = "thread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:";
        assert_eq!(
            [words.printed(panic), words.printed("Failed to call 'invoke': Value(Exception(")],
            [Line::Noise; 2]
        );
        assert_eq!(words.get().as_deref(), Some("ReferenceError: x is not defined (plugin.js:13:32)"));
        words.forget();
        assert_eq!((words.get(), words.printed("the next call")), (None, Line::Logged));
    }

    #[test]
    fn words_are_bounded_and_one_line() {
        let words = LastWords::default();
        words.logged(&format!(
            "`upstream.invoke` has thrown a\nb{}\n    at f (/{}:1)",
            "x".repeat(1 << 16),
            "y".repeat(1 << 16)
        ));
        let said = words.get().expect("it has thrown");
        assert!(said.starts_with("a\\nb") && said.len() <= REASON_BYTES + 16, "{}", said.len());
    }
}
