//! What to do about errors of a script that its tools tell in their own words.

use anyhow::Error;

const WHOLE_HUB: &str = "the script imports what only a whole hub has: say `\"hubgate\": { \"world\": \"whole-hub\" }` in package.json; \
    of other worlds \"hubgate\" has all there is";

/// A mark of what went wrong, and what helps.
const HINTS: [(&str, &str); 16] = [
    (
        "unknown import: `hubgate:plugin/",
        "the script calls the gateway at its top level, which runs once, when the component is built: call it in a handler or \
         in `init`",
    ),
    (
        "'hubgate:plugin/http@",
        "the script imports `http`, which its world does not have: say `\"hubgate\": { \"world\": \"handler-with-http\" }` in \
         package.json (`filter-with-http` for a filter, `whole-hub-with-http` for a whole hub)",
    ),
    ("'hubgate:plugin/streams@", WHOLE_HUB),
    ("'hubgate:plugin/client-results@", WHOLE_HUB),
    ("'hubgate:plugin/timers@", WHOLE_HUB),
    ("'hubgate:plugin/presence@", WHOLE_HUB),
    (
        "'hubgate:plugin/",
        "the contract has no such interface; `hubgate plugin wit` writes it, and an import names the version: \
         \"hubgate:plugin/state@0.1.0\"",
    ),
    (
        "'hubgate'",
        "say `\"dependencies\": { \"hubgate\": \"file:hubgate\" }` in package.json; `hubgate plugin new` writes the folder \
         `hubgate` into new projects",
    ),
    (
        "Could not resolve \"hubgate\"",
        "say `\"dependencies\": { \"hubgate\": \"file:hubgate\" }` in package.json; `hubgate plugin new` writes the folder \
         `hubgate` into new projects",
    ),
    (
        "Could not resolve \"",
        "a file is named with its place (`./answers.ts`); a package is installed with `npm install NAME` in the project; there are \
         no modules of Node.js in a component",
    ),
    ("Buffer is not defined", "this is not Node.js: bytes are Uint8Arrays, texts become bytes by TextEncoder"),
    ("'node:", "this is not Node.js: its modules are not there. docs/languages/javascript.md says what is"),
    (
        "require is not defined",
        "modules are ES modules: `import` them, `export` from them, and say `\"type\": \"module\"` in package.json",
    ),
    (
        "process is not defined",
        "this is not Node.js: settings come from `config`, in a handler or in `init`. docs/languages/javascript.md says what is \
         there",
    ),
    (
        "setTimeout is not defined",
        "a call is over when its function returns, and nothing runs between calls: a whole hub sets `timers` of \
         \"hubgate/whole-hub\", and has its `fired` called",
    ),
    (
        "Error resolving module",
        "an import names a file with its ending (`./answers.js`), or a package among the `dependencies` of package.json",
    ),
];

/// The error with what helps against it, if that is known.
pub(super) fn explained(error: Error) -> Error {
    let text = format!("{error:#}");
    match HINTS.iter().find(|(mark, _)| text.contains(mark)) {
        Some((_, cure)) => Error::msg(format!("{text}\n\n{cure}")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_whose_cause_is_known_says_what_to_do() {
        let resolving = |module: &str| explained(Error::msg(format!("Error resolving module '{module}' from '/a.js'")));
        assert!(resolving("hubgate:plugin/http@0.1.0").to_string().contains("handler-with-http"));
        assert!(resolving("hubgate:plugin/timers@0.1.0").to_string().contains("\"world\": \"whole-hub\""));
        assert!(resolving("hubgate:plugin/nothing").to_string().contains("plugin wit"));
        assert!(resolving("hubgate").to_string().contains("file:hubgate"));
        let bundling = |module: &str| explained(Error::msg(format!("Could not resolve \"{module}\""))).to_string();
        assert!(bundling("hubgate").contains("file:hubgate"));
        assert!(bundling("left-pad").contains("npm install NAME") && bundling("fs").contains("no modules of Node.js"));
        assert!(resolving("node:fs").to_string().contains("not Node.js"));
        assert!(resolving("./answers").to_string().contains("with its ending"));
        assert_eq!(explained(Error::msg("no")).to_string(), "no");
    }
}
