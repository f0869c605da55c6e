//! What all threads of the gateway share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use hubgate_core::follower::Follower;
use hubgate_core::time::Millis;
use hubgate_core::{Directory, HashSeed};
use hubgate_wire::token::AccessKey;
use prometheus_client::registry::Registry;

use crate::admission::{Admission, NoRoom};
use crate::certificate_status::CertificateStatus;
use crate::cluster_link::ClusterLink;
use crate::http_places::HttpPlaces;
use crate::loads::Loads;
use crate::metrics::Metrics;
use crate::outboxes::Outboxes;
use crate::provider_keys::ProviderKeys;
use crate::refusal::Refusal;
use crate::refusal_log::{Overdue, RefusalLog};
use crate::resource_log::{Hearing, ResourceLog};
use crate::settings::{LogCategory, Settings};
use crate::telemetry::Telemetry;
use crate::vitals::Vitals;

/// What all threads of the gateway read.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: ArcSwap<Settings>,
    /// Whether a key was once the gateway's own, and no longer is.
    has_lost_keys: AtomicBool,
    pub(crate) admin_address: SocketAddr,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) loads: Loads,
    pub(crate) http_places: Arc<HttpPlaces>,
    /// The way to other nodes; `None` if the gateway serves alone.
    pub(crate) cluster: Option<ClusterLink>,
    pub(crate) directory: Arc<Directory>,
    /// Of all shards.
    pub(crate) hash_seed: HashSeed,
    pub(crate) outboxes: Arc<Outboxes>,
    pub(crate) metrics: Metrics,
    pub(crate) telemetry: Arc<Telemetry>,
    /// None: nothing is told of connections, messages and requests.
    pub(crate) resource_log: Option<Arc<ResourceLog>>,
    pub(crate) refusal_log: RefusalLog,
    pub(crate) provider_keys: ProviderKeys,
    /// Of the one that the gateway gets for itself, if it does.
    pub(crate) certificate: Arc<CertificateStatus>,
    /// What certificates of webhooks are checked by, once it is needed.
    pub(crate) web_tls: OnceLock<rustls::ClientConfig>,
    #[cfg(test)]
    pub(crate) faults: crate::faults::Faults,
    started: Instant,
}

impl Shared {
    /// `registry` has the metrics of plugins. `cluster`: the way to other nodes, if it is configured.
    pub(crate) fn new(
        settings: Settings,
        (cluster, telemetry): (Option<ClusterLink>, Telemetry),
        admin_address: SocketAddr,
        vitals: Arc<Vitals>,
        registry: Registry,
        certificate: Arc<CertificateStatus>,
    ) -> Shared {
        let hash_seed = HashSeed::random();
        Shared {
            loads: Loads::new(settings.shards, vitals.clone()),
            vitals,
            outboxes: Arc::new(Outboxes::new(settings.limits.outboxes)),
            settings: ArcSwap::from_pointee(settings),
            has_lost_keys: AtomicBool::new(false),
            admin_address,
            admission: Arc::default(),
            http_places: Arc::default(),
            cluster,
            directory: Arc::new(Directory::new(hash_seed.clone())),
            hash_seed,
            metrics: Metrics::new(registry),
            telemetry: Arc::new(telemetry),
            resource_log: None,
            refusal_log: RefusalLog::default(),
            provider_keys: ProviderKeys::default(),
            certificate,
            web_tls: OnceLock::new(),
            #[cfg(test)]
            faults: crate::faults::Faults::default(),
            started: Instant::now(),
        }
    }

    /// The settings as they are now, with at least one endpoint.
    pub(crate) fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// From now on these are the settings. The shards' cores have their own, and go on with them until they are told.
    pub(crate) fn set_settings(&self, settings: Settings) {
        self.outboxes.set_limit(settings.limits.outboxes);
        let is_kept = |key: &AccessKey| settings.access_keys.iter().any(|other| other.expose() == key.expose());
        if !self.settings().access_keys.iter().all(is_kept) {
            self.has_lost_keys.store(true, Ordering::Relaxed);
        }
        self.settings.store(Arc::new(settings));
    }

    /// Whether tokens may be about that were signed with a key of the gateway which is none of its own any more.
    pub(crate) fn has_lost_keys(&self) -> bool {
        self.has_lost_keys.load(Ordering::Relaxed)
    }

    /// The resource log, if it has messages.
    pub(crate) fn message_log(&self) -> Option<&Arc<ResourceLog>> {
        self.resource_log.as_ref().filter(|log| log.wants(LogCategory::Messaging))
    }

    /// Who hears what clients say, and decides which messages are followed, if anybody does now.
    pub(crate) fn follower(&self) -> Option<Arc<dyn Follower>> {
        Hearing::before(self.telemetry.follower(), self.message_log())
    }

    /// Tells what was counted of refusals whose causes do not come again. To be called every now and then.
    pub(crate) fn tell_overdue_refusals(&self) {
        for Overdue { kind, cause, untold } in self.refusal_log.sweep(Instant::now()) {
            tracing::warn!(reason = kind, %cause, more = untold, "requests were refused since their cause was told");
        }
    }

    /// The refusal of a client that a limit keeps out.
    pub(crate) fn no_room(&self, full: NoRoom) -> Refusal {
        let wait = self.admission.retry_after(&full, Instant::now());
        Refusal::NoRoom { full, wait }
    }

    pub(crate) fn now(&self) -> Millis {
        self.started.elapsed().into()
    }
}

/// Seconds since 1970, as tokens count them.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Milliseconds since 1970.
pub(crate) fn unix_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
