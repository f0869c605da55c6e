use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example.com".to_owned(),
        audience: "chat".to_owned(),
        user: "sub".to_owned(),
        claims: Vec::new(),
    }
}

fn claims() -> Value {
    json!({ "iss": "https://id.example.com", "aud": "chat", "sub": "ann", "exp": NOW + 60 })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a key set")
}

/// A provider with one key.
struct Provider {
    pair: EcdsaKeyPair,
}

impl Provider {
    fn new() -> Provider {
        Provider { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key") }
    }

    fn key(&self, id: &str) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": encode(&point[1..33]), "y": encode(&point[33..]) })
    }

    fn sign_with(&self, header: &Value, claims: &str) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).expect("it signs");
        format!("{message}.{}", encode(signature))
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "alg": "ES256", "kid": "k" }), &claims.to_string())
    }

    fn check(&self, token: &str) -> Result<Identified, IdentityError> {
        identify(token, &set(&[self.key("k")]), &rules(), NOW)
    }
}

/// RFC 7515, appendices A.2 and A.3: keys and tokens of issuer `joe` without an audience, which is looked at after the signature.
const RFC_7515: [(&str, &str); 2] = [
    (
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
];
/// RFC 8037, appendix A.4: the payload is no JSON.
const RFC_8037: (&str, &str) = (
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
);

#[test]
fn the_vectors_of_the_standards_are_signed_and_changed_ones_are_not() {
    let (mut keys, mut tokens) = (Vec::new(), Vec::new());
    for (key, token) in RFC_7515.into_iter().chain([RFC_8037]) {
        keys.push(serde_json::from_str::<Value>(key).expect("JSON"));
        tokens.push(token);
    }
    let keys = set(&keys);
    let rules = Rules { issuer: "joe".to_owned(), ..rules() };
    let none = || "none".to_owned();
    let expected = [
        IdentityError::WrongAudience { found: none() },
        IdentityError::WrongAudience { found: none() },
        IdentityError::BadClaims,
    ];
    for (token, expected) in tokens.iter().zip(expected) {
        assert_eq!(identify(token, &keys, &rules, NOW), Err(expected), "{token}");
        let place = token.find('.').expect("three parts") + 10;
        let other = if token[place..].starts_with('A') { "B" } else { "A" };
        let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
        assert_eq!(identify(&changed, &keys, &rules, NOW), Err(IdentityError::WrongKey), "{changed}");
    }
}

fn curve(algorithm: &'static EcdsaSigningAlgorithm, name: &str, length: usize) -> (Value, impl Fn(&[u8]) -> Vec<u8>) {
    let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
    let point = pair.public_key().as_ref();
    let key = json!({ "kty": "EC", "crv": name, "x": encode(&point[1..=length]), "y": encode(&point[length + 1..]) });
    (key, move |message: &[u8]| pair.sign(&SystemRandom::new(), message).expect("it signs").as_ref().to_vec())
}

/// The modulus and the exponent of a key of 2,048 bits, whose DER has them in these places.
fn rsa_key(pair: &RsaKeyPair) -> Value {
    let der = pair.public_key().as_ref();
    json!({ "kty": "RSA", "n": encode(&der[8..265]), "e": encode(&der[267..]) })
}

fn rsa_sign(pair: &RsaKeyPair, padding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; 256];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature).expect("it signs");
    signature
}

/// Signs a message.
type Sign<'a> = dyn Fn(&[u8]) -> Vec<u8> + 'a;

#[test]
fn every_algorithm_checks_what_its_own_keys_have_signed_and_no_other() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let ed25519 = Ed25519KeyPair::generate().expect("a key");
    let (p256, sign_256) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", 32);
    let (p384, sign_384) = curve(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", 48);
    let (p521, sign_521) = curve(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521", 66);
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(ed25519.public_key().as_ref()) });
    let keys = [rsa_key(&rsa), p256, p384, p521, okp];
    let message =
        |name: &str| format!("{}.{}", encode(json!({ "alg": name }).to_string()), encode(claims().to_string()));
    let rsa_by = |padding: &'static dyn RsaEncoding| {
        let rsa = &rsa;
        move |message: &[u8]| rsa_sign(rsa, padding, message)
    };
    let sign_edwards = |message: &[u8]| ed25519.sign(message).as_ref().to_vec();
    let signers: [(&str, usize, &Sign<'_>); 10] = [
        ("RS256", 0, &rsa_by(&RSA_PKCS1_SHA256)),
        ("RS384", 0, &rsa_by(&RSA_PKCS1_SHA384)),
        ("RS512", 0, &rsa_by(&RSA_PKCS1_SHA512)),
        ("PS256", 0, &rsa_by(&RSA_PSS_SHA256)),
        ("PS384", 0, &rsa_by(&RSA_PSS_SHA384)),
        ("PS512", 0, &rsa_by(&RSA_PSS_SHA512)),
        ("ES256", 1, &sign_256),
        ("ES384", 2, &sign_384),
        ("ES512", 3, &sign_521),
        ("EdDSA", 4, &sign_edwards),
    ];
    for (name, own, sign) in signers {
        let message = message(name);
        let token = format!("{message}.{}", encode(sign(message.as_bytes())));
        assert_eq!(identify(&token, &set(&keys), &rules(), NOW).expect(name).user, "ann");
        for (place, key) in keys.iter().enumerate() {
            let checked = identify(&token, &set(std::slice::from_ref(key)), &rules(), NOW);
            assert_eq!(checked.is_ok(), place == own, "{name} with key {place}");
        }
        // A key that is for one algorithm is for no other.
        let mut bound = keys[own].clone();
        bound["alg"] = if own == 0 && name != "RS384" { "RS384" } else { name }.into();
        let fits = bound["alg"] == name;
        assert_eq!(identify(&token, &set(&[bound]), &rules(), NOW).is_ok(), fits, "{name}");
    }
}

#[test]
fn a_public_key_is_no_secret_and_no_signature_is_none() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let mut key = rsa_key(&rsa);
    key["kid"] = "k".into();
    let keys = set(&[key.clone()]);
    let secrets = [rsa.public_key().as_ref().to_vec(), key.to_string().into_bytes(), key["n"].to_string().into_bytes()];
    for (name, hash) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
        for secret in &secrets {
            let header = json!({ "alg": name, "kid": "k" }).to_string();
            let message = format!("{}.{}", encode(header), encode(claims().to_string()));
            let signature = hmac::sign(&hmac::Key::new(hash, secret), message.as_bytes());
            let token = format!("{message}.{}", encode(signature));
            assert_eq!(identify(&token, &keys, &rules(), NOW), Err(IdentityError::Algorithm), "{name}");
        }
    }
    for none in ["none", "None", "NONE", "nOnE", "", "RS256 ", "rs256"] {
        let header = encode(json!({ "alg": none, "kid": "k" }).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", encode(claims().to_string()));
            assert_eq!(identify(&token, &keys, &rules(), NOW), Err(IdentityError::Algorithm), "{none:?}");
        }
    }
    // An empty signature, under an algorithm that is taken.
    let header = encode(json!({ "alg": "RS256", "kid": "k" }).to_string());
    let token = format!("{header}.{}.", encode(claims().to_string()));
    assert_eq!(identify(&token, &keys, &rules(), NOW), Err(IdentityError::WrongKey));
}

#[test]
fn a_signature_of_zeros_or_of_another_form_is_none() {
    let provider = Provider::new();
    let header = encode(json!({ "alg": "ES256", "kid": "k" }).to_string());
    let message = format!("{header}.{}", encode(claims().to_string()));
    for signature in [vec![0; 64], vec![0; 32], vec![0xff; 64], vec![0; 128], vec![0x30, 0x06, 2, 1, 0, 2, 1, 0]] {
        let token = format!("{message}.{}", encode(&signature));
        assert_eq!(provider.check(&token), Err(IdentityError::WrongKey), "{signature:?}");
    }
}

#[test]
fn a_token_cannot_bring_its_own_key_and_cannot_name_one_that_is_not_published() {
    let (provider, stranger) = (Provider::new(), Provider::new());
    let own =
        json!({ "alg": "ES256", "jwk": stranger.key("k"), "jku": "http://localhost/", "x5u": "http://localhost/" });
    let token = stranger.sign_with(&own, &claims().to_string());
    assert_eq!(provider.check(&token), Err(IdentityError::WrongKey));
    let unknown = provider.sign_with(&json!({ "alg": "ES256", "kid": "other" }), &claims().to_string());
    assert_eq!(provider.check(&unknown), Err(IdentityError::UnknownKey));
    let unnamed = provider.sign_with(&json!({ "alg": "ES256" }), &claims().to_string());
    assert_eq!(provider.check(&unnamed).map(|identified| identified.user), Ok("ann".to_owned()));
    // Two keys of one name, as some providers have while they rotate.
    let keys = set(&[stranger.key("k"), provider.key("k")]);
    assert!(identify(&provider.sign(&claims()), &keys, &rules(), NOW).is_ok());
    for id in [json!(7), json!(null), json!(["k"])] {
        let token = provider.sign_with(&json!({ "alg": "ES256", "kid": id }), &claims().to_string());
        assert_eq!(provider.check(&token), Err(IdentityError::Malformed), "{id}");
    }
}

#[test]
fn a_token_is_from_its_issuer_for_its_audience_and_of_its_time() {
    let provider = Provider::new();
    let check = |claims: &Value| provider.check(&provider.sign(claims)).map(|identified| identified.user);
    let issuer = |found: &str| IdentityError::WrongIssuer { found: found.to_owned() };
    let audience = |found: &str| IdentityError::WrongAudience { found: found.to_owned() };
    for (claims, expected) in [
        (claims(), Ok(())),
        (with("iss", "https://id.example.com/"), Err(issuer("https://id.example.com/"))),
        (with("iss", json!(["https://id.example.com"])), Err(issuer("none"))),
        (without("iss"), Err(issuer("none"))),
        (with("aud", json!(["other", "chat"])), Ok(())),
        (with("aud", json!(["other", 1])), Err(audience("other"))),
        (with("aud", "Chat"), Err(audience("Chat"))),
        (without("aud"), Err(audience("none"))),
        (with("exp", NOW + 1), Ok(())),
        (with("exp", NOW), Err(IdentityError::Expired)),
        (with("exp", (NOW + 60) * 1000), Err(IdentityError::NoExpiry)),
        (with("exp", (NOW + 60).to_string()), Err(IdentityError::NoExpiry)),
        (without("exp"), Err(IdentityError::NoExpiry)),
        (with("nbf", NOW + 60), Ok(())),
        (with("nbf", NOW + 61), Err(IdentityError::NotYetValid)),
        (with("nbf", "soon"), Err(IdentityError::BadNotBefore)),
    ] {
        assert_eq!(check(&claims).map(drop), expected, "{claims}");
    }
}

#[test]
fn what_is_no_token_is_told_so() {
    let provider = Provider::new();
    let good = provider.sign(&claims());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    for token in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "....",
        message,
        &format!("{good}.x"),
        &format!("{message}.{signature}="),
        &format!(" {good}"),
    ] {
        assert_eq!(provider.check(token), Err(IdentityError::Malformed), "{token}");
    }
    assert_eq!(provider.check(&"x".repeat(LONGEST_IDENTITY_TOKEN + 1)), Err(IdentityError::TooLong));
    let critical = provider
        .sign_with(&json!({ "alg": "ES256", "kid": "k", "crit": ["b64"], "b64": false }), &claims().to_string());
    assert_eq!(provider.check(&critical), Err(IdentityError::Critical));
    let header = json!({ "alg": "ES256", "kid": "k" });
    let twice = format!("{{\"sub\":\"bob\",{}", &claims().to_string()[1..]);
    for claims in ["", "[]", "{", "null", &twice] {
        assert_eq!(provider.check(&provider.sign_with(&header, claims)), Err(IdentityError::BadClaims), "{claims}");
    }
}

#[test]
fn the_user_is_one_text_or_number() {
    let provider = Provider::new();
    let user = |claims: &Value, user: &str| {
        let rules = Rules { user: user.to_owned(), ..rules() };
        identify(&provider.sign(claims), &set(&[provider.key("k")]), &rules, NOW).map(|identified| identified.user)
    };
    assert_eq!(user(&claims(), "sub"), Ok("ann".to_owned()));
    assert_eq!(user(&with("oid", 42), "oid"), Ok("42".to_owned()));
    assert_eq!(user(&with("https://example.com/user", "bob"), "https://example.com/user"), Ok("bob".to_owned()));
    assert_eq!(user(&with("account", json!({ "id": "bob" })), "account.id"), Ok("bob".to_owned()));
    for nobody in [json!(null), json!(""), json!([]), json!(["ann"]), json!(["ann", "bob"]), json!({})] {
        assert_eq!(user(&with("sub", nobody.clone()), "sub"), Err(IdentityError::NoUser("sub".to_owned())), "{nobody}");
    }
    assert_eq!(user(&without("sub"), "sub"), Err(IdentityError::NoUser("sub".to_owned())));
}

#[test]
fn claims_have_our_names_and_an_entry_for_each_of_their_values() {
    let provider = Provider::new();
    let map = |claims: &Value, theirs: &str| -> Vec<String> {
        let rules = Rules { claims: vec![("role".to_owned(), theirs.to_owned())], ..rules() };
        let identified = identify(&provider.sign(claims), &set(&[provider.key("k")]), &rules, NOW).expect("it is good");
        assert!(identified.claims.iter().all(|(name, _)| name == "role"));
        identified.claims.into_iter().map(|(_, value)| value).collect()
    };
    assert_eq!(map(&with("roles", json!(["admin", 7, true, null, "chief"])), "roles"), ["admin", "7", "true", "chief"]);
    assert_eq!(map(&with("roles", "admin"), "roles"), ["admin"]);
    assert_eq!(map(&claims(), "roles"), [""; 0]);
    let nested = with("realm_access", json!({ "roles": ["a", "b"], "x.y": { "z": "deep" } }));
    assert_eq!(map(&nested, "realm_access.roles"), ["a", "b"]);
    assert_eq!(map(&nested, "realm_access.x.y.z"), ["deep"]);
    assert_eq!(map(&nested, "realm_access.nothing"), [""; 0]);
    let both = with("a.b", "flat").as_object().map(|flat| {
        let mut both = flat.clone();
        both.insert("a".to_owned(), json!({ "b": "nested" }));
        Value::Object(both)
    });
    assert_eq!(map(&both.expect("an object"), "a.b"), ["flat"], "a name comes before a path");
}

#[test]
fn keys_that_cannot_check_tokens_are_skipped_and_named() {
    let provider = Provider::new();
    let changed = |name: &str, value: Value| {
        let mut key = provider.key("bad");
        key[name] = value;
        key
    };
    for (key, why) in [
        (json!({ "kty": "oct", "kid": "bad", "k": "c2VjcmV0" }), "is a secret and no public key"),
        (json!({ "kty": "RSA", "kid": "bad", "n": encode([1; 128]), "e": "AQAB" }), "is an RSA key of 1024 bits"),
        (json!({ "kty": "RSA", "kid": "bad", "e": "AQAB" }), "has no `n`"),
        (json!({ "kid": "bad" }), "has no `kty`"),
        (changed("use", "enc".into()), "is not for signatures"),
        (changed("key_ops", json!(["encrypt"])), "is not for checking signatures"),
        (changed("alg", "RS256".into()), "is of another kind than its `alg`"),
        (changed("alg", "HS256".into()), "has a `alg` that is not known"),
        (changed("crv", "secp256k1".into()), "has a `crv` that is not known"),
        (changed("x", encode([1; 31]).into()), "has a `x` of 31 bytes"),
        (changed("y", "??".into()), "has a `y` that is not base64url"),
        (changed("kty", "AKP".into()), "has a `kty` that is not known"),
    ] {
        let keys = set(&[key.clone(), provider.key("k")]);
        assert_eq!(keys.len(), 1);
        let [unusable] = keys.unusable() else { panic!("one is skipped: {keys:?}") };
        assert!(unusable.name == "bad" && unusable.why.starts_with(why), "{unusable:?}");
        let alone = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).expect_err("no key is left");
        assert!(alone.to_string().contains("`bad`") && alone.to_string().contains(why), "{alone}");
    }
    let keys = set(&[provider.key("k"), json!(7)]);
    let [unnamed] = keys.unusable() else { panic!("one is skipped: {keys:?}") };
    assert_eq!((unnamed.name.as_str(), unnamed.why.as_str()), ("keys[1]", "is no object"));
}

#[test]
fn what_is_no_key_set_is_refused() {
    for json in ["", "{}", "[]", "{\"keys\":{}}", "<html>", "{\"kty\":\"RSA\"}"] {
        assert_eq!(KeySet::parse(json.as_bytes()), Err(KeySetError::NotAKeySet), "{json}");
    }
    assert_eq!(KeySet::parse(b"{\"keys\":[]}"), Err(KeySetError::NoKey(Vec::new())));
    let many = json!({ "keys": vec![Provider::new().key("k"); 101] }).to_string();
    assert_eq!(KeySet::parse(many.as_bytes()), Err(KeySetError::TooManyKeys(101)));
}
