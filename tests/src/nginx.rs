//! Debian's nginx, in front of gateways.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};

use crate::gateway::signal;
use crate::wait::until;

const CONFIG: &str = "nginx.conf";
const LOG: &str = "error.log";

/// A running nginx. Dropped, it ends with its workers; its log is shown if the test fails.
#[derive(Debug)]
pub struct Nginx {
    place: Place,
    process: Child,
    folder: TempDir,
}

/// A port of this machine that nobody else is given, and at which nginx may listen.
#[derive(Debug)]
pub struct Place {
    address: SocketAddr,
    /// Bound, it keeps the port; it never listens.
    _socket: TcpSocket,
}

impl Place {
    pub fn free() -> Place {
        let socket = TcpSocket::new_v4().expect("there is a socket");
        // With this, nginx may have the same port.
        socket.set_reuseaddr(true).expect("a TCP socket has the option");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("there are ports");
        let address = socket.local_addr().expect("it is bound");
        Place { address, _socket: socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Nginx {
    /// One that listens at `place`, as this part of its configuration says that belongs into `http`.
    pub async fn serving(http: &str, place: Place) -> Nginx {
        let paths =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};\n"));
        let config = format!(
            "daemon off;\npid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{}{http}\n}}\n",
            paths.concat()
        );
        Nginx::start(&config, place).await
    }

    /// One with this configuration, all of whose paths are relative or exist.
    pub async fn start(config: &str, place: Place) -> Nginx {
        let folder = TempDir::new().expect("there is room for a folder");
        fs::write(folder.path().join(CONFIG), config).expect("the folder can be written");
        let log = fs::File::create(folder.path().join(LOG)).expect("the folder can be written");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).args(["-c", CONFIG, "-e", "stderr"]).stdin(Stdio::null()).stderr(log);
        let process = command.spawn().expect("nginx is needed: apt-get install nginx-light");
        let mut nginx = Nginx { place, process, folder };
        until("nginx to listen", async || {
            let ended = nginx.process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "nginx ended: {}", nginx.log());
            TcpStream::connect(nginx.address()).await.ok()
        })
        .await;
        nginx
    }

    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// What it complains of.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A signal to end, so that its workers end too.
        signal(self.process.id(), "TERM");
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- what nginx logged ---\n{}", self.log());
        }
    }
}
