//! What is sent to clients, in the protocol of each.

use std::sync::{Arc, OnceLock};

use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage, HubProtocol, Invocation};
use hubgate_wire::websocket::Frame;

use crate::filter_message::FilterMessage;
use crate::pairs::Pairs;
use crate::reach::Reach;

/// A hub message for clients of any protocol. It is encoded once for each protocol that one of its receivers speaks, on
/// whatever shard that one lives; a clone shares the encodings.
#[derive(Debug, Clone)]
pub struct Outgoing {
    message: Arc<Message>,
    /// What is told how many connections get it. It is of one send, and the message may be sent to many targets.
    counted: Option<Arc<Counted>>,
}

/// Behind a thin pointer, so that a message which nobody counts is small.
#[derive(Debug)]
struct Counted(Arc<dyn Reach>);

#[derive(Debug)]
struct Message {
    source: Source,
    frames: [OnceLock<Frame>; HubProtocol::COUNT],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A call of a client method. The arguments are one array.
    Call { method: String, arguments: Payload, answer: Option<Box<Answerable>> },
    /// An item of a stream that its receiver knows by this id.
    Item { stream: Box<str>, item: Payload },
    /// The end of such a stream, or the answer to a call.
    Completion { id: Box<str>, result: Option<Payload>, error: Option<String> },
    /// The sender has encoded it, for clients of some protocols.
    Encoded,
}

/// What a call that may be answered has beside its method and arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answerable {
    pub headers: Pairs,
    /// None: nobody answers.
    pub invocation_id: Option<Box<str>>,
}

/// What a message is made of, as another gateway must know it to send the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A call, with what [`Outgoing::new`] takes.
    Call { method: &'a str, arguments: &'a Payload, answer: Option<&'a Answerable> },
    /// What [`Outgoing::stream_item`] takes.
    Item { stream: &'a str, item: &'a Payload },
    /// What [`Outgoing::completion`] takes.
    Completion { id: &'a str, result: Option<&'a Payload>, error: Option<&'a str> },
    /// Its [frames](Outgoing::frame) alone.
    Encoded,
}

impl Outgoing {
    /// A call. `arguments` are one array. `answer`: None if nobody answers, and it has no headers.
    pub fn new(method: String, arguments: Payload, answer: Option<Answerable>) -> Outgoing {
        Outgoing::of(Source::Call { method, arguments, answer: answer.map(Box::new) })
    }

    /// A call that nobody answers. `arguments` are one array.
    pub fn call(method: String, arguments: Payload) -> Outgoing {
        Outgoing::new(method, arguments, None)
    }

    /// A call that its receiver answers.
    pub(crate) fn question(method: String, arguments: Payload, invocation_id: &str) -> Outgoing {
        let answer = Answerable { headers: Pairs::default(), invocation_id: Some(invocation_id.into()) };
        Outgoing::new(method, arguments, Some(answer))
    }

    /// An item of a stream that its receiver knows by this id.
    pub fn stream_item(stream: &str, item: Payload) -> Outgoing {
        Outgoing::of(Source::Item { stream: stream.into(), item })
    }

    /// The end of a stream that its receiver knows by this id.
    pub fn stream_end(stream: &str, error: Option<String>) -> Outgoing {
        Outgoing::completion(stream, None, error)
    }

    /// The end of such a stream, or the answer to a call. Of a result and an error the result counts.
    pub fn completion(id: &str, result: Option<Payload>, error: Option<String>) -> Outgoing {
        Outgoing::of(Source::Completion { id: id.into(), result, error })
    }

    fn of(source: Source) -> Outgoing {
        Outgoing::made(source, Default::default())
    }

    fn made(source: Source, frames: [OnceLock<Frame>; HubProtocol::COUNT]) -> Outgoing {
        Outgoing { message: Arc::new(Message { source, frames }), counted: None }
    }

    /// The same message, of which somebody wants to know how many connections get it.
    pub fn counted(self, reach: Arc<dyn Reach>) -> Outgoing {
        Outgoing { counted: Some(Arc::new(Counted(reach))), ..self }
    }

    pub(crate) fn reach(&self) -> Option<&dyn Reach> {
        self.counted.as_ref().map(|counted| &*counted.0)
    }

    /// What its sender has encoded: by protocol, one or more whole hub messages with what frames them. Clients of other
    /// protocols get nothing.
    pub fn encoded(messages: impl IntoIterator<Item = (HubProtocol, impl AsRef<[u8]>)>) -> Outgoing {
        let mut frames: [OnceLock<Frame>; HubProtocol::COUNT] = Default::default();
        for (protocol, message) in messages {
            let frame = Frame::of_payload(protocol.data_kind(), message.as_ref());
            frames[protocol as usize] = OnceLock::from(frame);
        }
        Outgoing::made(Source::Encoded, frames)
    }

    /// Whether both are clones of one message, and not only alike. Who counts their receivers is no part of that.
    pub fn is_clone_of(&self, other: &Outgoing) -> bool {
        Arc::ptr_eq(&self.message, &other.message)
    }

    /// What it holds in memory before it is encoded, about, in bytes.
    pub fn weight(&self) -> usize {
        match &self.message.source {
            Source::Call { method, arguments, .. } => method.len() + arguments.borrow().len(),
            Source::Item { stream, item } => stream.len() + item.borrow().len(),
            Source::Completion { id, result, error } => {
                let result = result.as_ref().map_or(0, |result| result.borrow().len());
                id.len() + result + error.as_ref().map_or(0, String::len)
            }
            Source::Encoded => self.message.frames.iter().filter_map(OnceLock::get).map(Frame::len).sum(),
        }
    }

    /// The method and the arguments of a call, unless its sender has encoded it.
    pub fn as_call(&self) -> Option<(&str, &Payload)> {
        match &self.message.source {
            Source::Call { method, arguments, .. } => Some((method, arguments)),
            Source::Item { .. } | Source::Completion { .. } | Source::Encoded => None,
        }
    }

    /// What it is made of. Who counts its receivers is no part of that.
    pub fn content(&self) -> Content<'_> {
        match &self.message.source {
            Source::Call { method, arguments, answer } => {
                Content::Call { method, arguments, answer: answer.as_deref() }
            }
            Source::Item { stream, item } => Content::Item { stream, item },
            Source::Completion { id, result, error } => {
                Content::Completion { id, result: result.as_ref(), error: error.as_deref() }
            }
            Source::Encoded => Content::Encoded,
        }
    }

    /// The frame for clients that speak `protocol`, if there is one for them.
    pub fn frame(&self, protocol: HubProtocol) -> Option<&Frame> {
        let Message { source, frames, .. } = &*self.message;
        let frame = &frames[protocol as usize];
        match source {
            Source::Call { method, arguments, answer } => Some(frame.get_or_init(|| match answer {
                None => protocol.send_frame(method, arguments.borrow()),
                Some(answer) => protocol.frame(&call(method, arguments, Some(answer))),
            })),
            Source::Item { stream, item } => Some(frame.get_or_init(|| protocol.frame(&stream_item(stream, item)))),
            Source::Completion { id, result, error } => {
                Some(frame.get_or_init(|| protocol.frame(&completion(id, result.as_ref(), error.as_deref()))))
            }
            Source::Encoded => frame.get(),
        }
    }

    /// Shows the call, as below; `None` if it is not exactly one call.
    pub(crate) fn with_call<T>(&self, see: impl FnOnce(&HubMessage<'_>) -> T) -> Option<T> {
        self.with_message(|message| matches!(message, HubMessage::Invocation(_)).then(|| see(message))).flatten()
    }

    /// Shows the message, in the JSON of its sender if there is such; `None` if it is not exactly one call, item or completion.
    pub(crate) fn with_message<T>(&self, see: impl FnOnce(&HubMessage<'_>) -> T) -> Option<T> {
        let Message { source, frames, .. } = &*self.message;
        match source {
            Source::Call { method, arguments, answer } => Some(see(&call(method, arguments, answer.as_deref()))),
            Source::Item { stream, item } => Some(see(&stream_item(stream, item))),
            Source::Completion { id, result, error } => Some(see(&completion(id, result.as_ref(), error.as_deref()))),
            Source::Encoded => {
                let encoded = HubProtocol::ALL.into_iter().find_map(|each| Some((each, frames[each as usize].get()?)));
                let (protocol, frame) = encoded?;
                let payload = frame.payload();
                let mut rest = &payload[..];
                let message = protocol.split_message(&mut rest).ok().flatten().filter(|_| rest.is_empty())?;
                let message = protocol.parse(message).ok()?;
                matches!(
                    message,
                    HubMessage::Invocation(_) | HubMessage::StreamItem { .. } | HubMessage::Completion { .. }
                )
                .then(|| see(&message))
            }
        }
    }

    /// The same message with what a filter has put in its place. The filter has been shown it by [`Outgoing::with_message`].
    pub(crate) fn replaced(&self, replacement: &FilterMessage) -> Outgoing {
        let FilterMessage { target, content, error, .. } = replacement;
        let source = self.with_message(|original| match original {
            HubMessage::StreamItem { invocation_id, item, .. } => {
                let item = content.clone().unwrap_or_else(|| item.to_payload());
                Source::Item { stream: (**invocation_id).into(), item }
            }
            HubMessage::Completion { invocation_id, .. } => {
                let (result, error) = (content.clone(), error.clone());
                Source::Completion { id: (**invocation_id).into(), result, error }
            }
            original => {
                let answer = match original {
                    HubMessage::Invocation(call) => Some(Box::new(Answerable {
                        headers: call.headers.iter().map(|(name, value)| (name, value)).collect(),
                        invocation_id: call.invocation_id.as_deref().map(Into::into),
                    })),
                    _ => None,
                };
                let method = target.clone().unwrap_or_default();
                Source::Call { method, arguments: content.clone().unwrap_or_else(Payload::no_arguments), answer }
            }
        });
        let source = source.expect("a filter is shown only what can be read, and it stays as it is");
        Outgoing { counted: self.counted.clone(), ..Outgoing::of(source) }
    }

    /// What ends the stream that it belongs to, or answers the call, in its place; none in the place of a call.
    pub(crate) fn failed(&self, error: impl FnOnce() -> String) -> Option<Outgoing> {
        let id = self.with_message(|message| match message {
            HubMessage::StreamItem { invocation_id, .. } | HubMessage::Completion { invocation_id, .. } => {
                Some(invocation_id.to_string())
            }
            _ => None,
        });
        id.flatten().map(|id| Outgoing::stream_end(&id, Some(error())))
    }
}

fn stream_item<'a>(stream: &'a str, item: &'a Payload) -> HubMessage<'a> {
    HubMessage::StreamItem { headers: Vec::new(), invocation_id: stream.into(), item: item.borrow() }
}

fn completion<'a>(id: &'a str, result: Option<&'a Payload>, error: Option<&'a str>) -> HubMessage<'a> {
    let outcome = match (result, error) {
        (Some(result), _) => CompletionOutcome::Result(result.borrow()),
        (None, Some(error)) => CompletionOutcome::Error(error.into()),
        (None, None) => CompletionOutcome::Void,
    };
    HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome }
}

fn call<'a>(method: &'a str, arguments: &'a Payload, answer: Option<&'a Answerable>) -> HubMessage<'a> {
    let headers = answer.into_iter().flat_map(|answer| answer.headers.iter());
    HubMessage::Invocation(Invocation {
        headers: headers.map(|(name, value)| (name.into(), value.into())).collect(),
        invocation_id: answer.and_then(|answer| answer.invocation_id.as_deref()).map(Into::into),
        target: method.into(),
        arguments: arguments.borrow(),
        stream_ids: Vec::new(),
    })
}

impl PartialEq for Outgoing {
    /// Whether all clients get the same.
    fn eq(&self, other: &Outgoing) -> bool {
        match (&self.message.source, &other.message.source) {
            (Source::Encoded, Source::Encoded) => {
                HubProtocol::ALL.map(|each| self.frame(each) == other.frame(each)) == [true; HubProtocol::COUNT]
            }
            (source, other) => source == other,
        }
    }
}

impl Eq for Outgoing {}
