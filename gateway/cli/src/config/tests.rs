use super::*;

fn load(text: &str) -> Result<Config, String> {
    let text = format!("{text}\n[server]\naccess-keys = [\"key\"]\n");
    let file = read(Path::new("hubgate.toml"), &text).map_err(|error| error.to_string())?;
    resolve(file, Path::new("/etc/hubgate")).map_err(|error| error.to_string())
}

fn refused(text: &str, expected: &str) {
    let error = load(text).expect_err(text);
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_error_names_the_keys_path() {
    refused("[hubs.chat]\nmoed = \"default\"", "unknown field `moed`");
    refused("[hubs.chat]\nmoed = \"default\"", "hubs.chat");
    refused("[plugins.a]\npath = \"a\"\nmemory = \"lots\"", "plugins.a.memory: \"lots\" is not a size");
    refused("[hubs.\"1\"]\nmode = \"default\"", "hubs.1: Invalid hub name");
    refused("[[upstream]]\nplugin = \"gone\"", "upstream[0].plugin: there is no [plugins.gone]");
    refused(
        "[[upstream]]\ncategories = [\"calls\"]\nplugin = \"a\"\n[plugins.a]\npath = \"a\"",
        "upstream[0].categories",
    );
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    refused("[hubs.chat]\nmode = \"classic\"", "hubs.chat.mode: \"classic\" is not supported yet");
    refused("[hubs.chat]\nfilters = [\"a\"]", "hubs.chat.filters: not supported yet");
    refused("[[upstream]]\nurl = \"http://app\"", "upstream[0].url: not supported yet");
    refused("[plugins.a]\npath = \"a\"\npayload = \"native\"", "plugins.a.payload: \"native\" is not supported yet");
    refused("[plugins.a]\npath = \"a\"\nallow-http = []", "plugins.a.allow-http: not supported yet");
}

#[test]
fn a_named_hub_inherits_what_it_does_not_set() {
    let config = load(
        "[hubs.\"*\"]\nmode = \"serverless\"\ncors-origins = [\"https://a\"]\n[hubs.Chat]\nnegotiate = { anonymous = true }",
    )
    .expect("valid");
    let chat = HubName::parse("chat").expect("a name");
    assert_eq!(config.net.core.hub(&chat).mode, Mode::Serverless);
    assert_eq!(config.net.hub(&chat).cors.exact, ["https://a"]);
    assert!(config.net.hub(&chat).anonymous_negotiate);
    let other = HubName::parse("other").expect("a name");
    assert!(!config.net.hub(&other).anonymous_negotiate);
    assert_eq!(config.net.core.hub(&other).mode, Mode::Serverless);
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = load("[plugins.a]\npath = \"a.wasm\"\nmemory = \"1MiB\"\ncall-time = \"10ms\"").expect("valid");
    let plugin = &config.plugins[0];
    assert!(matches!(&plugin.source, PluginSource::File(path) if path == Path::new("/etc/hubgate/a.wasm")));
    assert_eq!((plugin.memory_bytes, plugin.call_time), (1 << 20, Duration::from_millis(10)));
}
