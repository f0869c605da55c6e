//! Serves the certificate that is kept, and gets another one whenever it is time.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::Account;
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};

use super::certificates::{Certificate, Certificates};
use super::client::DirectoryClient;
use super::failure::{Backoff, Failure};
use super::order;
use super::store::Store;
use super::validity::Validity;
use crate::settings::AcmeSettings;
use crate::shared::unix_seconds;
use crate::tasks::{self, Caught};

/// How long an order may take in all.
const ORDER: Duration = Duration::from_secs(600);
/// The clock of the machine may be set, and may stand while the machine sleeps: it is looked at again after so long.
const LOOK: Duration = Duration::from_secs(600);

/// What keeps the certificate of one configuration valid.
#[derive(Debug)]
pub(super) struct Renewal {
    settings: AcmeSettings,
    certificates: Arc<Certificates>,
    store: Store,
    client: DirectoryClient,
    /// When it is time for another certificate, in seconds since 1970; none without one of these settings.
    due: Option<u64>,
    /// What the log says of the failures since the last certificate, and whether that had ended by then.
    told: Option<(String, bool)>,
}

impl Renewal {
    pub(super) fn new(settings: AcmeSettings, certificates: Arc<Certificates>, tls: ClientConfig) -> Renewal {
        let (store, client) = (Store::new(&settings), DirectoryClient::new(tls));
        Renewal { settings, certificates, store, client, due: None, told: None }
    }

    /// For as long as these settings hold.
    pub(super) async fn go_on(mut self) {
        self.take_what_is_kept().await;
        loop {
            if let Some(due) = self.due {
                until(due).await;
            }
            self.get_certificate().await;
        }
    }

    async fn take_what_is_kept(&mut self) {
        let kept = self.on_disk(|store| store.certificate()).await;
        let domains = self.names();
        match kept {
            Ok(Some(pem)) => match Certificate::from_pem(&pem) {
                Ok(certificate) if certificate.validity.end > unix_seconds() => {
                    tracing::info!(%domains, expires = %date(certificate.validity.end), "the certificate that is kept serves");
                    self.due = Some(renewal_time(certificate.validity, rand::random()));
                    self.certificates.serve(certificate);
                    return;
                }
                Ok(_) => tracing::warn!(%domains, "the certificate that is kept has expired"),
                Err(error) => tracing::warn!(%domains, "the certificate that is kept is not used: its file {error}"),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(%domains, "the certificate that is kept is not used: {error}"),
        }
        let (directory, meanwhile) = (&self.settings.directory, self.meanwhile());
        tracing::info!(%domains, %directory, "there is no certificate for these names yet: one is ordered. {meanwhile}");
    }

    /// Tries until it is there.
    async fn get_certificate(&mut self) {
        let mut backoff = Backoff::default();
        let certificate = loop {
            let attempt = Caught::new(timeout(ORDER, self.attempt())).await;
            let attempt = attempt.unwrap_or_else(|panicked| Ok(Err(Failure::other(panicked.to_string()))));
            let failure = match attempt {
                Ok(Ok(certificate)) => break certificate,
                Ok(Err(failure)) => failure,
                Err(_) => Failure::other(format!("the order takes longer than {} s", ORDER.as_secs())),
            };
            let wait = backoff.next(self.client.retry_after(), rand::random());
            self.certificates.order_failed();
            self.tell(&failure, wait);
            until(unix_seconds().saturating_add(wait.as_secs())).await;
        };
        self.told = None;
        let (domains, expires) = (self.names(), date(certificate.validity.end));
        tracing::info!(%domains, %expires, "a new certificate serves");
        self.due = Some(next_renewal(certificate.validity, unix_seconds(), rand::random()));
        self.certificates.serve(certificate);
    }

    async fn attempt(&self) -> Result<Certificate, Failure> {
        self.on_disk(|store| store.check()).await.map_err(Failure::of_folder)?;
        let account = self.account().await?;
        let ordered = order::order(&account, &self.settings.domains, &self.certificates).await;
        let pem = match ordered {
            // The directory has forgotten it: another one is made.
            Err(failure) if failure.is_of_account => {
                let account = self.new_account().await?;
                order::order(&account, &self.settings.domains, &self.certificates).await?
            }
            ordered => ordered?,
        };
        let certificate = Certificate::from_pem(&pem);
        let certificate =
            certificate.map_err(|error| Failure::other(format!("what the directory has issued {error}")))?;
        if certificate.validity.end <= unix_seconds() {
            return Err(Failure::other(
                "what the directory has issued has expired: is the clock of this machine right?",
            ));
        }
        if let Err(error) = self.on_disk(move |store| store.keep_certificate(&pem)).await {
            tracing::warn!("the new certificate serves until the gateway ends, and is not kept: {error}");
        }
        Ok(certificate)
    }

    async fn account(&self) -> Result<Account, Failure> {
        match self.on_disk(|store| store.account()).await.map_err(Failure::of_folder)? {
            None => self.new_account().await,
            Some(kept) => match order::sign_in(&kept, self.client.clone()).await {
                Err(failure) if failure.is_of_account => self.new_account().await,
                signed_in => signed_in,
            },
        }
    }

    async fn new_account(&self) -> Result<Account, Failure> {
        let (account, kept) = order::register(&self.settings, self.client.clone()).await?;
        self.on_disk(move |store| store.keep_account(&kept)).await.map_err(Failure::of_folder)?;
        Ok(account)
    }

    /// Once, and again when it is something else or when the certificate ends meanwhile.
    fn tell(&mut self, failure: &Failure, wait: Duration) {
        let Failure { what, cure, .. } = failure;
        let told = (what.clone(), self.has_expired());
        if self.told.as_ref() == Some(&told) {
            tracing::debug!(domains = %self.names(), "no certificate could be got: {what}");
            return;
        }
        let meanwhile = self.meanwhile();
        let cure = if cure.is_empty() { String::new() } else { format!(" ({cure})") };
        let (domains, directory, seconds) = (self.names(), &self.settings.directory, wait.as_secs());
        tracing::warn!(
            %domains, %directory,
            "no certificate could be got: {what}{cure}. It is tried again in {seconds} s, and then less often. {meanwhile}"
        );
        self.told = Some(told);
    }

    /// Whether one serves whose time is over.
    fn has_expired(&self) -> bool {
        (1..=unix_seconds()).contains(&self.certificates.status().expires())
    }

    /// What becomes of handshakes until another certificate is there.
    fn meanwhile(&self) -> String {
        match self.certificates.status().expires() {
            0 => "Handshakes are refused until it is there".to_owned(),
            expired if self.has_expired() => format!("The old one has expired at {}", date(expired)),
            expires => format!("The old one serves until {}", date(expires)),
        }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.settings.domains.iter().map(|domain| domain.as_str()).collect();
        names.join(", ")
    }

    /// On a thread of its own: a disk may be slow.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let store = self.store.clone();
        let working = tasks::on_a_thread("certificates", move || work(&store)).map_err(|error| error.to_string())?;
        working.await.map_err(|panicked| panicked.to_string())?
    }
}

/// When a certificate is renewed, in seconds since 1970: a third of its time before its end, and a little earlier by `random`, which is from 0
/// to 1: not all that were issued together are renewed together.
fn renewal_time(validity: Validity, random: f64) -> u64 {
    let length = validity.length();
    let jitter = (length as f64 / 30.0 * random) as u64;
    validity.end - length / 3 - jitter
}

/// The same of one that has come `now`. Where the machine's clock is wrong it may seem to be due at once: orders have a distance all the same.
fn next_renewal(validity: Validity, now: u64, random: f64) -> u64 {
    renewal_time(validity, random).max(now.saturating_add(validity.length() / 3))
}

async fn until(time: u64) {
    while let Some(left) = time.checked_sub(unix_seconds()).filter(|left| *left > 0) {
        sleep(Duration::from_secs(left).min(LOOK)).await;
    }
}

/// As the log has times.
fn date(seconds: u64) -> impl std::fmt::Display {
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(std::time::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_time_is_left() {
        const DAY: u64 = 86_400;
        let validity = Validity { begin: 1_000 * DAY, end: 1_090 * DAY };
        assert_eq!(renewal_time(validity, 0.0), 1_060 * DAY);
        assert_eq!(renewal_time(validity, 1.0), 1_057 * DAY);
        assert_eq!(next_renewal(validity, 1_000 * DAY, 0.0), 1_060 * DAY);
        let clock_is_ahead = 1_080 * DAY;
        assert_eq!(next_renewal(validity, clock_is_ahead, 0.0), 1_110 * DAY, "and not at once, again and again");
        let short = Validity { begin: 100, end: 102 };
        assert!((101..=102).contains(&renewal_time(short, 0.9)));
    }
}
