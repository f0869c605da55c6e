//! What operators are told of the certificate that the gateway gets for itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Kept by the part that gets the certificate, and read for the metrics.
#[derive(Debug, Default)]
pub(crate) struct CertificateStatus {
    expires: AtomicU64,
    failed_orders: AtomicU64,
}

impl CertificateStatus {
    /// The certificate that is served ends then, in seconds since 1970.
    pub(crate) fn serves_until(&self, end: u64) {
        self.expires.store(end, Ordering::Relaxed);
    }

    pub(crate) fn order_failed(&self) {
        self.failed_orders.fetch_add(1, Ordering::Relaxed);
    }

    /// In seconds since 1970; 0 without a certificate.
    pub(crate) fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    pub(crate) fn failed_orders(&self) -> u64 {
        self.failed_orders.load(Ordering::Relaxed)
    }
}
