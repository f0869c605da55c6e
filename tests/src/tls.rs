//! Certificates for gateways that speak TLS.

use rcgen::{CertificateParams, DnType, KeyPair};

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

/// The same gateway, with TLS on the clients' listener.
pub fn secure(setup: Setup) -> Setup {
    let (certificate, key) = certificate("first");
    let files = setup.file(CERTIFICATE, &certificate).file("key.pem", &key);
    files.with(&format!("server.tls = {{ certificate = '{CERTIFICATE}', key = 'key.pem' }}"))
}
