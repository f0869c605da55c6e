//! The keys of identity providers that publish them at a URL, as they are now.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Uri;
use hubgate_wire::token::identity::KeySet;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// How often tokens whose key is not known have the keys fetched.
const ASKED_AGAIN: Duration = Duration::from_secs(60);
/// How long a request waits for keys.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where a provider publishes its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyUrl(Uri);

/// Why a text is no [`KeyUrl`].
#[derive(Debug, thiserror::Error)]
#[error("is not a URL that begins with https:// or http:// and names a host")]
pub struct InvalidKeyUrl;

impl KeyUrl {
    pub fn parse(text: &str) -> Result<KeyUrl, InvalidKeyUrl> {
        let url: Uri = text.parse().map_err(|_| InvalidKeyUrl)?;
        match (url.scheme_str(), url.host()) {
            (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(KeyUrl(url)),
            _ => Err(InvalidKeyUrl),
        }
    }
}

impl KeyUrl {
    /// Whether what comes from there crosses a network unprotected.
    pub fn is_open_to_others(&self) -> bool {
        let host = self.0.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_this_machine = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.0.scheme_str() == Some("http") && !is_this_machine
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The keys of all providers at URLs.
#[derive(Debug, Default)]
pub(crate) struct ProviderKeys(Mutex<HashMap<KeyUrl, Arc<Source>>>);

/// The keys of one provider.
#[derive(Debug)]
pub(crate) struct Source {
    url: KeyUrl,
    keys: ArcSwapOption<KeySet>,
    /// How many fetches have ended.
    fetched: watch::Sender<u64>,
    is_fetching: AtomicBool,
    /// Somebody wants keys that are newer.
    wanted: Notify,
    /// When that was last heeded.
    asked: Mutex<Option<Instant>>,
}

impl ProviderKeys {
    /// Keeps those at these URLs from now on, and no others; gives those that are new.
    pub(crate) fn follow<'u>(&self, urls: impl Iterator<Item = &'u KeyUrl>) -> Vec<Arc<Source>> {
        let urls: HashSet<&KeyUrl> = urls.collect();
        let mut sources = self.sources();
        let mut begun = Vec::new();
        for url in &urls {
            if !sources.contains_key(*url) {
                let source = Arc::new(Source::new((*url).clone()));
                sources.insert((*url).clone(), source.clone());
                begun.push(source);
            }
        }
        // Whoever fetches looks whether it is still to.
        sources.extract_if(|url, _| !urls.contains(url)).for_each(|(_, source)| source.wanted.notify_one());
        begun
    }

    /// Those at a URL that is followed.
    pub(crate) fn at(&self, url: &KeyUrl) -> Option<Arc<Source>> {
        self.sources().get(url).cloned()
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<KeyUrl, Arc<Source>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn new(url: KeyUrl) -> Source {
        Source {
            url,
            keys: ArcSwapOption::empty(),
            fetched: watch::Sender::new(0),
            is_fetching: AtomicBool::new(true),
            wanted: Notify::new(),
            asked: Mutex::default(),
        }
    }

    /// The keys as they are now. As long as none have come, waits for a fetch under way.
    pub(crate) async fn keys(&self) -> Option<Arc<KeySet>> {
        let mut fetched = self.fetched.subscribe();
        if self.keys.load().is_none() && self.is_fetching.load(Ordering::Acquire) {
            let _ = timeout(LONGEST_WAIT, fetched.changed()).await;
        }
        self.keys.load_full()
    }

    /// Keys that are newer than `known`, for a token whose key is not among these; none if there are none, or if somebody has asked
    /// within a minute.
    pub(crate) async fn newer_keys(&self, known: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let is_newer = |keys: &Arc<KeySet>| !Arc::ptr_eq(keys, known);
        if let Some(newer) = self.keys.load_full().filter(is_newer) {
            return Some(newer);
        }
        let mut fetched = self.fetched.subscribe();
        if self.may_ask(Instant::now()) {
            self.is_fetching.store(true, Ordering::Release);
            self.wanted.notify_one();
        }
        if self.is_fetching.load(Ordering::Acquire) {
            let _ = timeout(LONGEST_WAIT, fetched.changed()).await;
        }
        self.keys.load_full().filter(is_newer)
    }

    fn may_ask(&self, now: Instant) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let may_ask = asked.is_none_or(|last| now - last >= ASKED_AGAIN);
        if may_ask {
            *asked = Some(now);
        }
        may_ask
    }

    pub(crate) fn url(&self) -> &KeyUrl {
        &self.url
    }

    /// A fetch begins.
    pub(crate) fn begin(&self) {
        self.is_fetching.store(true, Ordering::Release);
    }

    /// A fetch has ended.
    pub(crate) fn end(&self, fetched: Result<KeySet, String>) {
        match fetched {
            Ok(keys) => self.take(keys),
            Err(why) => {
                let keeps = self.keys.load().is_some();
                tracing::warn!(url = %self.url, keeps, "the keys of an identity provider cannot be fetched: {why}");
            }
        }
        self.is_fetching.store(false, Ordering::Release);
        self.fetched.send_modify(|count| *count += 1);
    }

    /// Somebody wants newer keys, or nobody any.
    pub(crate) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    fn take(&self, keys: KeySet) {
        if self.keys.load().as_deref() == Some(&keys) {
            return;
        }
        tracing::info!(url = %self.url, keys = keys.len(), "the keys of an identity provider have come");
        for unusable in keys.unusable() {
            tracing::warn!(url = %self.url, key = unusable.name, "a key of an identity provider is skipped: it {}", unusable.why);
        }
        self.keys.store(Some(Arc::new(keys)));
    }
}
