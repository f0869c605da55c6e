//! Bad tokens: each is refused for its own cause, tells nothing of itself in the answer, and disturbs nobody.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use http::Method;
use hubgate_tests::{Client, Gateway, Token};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// How tokens are made that no library makes.
struct Forge {
    key: String,
    audience: String,
    now: i64,
}

impl Forge {
    fn claims(&self) -> Value {
        json!({ "aud": self.audience, "exp": self.now + 3600, "asrs.s.uid": "mallory" })
    }

    fn with(&self, name: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.claims();
        claims[name] = value.into();
        claims
    }

    /// Signed with HS256 and the gateway's key, whatever the parts are.
    fn sign(&self, header: &str, claims: &[u8]) -> String {
        self.sign_encoded(&encode(header), &encode(claims), Algorithm::HS256)
    }

    fn sign_encoded(&self, header: &str, claims: &str, algorithm: Algorithm) -> String {
        let message = format!("{header}.{claims}");
        let key = EncodingKey::from_secret(self.key.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("a secret signs");
        format!("{message}.{signature}")
    }

    fn claiming(&self, claims: &Value) -> String {
        self.sign(r#"{"alg":"HS256","typ":"JWT"}"#, claims.to_string().as_bytes())
    }

    fn headed(&self, header: &str) -> String {
        self.sign(header, self.claims().to_string().as_bytes())
    }

    fn good(&self) -> String {
        self.claiming(&self.claims())
    }
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// Each with its cause and the status that it is answered with.
fn table(forge: &Forge) -> Vec<(&'static str, String, u16)> {
    let claims = forge.claims().to_string();
    let good = forge.good();
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let (header, body) = message.split_once('.').expect("three parts");
    let unsigned = |alg: &str| format!("{}.{}.", encode(format!(r#"{{"alg":"{alg}"}}"#)), encode(&claims));
    let lying = |alg: &str| forge.headed(&format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
    let times = |name: &str, value: Value| forge.claiming(&forge.with(name, value));
    let aimed = |audience: Value| forge.claiming(&forge.with("aud", audience));
    let raw = |claims: String| forge.sign(r#"{"alg":"HS256"}"#, claims.as_bytes());
    let mut rows = vec![
        // The algorithm.
        ("alg none", unsigned("none"), 401),
        ("alg None", unsigned("None"), 401),
        ("alg NONE", unsigned("NONE"), 401),
        ("alg none with a signature", format!("{}{signature}", unsigned("none")), 401),
        ("alg none, signed", lying("none"), 401),
        ("alg empty", lying(""), 401),
        ("alg in lower case", lying("hs256"), 401),
        ("alg with a space", lying("HS256 "), 401),
        ("alg HS384", forge.sign_encoded(&encode(r#"{"alg":"HS384"}"#), &encode(&claims), Algorithm::HS384), 401),
        ("alg HS512, signed with HS256", lying("HS512"), 401),
        ("alg HS256, signed with HS512", forge.sign_encoded(header, body, Algorithm::HS512), 401),
        ("alg RS256, signed with the key as a secret", lying("RS256"), 401),
        ("alg ES256, signed with the key as a secret", lying("ES256"), 401),
        ("alg PS256, signed with the key as a secret", lying("PS256"), 401),
        ("alg EdDSA, signed with the key as a secret", lying("EdDSA"), 401),
        ("alg missing", forge.headed(r#"{"typ":"JWT"}"#), 401),
        ("alg null", forge.headed(r#"{"alg":null}"#), 401),
        ("alg a number", forge.headed(r#"{"alg":256}"#), 401),
        ("alg a list", forge.headed(r#"{"alg":["HS256"]}"#), 401),
        ("alg twice", forge.headed(r#"{"alg":"HS256","alg":"none"}"#), 401),
        ("crit", forge.headed(r#"{"alg":"HS256","crit":["exp"]}"#), 401),
        ("crit, with what it names", forge.headed(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#), 401),
        // The header.
        ("header no JSON", forge.headed("alg=HS256"), 401),
        ("header a list", forge.headed(r#"["HS256"]"#), 401),
        ("header empty", format!(".{body}.{signature}"), 401),
        ("header cut off", forge.headed(r#"{"alg":"HS256""#), 401),
        ("header not UTF-8", forge.sign_encoded(&encode([0xff, 0xfe]), body, Algorithm::HS256), 401),
        // Other keys.
        ("another key", Token::new(&forge.audience, "another-key").sign(), 401),
        ("an empty key", Token::new(&forge.audience, "").sign(), 401),
        (
            "the key without its last character",
            Token::new(&forge.audience, &forge.key[..forge.key.len() - 1]).sign(),
            401,
        ),
        (
            "the key decoded from base64",
            {
                let key = EncodingKey::from_base64_secret(&forge.key).expect("the tests' key is base64");
                format!(
                    "{message}.{}",
                    jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs")
                )
            },
            401,
        ),
        (
            "kid that names a file, another key",
            {
                let header = encode(r#"{"alg":"HS256","kid":"../../../../dev/null"}"#);
                let key = EncodingKey::from_secret(b"");
                let message = format!("{header}.{body}");
                format!(
                    "{message}.{}",
                    jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs")
                )
            },
            401,
        ),
        (
            "jwk of its own, another key",
            {
                let header = encode(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"bWluZQ"}}"#);
                let message = format!("{header}.{body}");
                let key = EncodingKey::from_secret(b"mine");
                format!(
                    "{message}.{}",
                    jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs")
                )
            },
            401,
        ),
        // The signature.
        ("signature missing", message.to_owned(), 401),
        ("signature empty", format!("{message}."), 401),
        ("signature cut", format!("{message}.{}", &signature[..signature.len() - 2]), 401),
        ("signature extended", format!("{good}AA"), 401),
        ("signature of other claims", format!("{header}.{}.{signature}", encode(forge.with("a", 1).to_string())), 401),
        ("signature all zero", format!("{message}.{}", encode([0; 32])), 401),
        ("signature padded", format!("{good}="), 401),
        ("signature in another alphabet", format!("{message}.-_+/{}", &signature[4..]), 401),
        // The shape.
        ("empty", String::new(), 401),
        ("dots", "..".to_owned(), 401),
        ("one part", "eyJhbGciOiJIUzI1NiJ9".to_owned(), 401),
        ("four parts", format!("{good}.{signature}"), 401),
        ("five parts, as encrypted tokens have", format!("{header}..{body}.{signature}.{signature}"), 401),
        ("twice", format!("{good}{good}"), 401),
        ("a token in a token", raw(json!({ "jwt": good }).to_string()), 401),
        ("longer than 4,096 characters", forge.claiming(&forge.with("a", "x".repeat(4096))), 413),
        ("20,000 characters of nothing", "a".repeat(20_000), 413),
        ("claims padded", forge.sign_encoded(header, &URL_SAFE.encode(format!("{claims} ")), Algorithm::HS256), 401),
        (
            "claims in the standard alphabet",
            {
                let standard = STANDARD.encode(forge.with("a", "???>>>").to_string());
                forge.sign_encoded(header, standard.trim_end_matches('='), Algorithm::HS256)
            },
            401,
        ),
        // The claims.
        ("claims no JSON", raw("aud=me".to_owned()), 401),
        ("claims a list", raw(format!("[{claims}]")), 401),
        ("claims null", raw("null".to_owned()), 401),
        ("claims empty", raw("{}".to_owned()), 401),
        ("claims cut off", raw(claims[..claims.len() - 1].to_owned()), 401),
        ("claims with a tail", raw(format!("{claims}{claims}")), 401),
        ("claims not UTF-8", forge.sign(r#"{"alg":"HS256"}"#, b"{\"exp\":9999999999,\"aud\":\"\xff\"}"), 401),
        ("exp twice", raw(claims.replacen('{', "{\"exp\":1,", 1)), 401),
        ("aud twice", raw(claims.replacen('{', "{\"aud\":\"x\",", 1)), 401),
        ("user twice", raw(claims.replacen('{', "{\"asrs.s.uid\":\"admin\",", 1)), 401),
        ("nested 3,000 deep", raw(format!("{{\"a\":{}", "[".repeat(2_900))), 401),
    ];
    let now = forge.now;
    for (cause, value) in [
        ("exp missing", Value::Null),
        ("exp a text", json!((now + 3600).to_string())),
        ("exp in words", json!("tomorrow")),
        ("exp true", json!(true)),
        ("exp a list", json!([now + 3600])),
        ("exp an object", json!({ "at": now + 3600 })),
        ("exp negative", json!(-1)),
        ("exp zero", json!(0)),
        ("exp a moment ago", json!(now - 1)),
        ("exp in milliseconds", json!((now + 3600) * 1000)),
        ("exp beyond all numbers", json!(1e300)),
        ("exp the greatest integer", json!(u64::MAX)),
    ] {
        rows.push((cause, times("exp", value), 401));
    }
    for (cause, value) in [
        ("nbf in an hour", json!(now + 3600)),
        ("nbf a text", json!("now")),
        ("nbf null", Value::Null),
        ("nbf a list", json!([])),
        ("nbf beyond all numbers", json!(1e300)),
    ] {
        rows.push((cause, times("nbf", value), 401));
    }
    for (cause, audience) in [
        ("aud missing", Value::Null),
        ("aud empty", json!("")),
        ("aud a number", json!(1)),
        ("aud an empty list", json!([])),
        ("aud a list of others", json!(["http://a/client/", "http://b/client/"])),
        ("aud of another host", json!("http://example.com/client/?hub=probe")),
        ("aud of another port", json!("http://127.0.0.1:1/client/?hub=probe")),
        ("aud of another scheme", json!("https://127.0.0.1/client/?hub=probe")),
        ("aud of another path", json!("http://127.0.0.1/server/?hub=probe")),
        ("aud of a longer path", json!("http://127.0.0.1/client/../server/?hub=probe")),
        ("aud with a slash that is part of a name", json!("http://127.0.0.1/client%2F?hub=probe")),
        ("aud with two slashes", json!("http://127.0.0.1//client/?hub=probe")),
        ("aud with a blank behind the port", json!("http://127.0.0.1:80 /client/?hub=probe")),
        ("aud of another hub", json!("http://127.0.0.1/client/?hub=other")),
        ("aud of two hubs", json!("http://127.0.0.1/client/?hub=probe&hub=other")),
        ("aud with our host as its user", json!("http://127.0.0.1@example.com/client/?hub=probe")),
        ("aud with a user at our host", json!("http://me@127.0.0.1/client/?hub=probe")),
        ("aud of a REST path", json!("http://127.0.0.1/api/hubs/probe/:send")),
        ("aud without a scheme", json!("127.0.0.1/client/?hub=probe")),
    ] {
        rows.push((cause, aimed(audience), 401));
    }
    rows
}

#[tokio::test]
async fn each_bad_token_is_refused_and_disturbs_nobody() {
    let gateway = Gateway::probe().start().await;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    let forge = Forge {
        key: gateway.key().to_owned(),
        audience: format!("{}/client/?hub=probe", gateway.url()),
        now: i64::try_from(since.as_secs()).expect("seconds fit"),
    };
    let mut beside = gateway.client("probe").connect().await;
    let table = table(&forge);
    assert!(table.len() >= 80, "{} rows", table.len());
    for (cause, token, status) in &table {
        let negotiated = gateway.request(Method::POST, "/client/negotiate?hub=probe").bearer(token).send().await;
        assert_eq!(negotiated.status, *status, "{cause}: {}", negotiated.body);
        let opened = Client::open(gateway.address(), "/client/?hub=probe", Some(token)).await;
        assert_eq!(opened.expect_err(cause).status, *status, "{cause}");
        let escaped = percent_encoding(token);
        let in_query = format!("/client/negotiate?hub=probe&access_token={escaped}");
        let in_query = gateway.request(Method::POST, &in_query).send().await;
        assert_eq!(in_query.status, *status, "{cause}, in the query: {}", in_query.body);
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!negotiated.body.contains(part) && !in_query.body.contains(part), "{cause}: {}", negotiated.body);
        }
        assert!(!negotiated.body.contains(gateway.key()), "{cause}");
        assert_eq!(beside.call("echo", json!([cause])).await, Ok(json!(cause)), "others go on");
    }
    let refused = gateway.metric("hubgate_requests_refused_total", [("reason", "token")]).await;
    assert_eq!(refused as usize, 3 * table.len(), "each is counted");
    gateway.client("probe").token(&forge.good()).connect().await;
}

#[tokio::test]
async fn what_a_token_says_beside_what_counts_does_not_matter() {
    let gateway = Gateway::probe().start().await;
    let forge = Forge {
        key: gateway.key().to_owned(),
        audience: format!("{}/client/?hub=probe", gateway.url()),
        now: 4_000_000_000,
    };
    for header in [
        r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#,
        r#"{"alg":"HS256","kid":"/etc/passwd","jku":"http://example.com/keys","x5u":"http://example.com/x"}"#,
        r#"{"typ":"at+jwt","alg":"HS256","cty":"JWT"}"#,
    ] {
        gateway.client("probe").token(&forge.headed(header)).connect().await;
    }
}

/// As it stands in a query.
fn percent_encoding(token: &str) -> String {
    token.replace('%', "%25").replace('+', "%2B").replace('=', "%3D").replace('/', "%2F").replace('&', "%26")
}
