//! Who may ask the admin listener for what: by the host that is asked, the page that asks, and the token.

use http::header::{HeaderMap, ORIGIN};
use http::{Request, StatusCode, Uri};

use super::Admin;
use super::operations::{Needs, Operation};
use super::outcome::Denial;
use crate::http::{asked_host, bearer_token};
use crate::settings::AdminSettings;

/// Which of the tokens a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    /// `admin.read-token-file`.
    Read,
    Admin,
}

impl Token {
    /// For the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Token::Read => "read token",
            Token::Admin => "admin token",
        }
    }

    /// For operators.
    pub(super) fn short_name(self) -> &'static str {
        match self {
            Token::Read => "read",
            Token::Admin => "admin",
        }
    }

    /// That of a request, if it has one of ours.
    pub(super) fn of(headers: &HeaderMap, settings: &AdminSettings) -> Option<Token> {
        let sent = bearer_token(headers)?.as_bytes();
        let is_sent = |token: &str| aws_lc_rs::constant_time::verify_slices_are_equal(sent, token.as_bytes()).is_ok();
        // Both are looked at, whichever it is.
        let (is_admin, is_read) = (is_sent(&settings.token), settings.read_token.as_deref().is_some_and(is_sent));
        match (is_admin, is_read) {
            (true, _) => Some(Token::Admin),
            (false, true) => Some(Token::Read),
            (false, false) => None,
        }
    }
}

/// Refuses what the token does not open, what no token opens now, and changes that another page asks for.
pub(super) fn check<B>(
    operation: &Operation,
    token: Option<Token>,
    request: &Request<B>,
    settings: &AdminSettings,
) -> Result<(), Denial> {
    let forbidden = |text: &str| Err(Denial::new(StatusCode::FORBIDDEN, text));
    match (operation.needs, token) {
        (Needs::ToRead, Some(Token::Read)) if operation.asks_for_secrets(request.uri()) => {
            return forbidden("The read token does not open payloads: they need the admin token.");
        }
        (Needs::Nothing | Needs::ToRead, _) | (_, Some(Token::Admin)) => {}
        (Needs::Secrets, _) => {
            return forbidden(
                "The read token does not open access keys and what plugins log: they need the admin token.",
            );
        }
        (Needs::ToChange, _) => return forbidden("The read token changes nothing: a change needs the admin token."),
    }
    if operation.needs != Needs::ToChange {
        return Ok(());
    }
    if !is_of_own_page(request.uri(), request.headers()) {
        return forbidden(
            "The Origin of the request is not this listener's: changes are for its own pages, and for what is no page.",
        );
    }
    match settings.read_only {
        true => forbidden("Nothing is changed here: the configuration sets `admin.read-only`."),
        false => Ok(()),
    }
}

/// Whether it comes from no page of a browser, or from one of the host that it is for, which is known to be ours.
fn is_of_own_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = asked_host(uri, headers).unwrap_or_default();
    let is_own = |origin: &http::HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        // What ends TLS in front of the listener may have changed the scheme.
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    headers.get_all(ORIGIN).iter().all(is_own)
}

/// A page of a browser must not reach the listener through a name that it made point here.
pub(super) fn is_for_us<B>(admin: &Admin, request: &Request<B>) -> bool {
    let Some(host) = asked_host(request.uri(), request.headers()) else {
        return false;
    };
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &host,
    };
    let own = admin.shared.admin_address.ip();
    let own_name = if own.is_ipv6() { format!("[{own}]") } else { own.to_string() };
    let settings = admin.shared.settings();
    let hosts = &settings.admin.hosts;
    ["localhost", "127.0.0.1", "[::1]", &own_name].contains(&name)
        || hosts.iter().any(|each| each == name || *each == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(read_token: Option<&str>) -> AdminSettings {
        AdminSettings {
            token: "t".repeat(16),
            read_token: read_token.map(str::to_owned),
            ..crate::settings::tests::settings().admin
        }
    }

    fn token(sent: &str, settings: &AdminSettings) -> Option<Token> {
        let authorization = format!("Bearer {sent}").parse().expect("a value");
        Token::of(&HeaderMap::from_iter([(http::header::AUTHORIZATION, authorization)]), settings)
    }

    #[test]
    fn each_token_is_told_from_the_other_and_from_anything_else() {
        let (admin, read) = ("t".repeat(16), "r".repeat(16));
        let both = settings(Some(&read));
        assert_eq!(token(&admin, &both), Some(Token::Admin));
        assert_eq!(token(&read, &both), Some(Token::Read));
        assert_eq!(token(&read, &settings(None)), None);
        for other in ["", "t", &"t".repeat(17), &"r".repeat(15)] {
            assert_eq!(token(other, &both), None, "{other}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_none_of_ours() {
        let is_ours = |origins: &[&str]| {
            let mut headers = HeaderMap::from_iter([(http::header::HOST, "localhost:8889".parse().expect("a value"))]);
            for origin in origins {
                headers.append(ORIGIN, origin.parse().expect("a value"));
            }
            is_of_own_page(&Uri::from_static("/admin/hubs"), &headers)
        };
        for own in [&[][..], &["http://localhost:8889"], &["https://LOCALHOST:8889"]] {
            assert!(is_ours(own), "{own:?}");
        }
        for other in [
            &["null"][..],
            &[""],
            &["http://localhost"],
            &["http://localhost:8888"],
            &["http://evil.example"],
            &["http://localhost:8889.evil.example"],
            &["ftp://localhost:8889"],
            &["http://localhost:8889", "http://evil.example"],
        ] {
            assert!(!is_ours(other), "{other:?}");
        }
    }
}
