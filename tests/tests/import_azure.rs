//! `hubgate config import-azure`: what a SignalR resource of Azure says becomes a configuration that means the same, and what has no
//! equal is named, with its place. The documents are in `tests/azure`: what `az` and `bicep` print.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use hubgate_tests::command::{Finished, binary, hubgate, repository};
use hubgate_tests::gateway::KEY;
use serde_json::{Value as Json, json};
use toml::{Table, Value};

fn sample(name: &str) -> PathBuf {
    repository().join("tests/azure").join(name)
}

fn import(file: &Path) -> Finished {
    hubgate(["config", "import-azure", &file.display().to_string()])
}

/// A document with a resource of these properties, imported.
fn imported(properties: Json) -> Finished {
    imported_document(
        &json!({ "type": "Microsoft.SignalRService/SignalR", "name": "x", "properties": properties }).to_string(),
    )
}

fn imported_document(document: &str) -> Finished {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("azure.json");
    fs::write(&file, document).expect("the folder can be written");
    import(&file)
}

/// The configuration in effect, as the gateway's own reader has it; the file passes `config check`.
fn read(finished: &Finished) -> Table {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("hubgate.toml");
    fs::write(&file, &finished.stdout).expect("the folder can be written");
    let run = |command: &str| {
        let mut run = Command::new(binary());
        Finished::of(run.args(["config", command, "--config"]).arg(&file).env("HUBGATE_ACCESS_KEYS", KEY)).success()
    };
    run("check");
    run("show").parse().expect("it is TOML")
}

/// What is said of the place at this path; nothing where nothing is.
fn said<'f>(finished: &'f Finished, path: &str) -> Vec<&'f str> {
    let start = format!(".json: {path}: ");
    let lines = finished.stderr.lines().filter(|line| line.starts_with("warning: "));
    lines.filter_map(|line| Some(line.split_once(&start)?.1)).collect()
}

/// The paths of all places of which something is said.
fn places(finished: &Finished) -> Vec<&str> {
    let lines = finished.stderr.lines().filter_map(|line| line.split_once(".json: ")?.1.split_once(": "));
    lines.map(|(path, _)| path).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Action, kinds and networks of each network rule.
fn rules(config: &Table) -> Vec<(&str, String, String)> {
    let rules = config.get("network-rules").and_then(Value::as_array).into_iter().flatten();
    let joined = |value: &Value| texts(value).join(" ");
    rules
        .map(|rule| (rule["action"].as_str().expect("text"), joined(&rule["kinds"]), joined(&rule["networks"])))
        .collect()
}

#[test]
fn what_az_signalr_show_prints_becomes_its_mode_and_origins() {
    let finished = import(&sample("signalr-show.json"));
    let config = read(&finished);
    assert_eq!(config["hubs"]["*"]["mode"].as_str(), Some("default"));
    assert_eq!(
        texts(&config["hubs"]["*"]["cors-origins"]),
        ["https://app.contoso.example", "https://*.preview.contoso.example"]
    );
    assert_eq!(config["server"]["timeouts"]["client"].as_str(), Some("30s"));
    assert_eq!(rules(&config), [], "everything is allowed");
    assert_eq!(config.get("upstream").and_then(Value::as_array).map_or(0, Vec::len), 0);
    assert_eq!(places(&finished), ["features[1].value", "sku"], "all else has its equal, or none is needed");
    assert!(finished.stdout.starts_with("# Of the Azure SignalR resource \"contoso-chat\""), "{}", finished.stdout);
    assert!(finished.stdout.contains("contoso-chat.service.signalr.net"), "{}", finished.stdout);
}

#[test]
fn upstream_templates_become_items_in_their_order() {
    let finished = import(&sample("resource-show.json"));
    let config = read(&finished);
    assert_eq!(config["hubs"]["*"]["mode"].as_str(), Some("serverless"));
    let raw: Table = finished.stdout.parse().expect("it is TOML");
    let items = raw["upstream"].as_array().expect("a list");
    let item = |index: usize| {
        let item = &items[index];
        let list = |name: &str| texts(&item[name]).join(" ");
        (list("hubs"), list("categories"), list("events"), item["url"].as_str().expect("a text"))
    };
    let of = |hubs: &str, categories: &str, events: &str| (hubs.to_owned(), categories.to_owned(), events.to_owned());
    let expected = [
        (
            of("chat news", "connections", "connected disconnected"),
            "https://contoso-live.azurewebsites.net/runtime/webhooks/signalr?code=upstream-secret",
        ),
        (of("chat", "messages", "*"), "https://contoso.example/{hub}/api/{category}/{event}"),
        (of("*", "*", "*"), "https://contoso.example/rest"),
    ];
    assert_eq!(items.len(), expected.len());
    for (index, ((hubs, categories, events), url)) in expected.into_iter().enumerate() {
        assert_eq!(item(index), (hubs, categories, events, url));
    }
    assert_eq!(config["upstream"].as_array().map(Vec::len), Some(3), "the gateway reads them all");
    let identity = said(&finished, "properties.upstream.templates[1].auth.type");
    assert!(identity.len() == 1 && identity[0].contains("managed identities"), "{finished:?}");
    let vault = said(&finished, "properties.upstream.templates[2].urlTemplate");
    assert!(vault.len() == 1 && vault[0].contains("Key Vault") && vault[0].contains("left out"), "{finished:?}");
    assert!(!finished.stderr.contains("upstream-secret"), "the secrets of URLs are for the configuration alone");
}

#[test]
fn the_firewall_becomes_limits_and_the_strictest_rule_holds() {
    let finished = import(&sample("resource-show.json"));
    let config = read(&finished);
    let limits = &config["server"]["limits"];
    let limit = |name: &str| limits[name].as_integer();
    assert_eq!((limit("connections-per-user"), limit("connections-per-token")), (Some(5), Some(10)));
    let claims = limits["connections-per-claim"].as_table().expect("a table");
    assert_eq!(claims["tenant"].as_integer(), Some(80), "two rules about one claim hold both");
    assert_eq!(
        claims["http://contoso.example/plan"].as_integer(),
        Some(20),
        "what the service has if no number is said"
    );
    assert_eq!(claims.len(), 2);
    let timeouts = &config["server"]["timeouts"];
    assert_eq!((timeouts["client"].as_str(), timeouts["keep-alive"].as_str()), (Some("1m"), Some("20s")));
}

#[test]
fn network_access_becomes_rules_by_kind_and_by_address() {
    let finished = import(&sample("resource-show.json"));
    let config = read(&finished);
    let rule = |action, kinds: &str, networks: &str| (action, kinds.to_owned(), networks.to_owned());
    assert_eq!(
        rules(&config),
        [
            rule("deny", "server rest", "0.0.0.0/0 ::/0"),
            rule("deny", "client", "203.0.113.7/32"),
            rule("allow", "client", "203.0.113.0/24 2001:db8::/32"),
            rule("deny", "client", "0.0.0.0/0 ::/0"),
        ]
    );
    let tag = said(&finished, "properties.networkACLs.ipRules[3].value");
    assert!(tag.len() == 1 && tag[0].contains("AppService"), "{finished:?}");
    assert_eq!(said(&finished, "properties.networkACLs.privateEndpoints[0]").len(), 1);
}

#[test]
fn what_network_rules_come_to_is_what_the_resource_says() {
    let all = "0.0.0.0/0 ::/0";
    let cases = [
        (json!({ "publicNetworkAccess": "Disabled" }), vec![("deny", "client server rest", all)]),
        (json!({ "networkACLs": { "defaultAction": "Deny" } }), vec![("deny", "client server rest", all)]),
        (json!({ "networkACLs": { "defaultAction": "Allow" } }), vec![]),
        (json!({ "networkACLs": {} }), vec![]),
        (
            json!({ "networkACLs": { "defaultAction": "allow", "publicNetwork": { "deny": ["serverconnection"] } } }),
            vec![("deny", "server", all)],
        ),
        (
            json!({ "networkACLs": { "defaultAction": "Deny", "publicNetwork": { "allow": ["ClientConnection", "Trace"] } } }),
            vec![("deny", "server rest", all)],
        ),
        (
            json!({ "networkACLs": { "defaultAction": "Allow", "ipRules": [
                { "action": "Allow", "value": "10.1.2.3/8" }, { "action": "Deny", "value": "0.0.0.0/0" },
                { "action": "Deny", "value": "10.0.0.1" }, { "action": "Allow", "value": "::/0" }] } }),
            vec![("allow", "client server rest", "10.0.0.0/8"), ("deny", "client server rest", "0.0.0.0/0")],
        ),
        (
            json!({ "publicNetworkAccess": "Disabled", "networkACLs": { "defaultAction": "Allow",
                "ipRules": [{ "action": "Allow", "value": "10.0.0.0/8" }] } }),
            vec![("deny", "client server rest", all)],
        ),
    ];
    for (properties, expected) in cases {
        let finished = imported(properties.clone());
        let found = read(&finished);
        let found = rules(&found);
        let found: Vec<(&str, &str, &str)> =
            found.iter().map(|(action, kinds, networks)| (*action, kinds.as_str(), networks.as_str())).collect();
        assert_eq!(found, expected, "{properties}");
    }
}

#[test]
fn where_an_expression_stands_nothing_is_open_that_its_value_may_close() {
    let unknown = "[parameters('any')]";
    let copy = json!([{ "name": "any", "count": 2, "input": "any" }]);
    let everybody = [("deny", "client server rest".to_owned(), "0.0.0.0/0 ::/0".to_owned())];
    let acls = |acls: Json| json!({ "networkACLs": acls });
    let by_address = |rule: Json| acls(json!({ "defaultAction": "Allow", "ipRules": [rule] }));
    for properties in [
        json!(unknown),
        json!({ "copy": copy }),
        json!({ "publicNetworkAccess": unknown }),
        json!({ "publicNetworkAccess": "SecuredByPerimeter" }),
        acls(json!(unknown)),
        acls(json!({ "defaultAction": unknown })),
        acls(json!({ "copy": copy })),
        acls(json!({ "defaultAction": "Allow", "publicNetwork": unknown })),
        acls(json!({ "defaultAction": "Allow", "publicNetwork": { "deny": unknown } })),
        acls(json!({ "defaultAction": "Allow", "publicNetwork": { "deny": ["RESTAPI", unknown] } })),
        acls(json!({ "defaultAction": "Allow", "publicNetwork": { "copy": copy } })),
        acls(json!({ "defaultAction": "Deny", "publicNetwork": { "allow": unknown } })),
        acls(json!({ "defaultAction": "Allow", "ipRules": unknown })),
        by_address(json!(unknown)),
        by_address(json!({ "action": "Deny", "value": unknown })),
        by_address(json!({ "action": "Deny", "value": "AppService" })),
        by_address(json!({ "action": unknown, "value": "0.0.0.0/0" })),
        acls(json!({ "ipRules": vec![json!({ "action": "Allow", "value": "10.0.0.1" }); 1_001] })),
    ] {
        let finished = imported(properties.clone());
        let config = read(&finished);
        let found = rules(&config);
        match properties["networkACLs"]["ipRules"][0]["value"].as_str() {
            Some("0.0.0.0/0") => {
                assert_eq!(found, [("deny", "client server rest".to_owned(), "0.0.0.0/0".to_owned())], "{properties}");
            }
            Some(_) | None => assert_eq!(found, everybody, "{properties}"),
        }
        assert!(!places(&finished).is_empty(), "it is named: {properties}");
    }
    for (properties, expected) in [
        (json!(unknown), vec![]),
        (json!({ "copy": copy }), vec![]),
        (json!({ "cors": unknown }), vec![]),
        (json!({ "cors": { "allowedOrigins": unknown } }), vec![]),
        (json!({ "cors": { "allowedOrigins": [unknown, "https://a.example"] } }), vec!["https://a.example"]),
        (json!({ "cors": { "copy": copy } }), vec![]),
        (json!({ "networkACLs": unknown }), vec!["*"]),
    ] {
        let finished = imported(properties.clone());
        let config = read(&finished);
        assert_eq!(texts(&config["hubs"]["*"]["cors-origins"]), expected, "{properties}");
        assert!(!places(&finished).is_empty(), "it is named: {properties}");
    }
}

#[test]
fn a_member_with_a_dot_in_its_name_is_another_one() {
    let finished = imported(json!({ "x.cors": { "allowedOrigins": ["https://a.example"] }, "x.networkACLs": 5 }));
    assert_eq!(texts(&read(&finished)["hubs"]["*"]["cors-origins"]), ["*"]);
    for path in ["properties.x.cors", "properties.x.networkACLs"] {
        let said = said(&finished, path);
        assert!(said.len() == 1 && said[0].contains("not known here"), "{finished:?}");
    }
}

#[test]
fn an_expression_with_a_url_of_upstream_is_not_repeated() {
    let url = "[concat('https://h.example/api?code=', 'SECRET')]";
    let templates = json!([{ "urlTemplate": url }]);
    for properties in [
        json!({ "upstream": { "templates": templates } }),
        json!({ "upstream": { "templates": url } }),
        json!({ "upstream": { "templates": [url] } }),
        json!({ "upstream": url }),
        json!({ "upstream": { "templates": [{ "urlTemplate": "https://h.example/?code={SECRET}" }] } }),
        json!(url),
    ] {
        let finished = imported(properties.clone());
        read(&finished);
        assert!(!places(&finished).is_empty(), "it is named: {properties}");
        assert!(
            !finished.stderr.contains("SECRET") && !finished.stdout.contains("SECRET"),
            "{properties}: {finished:?}"
        );
    }
}

#[test]
fn time_outs_that_would_not_go_together_are_changed_and_named() {
    let member = |name: &str| format!("properties.serverless.{name}InSeconds");
    for (client, keep_alive, expected, named, why) in [
        (Some(60), Some(20), (Some("1m"), Some("20s")), None, ""),
        (Some(30), Some(45), (Some("30s"), Some("30s")), Some("keepAliveInterval"), "`keep-alive` is 30 seconds"),
        (Some(5), None, (Some("5s"), Some("3s")), Some("connectionTimeout"), "`keep-alive` is 3 seconds"),
        (None, Some(45), (Some("45s"), Some("45s")), Some("keepAliveInterval"), "`client` is 45 seconds"),
        (None, Some(20), (Some("30s"), Some("20s")), None, ""),
    ] {
        let settings = json!({ "connectionTimeoutInSeconds": client, "keepAliveIntervalInSeconds": keep_alive });
        let finished = imported(json!({ "serverless": settings }));
        let config = read(&finished);
        let timeouts = &config["server"]["timeouts"];
        assert_eq!((timeouts["client"].as_str(), timeouts["keep-alive"].as_str()), expected, "{settings}");
        assert_eq!(places(&finished), named.map(member).into_iter().collect::<Vec<_>>(), "{settings}");
        assert!(finished.stderr.contains(why), "{settings}: {finished:?}");
    }
}

#[test]
fn each_thing_without_an_equal_is_named_once_in_the_file_and_on_standard_error() {
    let finished = import(&sample("resource-show.json"));
    let mut named = places(&finished);
    let in_file: Vec<&str> = finished
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("# - ")?.split_once(": "))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(named, in_file);
    named.sort_unstable();
    let expected = [
        "identity",
        "properties.applicationFirewall.clientTrafficControlRules[0]",
        "properties.applicationFirewall.maxClientConnectionLifetimeInSeconds",
        "properties.cors.allowedOrigins",
        "properties.disableLocalAuth",
        "properties.features[1].value",
        "properties.features[2].value",
        "properties.features[3].value",
        "properties.liveTraceConfiguration",
        "properties.networkACLs.ipRules[3].value",
        "properties.networkACLs.privateEndpoints[0]",
        "properties.privateEndpointConnections",
        "properties.regionEndpointEnabled",
        "properties.resourceLogConfiguration",
        "properties.resourceStopped",
        "properties.routeSettings",
        "properties.sharedPrivateLinkResources",
        "properties.tls",
        "properties.upstream.templates[1].auth.type",
        "properties.upstream.templates[2].urlTemplate",
        "sku",
    ];
    assert_eq!(named, expected);
}

#[test]
fn a_template_is_searched_and_its_expressions_are_named() {
    let finished = import(&sample("bicep-build.json"));
    let config = read(&finished);
    assert_eq!(config["hubs"]["*"]["mode"].as_str(), Some("default"), "what nothing is known of stays the default");
    assert_eq!(config["upstream"].as_array().map(Vec::len), Some(1));
    assert_eq!(config["upstream"][0]["url"].as_str(), Some("https://contoso.example/{event}"));
    assert_eq!(texts(&config["hubs"]["*"]["cors-origins"]), Vec::<&str>::new(), "what is not known opens nothing");
    assert_eq!(rules(&config), [("deny", "server rest".to_owned(), "0.0.0.0/0 ::/0".to_owned())]);
    let timeouts = &config["server"]["timeouts"];
    assert_eq!((timeouts["client"].as_str(), timeouts["keep-alive"].as_str()), (Some("5s"), Some("3s")));
    let base = "resources.realtime.properties.template.resources[0]";
    for (path, what) in [
        ("properties.features[0].value", "[parameters('serviceMode')]"),
        ("properties.features[1].value", "[string(parameters('logs'))]"),
        ("properties.cors.allowedOrigins", "[parameters('allowedOrigins')]"),
        ("properties.networkACLs.defaultAction", "[if(parameters('open'), 'Allow', 'Deny')]"),
        ("properties.networkACLs.publicNetwork.allow[1]", "[parameters('kind')]"),
        ("properties.upstream.templates[0].urlTemplate", "is an expression, which is not evaluated"),
        ("condition", "is not evaluated"),
    ] {
        let said = said(&finished, &format!("{base}.{path}"));
        assert!(said.iter().any(|line| line.contains(what)), "{path}: {finished:?}");
    }
    let parts = "resources.realtime.properties.template.resources";
    let domain = said(&finished, &format!("{parts}[1]"));
    assert!(domain.len() == 1 && domain[0].contains("https://realtime.contoso.example"), "{finished:?}");
    assert!(said(&finished, &format!("{parts}[2]")).iter().any(|line| line.contains("replicas")), "{finished:?}");
}

#[test]
fn of_several_resources_one_is_chosen_by_its_name() {
    let resource = |name: &str, mode: &str| {
        let features = json!([{ "flag": "ServiceMode", "value": mode }]);
        json!({ "type": "microsoft.signalrservice/signalr", "name": name, "properties": { "features": features } })
    };
    let other = json!({ "type": "Microsoft.Web/sites", "name": "app", "properties": { "cors": 5 } });
    for document in [
        json!([resource("chat", "Classic"), other, resource("news", "Serverless")]),
        json!({ "value": [resource("chat", "Classic"), resource("news", "Serverless")] }),
        json!({ "resources": [resource("chat", "Classic"), other, resource("news", "Serverless")] }),
    ] {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("azure.json");
        fs::write(&file, document.to_string()).expect("the folder can be written");
        let file = file.display().to_string();
        let undecided = hubgate(["config", "import-azure", &file]);
        assert_eq!((undecided.code, undecided.stdout.as_str()), (Some(2), ""), "{undecided:?}");
        assert!(
            undecided.stderr.contains("--resource NAME: \"chat\" (") && undecided.stderr.contains("\"news\" ("),
            "{undecided:?}"
        );
        for (name, mode) in [("Chat", "classic"), ("news", "serverless")] {
            let chosen = read(&hubgate(["config", "import-azure", &file, "--resource", name]));
            assert_eq!(chosen["hubs"]["*"]["mode"].as_str(), Some(mode));
        }
        let unknown = hubgate(["config", "import-azure", &file, "--resource", "gone"]);
        assert!(
            unknown.code == Some(2) && unknown.stderr.contains("no SignalR resource that is called gone"),
            "{unknown:?}"
        );
    }
}

#[test]
fn parts_of_other_resources_are_not_named() {
    let kind = "Microsoft.SignalRService/signalR";
    let replica = |name: &str| json!({ "type": format!("{kind}/replicas"), "name": name });
    let nested = json!([{ "type": "customCertificates", "name": "own" }]);
    let document = json!([
        { "type": kind, "name": "chat", "resources": nested },
        { "type": kind, "name": "news", "resources": [{ "type": "sharedPrivateLinkResources", "name": "other" }] },
        replica("Chat/east"),
        replica("chatter/east"),
        replica("news/east"),
        replica("[concat('news', '/west')]"),
        replica("[parameters('any')]"),
    ]);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("azure.json");
    fs::write(&file, document.to_string()).expect("the folder can be written");
    let named = |name: &str| {
        let finished = hubgate(["config", "import-azure", &file.display().to_string(), "--resource", name]);
        places(&finished).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(named("chat"), ["[0].resources[0]", "[2]"]);
    assert_eq!(named("news"), ["[1].resources[0]", "[4]", "[5]"]);
}

#[test]
fn what_a_hostile_document_takes_and_says_is_bounded() {
    let long = "n".repeat(1 << 20);
    let kind = "Microsoft.SignalRService/signalR";
    let many = vec![json!({ "flag": "?", "value": 1, "x": 1 }); 20_000];
    let resources = json!({ &long: { "type": kind, "name": &long, "properties": {
        "features": many,
        &long: 1,
        "networkACLs": { "defaultAction": &long[..1 << 16] },
        "hostName": &long[..1 << 16],
    } } });
    let document = json!({ "resources": resources }).to_string();
    assert!(document.len() < 4 << 20, "it is read");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("azure.json");
    fs::write(&file, &document).expect("the folder can be written");
    // In KiB, of addresses: what the program reserves and what a document of this size may take.
    let mut run = Command::new("sh");
    run.args(["-c", "ulimit -v 2000000; exec \"$0\" config import-azure \"$1\""]).arg(binary()).arg(&file);
    let finished = Finished::of(&mut run);
    assert_eq!(finished.code, Some(0), "{:.2000}", finished.stderr);
    read(&finished);
    let said = finished.stderr.len() + finished.stdout.len();
    assert!(said < 2 << 20, "{said} bytes are said");
    assert!(finished.stderr.lines().all(|line| line.len() < 1_000), "each line can be read");
    assert!(finished.stderr.contains("more places of which something would be said"), "those beyond are counted");

    let refused = imported_document(&format!("{document}{}", " ".repeat(4 << 20)));
    assert!(refused.code == Some(2) && refused.stderr.contains("it is larger than 4194304 bytes"), "{refused:?}");
}

#[test]
fn a_document_that_is_none_or_has_no_resource_is_refused_with_the_place() {
    let resource = |properties: &str| {
        format!(r#"{{ "type": "Microsoft.SignalRService/signalR", "name": "x", "properties": {properties} }}"#)
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (document, why) in [
        (String::new(), "is empty"),
        ("{ \"type\": ".to_owned(), "line 1"),
        (deep, "is not JSON"),
        ("5".to_owned(), "no resource of type Microsoft.SignalRService/signalR"),
        ("{}".to_owned(), "az signalr show"),
        (r#"{ "type": "Microsoft.Web/sites" }"#.to_owned(), "it has Microsoft.Web/sites"),
        (r#"{ "type": "Microsoft.SignalRService/WebPubSub" }"#.to_owned(), "Azure Web PubSub"),
        (resource("[]"), "properties: is a list, and must be an object"),
        (resource(r#"{ "cors": 5 }"#), "properties.cors: is a number, and must be an object"),
        (
            resource(r#"{ "cors": { "allowedOrigins": "https://a" } }"#),
            "properties.cors.allowedOrigins: is a text, and must be a list",
        ),
        (resource(r#"{ "features": [{ "flag": 1 }] }"#), "properties.features[0].flag: is a number"),
        (
            resource(r#"{ "features": [{ "flag": "EnableLiveTrace", "value": "yes" }] }"#),
            "properties.features[0].value: is a text, and must be true or false",
        ),
        (
            resource(r#"{ "serverless": { "connectionTimeoutInSeconds": -1 } }"#),
            "connectionTimeoutInSeconds: is a number, and must be a whole number",
        ),
        (
            resource(r#"{ "networkACLs": { "ipRules": [{ "value": {} }] } }"#),
            "properties.networkACLs.ipRules[0].value: is an object",
        ),
        (resource(r#"{ "upstream": { "templates": { "a": 1 } } }"#), "properties.upstream.templates: is an object"),
    ] {
        let refused = imported_document(&document);
        let shown: String = document.chars().take(200).collect();
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{shown}: {refused:?}");
        assert!(refused.stderr.contains(why) && refused.stderr.contains("azure.json"), "{shown}: {refused:?}");
    }
    let gone = hubgate(["config", "import-azure", "/nowhere/azure.json"]);
    assert!(gone.code == Some(2) && gone.stderr.contains("/nowhere/azure.json"), "{gone:?}");
}

#[test]
fn whatever_a_document_says_the_configuration_can_be_read_and_a_remark_is_one_line() {
    let hostile = "x\n[server]\nlisten = '0.0.0.0:1'\u{1b}[2J\u{202e}\"";
    let finished = imported(json!({
        hostile: true,
        "features": [{ "flag": hostile, "value": hostile }, { "flag": "ServiceMode", "value": hostile }],
        "cors": { "allowedOrigins": [hostile, "https://a/path", "null", "https://ok.example"] },
        "hostName": hostile,
        "upstream": { "templates": [{ "hubPattern": hostile, "urlTemplate": "http://{hub}/" },
            { "eventPattern": hostile, "categoryPattern": "messages,unknown", "urlTemplate": "http://ok.example/" },
            { "categoryPattern": "unknown", "urlTemplate": "http://ok.example/" }] },
        "applicationFirewall": { "clientConnectionCountRules": [
            { "type": "ThrottleByJwtCustomClaimRule", "claimName": hostile, "maxCount": 3 },
            { "type": "ThrottleByUserIdRule", "maxCount": 0 }, { "type": hostile } ] },
        "networkACLs": { "defaultAction": hostile, "ipRules": [{ "value": "123.456.789.123/24" }] },
    }));
    let config = read(&finished);
    assert_eq!(config["server"]["listen"].as_str(), Some("127.0.0.1:8888"), "nothing gets out of a comment");
    assert_eq!(texts(&config["hubs"]["*"]["cors-origins"]), ["https://ok.example"]);
    let items = config["upstream"].as_array().expect("a list");
    assert_eq!((items.len(), texts(&items[0]["categories"])), (1, vec!["messages"]));
    assert_eq!(config["server"]["limits"]["connections-per-claim"][hostile].as_integer(), Some(3));
    assert_eq!(
        config["server"]["limits"]["connections-per-user"].as_integer(),
        Some(0),
        "0 is no limit, and was none here"
    );
    assert!(finished.stderr.lines().all(|line| line.starts_with("warning: ")), "{}", finished.stderr);
    assert!(!finished.stderr.contains(['\u{1b}', '\u{202e}']), "{}", finished.stderr);
    assert!(places(&finished).len() >= 9, "{}", finished.stderr);
}

#[test]
fn the_configuration_goes_into_a_new_file_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (source, output) = (sample("resource-show.json").display().to_string(), folder.path().join("hubgate.toml"));
    let write = || hubgate(["config", "import-azure", &source, "-o", &output.display().to_string()]);
    assert_eq!(write().success(), "");
    let written = fs::read_to_string(&output).expect("it is text");
    assert_eq!(written.trim(), import(Path::new(&source)).stdout.trim());
    assert_eq!(fs::metadata(&output).expect("it is there").permissions().mode() & 0o777, 0o600);
    let again = write();
    assert!(again.code == Some(1) && again.stderr.contains("--output"), "{again:?}");
    assert_eq!(fs::read_dir(folder.path()).expect("it is a folder").count(), 1, "nothing else is left");
}
