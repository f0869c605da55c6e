//! The program as a process, a floor server as its target, and a bad wire between the two.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The example, which `cargo test` builds beside the tests.
fn program() -> Command {
    let test = std::env::current_exe().expect("a test has a file");
    let path: PathBuf = test.ancestors().nth(2).expect("tests are in target/PROFILE/deps").join("examples/bench");
    assert!(path.exists(), "{} is not built: cargo build -p hubgate-bench --examples", path.display());
    let mut command = Command::new(path);
    command.arg("bench");
    command
}

/// What a run of the program came to.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

pub(crate) fn bench(arguments: &str) -> Run {
    let output = program().args(arguments.split_whitespace()).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    Run { code: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
}

impl Run {
    /// The only line of output, as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.output.lines().count(), 1, "{}{}", self.output, self.errors);
        serde_json::from_str(&self.output).expect("a line of JSON")
    }

    /// Messages lost, doubled, out of order and stray.
    pub(crate) fn faults(&self) -> [u64; 4] {
        let json = self.json();
        ["lost", "doubled", "outOfOrder", "stray"].map(|key| json[key].as_u64().expect("a number"))
    }
}

/// A floor server to be measured.
pub(crate) struct Target {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Target {
    pub(crate) fn start() -> Target {
        let command = &mut program();
        let command =
            command.args(["floor-server", "plain", "--attached"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        Target { process, address: line.trim().parse().expect("an address") }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hubs/probe", self.address)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What happens to the third data message of each connection, on its way from the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Lost,
    Doubled,
    /// It comes after the fourth.
    Late,
    /// It comes with a number that nobody has sent.
    Strange,
    /// The connection ends instead.
    Cut,
}

/// A wire to `server` with a fault; gives the address to connect to.
pub(crate) fn bad_wire(server: SocketAddr, fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(server).expect("the server listens");
            let (mut to_server, mut from_client) =
                (server.try_clone().expect("a clone"), client.try_clone().expect("a clone"));
            std::thread::spawn(move || {
                drop(std::io::copy(&mut from_client, &mut to_server));
                drop(to_server.shutdown(std::net::Shutdown::Write));
            });
            std::thread::spawn(move || {
                drop(pass(server, &client, fault));
                drop(client.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    address
}

fn pass(server: TcpStream, mut client: &TcpStream, fault: Fault) -> std::io::Result<()> {
    let mut server = BufReader::new(server);
    let mut line = Vec::new();
    while line != b"\r\n" {
        line.clear();
        server.read_until(b'\n', &mut line)?;
        client.write_all(&line)?;
    }
    let mut late = None;
    // The first frame answers the handshake.
    for number in 0.. {
        let frame = frame(&mut server)?;
        match (number, fault) {
            (3, Fault::Lost) => {}
            (3, Fault::Doubled) => client.write_all(&[&frame[..], &frame].concat())?,
            (3, Fault::Late) => late = Some(frame),
            (3, Fault::Strange) => {
                let text = String::from_utf8_lossy(&frame).replace(".2~", ".9~").into_bytes();
                client.write_all(&frame[..2])?;
                client.write_all(&text[text.len() + 2 - frame.len()..])?;
            }
            (3, Fault::Cut) => return Ok(()),
            _ => client.write_all(&[&frame[..], &late.take().unwrap_or_default()].concat())?,
        }
    }
    Ok(())
}

/// One short frame.
fn frame(server: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut header = [0; 2];
    server.read_exact(&mut header)?;
    assert!(header[1] < 126, "the tests' messages are short");
    let mut frame = vec![0; 2 + usize::from(header[1])];
    frame[..2].copy_from_slice(&header);
    server.read_exact(&mut frame[2..])?;
    Ok(frame)
}
