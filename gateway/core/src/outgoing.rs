//! What is sent to clients, in the protocol of each.

use std::sync::{Arc, OnceLock};

use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::HubProtocol;
use hubgate_wire::websocket::Frame;

/// A hub message for clients of any protocol. It is encoded once for each protocol that one of its receivers speaks, on
/// whatever shard that one lives; a clone shares the encodings.
#[derive(Debug, Clone)]
pub struct Outgoing(Arc<Message>);

#[derive(Debug)]
struct Message {
    source: Source,
    frames: [OnceLock<Frame>; HubProtocol::COUNT],
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// A call of a client method that nobody answers. The arguments are one array.
    Call { method: String, arguments: Payload },
    /// The sender has encoded it, for clients of some protocols.
    Encoded,
}

impl Outgoing {
    /// A call that nobody answers. `arguments` are one array.
    pub fn call(method: String, arguments: Payload) -> Outgoing {
        Outgoing(Arc::new(Message { source: Source::Call { method, arguments }, frames: Default::default() }))
    }

    /// What its sender has encoded: by protocol, one or more whole hub messages with what frames them. Clients of other
    /// protocols get nothing.
    pub fn encoded(messages: impl IntoIterator<Item = (HubProtocol, impl AsRef<[u8]>)>) -> Outgoing {
        let mut frames: [OnceLock<Frame>; HubProtocol::COUNT] = Default::default();
        for (protocol, message) in messages {
            let frame = Frame::data(protocol.data_kind(), |out| out.extend_from_slice(message.as_ref()));
            frames[protocol as usize] = OnceLock::from(frame);
        }
        Outgoing(Arc::new(Message { source: Source::Encoded, frames }))
    }

    /// What it holds in memory before it is encoded, about, in bytes.
    pub fn weight(&self) -> usize {
        match &self.0.source {
            Source::Call { method, arguments } => method.len() + arguments.borrow().len(),
            Source::Encoded => self.0.frames.iter().filter_map(OnceLock::get).map(Frame::len).sum(),
        }
    }

    /// The frame for clients that speak `protocol`, if there is one for them.
    pub fn frame(&self, protocol: HubProtocol) -> Option<&Frame> {
        let Message { source, frames } = &*self.0;
        let frame = &frames[protocol as usize];
        match source {
            Source::Call { method, arguments } => {
                Some(frame.get_or_init(|| protocol.send_frame(method, arguments.borrow())))
            }
            Source::Encoded => frame.get(),
        }
    }
}

impl PartialEq for Outgoing {
    /// Whether all clients get the same.
    fn eq(&self, other: &Outgoing) -> bool {
        match (&self.0.source, &other.0.source) {
            (Source::Encoded, Source::Encoded) => {
                HubProtocol::ALL.map(|each| self.frame(each) == other.frame(each)) == [true; HubProtocol::COUNT]
            }
            (source, other) => source == other,
        }
    }
}

impl Eq for Outgoing {}
