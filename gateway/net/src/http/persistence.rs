//! Connections that go on: how long they may rest, and how it is noticed that nobody is at their other end.

use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Probes that may stay without an answer.
const PROBES: u32 = 3;
/// The longest time that Linux takes for one of the options.
const LONGEST: Duration = Duration::from_secs(32_767);

/// Lets the system ask a peer that says nothing whether it is there: one that is not is gone after `silence`. Some peers have
/// nothing to say for long, as those that poll.
pub(super) fn notice_dead_peers(stream: &TcpStream, silence: Duration) {
    let (idle, interval) = probing(silence);
    let options = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(PROBES);
    // Without it the connection still works.
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&options) {
        tracing::debug!(%error, "the system does not probe a connection");
    }
}

/// After which time a silent peer is asked first, and how often from then on. The system takes whole seconds.
fn probing(silence: Duration) -> (Duration, Duration) {
    let seconds = |time: Duration| Duration::from_secs(time.as_secs().max(1)).min(LONGEST);
    let interval = seconds(silence / (2 * PROBES));
    (seconds(silence.saturating_sub(PROBES * interval)), interval)
}

/// How long a connection may rest between two requests, as its peer is told.
#[derive(Debug, Clone)]
pub(super) struct Rest(Option<HeaderValue>);

impl Rest {
    /// `longest` is when it is closed. The peer is told less: a request that is on its way then still arrives.
    pub(super) fn new(longest: Duration) -> Rest {
        let told = (longest - longest / 5).as_secs();
        Rest((told > 0).then(|| HeaderValue::from_str(&format!("timeout={told}")).expect("it is ASCII")))
    }

    /// Tells the peer, if the connection goes on.
    pub(super) fn tell(&self, is_last: bool, answer: &mut HeaderMap) {
        if let (Some(rest), false) = (&self.0, is_last || answer.contains_key(CONNECTION)) {
            answer.insert(KEEP_ALIVE, rest.clone());
        }
    }
}

/// Whether a request says that nothing follows it.
pub(super) fn is_last(request: &HeaderMap) -> bool {
    let values = request.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_peer_is_gone_after_the_silence_that_a_client_may_keep() {
        for silence in [4, 6, 30, 31, 60, 3_600] {
            let silence = Duration::from_secs(silence);
            let (idle, interval) = probing(silence);
            let gone = idle + PROBES * interval;
            assert_eq!(gone, silence);
        }
        assert_eq!(probing(Duration::from_secs(30)), (Duration::from_secs(15), Duration::from_secs(5)));
    }

    #[test]
    fn the_system_takes_times_of_any_length() {
        for silence in [Duration::ZERO, Duration::from_millis(300), Duration::MAX] {
            let (idle, interval) = probing(silence);
            assert!(idle >= Duration::from_secs(1) && idle <= LONGEST, "{idle:?}");
            assert!(interval >= Duration::from_secs(1) && interval <= LONGEST, "{interval:?}");
        }
    }

    #[test]
    fn a_peer_is_told_to_come_before_its_connection_is_closed() {
        let told = |longest, is_last| {
            let mut headers = HeaderMap::new();
            Rest::new(longest).tell(is_last, &mut headers);
            headers.get(KEEP_ALIVE).map(|value| value.to_str().expect("it is ASCII").to_owned())
        };
        assert_eq!(told(Duration::from_secs(10), false).as_deref(), Some("timeout=8"));
        assert_eq!(told(Duration::from_secs(2), false).as_deref(), Some("timeout=1"));
        assert_eq!(told(Duration::from_secs(1), false), None);
        assert_eq!(told(Duration::from_secs(10), true), None);
    }
}
