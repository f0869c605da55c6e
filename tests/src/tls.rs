//! Certificates of peers that speak TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::gateway::Setup;

/// The file, in the gateway's folder, of the certificate of [`secure`].
pub const CERTIFICATE: &str = "certificate.pem";

/// Makes a certificate of 127.0.0.1 and localhost that signs itself, and its key, both in PEM.
pub fn certificate(name: &str) -> (String, String) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("valid names");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// An authority that nobody trusts unless told to.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("a certificate");
        let pem = issuer.pem();
        Authority { issuer, pem }
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes a certificate of 127.0.0.1 and localhost, and its key, both in PEM.
    pub fn certificate(&self) -> (String, String) {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = CertificateParams::new(names).expect("valid names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// The same gateway, with TLS on the clients' listener.
pub fn secure(setup: Setup) -> Setup {
    let (certificate, key) = certificate("first");
    let files = setup.file(CERTIFICATE, &certificate).file("key.pem", &key);
    files.with(&format!("server.tls = {{ certificate = '{CERTIFICATE}', key = 'key.pem' }}"))
}
