//! The head of a request, within limits that hold on both versions of HTTP alike.

use http::header::{HOST, HeaderMap};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Uri, Version};

use crate::refusal::Refusal;

/// Headers of one request, in number.
pub(super) const MAX_HEADERS: usize = 100;

/// Refuses a head that is longer than `limit`, or has too many headers. The HTTP library lets longer ones pass: it bounds its
/// buffers, and on HTTP/2 no number.
pub(super) fn check(request: &Parts, limit: usize) -> Result<(), Refusal> {
    if request.headers.len() > MAX_HEADERS {
        return Err(Refusal::TooManyHeaders);
    }
    check_host(request.version, &request.headers)?;
    match length(request) > limit {
        true => Err(Refusal::HeadTooLarge { limit }),
        false => Ok(()),
    }
}

/// Refuses a request whose `Host` can be read in two ways, or in none (RFC 9112, section 3.2).
pub(crate) fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let is_clear = match (hosts.next(), hosts.next()) {
        (None, _) => version != Version::HTTP_11,
        (Some(host), None) => host.to_str().is_ok_and(is_host),
        (Some(_), Some(_)) => false,
    };
    match is_clear {
        true => Ok(()),
        false => Err(Refusal::bad_request("The request needs one `Host` header, with a host and perhaps a port.")),
    }
}

/// Whether it can stand in a `Host` header. It is empty where what is asked for has no host.
fn is_host(text: &str) -> bool {
    text.is_empty() || (text.parse::<Authority>().is_ok() && !text.contains('@'))
}

/// The host that a request is for, perhaps with a port. That of its target counts, where it has one, whatever its header says (RFC 9112,
/// section 3.2.2): a proxy's has, and each on HTTP/2.
pub(crate) fn host<'r>(target: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let of_header = || headers.get(HOST)?.to_str().ok();
    target.authority().map(Authority::as_str).or_else(of_header)
}

/// How long it is, in bytes, as HTTP/1.1 writes it.
fn length(request: &Parts) -> usize {
    let path = request.uri.path_and_query().map_or(0, |path: &PathAndQuery| path.as_str().len());
    let authority = request.uri.authority().map_or(0, |authority: &Authority| authority.as_str().len());
    let line = request.method.as_str().len() + authority + path + "  HTTP/1.1\r\n".len();
    let headers = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>() + "\r\n".len()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(headers: usize, value: &str) -> Parts {
        // It needs no `Host`.
        let mut request = Request::builder().uri("/path?query").version(Version::HTTP_10);
        for _ in 0..headers {
            request = request.header("a", value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_head_is_as_long_as_it_is_written() {
        let written = "GET /path?query HTTP/1.1\r\na: 123\r\na: 123\r\n\r\n";
        let head = head(2, "123");
        assert!(check(&head, written.len()).is_ok());
        assert!(matches!(check(&head, written.len() - 1), Err(Refusal::HeadTooLarge { .. })));
    }

    fn hosts(hosts: &[&str]) -> HeaderMap {
        hosts.iter().map(|host| (HOST, host.parse().expect("a value"))).collect()
    }

    #[test]
    fn a_request_names_one_host() {
        for clear in ["", "localhost", "127.0.0.1:8888", "[::1]:80", "a.example"] {
            assert!(check_host(Version::HTTP_11, &hosts(&[clear])).is_ok(), "{clear}");
        }
        for unclear in ["a b", "user@a.example", "a.example/path", "http://a.example", "a,b c"] {
            assert!(check_host(Version::HTTP_11, &hosts(&[unclear])).is_err(), "{unclear}");
        }
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(check_host(version, &hosts(&["a.example", "a.example"])).is_err());
            assert_eq!(check_host(version, &hosts(&[])).is_ok(), version != Version::HTTP_11);
        }
    }

    #[test]
    fn the_host_of_the_target_counts_and_that_of_the_header_is_read_as_a_whole() {
        let headers = hosts(&["127.0.0.1,evil.example"]);
        assert_eq!(host(&"http://a.example:8888/path".parse().expect("a URI"), &headers), Some("a.example:8888"));
        assert_eq!(host(&"/path".parse().expect("a URI"), &headers), Some("127.0.0.1,evil.example"));
    }

    #[test]
    fn a_head_has_at_most_a_hundred_headers() {
        assert!(check(&head(MAX_HEADERS, ""), 32 << 10).is_ok());
        assert!(matches!(check(&head(MAX_HEADERS + 1, ""), 32 << 10), Err(Refusal::TooManyHeaders)));
    }
}
