//! fastwebsockets on hyper, one thread: each connection's writing half behind a lock, written to from the fan-out loop.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocket, WebSocketError, WebSocketWrite, upgrade,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::WriteHalf;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::LocalSet;

type Writer = Rc<Mutex<WebSocketWrite<WriteHalf<TokioIo<Upgraded>>>>>;
type Writers = Rc<RefCell<Vec<Writer>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address = std::env::args().nth(1).expect("an address to listen at");
    let listener = TcpListener::bind(address).await.expect("the address is free");
    let writers = Writers::default();
    LocalSet::new()
        .run_until(async {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream.set_nodelay(true));
                let writers = writers.clone();
                let service = service_fn(move |mut request| {
                    let writers = writers.clone();
                    async move {
                        let (response, upgraded) = upgrade::upgrade(&mut request)?;
                        tokio::task::spawn_local(async move {
                            if let Ok(socket) = upgraded.await {
                                serve(socket, writers).await;
                            }
                        });
                        Ok::<_, WebSocketError>(response)
                    }
                });
                tokio::task::spawn_local(async move {
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await);
                });
            }
        })
        .await;
}

async fn serve(socket: WebSocket<TokioIo<Upgraded>>, writers: Writers) {
    let (read, write) = socket.split(tokio::io::split);
    let writer: Writer = Rc::new(Mutex::new(write));
    writers.borrow_mut().push(writer.clone());
    let mut read = FragmentCollectorRead::new(read);
    loop {
        // What the reading half would answer by itself is not of this load.
        let frame = read.read_frame(&mut |_| async { Ok::<_, Infallible>(()) }).await;
        match frame {
            Ok(frame) if frame.opcode == OpCode::Text => {
                for call in frame.payload.split(|byte| *byte == 0x1e).filter(|call| !call.is_empty()) {
                    answer(call, &writer, &writers).await;
                }
            }
            Ok(frame) if frame.opcode == OpCode::Close => {
                drop(writer.lock().await.write_frame(Frame::close(1000, b"")).await);
                break;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    writers.borrow_mut().retain(|each| !Rc::ptr_eq(each, &writer));
}

async fn answer(call: &[u8], writer: &Writer, writers: &Writers) -> Option<()> {
    if call.starts_with(b"{\"protocol\"") {
        return send(writer, b"{}\x1e").await;
    }
    let call: Value = serde_json::from_slice(call).ok()?;
    let argument = call["arguments"].as_array()?.last()?;
    match call["invocationId"].as_str() {
        Some(id) => {
            let answer = format!("{{\"type\":3,\"invocationId\":\"{id}\",\"result\":{argument}}}\x1e");
            send(writer, answer.as_bytes()).await
        }
        None => {
            let said = format!("{{\"type\":1,\"target\":\"said\",\"arguments\":[{argument}]}}\x1e");
            let all = writers.borrow().clone();
            for writer in &all {
                send(writer, said.as_bytes()).await;
            }
            Some(())
        }
    }
}

async fn send(writer: &Writer, message: &[u8]) -> Option<()> {
    writer.lock().await.write_frame(Frame::text(Payload::Borrowed(message))).await.ok()
}
