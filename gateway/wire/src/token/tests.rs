use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::value::LATEST_TIME;
use super::*;
use crate::negotiate::{Transport, Transports};

const NOW: u64 = 1_800_000_000;

fn keys() -> Vec<AccessKey> {
    vec![AccessKey::new("first-key-of-the-gateway"), AccessKey::new("second-key-of-the-gateway")]
}

fn sign(algorithm: Algorithm, claims: Value) -> String {
    let key = EncodingKey::from_secret(b"second-key-of-the-gateway");
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("signs")
}

fn verify(claims: Value) -> Result<Claims, TokenError> {
    Claims::verify(&sign(Algorithm::HS256, claims), &keys(), NOW)
}

#[test]
fn both_keys_and_both_algorithms_are_accepted() {
    for algorithm in [Algorithm::HS256, Algorithm::HS512] {
        assert!(Claims::verify(&sign(algorithm, json!({"exp": NOW + 1})), &keys(), NOW).is_ok());
    }
    let refused = Claims::verify(&sign(Algorithm::HS384, json!({"exp": NOW + 1})), &keys(), NOW);
    assert_eq!(refused.unwrap_err(), TokenError::Malformed);
}

#[test]
fn another_implementation_accepts_what_is_signed_here() {
    let claims = json!({"exp": NOW + 1, "aud": "http://localhost/client/?hub=chat"});
    let token = keys()[1].sign(claims.as_object().expect("an object"));
    let key = jsonwebtoken::DecodingKey::from_secret(b"second-key-of-the-gateway");
    let mut validation = jsonwebtoken::Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).expect("it is signed with that key");
    assert_eq!((read.claims, read.header.typ.as_deref()), (claims, Some("JWT")));
}

#[test]
fn what_is_not_signed_with_a_key_of_the_gateway_is_refused() {
    let none = "eyJhbGciOiJub25lIn0.eyJleHAiOjE5MDAwMDAwMDB9.";
    assert_eq!(Claims::verify(none, &keys(), NOW).unwrap_err(), TokenError::Malformed);
    let other = AccessKey::new("other").sign(json!({"exp": NOW + 1}).as_object().expect("an object"));
    assert_eq!(Claims::verify(&other, &keys(), NOW).unwrap_err(), TokenError::WrongKey);
    for malformed in ["", "a.b.c", "…"] {
        assert_eq!(Claims::verify(malformed, &keys(), NOW).unwrap_err(), TokenError::Malformed, "{malformed}");
    }
    assert_eq!(Claims::verify(&"a".repeat(4097), &keys(), NOW).unwrap_err(), TokenError::TooLong);
}

#[test]
fn a_key_that_was_decoded_before_it_signed_opens_nothing_and_is_named() {
    let text = "dGhlIGtleSBvZiB0aGUgZ2F0ZXdheSwgaW4gYmFzZTY0";
    let keys = [AccessKey::new("another key"), AccessKey::new(text)];
    let signed = |key: &EncodingKey| {
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &json!({"exp": NOW + 1}), key).expect("signs");
        Claims::verify(&token, &keys, NOW).map(|claims| claims.expiry())
    };
    assert_eq!(signed(&EncodingKey::from_base64_secret(text).expect("base64")), Err(TokenError::DecodedKey));
    assert_eq!(signed(&EncodingKey::from_secret(text.as_bytes())), Ok(NOW + 1));
    assert_eq!(signed(&EncodingKey::from_secret(b"somebody else's")), Err(TokenError::WrongKey));
}

#[test]
fn times_are_checked_against_the_callers_clock() {
    assert_eq!(verify(json!({})).unwrap_err(), TokenError::NoExpiry);
    assert_eq!(verify(json!({"exp": "tomorrow"})).unwrap_err(), TokenError::NoExpiry);
    assert_eq!(verify(json!({"exp": NOW})).unwrap_err(), TokenError::Expired);
    assert_eq!(verify(json!({"exp": NOW + 9, "nbf": NOW + 301})).unwrap_err(), TokenError::NotYetValid);
    assert_eq!(verify(json!({"exp": NOW + 9, "nbf": "now"})).unwrap_err(), TokenError::BadNotBefore);
    assert!(verify(json!({"exp": NOW as f64 + 1.5, "nbf": NOW + 300})).is_ok());
}

#[test]
fn a_time_is_a_number_of_seconds_up_to_the_year_9999() {
    for no_time in
        [json!(-1), json!(LATEST_TIME + 1), json!(u64::MAX), json!(1e300), json!(NOW * 1000), json!([NOW + 9])]
    {
        assert_eq!(verify(json!({"exp": no_time})).unwrap_err(), TokenError::NoExpiry, "{no_time}");
        let not_before = verify(json!({"exp": NOW + 9, "nbf": no_time}));
        assert_eq!(not_before.unwrap_err(), TokenError::BadNotBefore, "{no_time}");
    }
    assert!(verify(json!({"exp": LATEST_TIME, "nbf": 0})).is_ok());
}

#[test]
fn of_the_header_nothing_counts_but_alg_and_crit_demands_too_much() {
    let signed = |header: &str| {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(r#"{"exp":1900000000}"#));
        let key = EncodingKey::from_secret(b"second-key-of-the-gateway");
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signs");
        Claims::verify(&format!("{message}.{signature}"), &keys(), NOW).map(|claims| claims.expiry())
    };
    assert_eq!(signed(r#"{"alg":"HS256","kid":"../../dev/null","jku":"http://a","b":{}}"#), Ok(1_900_000_000));
    for critical in [r#"["exp"]"#, "[]", "null"] {
        assert_eq!(signed(&format!(r#"{{"alg":"HS256","crit":{critical}}}"#)), Err(TokenError::Critical));
    }
    for malformed in ["{}", "[]", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":"HS256","alg":"HS256"}"#] {
        assert_eq!(signed(malformed), Err(TokenError::Malformed), "{malformed}");
    }
}

#[test]
fn a_repeated_claim_is_refused() {
    let text = format!(r#"{{"exp":{},"aud":"a","aud":"b"}}"#, NOW + 9);
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&text).expect("JSON");
    let key = EncodingKey::from_secret(b"second-key-of-the-gateway");
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &raw, &key).expect("signs");
    assert_eq!(Claims::verify(&token, &keys(), NOW).unwrap_err(), TokenError::BadClaims);
}

#[test]
fn the_audience_is_one_of_our_endpoints_with_or_without_its_port() {
    let endpoints = [
        Endpoint::parse("http://localhost:8888/").expect("a URL"),
        Endpoint::parse("https://Gate.example.com/base").expect("a URL"),
    ];
    let check = |audience: Value| {
        let claims = verify(json!({"exp": NOW + 9, "aud": audience})).expect("valid");
        claims.check_audience(&endpoints, Resource::Client { hub: "chat" })
    };
    for good in [
        json!("http://localhost:8888/client/?hub=chat"),
        json!("http://localhost/client?hub=CHAT"),
        json!("http://127.0.0.1:8888/client"),
        json!("http://[::1]/cl%69ent/"),
        json!("HTTPS://gate.example.com/base/client/?hub=chat&x=y"),
        json!("https://gate.example.com/BASE/Client"),
        json!("https://gate.example.com/client/?hub=chat"),
        json!(["http://other/client/", "http://localhost/client/"]),
    ] {
        assert_eq!(check(good.clone()), Ok(()), "{good}");
    }
    for bad in [
        json!("http://localhost:8889/client/"),
        json!("http://localhost:8888.example.com/client/"),
        json!("http://user@localhost:8888/client/"),
        json!("http://localhost:+8888/client/"),
        json!("https://localhost/client/"),
        json!("http://localhost/server/"),
        json!("http://localhost/client/?hub=other"),
        json!("http://localhost/base/client/"),
        json!("http://localhost//client/"),
        json!("http://localhost/cli%65nt%2F"),
        json!("http://localhost:/client/"),
        json!("http://localhost:8888 /client/"),
        json!("http:/localhost/client/"),
        json!("localhost"),
        json!(7),
        Value::Null,
    ] {
        assert!(check(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn an_audience_of_the_rest_api_is_compared_segment_by_segment() {
    let endpoints = [Endpoint::parse("http://localhost:8888").expect("a URL")];
    let check = |audience: &str, path| {
        let claims = verify(json!({"exp": NOW + 9, "aud": format!("http://localhost{audience}")})).expect("valid");
        claims.check_audience(&endpoints, Resource::Rest { path })
    };
    let escaped = "/api/hubs/chat/users/ann%20smith%2F%23/:send";
    for good in [escaped, "/api/hubs/chat/users/ann smith%2f#/%3Asend/?api-version=2022-06-01"] {
        assert_eq!(check(good, escaped), Ok(()), "{good}");
    }
    for bad in [
        "/api/hubs/chat/users/ann smith/#/:send",
        "/api/hubs/chat/users/Ann%20smith%2F%23/:send",
        "/api/hubs/chat/users/ann%2520smith%2F%23/:send",
        "/api/hubs/chat/users/ann+smith%2F%23/:send",
        "/api/hubs/chat/users/ann smith%2F%23/:send?hub=chat",
    ] {
        assert!(check(bad, escaped).is_err(), "{bad}");
    }
    let member = "/api/hubs/chat/groups/g/users/u";
    assert!(check(member, "/api/hubs/chat/groups/g%2Fusers%2Fu").is_err(), "that is another group");
}

/// The claims of a token whose JSON goes on with `members`.
fn claims(members: &str) -> Claims {
    let json = format!(r#"{{"exp":{},{members}}}"#, NOW + 9);
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&json).expect("JSON");
    let key = EncodingKey::from_secret(b"second-key-of-the-gateway");
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &raw, &key).expect("signs");
    Claims::verify(&token, &keys(), NOW).expect(members)
}

#[test]
fn the_user_is_the_services_claim_or_the_name_identifier() {
    let long = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
    for (members, user) in [
        (r#""nameid":"n","asrs.s.uid":"u","sub":"s""#.to_owned(), Some("u")),
        (r#""sub":"s","nameid":"n""#.to_owned(), Some("n")),
        (format!(r#""sub":"s","{long}":"l""#), Some("l")),
        (r#""sub":"s","nameid":null"#.to_owned(), Some("s")),
        (r#""sub":"s","nameid":[],"asrs.s.uid":[null]"#.to_owned(), Some("s")),
        (r#""asrs.s.uid":"","nameid":"n""#.to_owned(), Some("")),
        (r#""nameid":{"a":1},"asrs.s.uid":"u""#.to_owned(), Some("u")),
        (r#""name":"n""#.to_owned(), None),
        (r#""nameid":null"#.to_owned(), None),
    ] {
        assert_eq!(claims(&members).user_id(), Ok(user), "{members}");
    }
}

#[test]
fn a_user_of_another_json_type_has_the_text_that_dotnet_gives_its_claim() {
    for claim in ["asrs.s.uid", "nameid", "sub"] {
        for (value, user) in [
            ("42", "42"),
            ("-7", "-7"),
            ("[42]", "42"),
            (r#"[null,"ann"]"#, "ann"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1.50", "1.50"),
            ("1E3", "1E3"),
            ("true", "true"),
        ] {
            assert_eq!(claims(&format!(r#""{claim}":{value}"#)).user_id(), Ok(Some(user)), "{claim} {value}");
        }
    }
}

#[test]
fn a_claim_that_names_no_one_user_is_refused_by_its_name() {
    for claim in ["asrs.s.uid", "nameid", "sub"] {
        for value in ["{}", r#"{"id":42}"#, "[[42]]", "[{}]", r#"["ann","bob"]"#, r#"["ann","ann"]"#, "[1,null,2]"] {
            let claims = claims(&format!(r#""{claim}":{value}"#));
            assert_eq!(claims.user_id(), Err(TokenError::BadUser { claim }), "{value}");
        }
    }
}

#[test]
fn claims_are_the_texts_that_dotnet_makes_of_them() {
    let claims = claims(r#""role":["a",1.50,null,[1, 2]],"none":null,"org":{"id": 12345678901234567890},"ok":true"#);
    let exp = (NOW + 9).to_string();
    let expected = [
        ("exp", exp.as_str()),
        ("role", "a"),
        ("role", "1.50"),
        ("role", "[1,2]"),
        ("org", r#"{"id":12345678901234567890}"#),
        ("ok", "true"),
    ];
    assert_eq!(claims.flatten().collect::<Vec<_>>(), expected);
}

#[test]
fn numbers_that_instruct_the_gateway_saturate_and_their_unknown_bits_are_ignored() {
    let one = |name: &str, value: &str| claims(&format!(r#""asrs.s.coae":true,"{name}":{value}"#));
    for (value, end) in [
        ("1800000001", NOW + 1),
        (r#""1800000001""#, NOW + 1),
        ("1800000001.9", NOW + 1),
        ("2305843009213693952", 1 << 61),
        ("99999999999999999999999999", u64::MAX),
        (r#""99999999999999999999999999""#, u64::MAX),
        ("1e300", u64::MAX),
        ("-1", NOW + 9),
        ("null", NOW + 9),
        (r#""soon""#, NOW + 9),
    ] {
        assert_eq!(one("asrs.s.aeo", value).connection_end(), Some(end), "{value}");
    }
    let only = |bits| Transports::from_bits(bits);
    for (value, transports) in [
        ("2", only(2)),
        (r#""2""#, only(2)),
        ("[2]", only(2)),
        ("257", only(1)),
        ("256", None),
        ("0", None),
        ("18446744073709551616", only(7)),
        ("-1", only(7)),
        (r#""all""#, only(7)),
    ] {
        assert_eq!(one("asrs.s.htt", value).transports(), transports, "{value}");
    }
    assert!(claims(r#""a":1"#).transports().is_some_and(|all| all.contains(Transport::LongPolling)));
    for (value, seconds) in [("30", Some(30)), ("30.9", Some(30)), ("0", None), ("301", None), ("1e99", None)] {
        assert_eq!(one("asrs.s.ttl", value).poll_interval(), seconds, "{value}");
    }
    for (value, seconds) in [("30", Some(30)), ("31", None), ("2305843009213693952", None)] {
        assert_eq!(one("asrs.s.cht", value).handshake_timeout(), seconds, "{value}");
    }
}
