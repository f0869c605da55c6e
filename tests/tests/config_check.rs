//! Configuration files: what is wrong in one is named, and nothing in one is ignored.

use std::path::Path;
use std::process::Command;

use hubgate_tests::Gateway;
use hubgate_tests::command::{Finished, binary, hubgate};
use hubgate_tests::gateway::{KEY, SECOND_KEY, Setup};

#[test]
fn a_valid_file_is_said_to_be_valid() {
    let checked = check(Gateway::probe());
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn a_file_with_nothing_but_a_key_is_valid() {
    let checked = check_text(&format!("[server]\naccess-keys = ['{KEY}']"));
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn an_unknown_key_is_named_with_its_path() {
    for (config, table, key) in [
        ("server.lisen = '127.0.0.1:1'", "server", "lisen"),
        ("server.timeouts.client_timeout = '1s'", "server.timeouts", "client_timeout"),
        ("server.limits.mesage = '1MiB'", "server.limits", "mesage"),
        ("admin.tokens = []", "admin", "tokens"),
        ("hubs.chat.moed = 'default'", "hubs.chat", "moed"),
        ("hubs.chat.negotiate.anonimous = true", "hubs.chat.negotiate", "anonimous"),
        ("plugins.probe.cal-time = '1s'", "plugins.probe", "cal-time"),
        ("upstream = [{ plugin = 'probe', evnts = ['*'] }]", "upstream[0]", "evnts"),
        ("extra = 1", "", "extra"),
    ] {
        refused(config, &[table, key]);
    }
}

#[test]
fn a_wrong_value_is_named_with_the_path_of_its_key() {
    for (config, key) in [
        ("server.listen = 'everywhere'", "server.listen"),
        ("server.access-keys = ['short']", "server.access-keys"),
        ("server.log = 'verbose'", "server.log"),
        ("server.shards = -1", "server.shards"),
        ("server.drain-timeout = 10", "server.drain-timeout"),
        ("server.drain-delay = 10", "server.drain-delay"),
        ("server.drain-closes = -1", "server.drain-closes"),
        ("server.timeouts.client = 'a while'", "server.timeouts.client"),
        ("server.timeouts.write = '0s'", "server.timeouts.write"),
        ("server.limits.message = 'lots'", "server.limits.message"),
        ("server.limits.user-memberships = 99", "server.limits.user-memberships"),
        ("server.limits.plugin-memory = '1MiB'", "server.limits.plugin-memory"),
        ("server.limits.connections-per-claim = 100", "server.limits.connections-per-claim"),
        ("server.limits.connections-per-claim = { tenant = -1 }", "server.limits.connections-per-claim.tenant"),
        ("network-rules = { action = 'deny' }", "network-rules"),
        ("network-rules = [{ networks = ['::/0'] }]", "network-rules[0].action"),
        ("network-rules = [{ action = 'drop', networks = ['::/0'] }]", "network-rules[0].action"),
        ("network-rules = [{ action = 'deny' }]", "network-rules[0].networks"),
        ("network-rules = [{ action = 'deny', networks = ['10.0.0.0/33'] }]", "network-rules[0].networks[0]"),
        ("network-rules = [{ action = 'deny', networks = ['::/0', 'localhost'] }]", "network-rules[0].networks[1]"),
        ("network-rules = [{ action = 'deny', networks = ['::/0'], kinds = ['users'] }]", "network-rules[0].kinds[0]"),
        ("network-rules = [{ action = 'deny', networks = ['::/0'], kinds = [] }]", "network-rules[0].kinds"),
        ("server.limits.outboxes = '1KiB'", "server.limits.outboxes"),
        ("server.endpoints = ['ftp://example.com']", "server.endpoints[0]"),
        ("server.endpoints = ['http://a.example.com', 'b.example.com']", "server.endpoints[1]"),
        ("server.access-keys = []", "server.access-keys"),
        ("server.access-keys = ['a', 'b', 'c']", "server.access-keys"),
        ("server.access-keys = ['']", "server.access-keys"),
        ("hubs.chat.mode = 'sometimes'", "hubs.chat.mode"),
        ("hubs.'1 2'.mode = 'default'", "hubs.1 2"),
        ("plugins.probe.memory = 64", "plugins.probe.memory"),
        ("hubs.chat.filters = ['gone']", "hubs.chat.filters"),
        ("hubs.chat.filters = ['probe', 'probe']", "hubs.chat.filters"),
        ("plugins.probe.concurrency = 0", "plugins.probe.concurrency"),
        ("plugins.probe.state-writes = '1KiB'", "plugins.probe.state-writes"),
        ("plugins.probe.presence-batch = '1ms'", "plugins.probe.presence-batch"),
        ("plugins.probe.rollback = 'never'", "plugins.probe.rollback"),
        ("plugins.probe.rollback = true", "plugins.probe.rollback"),
        ("plugins.probe.rollback = { error = 0.5 }", "plugins.probe.rollback"),
        ("plugins.probe.rollback = { errors = 0 }", "plugins.probe.rollback"),
        ("plugins.probe.rollback = { errors = 0.0 }", "plugins.probe.rollback.errors"),
        ("plugins.probe.rollback = { errors = 1.5 }", "plugins.probe.rollback.errors"),
        ("plugins.probe.rollback = { window = '1ms' }", "plugins.probe.rollback.window"),
        ("plugins.probe.rollback = { calls = 0 }", "plugins.probe.rollback.calls"),
        ("plugins.probe.allow-http = ['api.example.com']", "plugins.probe.allow-http[0]"),
        ("plugins.probe.allow-http = ['https://api.example.com/v1']", "plugins.probe.allow-http[0]"),
        ("plugins.probe.allow-http = ['10.0.0.0/8']", "plugins.probe.allow-http"),
        ("upstream = [{ plugin = 'probe', retries = 1 }]", "upstream[0].retries"),
        ("upstream = [{ plugin = 'gone' }]", "upstream[0].plugin"),
        ("upstream = [{ plugin = 'probe' }, { plugin = 'probe', categories = ['calls'] }]", "upstream[1].categories"),
        ("upstream = [{ hubs = ['probe'] }]", "upstream[0]"),
    ] {
        refused(config, &[key]);
    }
}

#[test]
fn a_wrong_value_is_told_with_what_helps() {
    for (config, key, help) in [
        ("server.lisen = '127.0.0.1:1'", "server", "did you mean `listen`?"),
        ("server.timeouts.client_timeout = '1s'", "server.timeouts", "client_timeout"),
        ("server.timeouts.keep_alive = '1s'", "server.timeouts", "did you mean `keep-alive`?"),
        ("server.listen = ':8888'", "server.listen", "0.0.0.0:8888"),
        (
            "server.listen = '127.0.0.1:8889'\nadmin.listen = '127.0.0.1:8889'",
            "admin.listen",
            "has the same address as `server.listen`",
        ),
        ("server.access-keys-file = 'keys'", "server.access-keys-file", "is set, and server.access-keys is set too"),
        ("upstream = [{ plugin = 'prbe' }]", "upstream[0].plugin", "did you mean `probe`?"),
        ("hubs.chat.filters = ['prbe']", "hubs.chat.filters", "did you mean `probe`?"),
        ("server.drain-timeout = 10", "server.drain-timeout", "10 has no unit: write \"10s\" or \"10ms\""),
        ("server.timeouts.write = '1M'", "server.timeouts.write", "\"M\" is not a unit; the units are d, h, m, s, ms"),
        ("server.limits.message = '64'", "server.limits.message", "64 has no unit: write \"64MiB\""),
        ("server.limits.message = 65536", "server.limits.message", "65536 has no unit: write \"64KiB\" or \"65536B\""),
        ("plugins.probe.memory = 64", "plugins.probe.memory", "\"64MiB\""),
        ("upstream.plugin = 'probe'", "upstream", "[[upstream]]"),
        ("server.log = 'verbose'", "server.log", "\"verbose\" is not a level"),
        ("hubs.chat.cors-origins = ['*', 'app.example.com']", "hubs.chat.cors-origins[1]", "has no scheme"),
        ("hubs.'*'.cors-origins = ['https://a/b']", "hubs.*.cors-origins[0]", "has a path"),
        (
            "hubs.chat.mode = 'sometimes'",
            "hubs.chat.mode",
            "\"sometimes\" is not one of \"default\", \"serverless\", \"classic\"",
        ),
        ("server.limits.connections = 'many'", "server.limits.connections", "\"many\" is not a whole number from 0 on"),
        ("server.shards = -1", "server.shards", "-1 is not a whole number from 0 to 65535"),
        ("plugins.probe.path = 5", "plugins.probe.path", "5 is not a"),
        (
            "plugins.probe.rollback = true",
            "plugins.probe.rollback",
            "must be `false` (never roll back automatically) or a table such as",
        ),
        ("plugins.probe.rollback = true", "plugins.probe.rollback", "{ errors = 0.5, window = \"10s\", calls = 20 }"),
    ] {
        refused(config, &[key, help]);
    }
}

#[test]
fn an_error_names_the_file_and_the_line() {
    let key = format!("[server]\naccess-keys = ['{KEY}']\n");
    for (config, at) in [
        (format!("{key}shards = 'x'\n"), "hubgate.toml, line 3: server.shards: "),
        (format!("{key}endpoints = [\n  'http://a',\n  'b',\n]\n"), "hubgate.toml, line 5: server.endpoints[1]: "),
        (
            format!("{key}\n[hubs.chat]\nmode = 'serverless'\nfilters = ['gone']\n"),
            "hubgate.toml, line 6: hubs.chat.filters: ",
        ),
        (format!("{key}[[upstream]]\nplugin = 'gone'\n"), "hubgate.toml, line 4: upstream[0].plugin: "),
        (format!("{key}lisen = 'x'\n"), "hubgate.toml, line 3: server"),
        (format!("{key}[servr]\n"), "hubgate.toml, line 3: "),
        (format!("{key}listen = \n"), "hubgate.toml, line 3: "),
        ("[admin]\n".to_owned(), "hubgate.toml: server.access-keys: set one or two keys"),
    ] {
        let checked = check_text(&config);
        assert_eq!(checked.code, Some(2), "{config}: {checked:?}");
        assert!(checked.stderr.contains(at), "{config}: {checked:?}");
    }
}

#[test]
fn origins_are_shown_as_browsers_send_them() {
    let config =
        "hubs.chat.cors-origins = ['HTTPS://App.example.com:443/', 'https://*.example.com', 'http://localhost:*']";
    let (_folder, file) = Gateway::probe().with(config).written();
    let shown = hubgate(["config", "show", "--config", &text(&file)]).success();
    let table: toml::Table = shown.parse().expect("it is TOML");
    let origins = table["hubs"]["chat"]["cors-origins"].as_array().expect("a list");
    let origins: Vec<&str> = origins.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(origins, ["https://app.example.com", "https://*.example.com", "http://localhost:*"]);
}

#[test]
fn what_can_have_no_effect_or_is_not_safe_is_named() {
    let plugin = "plugins.spare = { path = 'spare.wasm' }\n";
    for (config, warning) in [
        ("upstream = [{ hubs = ['chat'], plugin = 'probe' }]", "upstream[0].hubs: gets no events from hub 'chat'"),
        (
            "upstream = [{ plugin = 'probe' }, { hubs = ['probe'], plugin = 'probe' }]",
            "upstream[1]: gets no event: upstream[0] comes first",
        ),
        (
            "upstream = [{ hubs = ['chat'], plugin = 'probe' }]",
            "upstream[0].hubs: gets no events from hub 'chat', which is in default mode: clients are refused until a hub server",
        ),
        (
            "upstream = [{ hubs = ['prbe'], plugin = 'probe' }]",
            "upstream[0].hubs: gets no events from hub 'prbe': there is no [hubs.prbe]: did you mean `probe`?",
        ),
        (plugin, "plugins.spare: is not used by anything"),
        ("hubs.probe.mode = 'classic'\nupstream = [{ plugin = 'probe' }]", "upstream[0]: gets no event"),
        (
            "network-rules = [{ action = 'deny', networks = ['10.0.0.0/9', '10.128.0.0/9'] }, { action = 'deny', networks = ['10.1.0.0/16'], kinds = ['rest'] }]",
            "network-rules[1]: is met by no request: network-rules[0] decides",
        ),
        (
            "network-rules = [{ action = 'deny', networks = ['10.0.0.0/8'] }, { action = 'allow', networks = ['::ffff:10.1.0.0/112', '192.0.2.0/24'] }, { action = 'deny', networks = ['0.0.0.0/0'] }]",
            "network-rules[1].networks: 10.1.0.0/16 is met by no request: network-rules[0] decides",
        ),
        (
            "network-rules = [{ action = 'allow', networks = ['10.0.0.0/8'] }]",
            "network-rules[0]: changes nothing: what no rule is about is allowed",
        ),
        (
            "server.limits = { outbox = '1MiB', replay = '2MiB' }",
            "server.limits.replay: is more than a quarter of `server.limits.outbox`",
        ),
        (
            "network-rules = [{ action = 'deny', networks = ['0.0.0.0/0'], kinds = ['rest', 'admin'] }, { action = 'deny', networks = ['::/0'], kinds = ['rest'] }]",
            "network-rules[0].networks: denies every address but those of IPv6, which stay open: list \"::/0\" as well",
        ),
        ("plugins.probe.targets = ['send']", "plugins.probe.targets: has no effect: it is for filters"),
        ("plugins.probe.on-error = 'open'", "plugins.probe.on-error: has no effect: it is for filters"),
        (
            "upstream = [{ categories = ['connections'], events = ['connect'], plugin = 'probe' }]",
            "upstream[0].events: \"connect\" is not an event of category \"connections\": did you mean \"connected\"?",
        ),
        (
            "upstream = [{ categories = ['connections'], events = ['send'], plugin = 'probe' }]",
            "upstream[0].events: \"send\" is not an event of category \"connections\": there are \"connected\" and",
        ),
        (
            "upstream = [{ events = ['send', 'Connected'], plugin = 'probe' }]",
            "upstream[0].events: \"Connected\" is a method of that name, and not the event \"connected\"",
        ),
        (
            "upstream = [{ categories = ['messages'], events = ['connected'], plugin = 'probe' }]",
            "upstream[0].events: \"connected\" is a method of that name, and not the event",
        ),
        (
            "hubs.probe.jwt = { jwks-url = 'http://id.example.com/keys', issuer = 'i', audience = 'a' }",
            "hubs.probe.jwt.jwks-url: fetches keys by http://",
        ),
    ] {
        let checked = check(Gateway::probe().with(config));
        assert_eq!(checked.code, Some(0), "{config}: {checked:?}");
        let is_there = |line: &str| line.starts_with("warning: ") && line.contains("hubgate.toml, line ");
        let is_told = |line: &str| is_there(line) && line.contains(&format!(": {warning}"));
        assert!(checked.stderr.lines().any(is_told), "{config}: {checked:?}");
    }
    assert!(check(Gateway::probe()).stderr.is_empty(), "nothing is wrong");
    let rules = "network-rules = [{ action = 'allow', networks = ['10.1.0.0/16'] }, { action = 'deny', networks = ['10.0.0.0/8'], kinds = ['rest'] }, { action = 'deny', networks = ['10.0.0.0/8'] }]";
    assert!(check(Gateway::probe().with(rules)).stderr.is_empty(), "each rule decides about something");
    let local = "hubs.probe.jwt = { jwks-url = 'http://[::1]:9/keys', issuer = 'i', audience = 'a' }";
    assert!(check(Gateway::probe().with(local)).stderr.is_empty(), "nothing leaves this machine");
}

#[test]
fn a_file_of_keys_is_read_as_people_write_it_and_refused_where_it_cannot_work() {
    let with_keys = |keys: &str| {
        let (folder, file) =
            Gateway::serve().with("server.access-keys = []\nserver.access-keys-file = 'keys'").written();
        std::fs::write(folder.path().join("keys"), keys).expect("the folder can be written");
        hubgate(["config", "check", "--config", &text(&file)])
    };
    for keys in [
        format!("{KEY}\n{SECOND_KEY}\n"),
        format!("\u{feff}{KEY}\r\n"),
        format!("# the first one signs\n{KEY}\n\n# until the next rotation\n{SECOND_KEY}"),
        format!("{KEY}, {SECOND_KEY}"),
    ] {
        let checked = with_keys(&keys);
        assert_eq!(checked.code, Some(0), "{keys}: {checked:?}");
    }
    for (keys, why) in [
        (format!("\"{KEY}\""), "in quotes"),
        (format!("Endpoint=http://localhost;AccessKey={KEY};Version=1.0;"), "connection string"),
        ("short".to_owned(), "a key of 5 bytes"),
        (format!("{KEY} {SECOND_KEY}"), "blanks"),
        (format!("{KEY}\n{SECOND_KEY}\n{KEY}"), "holds 3 keys"),
        (format!("{KEY}\n{KEY}"), "holds the same key twice"),
        ("# nothing\n".to_owned(), "holds 0 keys"),
    ] {
        let checked = with_keys(&keys);
        assert_eq!(checked.code, Some(2), "{keys}: {checked:?}");
        assert!(checked.stderr.contains("server.access-keys-file") && checked.stderr.contains(why), "{checked:?}");
        assert!(!checked.stderr.contains(KEY), "no key is told: {checked:?}");
    }
}

#[test]
fn no_access_keys_are_left_out_without_a_word() {
    let (_folder, file) = Gateway::serve().written();
    let check = |file: &Path, variables: &[(&str, &str)]| {
        let mut command = Command::new(binary());
        command.args(["config", "check", "--config"]).arg(file).envs(variables.iter().copied());
        Finished::of(&mut command)
    };
    let beside = check(&file, &[("HUBGATE_ACCESS_KEYS", KEY)]);
    assert_eq!(beside.code, Some(0), "{beside:?}");
    let unused = "warning: HUBGATE_ACCESS_KEYS: its access keys are not used: `server.access-keys` comes first";
    assert!(beside.stderr.contains(unused), "{beside:?}");
    let (_folder, file) = Gateway::serve().with("server.access-keys = []").written();
    let both = check(&file, &[("HUBGATE_ACCESS_KEYS", KEY), ("HUBGATE_ACCESS_KEYS_FILE", "keys")]);
    assert_eq!(both.code, Some(2), "{both:?}");
    assert!(both.stderr.contains("HUBGATE_ACCESS_KEYS_FILE: is set, and HUBGATE_ACCESS_KEYS is set too"), "{both:?}");
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_refused() {
    let checked = check_text("[server\n");
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(checked.stderr.contains("hubgate.toml"), "{checked:?}");

    let checked = hubgate(["config", "check", "--config", "/nowhere/hubgate.toml"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(checked.stderr.contains("/nowhere/hubgate.toml"), "{checked:?}");
}

#[test]
fn serve_refuses_what_the_check_refuses() {
    let (_folder, file) = Gateway::serve().with("hubs.chat.filters = ['redact']").written();
    let served = hubgate(["serve", "--config", &text(&file), "--listen", "127.0.0.1:0"]);
    assert_eq!(served.code, Some(2), "{served:?}");
    assert!(served.stderr.contains("hubs.chat.filters") && served.stderr.contains("plugins.redact"), "{served:?}");
}

#[test]
fn what_is_shown_is_the_file_with_all_defaults() {
    let config = "server.limits.post = '3MiB'\nhubs.probe.cors-origins = ['https://a']\nserver.log = 'warn'";
    let (_folder, file) = Gateway::probe().with(config).written();
    let shown = hubgate(["config", "show", "--config", &text(&file)]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let table: toml::Table = shown.stdout.parse().expect("it is TOML");
    assert_eq!(table["server"]["limits"]["post"].as_str(), Some("3MiB"));
    assert_eq!(table["server"]["limits"]["outbox"].as_str(), Some("8MiB"), "a default");
    assert_eq!(table["server"]["limits"]["user-memberships"].as_integer(), Some(1_000_000), "a default");
    assert!(table["server"]["limits"]["plugin-memory"].is_str(), "a default that depends on the machine");
    assert_eq!(table["server"]["timeouts"]["write"].as_str(), Some("10s"), "a default");
    assert_eq!(table["server"]["drain-delay"].as_str(), Some("0s"), "a default");
    assert_eq!(table["server"]["drain-closes"].as_integer(), Some(0), "a default");
    assert_eq!(table["server"]["log"].as_str(), Some("warn"));
    let rollback: toml::Table = "errors = 0.5\nwindow = '10s'\ncalls = 20".parse().expect("it is TOML");
    assert_eq!(table["plugins"]["probe"]["rollback"].as_table(), Some(&rollback), "a default");
    assert_eq!(table["hubs"]["probe"]["mode"].as_str(), Some("serverless"));
    assert_eq!(table["hubs"]["*"]["mode"].as_str(), Some("default"));
}

#[test]
fn what_is_shown_says_where_each_value_comes_from() {
    let config = format!(
        "[server]\naccess-keys = ['{KEY}']\nlimits.post = '3MiB'\n[hubs.'*']\nmode = 'classic'\n[hubs.chat]\nfilters = []\n\
         [plugins.'a b']\npath = 'a.wasm'\ncall-time = '2s'\nconfig = {{ secret = '{SECOND_KEY}' }}\n"
    );
    let (_folder, shown) = show_text(&config);
    for line in [
        "access-keys = [\"(not shown)\"]  # line 2",
        "post = \"3MiB\"  # line 3",
        "outbox = \"8MiB\"  # default",
        "mode = \"classic\"  # line 5",
        "mode = \"classic\"  # hubs.*.mode, line 5",
        "filters = []  # line 7",
        "filters = []  # default",
        "[plugins.\"a b\"]",
        "cpu-time = \"2s\"  # default",
        "config = { secret = \"(not shown)\" }  # line 11",
    ] {
        assert!(shown.lines().any(|each| each == line), "{line}: {shown}");
    }
    assert!(!shown.contains(KEY) && !shown.contains(SECOND_KEY), "{shown}");
}

#[test]
fn what_is_shown_is_the_same_configuration_when_it_is_read() {
    let config = "
        [server]
        access-keys-file = 'keys'
        endpoints = ['https://a.example.com/base']
        trusted-proxies = ['10.0.0.1', 'fd00::/8']
        limits = { message = '5MiB', connections-per-ip = 7, plugin-memory = '1GiB' }
        [admin]
        token-file = 'token'
        hosts = ['Admin.example.com']
        [hubs.'*']
        mode = 'serverless'
        cors-origins = ['https://*.example.com', '*']
        [hubs.Chat]
        filters = ['f']
        negotiate = { anonymous = true }
        [[upstream]]
        hubs = ['Chat']
        categories = ['messages']
        plugin = 'p'
        [[upstream]]
        url = 'http://localhost/{hub}/{event}'
        timeout = '3s'
        [plugins.p]
        path = 'p.wasm'
        rollback = false
        allow-http = ['https://api.example.com', '10.0.0.0/8']
        [plugins.f]
        path = 'f.wasm'
        payload = 'native'
        targets = ['send']
        on-error = 'open'
        rollback = { errors = 0.25 }";
    let (folder, shown) = show_text(config);
    let again = folder.path().join("elsewhere/shown.toml");
    std::fs::create_dir(again.parent().expect("it is in a folder")).expect("there is room");
    std::fs::write(&again, &shown).expect("there is room");
    let shown_again = hubgate(["config", "show", "--config", &text(&again)]).success();
    let values = |shown: &str| -> toml::Table { shown.parse().expect("it is TOML") };
    assert_eq!(values(&shown_again), values(&shown));
    let table = values(&shown);
    assert_eq!(table["hubs"]["Chat"]["mode"].as_str(), Some("serverless"), "what it inherits is its own");
    assert!(table["upstream"][0].get("timeout").is_none(), "only webhooks have one");
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_line() {
    let config = format!(
        "[server]\naccess-keys = ['{KEY}']\nlisen = 'x'\nshards = 'many'\nendpoints = ['http://a', 'b', 'c']\n\
         [server.limits]\npost = '0B'\n[hubs.chat]\nfilters = ['gone', 'lost']\n[hubs.news]\nmode = 'none'\n\
         [[upstream]]\nplugin = 5\n[[upstream]]\n[plugins.p]\n"
    );
    let checked = check_text(&config);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    let places = checked.stderr.lines().filter_map(|line| line.split_once("hubgate.toml, line "));
    let told: Vec<&str> = places.filter_map(|(_, rest)| rest.split(": ").nth(1)).collect();
    assert_eq!(
        told,
        [
            "server.lisen",
            "server.shards",
            "server.endpoints[1]",
            "server.endpoints[2]",
            "server.limits.post",
            "hubs.chat.filters",
            "hubs.chat.filters",
            "hubs.news.mode",
            "upstream[0].plugin",
            "upstream[1]",
            "plugins.p.path",
        ],
        "{checked:?}"
    );
    assert!(
        checked.stderr.contains("hubgate.toml, line 9: hubs.chat.filters: there is no [plugins.lost]"),
        "{checked:?}"
    );
}

#[test]
fn values_with_which_nothing_would_work_are_refused_with_the_least_that_does() {
    for (config, key, why) in [
        ("server.limits.message = '0B'", "server.limits.message", "\"0B\" is less than \"1KiB\", the least value"),
        ("server.limits.post = '0B'", "server.limits.post", "\"0B\" is less than \"1KiB\", the least value"),
        ("server.limits.outbox = '1B'", "server.limits.outbox", "\"1B\" is less than \"1KiB\", the least value"),
        ("server.limits.headers = '1KiB'", "server.limits.headers", "\"1KiB\" is less than \"8KiB\", the least value"),
        ("server.limits.server-message = '0B'", "server.limits.server-message", "the least value"),
        ("server.limits.server-outbox = '0B'", "server.limits.server-outbox", "the least value"),
        ("server.limits.connections = 0", "server.limits.connections", "0 is less than 1, the least value"),
        ("server.limits.http-connections = 0", "server.limits.http-connections", "0 is less than 1, the least value"),
        ("server.limits.mode-switch-closes = 0", "server.limits.mode-switch-closes", "0 is less than 1"),
        (
            "server.timeouts.negotiate = '0s'",
            "server.timeouts.negotiate",
            "\"0s\" is less than \"100ms\", the least value",
        ),
        ("server.timeouts.handshake = '0s'", "server.timeouts.handshake", "the least value"),
        ("server.timeouts.client = '0s'", "server.timeouts.client", "\"0s\" is less than \"1s\", the least value"),
        ("server.timeouts.keep-alive = '0s'", "server.timeouts.keep-alive", "the least value"),
        ("server.timeouts.http-header = '0s'", "server.timeouts.http-header", "the least value"),
        ("server.timeouts.http-body = '0s'", "server.timeouts.http-body", "the least value"),
        (
            "server.timeouts = { client = '10s' }",
            "server.timeouts.client",
            "\"10s\" is less than \"15s\", which `server.timeouts.keep-alive` is",
        ),
        ("plugins.probe.memory = '1KiB'", "plugins.probe.memory", "\"1KiB\" is less than \"1MiB\", the least value"),
        ("plugins.probe.call-time = '0s'", "plugins.probe.call-time", "\"0s\" is less than \"1ms\", the least value"),
        ("plugins.probe.cpu-time = '0s'", "plugins.probe.cpu-time", "the least value"),
        ("plugins.probe.host-calls = 0", "plugins.probe.host-calls", "the least value"),
        ("plugins.probe.concurrency = 1001", "plugins.probe.concurrency", "1001 is more than 1000, the greatest value"),
        ("upstream = [{ url = 'http://a/', timeout = '0s' }]", "upstream[0].timeout", "\"0s\" is less than \"100ms\""),
        ("upstream = [{ url = 'http://a/', retries = 11 }]", "upstream[0].retries", "11 is more than 10"),
        ("server.tls.key = 'key.pem'", "server.tls.certificate", "must name the certificate's file"),
    ] {
        refused(config, &[key, why]);
    }
}

#[test]
fn a_short_admin_token_is_refused_as_short_keys_are() {
    let check = |token: &str| {
        let (folder, file) = Gateway::serve().with("admin.token-file = 'token'").written();
        std::fs::write(folder.path().join("token"), token).expect("the folder can be written");
        hubgate(["config", "check", "--config", &text(&file)])
    };
    let short = check("a-short-token\n");
    assert_eq!(short.code, Some(2), "{short:?}");
    assert!(short.stderr.contains("admin.token-file: "), "{short:?}");
    assert!(short.stderr.contains("holds a token of 13 bytes: it must have at least 16; `openssl rand"), "{short:?}");
    assert!(!short.stderr.contains("a-short-token"), "{short:?}");
    assert_eq!(check("0123456789abcdef\n").code, Some(0));
}

#[test]
fn secrets_are_never_printed() {
    let key_of_wrong_type = Gateway::probe().with(&format!("server.access-keys = '{KEY}'"));
    let unclosed = format!("[server]\naccess-keys = [\"{KEY}\"\nlisten = \"127.0.0.1:1\"\n");
    let unquoted = format!("[server]\naccess-keys = [{KEY}]\n");
    let misnamed = format!("[server]\naccess-key = \"{KEY}\"\n");
    for checked in [
        check(Gateway::probe()),
        check(key_of_wrong_type),
        check(Gateway::probe().with("extra = 1")),
        show(Gateway::probe()),
        check_text(&unclosed),
        check_text(&unquoted),
        check_text(&misnamed),
    ] {
        let printed = format!("{}{}", checked.stdout, checked.stderr);
        assert!(!printed.contains(KEY) && !printed.contains(SECOND_KEY), "{printed}");
    }
}

fn check(setup: Setup) -> hubgate_tests::command::Finished {
    let (_folder, file) = setup.written();
    hubgate(["config", "check", "--config", &text(&file)])
}

fn show(setup: Setup) -> hubgate_tests::command::Finished {
    let (_folder, file) = setup.written();
    hubgate(["config", "show", "--config", &text(&file)])
}

/// What is shown of a configuration beside files of keys; the folder goes with the value.
fn show_text(config: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("hubgate.toml");
    for (name, content) in [("hubgate.toml", config), ("keys", KEY), ("token", "an-admin-token-of-the-tests")] {
        std::fs::write(folder.path().join(name), content).expect("the folder can be written");
    }
    let shown = hubgate(["config", "show", "--config", &text(&file)]).success();
    (folder, shown)
}

fn check_text(config: &str) -> hubgate_tests::command::Finished {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("hubgate.toml");
    std::fs::write(&file, config).expect("the folder can be written");
    hubgate(["config", "check", "--config", &text(&file)])
}

/// The check ends with exit code 2 and says all of `parts` to standard error.
fn refused(config: &str, parts: &[&str]) {
    let checked = check(Gateway::probe().with(config));
    assert_eq!(checked.code, Some(2), "{config}: {checked:?}");
    assert!(parts.iter().all(|part| checked.stderr.contains(part)), "{config}: {checked:?} lacks one of {parts:?}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn an_upstream_item_is_a_plugin_or_a_webhook_with_a_literal_host() {
    for (item, key, why) in [
        ("", "upstream[0]", "needs `plugin`"),
        ("plugin = 'probe', url = 'http://localhost/'", "upstream[0]", "both"),
        ("plugin = 'probe', timeout = '1s'", "upstream[0].timeout", "call-time"),
        ("plugin = 'probe', on-connect-failure = 'log'", "upstream[0].on-connect-failure", "webhooks"),
        ("url = 'http://{hub}.example.com/'", "upstream[0].url", "host"),
        ("url = 'localhost/{hub}'", "upstream[0].url", "http"),
        ("url = 'http://localhost/{user}'", "upstream[0].url", "has {user}, which is not a parameter"),
        ("url = 'http://localhost/{Hub}'", "upstream[0].url", "there are {hub}, {category} and {event}"),
        ("url = 'http://a/{@Microsoft.KeyVault(SecretUri=https://v/s)}'", "upstream[0].url", "Key Vault"),
        ("url = 'http://localhost/', on-connect-failure = 'ignore'", "upstream[0].on-connect-failure", "ignore"),
    ] {
        refused(&format!("upstream = [{{ {item} }}]\nplugins.probe.path = 'probe.wasm'"), &[key, why]);
    }
}

#[test]
fn the_emulators_settings_become_a_configuration() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("settings.json");
    let import = |settings: &str| {
        std::fs::write(&file, settings).expect("the folder can be written");
        hubgate(["config", "import-emulator", &text(&file)])
    };
    let imported = import(
        r#"{ // As the emulator reads it: comments, trailing commas, names in any case.
          "UpstreamSettings": { "templates": [
            { "UrlTemplate": "http://localhost:7071/{hub}/api/{event}?code=c", "HubPattern": "chat, news", "EventPattern": "*",
              "CategoryPattern": "messages", "Auth": { "type": "none" } },
            { "urlTemplate": "http://localhost:7071/all" }, /* all of the rest */ ] } }"#,
    )
    .success();
    let table: toml::Table = imported.parse().expect("it is TOML");
    let items = table["upstream"].as_array().expect("a list");
    assert_eq!(items[0]["hubs"].as_array().map(Vec::len), Some(2));
    assert_eq!(items[1]["categories"][0].as_str(), Some("*"));
    assert_eq!(items[1]["on-connect-failure"].as_str(), Some("log"), "as with the emulator");
    assert_eq!(items[1]["claim-names"].as_str(), Some("dotnet"), "as with the emulator");
    let (_folder, file) = Gateway::serve().with(&imported).written();
    hubgate(["config", "check", "--config", &text(&file)]).success();
    let shown = hubgate(["config", "show", "--config", &text(&file)]).success();
    assert!(
        shown.contains("http://localhost:7071/{hub}/api/{event}?(not shown)") && !shown.contains("code=c"),
        "{shown}"
    );

    for (settings, why) in [
        ("{}", "UpstreamSettings"),
        (
            r#"{ "UpstreamSettings": { "Templates": [ { "UrlTemplate": "http://a/", "Auth": { "Type": "ManagedIdentity" } } ] } }"#,
            "UpstreamSettings.Templates[0].Auth.Type",
        ),
        (
            r#"{ "UpstreamSettings": { "Templates": [ { "UrlTemplate": "http://{hub}/" } ] } }"#,
            "UpstreamSettings.Templates[0].UrlTemplate",
        ),
    ] {
        let refused = import(settings);
        assert!(refused.code == Some(2) && refused.stderr.contains(why), "{refused:?}");
    }
}
