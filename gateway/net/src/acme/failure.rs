//! Why no certificate could be had, what to do about it, and when it is tried again.

use std::time::Duration;

use instant_acme::{Error, Problem};

use crate::settings::DomainName;

/// How long after the first failure it is tried again, and by how much longer each further time. A directory counts what fails: Let's Encrypt
/// takes five validations of a name that fail in an hour, and so many fit into the first one.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const GROWTH: u32 = 6;
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);
/// The longest wait that a directory may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// What came in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) what: String,
    /// What to do; empty if nobody knows.
    pub(super) cure: &'static str,
    /// The directory does not know the account.
    pub(super) is_of_account: bool,
}

impl Failure {
    pub(super) fn other(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), cure: "", is_of_account: false }
    }

    /// The folder for what is kept cannot be used.
    pub(super) fn of_folder(what: String) -> Failure {
        let cure =
            "the gateway must be able to write below `server.data-dir`; nothing is ordered that could not be kept";
        Failure { cure, ..Failure::other(what) }
    }

    /// The directory does not believe that a name is the gateway's.
    pub(super) fn of_validation(domain: &DomainName, problem: Option<&Problem>) -> Failure {
        let why = problem.map_or_else(|| "it does not say why".to_owned(), told);
        let cure = "the name must lead to this gateway's listener by port 443, from everywhere, with nothing before it that ends TLS";
        Failure { cure, ..Failure::other(format!("the directory could not validate {domain}: {why}")) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let problem = match error {
            Error::Api(problem) => problem,
            Error::Other(error) => {
                let cure = "the gateway must reach `server.tls.acme.directory`";
                return Failure { cure, ..Failure::other(error.to_string()) };
            }
            error => return Failure::other(error.to_string()),
        };
        let kind = problem.r#type.as_deref().unwrap_or_default().rsplit(':').next().unwrap_or_default();
        let cure = match kind {
            "rateLimited" => "the directory's limit is used up: it is tried again when that says so",
            "rejectedIdentifier" | "unsupportedIdentifier" => {
                "the directory has no certificates for such a name: correct `server.tls.acme.domains`"
            }
            "invalidContact" | "unsupportedContact" => "correct `server.tls.acme.email`",
            "externalAccountRequired" => {
                "the directory wants an account that is known to it otherwise, which the gateway does not have: choose another one"
            }
            "caa" => "a CAA record of the name must allow the directory's authority",
            _ => "",
        };
        let is_of_account = kind == "accountDoesNotExist";
        Failure { what: format!("the directory refuses: {}", told(&problem)), cure, is_of_account }
    }
}

/// What a directory says of a problem, on one line and not without end.
fn told(problem: &Problem) -> String {
    const LONGEST: usize = 1_000;
    let text = problem.to_string();
    text.strip_prefix("API error: ").unwrap_or(&text).chars().take(LONGEST).collect()
}

/// Counts failures, one after the other.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait now. `asked` is what the directory asks for; `random` is from 0 to 1, so that many gateways do not come at once.
    pub(super) fn next(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let own = FIRST_RETRY.saturating_mul(GROWTH.saturating_pow(self.failures)).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1);
        let wait = own.max(asked.unwrap_or_default().min(LONGEST_RETRY_AFTER));
        wait.mul_f64(1.0 + random / 5.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_attempts_fit_into_the_first_hour_and_one_into_each_further_one() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..6).map(|_| backoff.next(None, 0.0).as_secs()).collect();
        assert_eq!(waits, [5, 30, 180, 1_080, 3_600, 3_600]);
        assert!(waits[..4].iter().sum::<u64>() < 3_600 && waits[..5].iter().sum::<u64>() > 3_600);
        for _ in 0..100 {
            backoff.next(None, 0.0);
        }
        assert_eq!(backoff.next(None, 1.0), Duration::from_secs(4_320), "the wait and a fifth more");
    }

    #[test]
    fn a_directory_may_ask_for_more_time_but_not_for_all() {
        let wait = |asked| Backoff::default().next(Some(Duration::from_secs(asked)), 0.0).as_secs();
        assert_eq!([0, 5, 600, u64::MAX].map(wait), [5, 5, 600, 86_400]);
    }

    #[test]
    fn what_is_refused_comes_with_what_to_do() {
        let refused = |kind: &str| {
            let problem = format!(r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "no"}}"#);
            Failure::from(Error::Api(serde_json::from_str(&problem).expect("a problem")))
        };
        for (kind, cure) in [
            ("rateLimited", "limit"),
            ("rejectedIdentifier", "server.tls.acme.domains"),
            ("invalidContact", "server.tls.acme.email"),
            ("externalAccountRequired", "another"),
            ("caa", "CAA"),
        ] {
            let failure = refused(kind);
            assert!(failure.cure.contains(cure) && failure.what.contains(kind), "{failure:?}");
            assert!(!failure.is_of_account, "{kind}");
        }
        assert!(refused("accountDoesNotExist").is_of_account);
        let away = Failure::from(Error::Other("connection refused".into()));
        assert!(away.cure.contains("server.tls.acme.directory") && away.what == "connection refused");
    }
}
