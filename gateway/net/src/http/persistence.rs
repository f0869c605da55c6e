//! Connections that go on after a request: how long they may rest.

use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

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
