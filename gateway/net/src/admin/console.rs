//! The console: a page for operators, whose files are part of the gateway. It needs no token itself, and signs its operators in.

use std::fmt::Write;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Request, StatusCode};
use hubgate_wire::endpoint::Endpoint;

use super::outcome::Denial;
use crate::http::{Answer, empty, with_type};

/// Where its files are. Whatever is asked for relative to it stays below the path under which a proxy has the listener.
const FOLDER: &str = "/console/";
const METHODS: &str = "GET, HEAD";
/// Files of the console, in number.
const COUNT: usize = 6;
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

struct File {
    /// Below [`FOLDER`].
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

macro_rules! file {
    ($name:literal, $file:literal, $content_type:literal) => {
        File {
            name: $name,
            content_type: $content_type,
            content: include_bytes!(concat!("../../../../console/dist/", $file)),
        }
    };
}

static FILES: [File; COUNT] = [
    file!("", "index.html", "text/html; charset=utf-8"),
    file!("console.js", "console.js", "text/javascript; charset=utf-8"),
    file!("console.css", "console.css", "text/css; charset=utf-8"),
    file!("signalr.js", "signalr.js", "text/javascript; charset=utf-8"),
    file!("icon.svg", "icon.svg", "image/svg+xml; charset=utf-8"),
    file!("licenses.txt", "licenses.txt", "text/plain; charset=utf-8"),
];

/// The entity tags of [`FILES`]: browsers ask each time, and get what has changed.
static TAGS: LazyLock<[HeaderValue; COUNT]> = LazyLock::new(|| FILES.each_ref().map(|file| tag(file.content)));

/// What the console's paths answer; `None` is any other path. `endpoints` are those that its clients connect to.
pub(super) fn answer<B>(request: &Request<B>, endpoints: &[Endpoint]) -> Option<Result<Answer, Denial>> {
    let path = request.uri().path();
    let leads_there = path == "/" || Some(path) == FOLDER.strip_suffix('/');
    let name = path.strip_prefix(FOLDER);
    if name.is_none() && !leads_there {
        return None;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(Err(Denial::other_methods(METHODS.to_owned())));
    }
    let Some(name) = name else {
        return Some(Ok(redirect()));
    };
    let Some(index) = FILES.iter().position(|file| file.name == name) else {
        let why = format!("Nothing is here. The console is at {FOLDER}.");
        return Some(Err(Denial::new(StatusCode::NOT_FOUND, why)));
    };
    Some(Ok(file(index, request.headers(), endpoints)))
}

fn redirect() -> Answer {
    let mut answer = empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = answer.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static("console/"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn file(index: usize, asked: &HeaderMap, endpoints: &[Endpoint]) -> Answer {
    let (file, tag) = (&FILES[index], &TAGS[index]);
    let mut answer = match is_known(asked, tag) {
        true => empty(StatusCode::NOT_MODIFIED),
        false => with_type(StatusCode::OK, file.content_type, file.content),
    };
    let headers = answer.headers_mut();
    headers.insert(ETAG, tag.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, policy(endpoints));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// Whether the browser has what it asks for. A proxy that compresses makes tags weak.
fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).any(|known| known.trim().trim_start_matches("W/").as_bytes() == tag)
}

fn tag(content: &[u8]) -> HeaderValue {
    let mut tag = String::from('"');
    for byte in &digest(&SHA256, content).as_ref()[..16] {
        write!(tag, "{byte:02x}").expect("a string takes any text");
    }
    tag.push('"');
    HeaderValue::try_from(tag).expect("digits make a value")
}

/// What the page may do: nothing that is not its own but connect to `endpoints`, which its playground does.
fn policy(endpoints: &[Endpoint]) -> HeaderValue {
    let connect: String = endpoints.iter().filter_map(sources).map(|sources| format!(" {sources}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{connect}; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    );
    HeaderValue::try_from(policy).expect("sources are ASCII")
}

/// An endpoint's origin as a policy names it, for requests and for WebSockets. `None`: no policy can, as of IPv6 addresses.
fn sources(endpoint: &Endpoint) -> Option<String> {
    let url = endpoint.to_string();
    let origin = url.strip_suffix(endpoint.base_path()).unwrap_or(&url);
    let (scheme, authority) = origin.split_once("://")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let sockets = if scheme == "https" { "wss" } else { "ws" };
    authority.bytes().all(is_plain).then(|| format!("{origin} {sockets}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str, known: &str) -> Request<()> {
        let request = Request::builder().method(method).uri(path).header(IF_NONE_MATCH, known);
        request.body(()).expect("a request")
    }

    fn got(method: Method, path: &str, known: &str) -> Answer {
        match answer(&asked(method, path, known), &[]).expect("it is the console's") {
            Ok(answer) => answer,
            Err(denial) => denial.into(),
        }
    }

    #[test]
    fn all_files_of_the_folder_are_there_and_all_that_the_page_names() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../console/dist");
        let files = std::fs::read_dir(folder).expect("it is a folder").count();
        assert_eq!(files, FILES.len());
        let page = std::str::from_utf8(FILES[0].content).expect("it is text");
        let named = page.split("=\"").filter_map(|rest| rest.split('"').next()).filter(|value| value.contains('.'));
        let named: Vec<&str> = named.collect();
        assert_eq!(named, ["icon.svg", "console.css", "console.js"]);
        for name in named {
            assert!(FILES.iter().any(|file| file.name == name), "{name}");
        }
    }

    #[test]
    fn a_browser_gets_again_only_what_it_does_not_know() {
        let first = got(Method::GET, "/console/", "\"another\"");
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].to_str().expect("it is text");
        assert_ne!(first.headers()[ETAG], got(Method::GET, "/console/console.js", "").headers()[ETAG]);
        for known in [tag.to_owned(), format!("\"another\", W/{tag}")] {
            let again = got(Method::GET, "/console/", &known);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.headers()[CONTENT_SECURITY_POLICY], first.headers()[CONTENT_SECURITY_POLICY]);
        }
    }

    #[test]
    fn its_paths_are_read_and_all_others_are_none_of_its() {
        for path in ["/", "/console"] {
            let redirect = got(Method::HEAD, path, "");
            assert_eq!(
                (redirect.status(), &redirect.headers()[LOCATION]),
                (StatusCode::TEMPORARY_REDIRECT, &HeaderValue::from_static("console/"))
            );
        }
        for path in ["/", "/console", "/console/", "/console/console.js", "/console/nothing"] {
            assert_eq!(got(Method::POST, path, "").status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
        for path in ["/console/nothing", "/console/index.html", "/console//", "/console/../admin/keys"] {
            assert_eq!(got(Method::GET, path, "").status(), StatusCode::NOT_FOUND, "{path}");
        }
        for path in ["/admin/hubs", "/consoles", "//", "/index.html"] {
            assert!(answer(&asked(Method::GET, path, ""), &[]).is_none(), "{path}");
        }
    }

    #[test]
    fn the_page_connects_to_endpoints_that_a_policy_can_name_and_to_nothing_else() {
        let endpoints =
            ["http://localhost:8888", "https://example.com/base", "http://[::1]:8888", "http://a;script-src"];
        let endpoints = endpoints.map(|url| Endpoint::parse(url).expect("a URL"));
        let policy = policy(&endpoints);
        let policy = policy.to_str().expect("it is text");
        let of = |name: &str| policy.split("; ").find_map(|part| part.strip_prefix(name)).map(str::to_owned);
        assert_eq!(
            of("connect-src ").as_deref(),
            Some("'self' http://localhost:8888 ws://localhost:8888 https://example.com wss://example.com")
        );
        assert_eq!(of("script-src ").as_deref(), Some("'self'"));
        assert_eq!(of("default-src ").as_deref(), Some("'none'"));
    }
}
