//! `hubgate doctor`: what does not work, in the words of the gateway's own checks.

use std::path::PathBuf;
use std::process::Command;

use hubgate_tests::command::{Finished, binary};
use hubgate_tests::gateway::{KEY, Setup};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::tls;
use hubgate_tests::token::Token;
use hubgate_tests::webhook::Webhook;
use hubgate_tests::{Gateway, guests};
use serde_json::json;
use tempfile::TempDir;

/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";

struct Case {
    _folder: TempDir,
    file: PathBuf,
}

fn doctor(arguments: &[&str]) -> Finished {
    Finished::of(Command::new(binary()).arg("doctor").args(arguments))
}

fn setup() -> Setup {
    Gateway::serve().with(&format!(
        "server.listen = '127.0.0.1:0'\nserver.endpoints = ['{NOWHERE}']\nhubs.chat.mode = 'serverless'"
    ))
}

impl Case {
    fn of(setup: Setup) -> Case {
        let (folder, file) = setup.written();
        Case { _folder: folder, file }
    }

    fn ask(&self, arguments: &[&str]) -> Finished {
        let file = self.file.display().to_string();
        doctor(&[&["--config", &file], arguments].concat())
    }

    /// The first finding is an error about `subject` that says `why`.
    fn finds(&self, arguments: &[&str], subject: &str, why: &str) {
        found(&self.ask(arguments), subject, why);
    }

    fn finds_nothing(&self, arguments: &[&str]) {
        let asked = self.ask(arguments);
        assert_eq!(asked.code, Some(0), "{arguments:?}: {asked:?}");
        assert_eq!(asked.stdout, "no problems found\n", "{arguments:?}: {asked:?}");
    }
}

fn found(asked: &Finished, subject: &str, why: &str) {
    assert_eq!(asked.code, Some(1), "{asked:?}");
    let first = asked.stdout.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("error: ") && first.contains(&format!("{subject}: ")) && first.contains(why),
        "{subject}, {why}: {asked:?}"
    );
}

fn token() -> Token {
    Token::new(&format!("{NOWHERE}/client/?hub=chat"), KEY)
}

#[test]
fn a_token_that_is_refused_is_told_why_without_a_gateway() {
    let case = Case::of(setup());
    case.finds_nothing(&["--token", &token().sign()]);
    case.finds_nothing(&["--token", &format!("Bearer {}", token().sign())]);
    case.finds_nothing(&["--token", &Token::new(&format!("{NOWHERE}/api/hubs/chat/:send"), KEY).sign()]);
    for (token, why) in [
        (token().key("somebody else's key").sign(), "is not signed with an access key of this gateway"),
        // What the key's text is the base64 of.
        (token().key("tests-only-first-access-key-0123456789").sign(), "base64"),
        (token().expires_in(-1).sign(), "the token has expired"),
        (token().without_claim("exp").sign(), "has no `exp` claim"),
        (token().valid_after(3600).sign(), "is not valid yet"),
        (token().audience("http://other.example/client/?hub=chat").sign(), "expected is http://127.0.0.1:1/client"),
        (token().without_claim("aud").sign(), "no `aud` claim"),
        (token().claim("nameid", json!({ "id": 1 })).sign(), "`nameid` claim names no user"),
        (token().claim("asrs.s.htt", 8).sign(), "allows no transport that exists"),
        (Token::new(&format!("{NOWHERE}/server/?hub=chat"), KEY).sign(), "it does not accept hub servers"),
        ("not a token".to_owned(), "is not a JSON Web Token"),
    ] {
        case.finds(&["--token", &token], "--token", why);
        assert!(!case.ask(&["--token", &token]).stdout.contains(KEY), "no key is told");
    }
}

#[test]
fn a_token_is_held_against_the_url_that_it_is_sent_to() {
    let case = Case::of(setup());
    for (path, why) in [
        ("/client/?hub=other", "is for another audience"),
        ("/api/hubs/chat/:send", "expected is http://127.0.0.1:1/api/hubs/chat/:send"),
        ("/server/?hub=other", "is for another audience"),
    ] {
        let asked = case.ask(&["--token", &token().sign(), "--url", &format!("{NOWHERE}{path}")]);
        found(&asked, "--token", why);
    }
}

#[test]
fn without_the_configuration_all_but_the_signature_is_looked_at() {
    found(&doctor(&["--token", &token().expires_in(-1).sign()]), "--token", "the token has expired");
    let unknown = doctor(&["--token", &token().key("any").sign()]);
    assert_eq!(unknown.code, Some(0), "{unknown:?}");
    assert!(unknown.stdout.starts_with("warning: --token: its signature was not checked"), "{unknown:?}");
}

#[test]
fn an_origin_is_told_why_browsers_keep_its_pages_away() {
    let case = Case::of(setup().with(
        "hubs.chat.cors-origins = ['https://app.example.com']\nhubs.open.cors-origins = ['*']\nhubs.open.mode = 'serverless'",
    ));
    let at = |hub: &str| Token::new(&format!("{NOWHERE}/client/?hub={hub}"), KEY).sign();
    for (hub, origin, subject, why) in [
        ("chat", "https://evil.example", "hubs.chat.cors-origins", "https://evil.example is not among them"),
        ("chat", "http://app.example.com", "hubs.chat.cors-origins", "is not among them"),
        ("chat", "https://app.example.com/page", "--origin", "has a path"),
        ("chat", "null", "--origin", "cannot be allowed"),
        ("other", "https://app.example.com", "hubs.*.cors-origins", "is not among them"),
    ] {
        case.finds(&["--token", &at(hub), "--origin", origin], subject, why);
    }
    case.finds_nothing(&["--token", &at("chat"), "--origin", "https://APP.example.com/"]);
    let any = case.ask(&["--token", &at("open"), "--origin", "https://app.example.com"]);
    assert_eq!(any.code, Some(0), "{any:?}");
    assert!(any.stdout.contains("hubs.open.cors-origins: ") && any.stdout.contains("withCredentials"), "{any:?}");
    assert_eq!(case.ask(&["--origin", "https://app.example.com"]).code, Some(0), "one hub lists it");
    let one = Case::of(setup().with("hubs.chat.cors-origins = ['https://app.example.com']"));
    // The key that counts, and no line of another one.
    one.finds(&["--origin", "https://b.example.com"], "hubs.chat.cors-origins", "is not among them");
    let told = one.ask(&["--origin", "https://b.example.com"]).stdout;
    assert!(told.contains(", line ") && !told.contains("hubs.*"), "{told}");
    let told = one.ask(&["--token", &at("other"), "--origin", "https://b.example.com"]).stdout;
    assert!(told.contains("hubgate.toml: hubs.*.cors-origins: "), "{told}");
    let inherited =
        Case::of(setup().with("hubs.'*' = { mode = 'serverless', cors-origins = ['https://a.example.com'] }"));
    inherited.finds(
        &["--token", &at("chat"), "--origin", "https://b.example.com"],
        "hubs.*.cors-origins",
        "is not among",
    );
}

#[test]
fn a_url_that_leads_nowhere_is_told_so() {
    let case = Case::of(setup());
    case.finds(
        &["--url", "http://b.example.invalid/client/?hub=chat"],
        "server.endpoints",
        "there are http://127.0.0.1:1",
    );
    case.finds(&["--url", &format!("{NOWHERE}/client/")], "--url", "The query needs exactly one `hub`.");
    case.finds(&["--url", &format!("{NOWHERE}/client/?hub=1")], "--url", "Invalid hub name");
    case.finds(&["--url", &format!("{NOWHERE}/hubs/chat")], "hubs.chat.negotiate", "is not open to everybody");
    case.finds(&["--url", NOWHERE], "--url", "no answer");
    case.finds(&["--url", &format!("{NOWHERE}/server/?hub=chat")], "hubs.chat.mode", "it does not accept hub servers");
    let server = Token::new(&format!("{NOWHERE}/server/?hub=chat"), KEY).sign();
    let once = case.ask(&["--url", &format!("{NOWHERE}/server/?hub=chat"), "--token", &server]).stdout;
    assert_eq!(once.matches("it does not accept hub servers").count(), 1, "{once}");
    found(&doctor(&["--url", "localhost:8888"]), "--url", "must be an http or https URL");
}

#[tokio::test]
async fn what_the_configuration_names_is_tried() {
    let webhook = Webhook::silent().await;
    let with = |config: &str| Case::of(setup().with(config));
    with(&format!("upstream = [{{ url = '{}' }}]", webhook.url())).finds_nothing(&[]);
    let unreachable = "upstream = [{ url = 'http://127.0.0.1:1/api?code=secret' }]";
    with(unreachable).finds(&[], "upstream[0].url", "the upstream could not be reached");
    assert!(!with(unreachable).ask(&[]).stdout.contains("secret"), "a query may be a secret");
    let missing = "plugins.chat.path = 'gone.wasm'\nupstream = [{ plugin = 'chat' }]";
    with(missing).finds(&[], "plugins.chat.path", "gone.wasm cannot be read");
    with("server.access-keys = ['short']").finds(&[], "--config", "server.access-keys: holds a key of 5 bytes");
    let listed =
        with("hubs.chat.mode = 'default'\nupstream = [{ hubs = ['chat'], url = 'http://127.0.0.1:1/' }]").ask(&[]);
    let lines: Vec<&str> = listed.stdout.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["error", "warning"], "the worst comes first: {listed:?}");
}

#[tokio::test]
async fn a_gateway_that_runs_is_asked_where_a_url_names_it_and_not_disturbed() {
    let gateway = Gateway::probe().with("hubs.probe.cors-origins = ['https://app.example.com']").start().await;
    let configured = |more: &str| {
        let (listen, admin) = (gateway.ready().listen, gateway.ready().admin);
        let data = gateway.folder().join("data");
        Case::of(Gateway::serve().plugin("probe", &guests::probe()).with(&format!(
            "server.listen = '{listen}'\nadmin.listen = '{admin}'\nserver.data-dir = '{}'\nhubs.probe.mode = 'serverless'
             upstream = [{{ plugin = 'probe' }}]\n{more}",
            data.display()
        )))
    };
    configured("").finds_nothing(&[]);
    let url = format!("{}/client/?hub=probe", gateway.url());
    configured("").finds_nothing(&["--url", &url]);
    configured("").finds_nothing(&["--url", &url, "--token", &gateway.token("probe").sign()]);
    let other_key = "server.access-keys = ['another-key-that-the-gateway-does-not-have']";
    configured(other_key).finds(&["--url", &url], "--url", "negotiation is answered with 401");

    let foreign = gateway.token("probe").key("another-key-that-the-gateway-does-not-have").sign();
    let refused = doctor(&["--url", &url, "--token", &foreign]);
    found(&refused, "--token", "is not signed with an access key of this gateway");
    let token = gateway.token("probe").sign();
    assert_eq!(doctor(&["--url", &url, "--token", &token, "--origin", "https://app.example.com"]).code, Some(0));
    let hidden = doctor(&["--url", &url, "--token", &token, "--origin", "https://b.example.com"]);
    found(&hidden, "--origin", "browsers hide it");
    let elsewhere = doctor(&["--url", &format!("{}/chat", gateway.url())]);
    found(&elsewhere, "--url", "/chat leads nowhere: Nothing is here. Clients connect at /client/?hub=NAME");
    let closed = format!("{}/hubs/closed", gateway.url());
    let told = configured("hubs.closed.mode = 'serverless'").ask(&["--url", &closed]);
    assert_eq!(told.stdout.matches("is not open to everybody").count(), 1, "{told:?}");
    let no_gateway = doctor(&["--url", &format!("http://{}", gateway.ready().admin)]);
    found(&no_gateway, "--url", "as no gateway answers");
    assert_eq!(gateway.clients_of("probe").await, 0);
}

#[tokio::test]
async fn a_hub_in_default_mode_that_no_hub_server_serves_is_told() {
    const ADMIN: &str = "an-admin-token-of-the-tests";
    let setup = || Gateway::serve().file("admin-token", ADMIN);
    let gateway = setup().with("admin.token-file = 'admin-token'\nhubs.chat.mode = 'default'").start().await;
    let (listen, admin, data) = (gateway.ready().listen, gateway.ready().admin, gateway.folder().join("data"));
    let own = format!(
        "server.listen = '{listen}'\nadmin.listen = '{admin}'\nserver.data-dir = '{}'\nhubs.chat.mode = 'default'\n",
        data.display()
    );
    let url = format!("{}/client/?hub=chat", gateway.url());
    let knowing = Case::of(setup().with(&format!("{own}admin.token-file = 'admin-token'")));
    for arguments in [&["--url", &url][..], &[]] {
        let told = knowing.ask(arguments);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(told.stdout.contains("hubs.chat.mode: no hub server of hub 'chat' is connected"), "{told:?}");
    }
    let unknowing = Case::of(setup().with(&own)).ask(&["--url", &url]);
    assert!(
        unknowing.stdout.contains("whether one is connected is told where `admin.token-file` is set"),
        "{unknowing:?}"
    );
    let _server = HubServer::open(&gateway, "chat", "one").await;
    knowing.finds_nothing(&["--url", &url]);
}

#[tokio::test]
async fn a_url_with_the_wrong_scheme_and_a_certificate_that_is_not_trusted_are_told_in_plain_words() {
    let gateway = tls::secure(Gateway::probe()).start().await;
    let address = gateway.address();
    found(&doctor(&["--url", &format!("http://{address}")]), "--url", "this port speaks TLS: use https://");
    let untrusted = doctor(&["--url", &format!("https://{address}")]);
    found(&untrusted, "--url", "its certificate comes from no authority that this machine trusts");
    let plain = Gateway::probe().start().await;
    found(&doctor(&["--url", &format!("https://{}", plain.address())]), "--url", "this port does not speak TLS");
}

#[tokio::test]
async fn without_the_configuration_the_gateway_at_the_url_is_asked() {
    let gateway = Gateway::probe().with("hubs.probe.cors-origins = ['https://app.example.com']").start().await;
    let url = gateway.url();
    let client = format!("{url}/client/?hub=probe");
    let none = |arguments: &[&str]| {
        let asked = doctor(arguments);
        assert_eq!((asked.code, asked.stdout.as_str()), (Some(0), "no problems found\n"), "{arguments:?}: {asked:?}");
    };
    none(&["--url", &client, "--origin", "https://app.example.com"]);
    found(&doctor(&["--url", &client, "--origin", "https://b.example.com"]), "--origin", "browsers hide it");
    let slashes = format!("{url}//client/?hub=probe");
    found(&doctor(&["--url", &slashes]), "--url", "begins with two slashes");
    let foreign = "another-key-that-the-gateway-does-not-have";
    for (path, refusal) in [
        ("/client/?hub=probe", "is not signed with"),
        ("/api/hubs/probe/:send", "is not signed with"),
        ("/server/?hub=other", "is not signed with"),
    ] {
        let token = Token::new(&format!("{url}{path}"), KEY);
        none(&["--url", &format!("{url}{path}"), "--token", &format!("Bearer {}", token.sign())]);
        let refused = doctor(&["--url", &format!("{url}{path}"), "--token", &token.key(foreign).sign()]);
        found(&refused, "--token", refusal);
        assert!(!refused.stdout.contains("was not checked"), "the gateway has checked it: {refused:?}");
    }
    let serverless = Token::new(&format!("{url}/server/?hub=probe"), KEY).sign();
    let refused = doctor(&["--url", &format!("{url}/server/?hub=probe"), "--token", &serverless]);
    found(&refused, "--token", "it does not accept hub servers");
    let nowhere = doctor(&["--url", &url, "--origin", "https://app.example.com", "--token", &serverless]);
    assert_eq!(nowhere.code, Some(0), "{nowhere:?}");
    for warning in ["warning: --origin: it was not tried", "warning: --token: its signature was not checked"] {
        assert_eq!(nowhere.stdout.matches(warning).count(), 1, "{nowhere:?}");
    }
}

#[test]
fn it_has_to_be_said_what_does_not_work() {
    for arguments in [&[][..], &["--origin", "https://app.example.com"]] {
        let asked = doctor(arguments);
        assert_eq!(asked.code, Some(2), "{asked:?}");
        assert!(asked.stderr.contains("give at least one of --config FILE, --url URL and --token TOKEN"), "{asked:?}");
    }
}

#[test]
fn the_rule_that_an_address_meets_is_told_for_each_kind() {
    let rules = "server.trusted-proxies = ['192.0.2.9']\n\
                 network-rules = [{ action = 'allow', networks = ['203.0.113.0/24'], kinds = ['client'] }, \
                 { action = 'deny', networks = ['0.0.0.0/0'], kinds = ['client', 'rest'] }]";
    let case = Case::of(setup().with(rules));
    for (address, verdicts) in [
        ("203.0.113.7", ["client: allowed by ", "server: allowed, as no", "rest: denied by ", "admin: allowed, as no"]),
        (
            "::ffff:198.51.100.1",
            ["client: denied by ", "server: allowed, as", "rest: denied by ", "admin: allowed, as no"],
        ),
        ("2001:db8::1", ["client: allowed, as", "server: allowed, as", "rest: allowed, as", "admin: allowed, as no"]),
    ] {
        let asked = case.ask(&["--as-if", address]);
        assert_eq!(asked.code, Some(0), "{asked:?}");
        let shown = address.trim_start_matches("::ffff:");
        let lines: Vec<&str> = asked.stdout.lines().collect();
        assert!(lines.len() >= 4, "{asked:?}");
        for (line, verdict) in lines.iter().zip(verdicts) {
            assert!(line.starts_with(&format!("{shown}, {verdict}")), "{line}: {verdict}");
        }
    }
    let denied = case.ask(&["--as-if", "203.0.113.7"]).stdout;
    let rest = denied.lines().nth(2).expect("there are four lines");
    assert!(rest.contains("hubgate.toml, line ") && rest.ends_with("network-rules[1]"), "{rest}");
    let proxy = case.ask(&["--as-if", "192.0.2.9"]).stdout;
    assert!(proxy.contains("192.0.2.9 is a trusted proxy"), "{proxy}");
    let without = doctor(&["--as-if", "203.0.113.7"]);
    assert_eq!(without.code, Some(2), "rules are the configuration's: {without:?}");
    assert_eq!(case.ask(&["--as-if", "localhost"]).code, Some(2));
}
