use std::time::Duration;

use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;
use hubgate_net::settings::{Negotiate, OriginPattern};
use hubgate_plugin_host::PluginSource;

use super::value::LONGEST_SPAN;
use super::*;

fn load(text: &str) -> Result<Config, String> {
    let text = format!("{text}\n[server]\naccess-keys = [\"a-key-of-the-tests-that-is-long-enough\"]\n");
    let draft = Draft::parse(Path::new("/etc/hubgate/hubgate.toml"), &text).map_err(|error| error.to_string())?;
    draft.settled().map_err(|error| error.to_string())
}

fn refused(text: &str, expected: &str) {
    let error = load(text).expect_err(text);
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_error_names_the_keys_path() {
    refused("[hubs.chat]\nmoed = \"default\"", "line 2: hubs.chat.moed: unknown key: did you mean `mode`?");
    refused("[plugins.a]\npath = \"a\"\nmemory = \"lots\"", "plugins.a.memory: \"lots\" is not a size");
    refused("[hubs.\"1\"]\nmode = \"default\"", "hubs.1: Invalid hub name");
    refused("[hubs.chat]\nfilters = [\"a\"]", "hubs.chat.filters: there is no [plugins.a]");
    refused("[[upstream]]\nplugin = \"gone\"", "upstream[0].plugin: there is no [plugins.gone]");
    refused(
        "[[upstream]]\ncategories = [\"calls\"]\nplugin = \"a\"\n[plugins.a]\npath = \"a\"",
        "upstream[0].categories",
    );
}

/// Paths of all values in a table.
fn leaves(table: &toml::Table, path: &[String], found: &mut Vec<Vec<String>>) {
    for (name, value) in table {
        let path = [path, std::slice::from_ref(name)].concat();
        match value {
            toml::Value::Table(table) if !table.is_empty() => leaves(table, &path, found),
            _ => found.push(path),
        }
    }
}

#[test]
fn no_value_of_a_wrong_kind_is_answered_in_the_words_of_the_parser() {
    let whole = "[hubs.chat]\nmode = \"serverless\"\nfilters = [\"p\"]\n[plugins.p]\npath = \"p\"\non-error = \"open\"\ntargets = [\"a\"]\n[cluster]\nservers = [\"nats://a\"]";
    let shown: toml::Table = load(whole).expect("valid").show().parse().expect("it is TOML");
    let mut paths = Vec::new();
    leaves(&shown, &[], &mut paths);
    paths.retain(|path| path[0] != "upstream");
    for key in ["credentials-file", "token-file", "user", "password-file", "node-endpoint"] {
        paths.push(vec!["cluster".to_owned(), key.to_owned()]);
    }
    for key in
        ["hubs", "categories", "events", "plugin", "url", "timeout", "retries", "on-connect-failure", "claim-names"]
    {
        paths.push(vec!["upstream".to_owned(), key.to_owned()]);
    }
    assert!(paths.len() > 60, "{paths:?}");
    const WORDS: [&str; 13] = [
        "usize",
        "u16",
        "u32",
        "u64",
        "f64",
        "struct ",
        "enum ",
        "variant",
        "sequence",
        "invalid type",
        "expected",
        "map",
        "wanted",
    ];
    for path in paths {
        for value in ["5", "-5", "1.5", "true", "\"text\"", "[]", "[5]", "{ x = 1 }", "1979-05-27"] {
            let quoted: Vec<String> = path.iter().map(|name| format!("{name:?}")).collect();
            let text = match path[0].as_str() {
                "upstream" => format!("[[upstream]]\n{} = {value}", quoted[1]),
                _ => format!("{} = {value}", quoted.join(".")),
            };
            if let Err(error) = load(&text) {
                let words: Vec<&&str> = WORDS.iter().filter(|word| error.contains(**word)).collect();
                assert!(words.is_empty(), "{text}: {error}: {words:?}");
            }
        }
    }
}

#[test]
fn a_named_hub_inherits_what_it_does_not_set() {
    let config = load(
        "[hubs.\"*\"]\nmode = \"serverless\"\ncors-origins = [\"https://a\"]\n[hubs.Chat]\nnegotiate = { anonymous = true }",
    )
    .expect("valid");
    let chat = HubName::parse("chat").expect("a name");
    assert_eq!(config.net.core.hub(&chat).mode, Mode::Serverless);
    assert_eq!(config.net.hub(&chat).cors.patterns, [OriginPattern::parse("https://a").expect("an origin")]);
    assert_eq!(config.net.hub(&chat).negotiate, Negotiate::Anybody);
    let other = HubName::parse("other").expect("a name");
    assert_eq!(config.net.hub(&other).negotiate, Negotiate::Nobody);
    assert_eq!(config.net.core.hub(&other).mode, Mode::Serverless);
}

#[test]
fn a_time_that_clocks_cannot_count_is_a_year() {
    let keys = ["negotiate", "handshake", "client", "keep-alive", "http-header", "http-body", "write", "outbox"];
    let times: String = keys.map(|key| format!("{key} = \"500000000000000d\"\n")).concat();
    let config = load(&format!("[server.timeouts]\n{times}")).expect("valid");
    let (net, core) = (&config.net.timeouts, &config.net.core.timeouts);
    assert_eq!([net.header, net.body, net.write, net.outbox], [LONGEST_SPAN; 4]);
    let year = hubgate_core::time::Millis::from(LONGEST_SPAN);
    assert_eq!([core.negotiate, core.handshake, core.client, core.keep_alive], [year; 4]);
    assert!(config.show().contains("write = \"365d 6h\""), "{}", config.show());
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = load("[plugins.a]\npath = \"a.wasm\"\nmemory = \"1MiB\"\ncall-time = \"10ms\"").expect("valid");
    let plugin = &config.host.plugins[0];
    assert!(matches!(&plugin.source, PluginSource::File(path) if path == Path::new("/etc/hubgate/a.wasm")));
    assert_eq!((plugin.budgets.memory_bytes, plugin.budgets.call_time), (1 << 20, Duration::from_millis(10)));
}

#[test]
fn no_text_breaks_the_reader_and_no_error_tells_a_key() {
    const KEY: &str = "a-key-that-stays-secret-and-is-long-enough";
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/config");
    let mut texts: Vec<_> =
        std::fs::read_dir(corpus).expect("the corpus is there").flatten().map(|file| file.path()).collect();
    texts.sort();
    assert!(texts.len() > 10);
    for path in texts {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        // Each text as it is, cut anywhere, and with a key in front, where errors stand that repeat a line.
        let cuts = text.char_indices().map(|(at, _)| text[..at].to_owned());
        for text in cuts.chain([text.clone()]) {
            for text in [format!("server.access-keys = [\"{KEY}\"]\n{text}"), format!("{text}\nx = \"{KEY}\""), text] {
                if let Err(error) = Draft::parse(&path, &text).and_then(Draft::settled) {
                    assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
                }
            }
        }
    }
}
