//! The head of a request, within limits that hold on both versions of HTTP alike.

use http::request::Parts;
use http::uri::{Authority, PathAndQuery};

use crate::refusal::Refusal;

/// Headers of one request, in number.
pub(super) const MAX_HEADERS: usize = 100;

/// Refuses a head that is longer than `limit`, or has too many headers. The HTTP library lets longer ones pass: it bounds its
/// buffers, and on HTTP/2 no number.
pub(super) fn check(request: &Parts, limit: usize) -> Result<(), Refusal> {
    if request.headers.len() > MAX_HEADERS {
        return Err(Refusal::TooManyHeaders);
    }
    match length(request) > limit {
        true => Err(Refusal::HeadTooLarge { limit }),
        false => Ok(()),
    }
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
        let mut request = Request::builder().uri("/path?query");
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

    #[test]
    fn a_head_has_at_most_a_hundred_headers() {
        assert!(check(&head(MAX_HEADERS, ""), 32 << 10).is_ok());
        assert!(matches!(check(&head(MAX_HEADERS + 1, ""), 32 << 10), Err(Refusal::TooManyHeaders)));
    }
}
