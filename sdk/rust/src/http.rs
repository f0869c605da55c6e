//! HTTP to what `plugins.NAME.allow-http` lists; a plugin that never asks does not need the grant.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use hubgate_plugin::http::Request;
//! use hubgate_plugin::{Error, Reply, reply};
//!
//! # fn handle() -> Reply {
//! let weather = Request::get("https://api.example.com/weather").timeout(Duration::from_millis(500)).send()?;
//! let degrees: f64 = weather.json()?;
//! # Request::post_json("https://api.example.com/", &degrees)?.header("x-key", "1").send()?;
//! reply(&degrees)
//! # }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::hubgate::plugin::types::Pair;

pub use crate::bindings::hubgate::plugin::http::{Error, Request, Response, send};

impl Request {
    /// Asks for what is at a URL.
    pub fn get(url: &str) -> Request {
        Request::new("GET", url)
    }

    /// Posts a value as JSON.
    pub fn post_json(url: &str, value: &(impl Serialize + ?Sized)) -> Result<Request, crate::Error> {
        let body = serde_json::to_vec(value)
            .map_err(|error| crate::Error::Failed(format!("a request's body is not JSON: {error}")))?;
        Ok(Request { body, ..Request::new("POST", url) }.header("content-type", "application/json"))
    }

    /// A request without headers and body.
    pub fn new(method: &str, url: &str) -> Request {
        Request { method: method.to_owned(), url: url.to_owned(), headers: vec![], body: vec![], timeout_ms: None }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push(Pair { name: name.to_owned(), value: value.to_owned() });
        self
    }

    /// Waits so long for the answer at most; without it, as long as the call may take.
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Waits for the answer, whatever its status. Other clients are served meanwhile.
    pub fn send(&self) -> Result<Response, Error> {
        send(self)
    }
}

impl Response {
    /// The body, from JSON. Only an answer with a status from 200 to 299 has one that counts.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, crate::Error> {
        if !(200..300).contains(&self.status) {
            return Err(crate::Error::Failed(format!("http: the answer has the status {}", self.status)));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| crate::Error::Failed(format!("http: the answer is not the expected JSON: {error}")))
    }
}

impl From<Error> for crate::Error {
    /// For the log: clients are not told what a plugin asks.
    fn from(error: Error) -> crate::Error {
        crate::Error::Failed(match error {
            Error::Denied(reason) => format!("http: denied: {reason}"),
            Error::TimedOut => "http: there was no answer in time".to_owned(),
            Error::TooLarge => "http: the request or its answer is too large".to_owned(),
            Error::Failed(reason) => format!("http: {reason}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response { status, headers: vec![], body: body.into() }
    }

    #[test]
    fn json_is_read_of_an_answer_that_is_one() {
        assert_eq!(answer(200, "[1, 2]").json::<Vec<u8>>().unwrap(), [1, 2]);
        for (answer, mark) in [(answer(503, "[1]"), "503"), (answer(200, "<p>"), "expected JSON")] {
            let error = answer.json::<Vec<u8>>().unwrap_err();
            assert!(matches!(&error, crate::Error::Failed(text) if text.contains(mark)), "{error:?}");
        }
    }

    #[test]
    fn a_request_is_what_was_said() {
        let request = Request::post_json("http://a/", &[1]).unwrap().header("x", "y").timeout(Duration::from_secs(1));
        let headers: Vec<_> = request.headers.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
        assert_eq!(headers, [("content-type", "application/json"), ("x", "y")]);
        let Request { method, body, timeout_ms, .. } = request;
        assert_eq!((method.as_str(), &body[..], timeout_ms), ("POST", &b"[1]"[..], Some(1000)));
    }
}
