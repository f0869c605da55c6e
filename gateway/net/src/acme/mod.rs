//! Certificates that the gateway gets for itself (ACME, RFC 8555): it proves on its own listener that a name is its own (TLS-ALPN-01,
//! RFC 8737), keeps what it gets, and renews it in time.

mod certificates;
mod client;
mod failure;
mod order;
mod renewal;
mod store;
mod validity;

use std::sync::Arc;

use tokio::task::AbortHandle;

use self::certificates::Certificates;
use self::renewal::Renewal;
use crate::certificate_status::CertificateStatus;
use crate::settings::{AcmeSettings, Settings};
use crate::shared::Shared;
use crate::tasks;
use crate::tls::Tls;
use crate::web_client;

/// The gateway's own certificate, if it is to get one.
#[derive(Debug, Default)]
pub(crate) struct Acme {
    certificates: Arc<Certificates>,
    /// Made once, so that sessions can be resumed after a reload.
    tls: Option<Tls>,
    following: Option<(AcmeSettings, AbortHandle)>,
}

impl Acme {
    /// The settings, with TLS by the certificate that is got, if one is.
    pub(crate) fn serving(&mut self, mut settings: Settings) -> Settings {
        if settings.acme.is_some() {
            let tls = self.tls.get_or_insert_with(|| Tls::with_resolver(self.certificates.clone()));
            settings.tls = Some(tls.clone());
        }
        settings
    }

    /// From now on certificates are those of these settings. What is served meanwhile stays.
    pub(crate) fn follow(&mut self, shared: &Shared, settings: Option<&AcmeSettings>) {
        if self.following.as_ref().map(|(followed, _)| followed) == settings {
            return;
        }
        if let Some((_, task)) = self.following.take() {
            task.abort();
        }
        let Some(settings) = settings else { return };
        let tls = match &settings.authorities {
            None => web_client::tls(shared),
            Some(authorities) => web_client::tls_trusting(authorities),
        };
        let renewal = Renewal::new(settings.clone(), self.certificates.clone(), tls);
        let task = tasks::spawn_vital(shared.vitals.clone(), "renewing the certificate", renewal.go_on());
        self.following = Some((settings.clone(), task));
    }

    pub(crate) fn status(&self) -> Arc<CertificateStatus> {
        self.certificates.status()
    }
}
