//! A component that asks for all of WASI 0.2, as ordinary toolchains make their components ask, and says what it got.

use std::error::Error as _;

use hubgate_plugin::{Arguments, Connection, Error, Handler, Reply, done, reject, reply};
use wasip2::cli::{environment, exit, stderr, stdin, stdout, terminal_stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::io::streams::{OutputStream, StreamError};
use wasip2::random::{insecure, random};
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::{instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket};

struct Wasi;

impl Handler for Wasi {
    fn invoke(_: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            // Seconds since 1970, and the nanoseconds that pass while nothing is done and while 5 ms are waited for.
            "clocks" => {
                let began = monotonic_clock::now();
                let at_once = monotonic_clock::now() - began;
                monotonic_clock::subscribe_duration(5_000_000).block();
                reply(&(wall_clock::now().seconds, at_once, monotonic_clock::now() - began))
            }
            "random" => reply(&[random::get_random_bytes(16), insecure::get_insecure_random_bytes(16)]),
            "muchRandom" => {
                let (bytes,): (u64,) = arguments.parse()?;
                reply(&random::get_random_bytes(bytes).len())
            }
            "print" => {
                let (out, err): (String, String) = arguments.parse()?;
                print(&stdout::get_stdout(), &out)?;
                print(&stderr::get_stderr(), &err)?;
                done()
            }
            "exit" => {
                exit::exit(Err(()));
                done()
            }
            // What it knows of the process: variables, arguments, the working directory, and whether it has a terminal.
            "process" => {
                let terminal = terminal_stdout::get_terminal_stdout().is_some();
                let known = (environment::get_environment(), environment::get_arguments());
                reply(&(known, environment::initial_cwd(), terminal))
            }
            "read" => match stdin::get_stdin().blocking_read(100) {
                Ok(bytes) => reply(&bytes),
                Err(StreamError::Closed) => reject("closed"),
                Err(StreamError::LastOperationFailed(error)) => reject(error.to_debug_string()),
            },
            // Every descriptor of the file system begins with one of these.
            "folders" => reply(&preopens::get_directories().len()),
            "resolve" => match ip_name_lookup::resolve_addresses(&instance_network::instance_network(), "localhost") {
                Ok(addresses) => {
                    addresses.subscribe().block();
                    refused(addresses.resolve_next_address().map(drop))
                }
                Err(error) => refused(Err(error)),
            },
            "connect" => refused(connect(arguments.parse::<(u16,)>()?.0)),
            "listen" => refused(listen()),
            "send" => refused(send(arguments.parse::<(u16,)>()?.0)),
            unknown => reject(format!("there is no method '{unknown}'")),
        }
    }
}

fn print(stream: &OutputStream, text: &str) -> Result<(), Error> {
    let failed = |error: StreamError| Error::Failed(format!("{error} {:?}", error.source()));
    stream.blocking_write_and_flush(text.as_bytes()).map_err(failed)
}

/// Tells the error as a result: what is refused is what the method is about.
fn refused(outcome: Result<(), ErrorCode>) -> Reply {
    match outcome {
        Ok(()) => reply("ok"),
        Err(error) => reply(error.name()),
    }
}

fn on_this_machine(port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) })
}

fn connect(port: u16) -> Result<(), ErrorCode> {
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network::instance_network(), on_this_machine(port))?;
    socket.subscribe().block();
    socket.finish_connect().map(drop)
}

fn listen() -> Result<(), ErrorCode> {
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network::instance_network(), on_this_machine(0))?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()
}

fn send(port: u16) -> Result<(), ErrorCode> {
    let socket = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network::instance_network(), on_this_machine(0))?;
    socket.finish_bind()?;
    let (_, outgoing) = socket.stream(Some(on_this_machine(port)))?;
    outgoing.subscribe().block();
    outgoing.check_send()?;
    let data = b"hello".to_vec();
    let datagram = wasip2::sockets::udp::OutgoingDatagram { data, remote_address: None };
    outgoing.send(&[datagram]).map(drop)
}

hubgate_plugin::export!(Wasi);
