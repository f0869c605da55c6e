//! Following a bucket: all that is in it, and then all that changes.

use std::time::Duration;

use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::{ErrorCode, Message, stream};
use futures_util::StreamExt;
use hubgate_plugin_host::{Follower, Stored};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::Connection;
use super::bucket::Bucket;

/// The first version of NATS whose streams let records end one by one.
const OLDEST: (u64, u64) = (2, 11);
/// How long is waited before a bucket is looked for again.
const RETRY: Duration = Duration::from_millis(200);
/// How long an outage is before the log has it, and how long until it has another reason for the same one.
const UNTOLD: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(30);
/// How often it is seen whether the bucket is still that one, whether anybody needs it, and whether what is in it still comes. A stream
/// that was removed says nothing.
const CHECK: Duration = Duration::from_secs(3);
/// What the store's own tools call what they remove.
const OPERATION: &str = "KV-Operation";

/// Why a bucket cannot be followed now.
enum Trouble {
    Away(String),
    /// Nothing but another NATS, or another configuration, helps.
    Unfit(String),
    /// Nobody needs it.
    Over,
}

/// Until nobody needs it any more.
pub(super) async fn follow(connection: &Connection, bucket: Bucket, follower: Follower) {
    let mut outage = Outage::default();
    loop {
        match watch(connection, &bucket, &follower, &mut outage).await {
            Trouble::Over => return,
            Trouble::Unfit(reason) => follower.is_unfit(&reason),
            Trouble::Away(reason) => {
                follower.is_away(&reason);
                if outage.is_news(Instant::now(), &reason) {
                    let bucket = bucket.name();
                    tracing::warn!(bucket, reason, "what a plugin keeps in the cluster is not reached");
                }
            }
        }
        follower.tidies();
        sleep(RETRY).await;
    }
}

/// A time in which a bucket is not followed.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    /// What the log has of it, and from when.
    told: Option<(Instant, String)>,
}

impl Outage {
    /// It goes on for this reason. Says whether the log should have that.
    fn is_news(&mut self, now: Instant, reason: &str) -> bool {
        let since = *self.since.get_or_insert(now);
        let is_news = match &self.told {
            // The first connection takes a moment, and so does one that is made again.
            None => now - since >= UNTOLD,
            Some((at, told)) => told != reason && now - *at >= AGAIN,
        };
        if is_news {
            self.told = Some((now, reason.to_owned()));
        }
        is_news
    }

    /// It is over. Says whether the log had it.
    fn ends(&mut self) -> bool {
        std::mem::take(self).told.is_some()
    }
}

/// Tells the follower of a bucket until that is not possible any more.
async fn watch(connection: &Connection, bucket: &Bucket, follower: &Follower, outage: &mut Outage) -> Trouble {
    match begin(connection, bucket, follower).await {
        Ok(watching) => watching.go_on(connection, bucket, follower, outage).await,
        Err(trouble) => trouble,
    }
}

/// A bucket that is being followed.
struct Watching {
    messages: Ordered,
    /// How many connections there had been when it began.
    connections: u64,
    incarnation: u64,
    /// The last record that was there when it began.
    last: u64,
    /// Whether all that was there has come.
    holds_all: bool,
    /// Whether the follower knows that.
    is_complete: bool,
    /// Whether anything has come since it was looked at last.
    has_come: bool,
}

async fn begin(connection: &Connection, bucket: &Bucket, follower: &Follower) -> Result<Watching, Trouble> {
    if !follower.is_needed() {
        return Err(Trouble::Over);
    }
    let link = connection.link.now();
    if !link.is_connected {
        return Err(Trouble::Away(link.reason()));
    }
    let server = connection.client.server_info();
    if version(&server.version).is_some_and(|version| version < OLDEST) {
        let why = format!(
            "the NATS server is {}, and values shared by gateways need {}.{} or later",
            server.version, OLDEST.0, OLDEST.1
        );
        return Err(unfit(&why));
    }
    let stream = connection.jetstream.get_or_create_stream(bucket.config()).await;
    let stream = stream.map_err(|error| trouble(&error, server.jetstream))?;
    let (incarnation, last) = (incarnation(stream.cached_info()), stream.cached_info().state.last_sequence);
    let away = |error: &dyn std::fmt::Display| Trouble::Away(format!("the bucket cannot be followed: {error}"));
    let consumer = OrderedConfig {
        deliver_subject: connection.client.new_inbox(),
        description: Some("follows what a plugin keeps".to_owned()),
        filter_subject: bucket.all(),
        replay_policy: ReplayPolicy::Instant,
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(consumer).await.map_err(|error| away(&error))?;
    let holds_all = consumer.cached_info().num_pending == 0;
    follower.begins(incarnation);
    let messages = consumer.messages().await.map_err(|error| away(&error))?;
    let connections = link.connections;
    Ok(Watching { messages, connections, incarnation, last, holds_all, is_complete: false, has_come: false })
}

impl Watching {
    async fn go_on(
        mut self,
        connection: &Connection,
        bucket: &Bucket,
        follower: &Follower,
        outage: &mut Outage,
    ) -> Trouble {
        let mut checks = interval_at(Instant::now() + CHECK, CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.holds_all && !self.is_complete {
                self.is_complete = true;
                follower.is_complete();
                if outage.ends() {
                    let bucket = bucket.name();
                    tracing::info!(bucket, "what a plugin keeps in the cluster is reached again");
                }
            }
            tokio::select! {
                message = self.messages.next() => match message {
                    Some(Ok(message)) => self.tell(&message, bucket, follower),
                    Some(Err(error)) => return Trouble::Away(format!("the bucket cannot be followed: {error}")),
                    None => return Trouble::Away("the bucket cannot be followed any more".to_owned()),
                },
                // What was missed meanwhile is known only when all has come again.
                () = connection.link.is_over(self.connections) => return Trouble::Away(connection.link.now().reason()),
                _ = checks.tick() => {
                    if let Some(trouble) = self.check(connection, bucket, follower).await {
                        return trouble;
                    }
                }
            }
        }
    }

    /// What is found now and then.
    async fn check(&mut self, connection: &Connection, bucket: &Bucket, follower: &Follower) -> Option<Trouble> {
        if !follower.is_needed() {
            return Some(Trouble::Over);
        }
        follower.tidies();
        let has_come = std::mem::take(&mut self.has_come);
        if !self.is_complete && !has_come {
            // The last records that were to come may have been forgotten meanwhile.
            return Some(Trouble::Away("what is in the bucket does not come any more".to_owned()));
        }
        match connection.jetstream.get_stream(bucket.name()).await {
            Ok(stream) if incarnation(stream.cached_info()) == self.incarnation => None,
            Ok(_) => Some(Trouble::Away("the bucket was removed, and there is another one".to_owned())),
            Err(error) if matches!(error.kind(), GetStreamErrorKind::JetStream(_)) => {
                Some(Trouble::Away(format!("the bucket is not there: {error}")))
            }
            // No answer says nothing of the bucket: heartbeats tell whether it is followed.
            Err(_) => None,
        }
    }

    fn tell(&mut self, message: &Message, bucket: &Bucket, follower: &Follower) {
        let Ok(info) = message.info() else { return };
        self.has_come = true;
        // What others have put there has other names.
        if let Some(key) = bucket.key(&message.subject) {
            let is_removed = message.headers.as_ref().is_some_and(|headers| headers.get(OPERATION).is_some());
            let record = if is_removed { Default::default() } else { message.payload.clone() };
            follower.has(&key, &Stored { revision: info.stream_sequence, record });
        }
        self.holds_all |= info.pending == 0 || info.stream_sequence >= self.last;
    }
}

/// When the stream was made: no other one of its name was made then.
fn incarnation(info: &stream::Info) -> u64 {
    info.created.unix_timestamp_nanos() as u64
}

fn trouble(error: &CreateStreamError, has_jetstream: bool) -> Trouble {
    let is_off = match error.kind() {
        CreateStreamErrorKind::JetStreamUnavailable => !has_jetstream,
        CreateStreamErrorKind::JetStream(said) => {
            let off = [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
            off.contains(&said.error_code())
        }
        _ => false,
    };
    match is_off {
        true => unfit("the NATS server has no JetStream, or not for this account"),
        false => Trouble::Away(format!("the bucket cannot be made: {error}")),
    }
}

fn unfit(why: &str) -> Trouble {
    Trouble::Unfit(format!("{why}; with `state-scope = \"node\"` each gateway keeps values of its own"))
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (text, is_old) in
            [("2.9.10", true), ("2.10.29", true), ("2.11.0-RC.1", false), ("2.15.1", false), ("3.0", false)]
        {
            assert_eq!(version(text).map(|version| version < OLDEST), Some(is_old), "{text}");
        }
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn an_outage_is_told_once_when_it_lasts_and_with_another_reason_later() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        assert!(!outage.is_news(start, "lost") && !outage.is_news(after(2), "lost"));
        assert!(!outage.ends(), "nobody was told of a short one");
        assert!(!outage.is_news(after(10), "lost") && outage.is_news(after(13), "lost"));
        assert!(!outage.is_news(after(14), "refused") && !outage.is_news(after(60), "lost"));
        assert!(outage.is_news(after(61), "refused"));
        assert!(outage.ends() && !outage.ends());
        assert!(!outage.is_news(after(70), "lost") && outage.is_news(after(73), "lost"), "the next one is told, too");
    }
}
