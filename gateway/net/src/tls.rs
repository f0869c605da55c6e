//! TLS on clients' connections, by rustls.
//!
//! While requests are served, `tokio-rustls` does it. A WebSocket is written to from anywhere on its thread and without
//! waiting, so behind the upgrade the session is driven here.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCert, WantsServerCert};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

use crate::patience::{Patience, PatientStream};

/// The protocol name of HTTP/2 (RFC 7301, RFC 9113).
pub(crate) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// The protocol by which an ACME server looks whether a name is the gateway's (RFC 8737).
pub(crate) const ACME_TLS_1: &[u8] = b"acme-tls/1";

/// A certificate with its key, ready to serve.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<ServerConfig>);

/// Why a certificate and its key cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("holds no certificate in PEM")]
    NoCertificate,
    #[error("holds a certificate that cannot be read: {0}")]
    BadCertificate(rustls::pki_types::pem::Error),
    #[error("holds a certificate that is none of an authority: {0}")]
    NoAuthority(rustls::Error),
    #[error("holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1)")]
    NoKey,
    #[error("does not go with the certificate: {0}")]
    Mismatch(rustls::Error),
}

impl TlsError {
    /// Whether it is about the key, and not about the certificate.
    pub fn is_of_key(&self) -> bool {
        matches!(self, TlsError::NoKey | TlsError::Mismatch(_))
    }
}

impl Tls {
    /// Takes a chain of certificates, the server's own first, and its key, both in PEM.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(TlsError::BadCertificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        // The error of the reader could repeat what is in the file.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let mut config = server_config().with_single_cert(chain, key).map_err(TlsError::Mismatch)?;
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        Ok(Tls(Arc::new(config)))
    }

    /// With certificates that are looked for at each handshake, those of ACME servers that validate a name among them.
    pub(crate) fn with_resolver(resolver: Arc<dyn ResolvesServerCert>) -> Tls {
        let mut config = server_config().with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec(), ACME_TLS_1.to_vec()];
        Tls(Arc::new(config))
    }
}

fn server_config() -> ConfigBuilder<ServerConfig, WantsServerCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
}

/// Whether a text in PEM holds certificates of authorities, all of which can be trusted.
pub fn check_authorities(certificates: &[u8]) -> Result<(), TlsError> {
    authorities(certificates).map(drop)
}

/// The authorities of a text in PEM.
pub(crate) fn authorities(certificates: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificates) {
        let certificate = certificate.map_err(TlsError::BadCertificate)?;
        trusted.add(certificate).map_err(TlsError::NoAuthority)?;
    }
    if trusted.is_empty() { Err(TlsError::NoCertificate) } else { Ok(trusted) }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// A connection while requests are served on it.
#[derive(Debug)]
pub(crate) enum HttpSocket {
    Plain(PatientStream),
    Tls(Box<TlsStream<PatientStream>>),
}

impl HttpSocket {
    /// Whether the other side is an ACME server that validates a name, and has seen all that it wants to see.
    pub(crate) fn is_of_acme(&self) -> bool {
        match self {
            HttpSocket::Plain(_) => false,
            HttpSocket::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(ACME_TLS_1),
        }
    }

    /// Whether the other side chose HTTP/2.
    pub(crate) fn is_http_2(&self) -> bool {
        match self {
            HttpSocket::Plain(_) => false,
            HttpSocket::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP_2),
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        match self {
            HttpSocket::Plain(stream) => stream.patience(),
            HttpSocket::Tls(stream) => stream.get_ref().0.patience(),
        }
    }
}

impl AsyncRead for HttpSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpSocket::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            HttpSocket::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for HttpSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            HttpSocket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            HttpSocket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpSocket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            HttpSocket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpSocket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            HttpSocket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The session of a client's or a hub server's WebSocket.
#[derive(Debug)]
pub(crate) struct TlsSession {
    session: RefCell<ServerConnection>,
    /// Bytes that are encrypted, but not sent; at most what `rustls` buffers.
    unsent: Cell<usize>,
}

impl TlsSession {
    pub(crate) fn new(session: ServerConnection) -> TlsSession {
        TlsSession { session: RefCell::new(session), unsent: Cell::new(0) }
    }

    /// Whether something that was taken has not left yet.
    pub(crate) fn has_unsent(&self) -> bool {
        self.session.borrow().wants_write()
    }

    /// How much that was taken has not left yet, in bytes.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.get()
    }

    /// Sends what was taken, as far as the socket takes it.
    pub(crate) fn send(&self, tcp: &OwnedWriteHalf) -> io::Result<()> {
        let session = &mut *self.session.borrow_mut();
        while session.wants_write() {
            let sent = session.write_tls(&mut NonBlockingWriter(tcp))?;
            self.unsent.set(self.unsent.get().saturating_sub(sent));
        }
        self.unsent.set(0);
        Ok(())
    }

    /// Takes bytes, if all that was taken before has left. They may not have left when this returns.
    pub(crate) fn try_write(&self, tcp: &OwnedWriteHalf, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(tcp)?;
        let taken = self.session.borrow_mut().writer().write_vectored(slices)?;
        self.unsent.set(taken);
        match self.send(tcp) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    /// Reads what the other side wrote; nothing at its end.
    ///
    /// All that is decrypted is handed out before more is taken from the socket: `rustls` takes nothing while it holds text.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        tcp: &OwnedReadHalf,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            match session.reader().read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The socket has ended, and the other side did not say that it would.
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(tcp.as_ref().poll_read_ready(cx))?;
            match session.read_tls(&mut NonBlockingReader(tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            if let Err(error) = session.process_new_packets() {
                tracing::debug!(%error, "a TLS session cannot go on");
                return Poll::Ready(Err(io::Error::other(error)));
            }
        }
    }

    /// Tells the other side that nothing more comes.
    pub(crate) fn say_goodbye(&self, tcp: &OwnedWriteHalf) {
        self.session.borrow_mut().send_close_notify();
        // Who does not read it finds the connection closed all the same.
        drop(self.send(tcp));
    }
}

/// Reads what has arrived.
struct NonBlockingReader<'a>(&'a OwnedReadHalf);

impl Read for NonBlockingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

/// Writes as much as the socket takes.
struct NonBlockingWriter<'a>(&'a OwnedWriteHalf);

impl Write for NonBlockingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
