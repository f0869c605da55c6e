//! A WebSocket server that echoes whole messages, made of the gateway's own frames: what conformance suites are run against.
//!
//! Prints its address, and serves each connection on a thread of its own until it is killed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use hubgate_wire::websocket::{DataKind, Decoder, Event, Frame, close_code};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The longest frame that is taken, in bytes: longer than any of the suites.
const LONGEST_FRAME: usize = 64 << 20;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    for stream in listener.incoming() {
        let stream = stream?;
        // How a connection breaks off is the suite's business.
        std::thread::spawn(move || drop(serve(stream)));
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let key = request(&mut reader)?;
    let accept = derive_accept_key(key.as_bytes());
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    stream.write_all(format!("{head}sec-websocket-accept: {accept}\r\n\r\n").as_bytes())?;
    let mut decoder = Decoder::new(LONGEST_FRAME);
    let mut message = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut input = &mut buffer[..count];
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Data { kind, bytes, end_of_message })) => {
                    message.extend_from_slice(bytes);
                    if end_of_message {
                        echo(&mut stream, kind, &message)?;
                        message.clear();
                    }
                }
                Ok(Some(Event::Ping(payload))) => stream.write_all(Frame::pong(&payload).as_bytes())?,
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(code))) => {
                    return stream.write_all(Frame::close(code.unwrap_or(close_code::NORMAL)).as_bytes());
                }
                Err(error) => return stream.write_all(Frame::close(error.close_code()).as_bytes()),
            }
        }
    }
}

fn echo(stream: &mut TcpStream, kind: DataKind, message: &[u8]) -> io::Result<()> {
    stream.write_all(Frame::data(kind, |out| out.extend_from_slice(message)).as_bytes())
}

/// Reads the head of a request for a WebSocket; gives its key.
fn request(reader: &mut impl BufRead) -> io::Result<String> {
    let mut key = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("sec-websocket-key") => value.clone_into(&mut key),
            None if line.trim_end().is_empty() => return Ok(key),
            Some(_) | None => {}
        }
    }
}
