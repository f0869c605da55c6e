//! An identity provider: keys that it signs tokens with, and publishes.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::token::now;

/// The `iss` of its tokens.
pub const ISSUER: &str = "https://id.example.com";

/// A key of a provider.
#[derive(Debug)]
pub struct ProviderKey {
    id: String,
    algorithm: Algorithm,
    pair: KeyPair,
}

impl ProviderKey {
    /// For ES256, EdDSA or RS256.
    pub fn new(id: &str, algorithm: Algorithm) -> ProviderKey {
        let pair = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Algorithm::EdDSA => KeyPair::generate_for(&PKCS_ED25519),
            Algorithm::RS256 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            other => panic!("no key for {other:?}"),
        };
        ProviderKey { id: id.to_owned(), algorithm, pair: pair.expect("a key") }
    }

    /// A token of user `sub` for audience `chat`, with these claims more or other.
    pub fn token(&self, user: &str, claims: Value) -> String {
        let mut all = json!({ "iss": ISSUER, "aud": "chat", "sub": user, "exp": now() + 600 });
        all.as_object_mut().expect("an object").extend(claims.as_object().expect("an object").clone());
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        let der = self.pair.serialize_der();
        let key = match self.algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_der(&der),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&der),
            // What PKCS #8 puts around a key of 2,048 bits has 26 bytes.
            _ => EncodingKey::from_rsa_der(&der[26..]),
        };
        jsonwebtoken::encode(&header, &all, &key).expect("it signs")
    }

    fn published(&self) -> Value {
        let (public, encode) = (self.pair.public_key_raw(), |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes));
        let mut key = match self.algorithm {
            Algorithm::ES256 => {
                json!({ "kty": "EC", "crv": "P-256", "x": encode(&public[1..33]), "y": encode(&public[33..]) })
            }
            Algorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(public) }),
            // In the DER of a key of 2,048 bits, the numbers have these places.
            _ => json!({ "kty": "RSA", "n": encode(&public[9..265]), "e": encode(&public[267..]) }),
        };
        key["kid"] = self.id.as_str().into();
        key["use"] = "sig".into();
        key
    }
}

/// A JSON Web Key Set.
pub fn key_set(keys: &[&ProviderKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.published()).collect::<Vec<_>>() }).to_string()
}

/// Publishes keys on a port of its own until the test ends.
#[derive(Debug)]
pub struct Publisher {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// None: 500.
    content: Mutex<Option<String>>,
    fetched: watch::Sender<usize>,
    is_answering: watch::Sender<bool>,
}

impl Publisher {
    /// Answers with this from the beginning.
    pub async fn new(content: &str) -> Publisher {
        let publisher = Publisher::silent().await;
        publisher.publish(Some(content));
        publisher.answer();
        publisher
    }

    /// Every request waits for its answer until [`Publisher::answer`].
    pub async fn silent() -> Publisher {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (fetched, is_answering) = (watch::Sender::new(0), watch::Sender::new(false));
        let state = Arc::new(State { content: Mutex::default(), fetched, is_answering });
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("the gateway connects");
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                // The gateway may end the connection when it likes.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Publisher { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/keys", self.port)
    }

    /// From now on this is the content; none is an error of the server.
    pub fn publish(&self, content: Option<&str>) {
        *self.state.content.lock().expect("no test panics while it publishes") = content.map(str::to_owned);
    }

    pub fn answer(&self) {
        self.state.is_answering.send_replace(true);
    }

    /// How often it was asked.
    pub fn fetches(&self) -> usize {
        *self.state.fetched.borrow()
    }
}

async fn answer(state: Arc<State>, _: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    state.fetched.send_modify(|count| *count += 1);
    // Its sender lives as long as `state`.
    drop(state.is_answering.subscribe().wait_for(|is_answering| *is_answering).await);
    let content = state.content.lock().expect("no test panics while it publishes").clone();
    let mut response = Response::new(Full::from(content.clone().unwrap_or_default()));
    if content.is_none() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}
