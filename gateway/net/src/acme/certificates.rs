//! The certificate that is served, and those that answer the directory's questions (TLS-ALPN-01, RFC 8737).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::failure::Failure;
use super::validity::Validity;
use crate::certificate_status::CertificateStatus;
use crate::settings::DomainName;
use crate::tls::{ACME_TLS_1, TlsError};

/// What handshakes are answered with. Without a certificate they are refused by an alert.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    served: ArcSwapOption<CertifiedKey>,
    /// By the names that they prove to be the gateway's, as long as the directory may ask.
    answers: Mutex<HashMap<DomainName, Arc<CertifiedKey>>>,
    status: Arc<CertificateStatus>,
}

/// A certificate with its key, ready to serve.
#[derive(Debug)]
pub(super) struct Certificate {
    key: CertifiedKey,
    pub(super) validity: Validity,
}

/// Why a text is no certificate that can serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("holds a certificate that does not say how long it is valid")]
    Validity,
}

impl Certificate {
    /// From a text in PEM that holds the chain and the key.
    pub(super) fn from_pem(text: &str) -> Result<Certificate, Unusable> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let chain = chain.map_err(TlsError::BadCertificate)?;
        let first = chain.first().ok_or(TlsError::NoCertificate)?;
        let validity = Validity::of(first).ok_or(Unusable::Validity)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| TlsError::NoKey)?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(TlsError::Mismatch)?;
        Ok(Certificate { key, validity })
    }
}

impl Certificates {
    /// From now on this one is served; connections that are there go on as they are.
    pub(super) fn serve(&self, certificate: Certificate) {
        self.status.serves_until(certificate.validity.end);
        self.served.store(Some(Arc::new(certificate.key)));
    }

    pub(super) fn order_failed(&self) {
        self.status.order_failed();
    }

    pub(super) fn status(&self) -> Arc<CertificateStatus> {
        self.status.clone()
    }

    /// Answers the directory when it asks for a name, until what is given is dropped.
    pub(super) fn answer(self: &Arc<Self>, domain: &DomainName, digest: &[u8]) -> Result<Answering, Failure> {
        let key = answer(domain, digest).map_err(|error| Failure::other(format!("no key can be made: {error}")))?;
        self.answers().insert(domain.clone(), Arc::new(key));
        Ok(Answering { certificates: self.clone(), domain: domain.clone() })
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<DomainName, Arc<CertifiedKey>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        // Whoever validates offers this protocol and no other one (RFC 8737, section 4).
        if protocols.next() == Some(ACME_TLS_1) && protocols.next().is_none() {
            let domain = DomainName::parse(hello.server_name()?).ok()?;
            return self.answers().get(&domain).cloned();
        }
        self.served.load_full()
    }
}

/// As long as it is there, the directory's question for a name is answered.
#[derive(Debug)]
pub(super) struct Answering {
    certificates: Arc<Certificates>,
    domain: DomainName,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.certificates.answers().remove(&self.domain);
    }
}

/// A certificate for one name that signs itself and has the digest of the key authorization (RFC 8737, section 3).
fn answer(domain: &DomainName, digest: &[u8]) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::new([domain.to_string()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    // Not by what checks that certificate and key match: it refuses critical extensions that it does not know.
    Ok(CertifiedKey::new(chain, provider().key_provider.load_private_key(key)?))
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_as_long_as_somebody_may_ask() {
        let certificates = Arc::new(Certificates::default());
        let domain = DomainName::parse("a.example").expect("a name");
        let answering = certificates.answer(&domain, &[7; 32]).expect("there is a key");
        assert!(certificates.answers().contains_key(&domain));
        drop(answering);
        assert!(certificates.answers().is_empty());
    }

    #[test]
    fn a_certificate_comes_with_its_own_key() {
        let make = || {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
            (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
        };
        let ((certificate, key), (_, other)) = (make(), make());
        assert!(Certificate::from_pem(&format!("{key}{certificate}")).is_ok());
        for (text, expected) in [
            (certificate.clone(), "holds no private key"),
            (key, "holds no certificate"),
            (format!("{other}{certificate}"), "does not go with the certificate"),
        ] {
            let error = Certificate::from_pem(&text).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
