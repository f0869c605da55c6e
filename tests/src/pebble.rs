//! A real ACME server, Pebble of Let's Encrypt (`tests/acme`), on ports of its own, and its way to the gateway that it validates.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use rustls::time_provider::DefaultTimeProvider;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::command::leavings;
use crate::socket::trusting;
use crate::tls::Authority;
use crate::wait::until;

/// A name that it has no certificates for.
pub const BLOCKED: &str = "blocked.example.com";
/// The file of its authority, to be put beside a gateway's configuration.
pub const CA_FILE: &str = "directory-ca.pem";

const CONFIG: &str = "pebble.json";
const LOG: &str = "pebble.log";

/// Pebble, which validates names by port numbers of this machine. Dropped, it is killed; its log is shown if the test fails.
#[derive(Debug)]
pub struct Pebble {
    folder: TempDir,
    authority: Authority,
    directory: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    process: Option<Child>,
    /// Its way to the gateway.
    pub way: Way,
}

/// Where Pebble looks for the owner of each name: nobody is there until a gateway is named.
#[derive(Debug, Clone)]
pub struct Way {
    address: SocketAddr,
    gateway: Arc<Mutex<Option<SocketAddr>>>,
    taken: Arc<AtomicUsize>,
}

impl Pebble {
    /// One that issues certificates that are valid for so many seconds; it is not started.
    pub async fn new(validity: u64) -> Pebble {
        let folder = TempDir::new().expect("there is room for a folder");
        let authority = Authority::new();
        let (certificate, key) = authority.certificate();
        for (name, content) in [("certificate.pem", certificate), ("key.pem", key)] {
            fs::write(folder.path().join(name), content).expect("the folder can be written");
        }
        let (directory, management) = (free_port().await, free_port().await);
        let (way, names) = (Way::new().await, serve_names().await);
        let config = json!({ "pebble": {
            "listenAddress": directory.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": "certificate.pem",
            "privateKey": "key.pem",
            "httpPort": 1,
            "tlsPort": way.address.port(),
            "domainBlocklist": [BLOCKED],
            "retryAfter": { "authz": 1, "order": 1 },
            "keyAlgorithm": "ecdsa",
            "profiles": { "default": { "description": "of tests", "validityPeriod": validity } },
        } });
        fs::write(folder.path().join(CONFIG), config.to_string()).expect("the folder can be written");
        Pebble { folder, authority, directory, management, names, process: None, way }
    }

    /// The same, started.
    pub async fn started(validity: u64) -> Pebble {
        let mut pebble = Pebble::new(validity).await;
        pebble.start().await;
        pebble
    }

    /// Starts it, with nothing of what it knew before.
    pub async fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.path().join(LOG));
        let log = log.expect("the folder can be written");
        let program = leavings("go").join("pebble");
        assert!(program.is_file(), "{} is not there: scripts/test.sh builds it", program.display());
        let mut command = Command::new(program);
        command.args(["-config", CONFIG, "-dnsserver", &self.names.to_string()]).current_dir(self.folder.path());
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a file can be shared")).stdout(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let process = self.process.insert(process);
        let addresses = [self.directory, self.management];
        until("pebble to listen", async || {
            let ended = process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "pebble ended");
            for address in addresses {
                TcpStream::connect(address).await.ok()?;
            }
            Some(())
        })
        .await;
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child can be killed");
            process.wait().expect("a child can be waited for");
        }
    }

    /// `server.tls` of a gateway that gets its certificate here, with [`CA_FILE`].
    pub fn tls(&self, domain: &str) -> String {
        let directory = self.directory;
        format!(
            "server.tls.acme = {{ directory = 'https://{directory}/dir', email = 'ops@example.com', \
             domains = ['{domain}'], ca-file = '{CA_FILE}' }}"
        )
    }

    /// The authority that the directory's own certificate is of, in PEM.
    pub fn authority(&self) -> &str {
        self.authority.pem()
    }

    /// The authority that it issues certificates by since it was started, in PEM.
    pub async fn root(&self) -> String {
        let connector = TlsConnector::from(trusting(self.authority().as_bytes(), Arc::new(DefaultTimeProvider)));
        let stream = TcpStream::connect(self.management).await.expect("pebble listens");
        let name = ServerName::from(self.management.ip());
        let mut stream = connector.connect(name, stream).await.expect("pebble speaks TLS");
        stream.write_all(b"GET /roots/0 HTTP/1.0\r\n\r\n").await.expect("pebble reads");
        let mut answer = String::new();
        // It may end the connection without a word.
        let _ = stream.read_to_string(&mut answer).await;
        let begin = answer.find("-----BEGIN").unwrap_or_else(|| panic!("pebble tells no root: {answer}"));
        answer.split_off(begin)
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- what pebble logged ---\n{}", self.log());
        }
    }
}

impl Way {
    async fn new() -> Way {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let way = Way { address, gateway: Arc::default(), taken: Arc::default() };
        let own = way.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let gateway = *own.gateway.lock().expect("nobody panics with it");
                let Some(gateway) = gateway else { continue };
                own.taken.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    if let Ok(mut gateway) = TcpStream::connect(gateway).await {
                        let _ = copy_bidirectional(&mut stream, &mut gateway).await;
                    }
                });
            }
        });
        way
    }

    /// All names lead here from now on.
    pub fn leads_to(&self, gateway: SocketAddr) {
        *self.gateway.lock().expect("nobody panics with it") = Some(gateway);
    }

    /// How many times somebody has come to the gateway by it.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// A server of the DNS, by TCP, to which each name is this machine.
async fn serve_names() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; length.into()];
                    if stream.read_exact(&mut question).await.is_err() {
                        return;
                    }
                    let answer = answer(&question);
                    let length = u16::try_from(answer.len()).expect("a short answer").to_be_bytes();
                    if stream.write_all(&[&length, answer.as_slice()].concat()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// The answer to a question for one name (RFC 1035, section 4.1).
fn answer(question: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    const ADDRESS: [u8; 2] = [0, 1];
    let name = question[HEADER..].iter().position(|&byte| byte == 0).expect("a name ends") + HEADER + 1;
    let end = name + 4;
    let is_address = question[name..name + 2] == ADDRESS;
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    answer.extend(&question[HEADER..end]);
    if is_address {
        // The name of the question, an address of the internet, for no time, in four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    answer
}
