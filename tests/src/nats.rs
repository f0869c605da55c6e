//! A real nats-server on a port of its own: `tests/nats/requirements.txt`, installed into the folder `nats` of the target directory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ::http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::command::leavings;
use crate::gateway::signal;
use crate::http::Request;
use crate::network::Machine;
use crate::wait::{DEADLINE, pause, until};

/// The variable of the environment that names another program.
const PROGRAM: &str = "HUBGATE_NATS_SERVER";
const CONFIG: &str = "nats.conf";
const LOG: &str = "nats.log";
const ERRORS: &str = "stderr.log";
/// Where a server on a machine of its own is asked about itself.
const MONITORING_PORT: u16 = 8222;

/// A nats-server with JetStream. Dropped, it is killed; its log is shown if the test fails.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    address: SocketAddr,
    options: String,
    /// None: where the test runs.
    machine: Option<Machine>,
    process: Child,
}

impl NatsServer {
    /// One that lets everybody in.
    pub async fn start() -> NatsServer {
        NatsServer::with("", &[]).await
    }

    /// One with more in its configuration file, which may name `files`.
    pub async fn with(options: &str, files: &[(&str, &str)]) -> NatsServer {
        let folder = TempDir::new().expect("there is room for a folder");
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("the folder can be written");
        }
        NatsServer::run(folder, options, None).await
    }

    /// One on a machine of its own, with more in its configuration file.
    pub async fn on(machine: Machine, options: &str) -> NatsServer {
        NatsServer::run(TempDir::new().expect("there is room for a folder"), options, Some(machine)).await
    }

    async fn run(folder: TempDir, options: &str, machine: Option<Machine>) -> NatsServer {
        // It chooses a port, and tells it in a file.
        let mut process = spawn(&folder, -1, options, machine.as_ref());
        let ports = folder.path().join(format!("nats-server_{}.ports", process.id()));
        let address = until("nats-server to listen", async || {
            let ended = process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "nats-server ended: {}", log(&folder));
            let port = port_in(&fs::read_to_string(&ports).ok()?)?;
            let host = machine.as_ref().map_or(Ipv4Addr::LOCALHOST, Machine::address);
            Some(SocketAddr::new(host.into(), port))
        })
        .await;
        let server = NatsServer { folder, address, options: options.to_owned(), machine, process };
        server.greets().await;
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As gateways name it.
    pub fn url(&self) -> String {
        let host = self.machine.as_ref().map_or(self.address.ip(), |machine| machine.inner_address().into());
        format!("nats://{}", SocketAddr::new(host, self.address.port()))
    }

    /// The machine that it has for itself.
    pub fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("it was started on a machine of its own")
    }

    /// The names of the clients that are connected to it. It is on a machine of its own.
    pub async fn client_names(&self) -> Vec<String> {
        let monitoring = SocketAddr::new(self.machine().address().into(), MONITORING_PORT);
        let status = Request::new(Method::GET, monitoring, "/connz").send().await.json();
        let connections = status["connections"].as_array().unwrap_or_else(|| panic!("no connections: {status}"));
        connections.iter().filter_map(|connection| Some(connection["name"].as_str()?.to_owned())).collect()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a child can be waited for");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        assert!(signal(self.process.id(), "TERM"), "nats-server runs");
        let process = &mut self.process;
        until("nats-server to stop", async || process.try_wait().expect("a child can be waited for")).await;
    }

    /// Starts it on the same port once more, with what it had stored.
    pub async fn start_again(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            for earlier in [LOG, ERRORS] {
                let _ = fs::remove_file(self.folder.path().join(earlier));
            }
            let machine = self.machine.as_ref();
            self.process = spawn(&self.folder, self.address.port().into(), &self.options, machine);
            let process = &mut self.process;
            let address = self.address;
            let ended =
                until("nats-server to listen", async || match process.try_wait().expect("a child can be waited for") {
                    Some(_) => Some(true),
                    None => greeting(address).await.then_some(false),
                })
                .await;
            if !ended {
                return;
            }
            // A connection of another test may have got the port as its own for a moment.
            let why = log(&self.folder);
            assert!(why.contains("in use") && Instant::now() < deadline, "nats-server ended: {why}");
            pause().await;
        }
    }

    /// Stops all of its threads where they are: its connections stay, and say nothing.
    pub fn freeze(&self) {
        assert!(signal(self.process.id(), "STOP"), "nats-server runs");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        assert!(signal(self.process.id(), "CONT"), "nats-server runs");
    }

    /// Publishes a message, as anybody may, and waits until the server has it.
    pub async fn publish(&self, subject: &str, payload: &str) {
        let mut stream = TcpStream::connect(self.address).await.expect("nats-server listens");
        let said =
            format!("CONNECT {{\"verbose\":false}}\r\nPUB {subject} nobody {}\r\n{payload}\r\nPING\r\n", payload.len());
        stream.write_all(said.as_bytes()).await.expect("nats-server reads");
        let mut heard = String::new();
        while !heard.contains("PONG") {
            let mut part = [0; 4_096];
            let length = stream.read(&mut part).await.expect("nats-server answers");
            assert!(length > 0 && !heard.contains("-ERR"), "nats-server: {heard}");
            heard.push_str(&String::from_utf8_lossy(&part[..length]));
        }
    }

    /// Where a nats-server seems to be that has another version, and is this one in all else.
    pub async fn as_of_version(&self, version: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let (seeming, own) = (listener.local_addr().expect("it is bound"), self.address);
        tokio::spawn(async move {
            loop {
                let (gateway, _) = listener.accept().await.expect("a listener accepts");
                tokio::spawn(pretend(gateway, own, version));
            }
        });
        seeming
    }

    /// All that it has logged since it was started last.
    pub fn log(&self) -> String {
        log(&self.folder)
    }

    async fn greets(&self) {
        let address = self.address;
        until("nats-server to greet", async || greeting(address).await.then_some(())).await;
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to be done about it here.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- what nats-server logged ---\n{}", self.log());
        }
    }
}

/// Passes all on from and to the server, but for the version in its greeting.
async fn pretend(mut gateway: TcpStream, server: SocketAddr, version: &str) -> io::Result<()> {
    let mut server = BufReader::new(TcpStream::connect(server).await?);
    let mut greeting = String::new();
    server.read_line(&mut greeting).await?;
    let info = greeting.strip_prefix("INFO ").expect("nats-server greets");
    let mut info: Value = serde_json::from_str(info).expect("it is JSON");
    info["version"] = version.into();
    gateway.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
    io::copy_bidirectional(&mut gateway, &mut server).await.map(drop)
}

/// Whether it introduces itself to who connects, which it does before TLS, too.
async fn greeting(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let mut first = [0; 4];
    stream.read_exact(&mut first).await.is_ok() && &first == b"INFO"
}

fn spawn(folder: &TempDir, port: i32, options: &str, machine: Option<&Machine>) -> Child {
    let path = folder.path();
    let (host, monitoring) = match machine {
        None => (Ipv4Addr::LOCALHOST, String::new()),
        Some(_) => (Ipv4Addr::UNSPECIFIED, format!("http_port: {MONITORING_PORT}\n")),
    };
    let config = format!(
        "host: {host}\nport: {port}\n{monitoring}ports_file_dir: '{folder}'\nlog_file: '{folder}/{LOG}'\n\
         jetstream {{ store_dir: '{folder}/store', max_memory_store: 64MB, max_file_store: 256MB }}\n{options}\n",
        folder = path.display()
    );
    fs::write(path.join(CONFIG), config).expect("the folder can be written");
    let errors = File::options().create(true).append(true).open(path.join(ERRORS));
    let mut command = Command::new(program());
    command.args(["--config", CONFIG]).current_dir(path).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(errors.expect("the folder can be written"));
    if let Some(machine) = machine {
        machine.runs(&mut command);
    }
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn port_in(ports: &str) -> Option<u16> {
    let ports: Value = serde_json::from_str(ports).ok()?;
    let (_, port) = ports["nats"][0].as_str()?.rsplit_once(':')?;
    port.parse().ok()
}

fn log(folder: &TempDir) -> String {
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    format!("{}{}", read(LOG), read(ERRORS))
}

/// The program: the installed one, or another that [`PROGRAM`] names.
pub fn program() -> PathBuf {
    let named = std::env::var_os(PROGRAM).map(PathBuf::from);
    let program = named.unwrap_or_else(|| leavings("nats").join("bin").join("nats-server"));
    assert!(
        program.is_file(),
        "{} is not there: scripts/test.sh installs it, and {PROGRAM} names another",
        program.display()
    );
    program
}
