//! The public keys of an identity provider: a JSON Web Key Set.
//!
//! Source: RFC 7517, 7518 (RSA and elliptic curves) and 8037 (Ed25519).

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;

/// The longest key set that is read, in bytes.
pub const LONGEST_KEY_SET: usize = 1 << 20;
/// Keys of one set, in number.
const MOST_KEYS: usize = 100;
/// Keys that a token without a key's name is tried with, in number.
const MOST_TRIED: usize = 10;
/// The length of an RSA key, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// What is repeated of a text of a key set, in characters.
const LONGEST_SHOWN: usize = 100;

/// The keys of a set that can check tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    unusable: Vec<UnusableKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<Box<str>>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
    /// A point, uncompressed, on the curve of this algorithm.
    Curve(Algorithm, Box<[u8]>),
    Ed25519(Box<[u8]>),
}

/// A key that cannot check tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableKey {
    /// Its `kid`, or its place in the set.
    pub name: String,
    pub why: String,
}

/// Why bytes are no key set that checks tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("it is not a JSON Web Key Set: an object with a list `keys`")]
    NotAKeySet,
    #[error("it has {0} keys: at most {MOST_KEYS} are read")]
    TooManyKeys(usize),
    #[error("it has no key that checks tokens{}", list(.0))]
    NoKey(Vec<UnusableKey>),
}

fn list(unusable: &[UnusableKey]) -> String {
    let Some(first) = unusable.first() else { return ": its list `keys` is empty".to_owned() };
    let more = if unusable.len() > 1 { ", and others neither" } else { "" };
    format!(": `{}` {}{more}", first.name, first.why)
}

impl KeySet {
    /// Reads the keys that can check tokens; others are noted.
    pub fn parse(json: &[u8]) -> Result<KeySet, KeySetError> {
        let set: Value = serde_json::from_slice(json).map_err(|_| KeySetError::NotAKeySet)?;
        let found = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NotAKeySet)?;
        if found.len() > MOST_KEYS {
            return Err(KeySetError::TooManyKeys(found.len()));
        }
        let (mut keys, mut unusable) = (Vec::new(), Vec::new());
        for (place, found) in found.iter().enumerate() {
            match Key::read(found) {
                Ok(key) => keys.push(key),
                Err(why) => {
                    let id = found.get("kid").and_then(Value::as_str).map(shown);
                    unusable.push(UnusableKey { name: id.unwrap_or_else(|| format!("keys[{place}]")), why });
                }
            }
        }
        match keys.is_empty() {
            true => Err(KeySetError::NoKey(unusable)),
            false => Ok(KeySet { keys, unusable }),
        }
    }

    /// How many keys check tokens.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys of the set that check nothing.
    pub fn unusable(&self) -> &[UnusableKey] {
        &self.unusable
    }

    /// Whether a key has this name.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether one of the keys has signed the message: those of this name, or where there is no name, some that fit the algorithm.
    pub(super) fn have_signed(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        (message, signature): (&[u8], &[u8]),
    ) -> bool {
        let named = self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let mut fitting = named.filter(|key| key.fits(algorithm)).take(MOST_TRIED);
        fitting.any(|key| key.material.has_signed(message, signature, algorithm))
    }
}

impl Key {
    fn read(found: &Value) -> Result<Key, String> {
        let key = found.as_object().ok_or("is no object")?;
        if let Some(purpose) = text(key, "use")?
            && purpose != "sig"
        {
            return Err(format!("is not for signatures: its `use` is \"{}\"", shown(purpose)));
        }
        if let Some(operations) = key.get("key_ops") {
            let operations = operations.as_array().ok_or("has a `key_ops` that is no list")?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err("is not for checking signatures: its `key_ops` have no \"verify\"".to_owned());
            }
        }
        let material = material(key)?;
        let algorithm = match text(key, "alg")? {
            None => None,
            Some(name) => Some(Algorithm::of(name).ok_or_else(|| not_known("alg", name))?),
        };
        let read = Key { id: text(key, "kid")?.map(Box::from), algorithm, material };
        match read.algorithm {
            Some(algorithm) if !read.material.fits(algorithm) => {
                Err(format!("is of another kind than its `alg`, {}, is for", algorithm.name()))
            }
            _ => Ok(read),
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.material.fits(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

fn material(key: &Map<String, Value>) -> Result<Material, String> {
    match text(key, "kty")?.ok_or("has no `kty`")? {
        "RSA" => {
            let (modulus, exponent) = (number(key, "n")?, number(key, "e")?);
            match RSA_BYTES.contains(&modulus.len()) && (1..=8).contains(&exponent.len()) {
                true => Ok(Material::Rsa { modulus, exponent }),
                false => Err(format!("is an RSA key of {} bits: 2,048 to 8,192 are taken", 8 * modulus.len())),
            }
        }
        "EC" => {
            let curve = text(key, "crv")?.ok_or("has no `crv`")?;
            let (algorithm, length) = match curve {
                "P-256" => (Algorithm::Es256, 32),
                "P-384" => (Algorithm::Es384, 48),
                "P-521" => (Algorithm::Es512, 66),
                other => return Err(not_known("crv", other)),
            };
            let mut point = vec![4];
            for name in ["x", "y"] {
                let coordinate = bytes(key, name)?;
                if coordinate.len() != length {
                    return Err(format!("has a `{name}` of {} bytes: {curve} has {length}", coordinate.len()));
                }
                point.extend(coordinate);
            }
            Ok(Material::Curve(algorithm, point.into()))
        }
        "OKP" => match text(key, "crv")?.ok_or("has no `crv`")? {
            "Ed25519" => match bytes(key, "x")? {
                point if point.len() == 32 => Ok(Material::Ed25519(point.into())),
                point => Err(format!("has an `x` of {} bytes: Ed25519 has 32", point.len())),
            },
            other => Err(not_known("crv", other)),
        },
        "oct" => Err("is a secret and no public key".to_owned()),
        other => Err(not_known("kty", other)),
    }
}

impl Material {
    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Material::Rsa { .. } => algorithm.rsa().is_some(),
            Material::Curve(own, _) => *own == algorithm,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8], algorithm: Algorithm) -> bool {
        match self {
            Material::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                algorithm.rsa().is_some_and(|parameters| key.verify(parameters, message, signature).is_ok())
            }
            Material::Curve(own, point) => {
                let parameters = match own {
                    Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
                    _ => &signature::ECDSA_P521_SHA512_FIXED,
                };
                UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()
            }
            Material::Ed25519(point) => {
                UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature).is_ok()
            }
        }
    }
}

fn text<'a>(key: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match key.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| format!("has a `{name}` that is no text")),
    }
}

fn bytes(key: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let text = text(key, name)?.ok_or_else(|| format!("has no `{name}`"))?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("has a `{name}` that is not base64url"))
}

/// A number without the zeros that some write before it.
fn number(key: &Map<String, Value>, name: &str) -> Result<Box<[u8]>, String> {
    let bytes = bytes(key, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].into())
}

fn not_known(name: &str, value: &str) -> String {
    format!("has a `{name}` that is not known: \"{}\"", shown(value))
}

fn shown(text: &str) -> String {
    text.chars().take(LONGEST_SHOWN).filter(|character| !character.is_control()).collect()
}
