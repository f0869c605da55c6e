//! The TCP connections of clients and hub servers: plain or with TLS, and with a receive buffer of any size.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::gateway::Gateway;
use crate::tls::CERTIFICATE;

/// The receive buffer of a peer that does not read, in bytes: the kernel takes little of what is meant for it.
pub const SMALL_BUFFER: u32 = 4096;

pub type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// How a connection is made.
#[derive(Debug, Clone, Default)]
pub struct Dialing {
    /// None: the kernel's choice.
    pub receive_buffer: Option<u32>,
    /// The address that it comes from, of the loopback network; none: the kernel's choice.
    pub source: Option<IpAddr>,
    /// None: plain.
    pub tls: Option<Arc<ClientConfig>>,
    /// The name that is asked for by TLS; None: the address.
    pub name: Option<&'static str>,
}

impl Dialing {
    /// With TLS, and trust in the gateway's certificate.
    pub fn secure(gateway: &Gateway) -> Dialing {
        let pem = fs::read(gateway.folder().join(CERTIFICATE)).expect("the gateway has a certificate");
        Dialing { tls: Some(trusting(&pem, Arc::new(DefaultTimeProvider))), ..Dialing::default() }
    }

    /// From an address of 127.0.0.0/8.
    pub fn from(source: [u8; 4]) -> Dialing {
        Dialing { source: Some(source.into()), ..Dialing::default() }
    }

    pub async fn dial(&self, address: SocketAddr) -> Socket {
        let socket = TcpSocket::new_v4().expect("there is a socket");
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0)).expect("all of 127.0.0.0/8 are this machine's");
        }
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size).expect("a TCP socket has the option");
        }
        let stream = socket.connect(address).await.expect("the gateway accepts connections");
        stream.set_nodelay(true).expect("a TCP socket has the option");
        let Some(config) = &self.tls else {
            return Either::Left(stream);
        };
        let name = self.name.map(|name| ServerName::try_from(name).expect("it is a name"));
        let name = name.unwrap_or_else(|| ServerName::from(address.ip()));
        let connecting = TlsConnector::from(config.clone()).connect(name, stream);
        Either::Right(Box::new(connecting.await.expect("the gateway speaks TLS")))
    }
}

/// Trusts one certificate in PEM, or those that it has issued, by this clock.
pub fn trusting(pem: &[u8], clock: Arc<dyn TimeProvider>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem).expect("it is in PEM")).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, clock).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has the suites").with_root_certificates(roots);
    Arc::new(builder.with_no_client_auth())
}

/// The connection below TLS, if there is any.
pub fn tcp(socket: Socket) -> TcpStream {
    match socket {
        Either::Left(tcp) => tcp,
        Either::Right(tls) => tls.into_inner().0,
    }
}
