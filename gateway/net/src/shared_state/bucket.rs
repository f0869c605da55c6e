//! A bucket: the records of one plugin, each the last message of its subject in a stream.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hubgate_core::id::PluginName;
use hubgate_plugin_host::{Answer, RecordWrite, SharedRecords, Stored, WriteError};

use super::Connection;

/// How long an answer of NATS is waited for.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// What the headers of a record may take, in bytes: they count as payload.
const HEADERS: usize = 512;
/// What lasts as long has no end for NATS, which does not take times beyond some centuries.
const LONGEST_TIME: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The longest name of a bucket that has the plugin's name in it. NATS takes 255 characters.
const LONGEST_NAME: usize = 200;
/// The token of the empty key, which is no other key's.
const EMPTY_KEY: &str = "=";
/// What the store's own tools call what they remove.
const OPERATION: &str = "KV-Operation";

/// The records of a plugin.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    connection: Connection,
    /// Of the stream.
    stream: String,
    /// What the subjects of keys begin with.
    prefix: String,
}

impl Bucket {
    pub(super) fn new(connection: Connection, cluster: &str, plugin: &PluginName) -> Bucket {
        let name = bucket_name(cluster, plugin);
        Bucket { connection, stream: format!("KV_{name}"), prefix: format!("$KV.{name}.") }
    }

    /// Of the stream.
    pub(super) fn name(&self) -> &str {
        &self.stream
    }

    /// A stream that is what NATS calls a key-value bucket, so that its tools can look at it.
    pub(super) fn config(&self) -> Config {
        Config {
            name: self.stream.clone(),
            description: Some("what a plugin of Hubgate keeps in its cluster".to_owned()),
            subjects: vec![format!("{}>", self.prefix)],
            max_messages_per_subject: 1,
            max_messages: -1,
            max_bytes: -1,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: 1,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            // Records end by themselves.
            allow_message_ttl: true,
            ..Config::default()
        }
    }

    /// The subject of all keys.
    pub(super) fn all(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// Which key's subject it is; none: it is not one of Hubgate's.
    pub(super) fn key(&self, subject: &str) -> Option<String> {
        match subject.strip_prefix(&self.prefix)? {
            EMPTY_KEY => Some(String::new()),
            token => String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok(),
        }
    }

    fn subject(&self, key: &str) -> String {
        match key {
            "" => format!("{}{EMPTY_KEY}", self.prefix),
            _ => format!("{}{}", self.prefix, BASE64_URL_SAFE_NO_PAD.encode(key)),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, String> {
        let link = self.connection.link.now();
        if !link.is_connected {
            return Err(link.reason());
        }
        let stream = self.connection.jetstream.get_stream_no_info(&self.stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        // The stream's leader is asked: a replica may be late.
        let subject = self.subject(key);
        let asked = stream.get_last_raw_message_by_subject(&subject);
        let answer = self.connection.link.unless_over(link.connections, asked).await;
        match answer.ok_or("the connection to NATS was lost")? {
            Ok(message) => Ok(Some(Stored {
                revision: message.sequence,
                record: if message.headers.get(OPERATION).is_some() { Default::default() } else { message.payload },
            })),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(format!("NATS did not tell what is there: {error}")),
        }
    }

    async fn put(&self, key: &str, write: RecordWrite) -> Result<u64, WriteError> {
        let link = self.connection.link.now();
        if !link.is_connected {
            return Err(WriteError::Refused(link.reason()));
        }
        let message = PublishMessage::build()
            .payload(write.record)
            .expected_last_subject_sequence(write.expected)
            .expected_stream(&self.stream);
        let message = match write.time_to_live.filter(|time| *time < LONGEST_TIME) {
            // NATS counts in seconds, from 1 on.
            Some(time) => message.ttl(time.max(Duration::from_secs(1)) + Duration::from_secs(1)),
            None => message,
        };
        // What is not even sent is not written.
        let sent = self.connection.jetstream.send_publish(self.subject(key), message).await;
        let sent = sent.map_err(|error| WriteError::Refused(error.to_string()))?;
        let answer = self.connection.link.unless_over(link.connections, sent.into_future()).await;
        let lost = || WriteError::InDoubt("the connection to NATS was lost".to_owned());
        answer.ok_or_else(lost)?.map(|ack| ack.sequence).map_err(|error| write_error(&error))
    }
}

impl SharedRecords for Bucket {
    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, Result<Option<Stored>, String>> {
        Box::pin(self.get(key))
    }

    fn write<'a>(&'a self, key: &'a str, write: RecordWrite) -> Answer<'a, Result<u64, WriteError>> {
        Box::pin(self.put(key, write))
    }

    fn longest(&self) -> usize {
        self.connection.client.max_payload().saturating_sub(HEADERS)
    }
}

/// Whether a record was written whose acknowledgement is this error.
fn write_error(error: &PublishError) -> WriteError {
    // What the server itself says is an answer; all else is none.
    let said = error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    match (error.kind(), said) {
        (PublishErrorKind::WrongLastSequence, _) => WriteError::Conflict,
        (_, Some(said)) if said.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => WriteError::Conflict,
        (_, Some(said)) => WriteError::Refused(format!("NATS has refused it: {said}")),
        (PublishErrorKind::StreamNotFound, None) => WriteError::Refused("NATS has no stream for it".to_owned()),
        (_, None) => WriteError::InDoubt(error.to_string()),
    }
}

/// Of the plugin, in this cluster.
fn bucket_name(cluster: &str, plugin: &PluginName) -> String {
    let name = format!("{cluster}-state-{}", BASE64_URL_SAFE_NO_PAD.encode(plugin.as_str()));
    match name.len() <= LONGEST_NAME {
        true => name,
        false => {
            let hash = digest(&SHA256, plugin.as_str().as_bytes());
            format!("{cluster}-states-{}", BASE64_URL_SAFE_NO_PAD.encode(hash))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(plugin: &str) -> Bucket {
        let (link, _) = super::super::link::Link::new();
        let connection =
            async { async_nats::ConnectOptions::new().retry_on_initial_connect().connect("127.0.0.1:9").await };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connection =
            runtime.block_on(async { Connection::new(connection.await.expect("it does not wait for a server"), link) });
        Bucket::new(connection, "live_1", &PluginName::new(plugin))
    }

    #[test]
    fn every_key_has_a_subject_of_its_own_in_which_nothing_of_it_means_anything() {
        let bucket = bucket("chat.*");
        assert_eq!((bucket.name(), &*bucket.all()), ("KV_live_1-state-Y2hhdC4q", "$KV.live_1-state-Y2hhdC4q.>"));
        for key in ["", "a", "=", ">", "*.>", "a b\r\nPUB x", "ä", &"k".repeat(1_024)] {
            let subject = bucket.subject(key);
            let token = subject.strip_prefix("$KV.live_1-state-Y2hhdC4q.").expect("it is in the bucket");
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
            assert!(!token.is_empty() && token.bytes().all(is_plain), "{token}");
            assert_eq!(bucket.key(&subject).as_deref(), Some(key));
        }
        for other in [
            "$KV.live_1-state-Y2hhdC4q.a.b",
            "$KV.live_1-state-Y2hhdC4q.!",
            "$KV.other.YQ",
            "$KV.live_1-state-Y2hhdC4q._w",
        ] {
            assert_eq!(bucket.key(other), None, "{other}");
        }
    }

    #[test]
    fn plugins_with_long_names_have_buckets_of_their_own() {
        let names = ["p".repeat(1_024), "p".repeat(1_023), "p".to_owned()];
        let names = names.map(|name| bucket_name(&"c".repeat(64), &PluginName::new(name.as_str())));
        assert!(names.iter().all(|name| name.len() <= LONGEST_NAME), "{names:?}");
        assert!(names[0] != names[1] && names[1] != names[2]);
    }
}
