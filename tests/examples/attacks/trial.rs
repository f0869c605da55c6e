//! One attack from beginning to end.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hubgate_tests::Gateway;
use hubgate_tests::socket::Dialing;
use hubgate_tests::tls::CERTIFICATE;
use tokio_rustls::TlsConnector;

use crate::bystander::{Bystander, Fared, Phase};
use crate::catalogue::Attack;
use crate::meter::{Holding, Meter};

/// How long the gateway serves good clients alone, for comparison.
const QUIET: Duration = Duration::from_secs(2);
/// The longest time that an attack may take.
const MAX_ATTACK: Duration = Duration::from_secs(30);
/// An attack that has made the gateway hold more than this is broken off, to protect the machine.
const MAX_MEMORY: u64 = 3 << 30;
/// How long the attackers are gone when memory is measured again.
const AFTERMATH: Duration = Duration::from_secs(6);
/// How often the bounds of an attack are looked at.
const PERIOD: Duration = Duration::from_millis(50);
/// How long the admin listener may take to answer.
const ADMIN: Duration = Duration::from_secs(5);

/// What an attack came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rest: Holding,
    pub(crate) peak: Holding,
    pub(crate) after: Holding,
    pub(crate) quiet: Fared,
    pub(crate) under_attack: Fared,
    pub(crate) lasted: Duration,
    /// What the attack achieved, in its own words, and what is worth knowing beside.
    pub(crate) remarks: Vec<String>,
}

/// Starts a gateway, plays `attack` against it, and ends it.
pub(crate) fn run(attack: &Attack) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the operating system gives a poller").block_on(play(attack))
}

async fn play(attack: &Attack) -> Outcome {
    let gateway = (attack.setup)().start().await;
    let tls = gateway.folder().join(CERTIFICATE).exists().then(|| connector(&gateway));
    let meter = Meter::start(gateway.process_id(), gateway.folder().join("data"));
    let bystander = Bystander::start(&gateway, tls);
    tokio::time::sleep(QUIET).await;
    let rest = meter.now();

    bystander.enter(Phase::Attack);
    let began = Instant::now();
    let mut remarks = Vec::new();
    {
        let attack = AssertUnwindSafe((attack.play)(&gateway)).catch_unwind();
        tokio::select! {
            played = attack => remarks.push(match played {
                Ok(Ok(remark)) => remark,
                Ok(Err(error)) => format!("broken off: {error}"),
                Err(_) => "broken off: an attacker panicked, see the log".to_owned(),
            }),
            () = tokio::time::sleep(MAX_ATTACK) => remarks.push(format!("cut short after {MAX_ATTACK:?}")),
            () = holds_too_much(&meter) => remarks.push(format!("cut short at {} GiB", MAX_MEMORY >> 30)),
        }
    }
    let (lasted, under_attack) = (began.elapsed(), bystander.under_attack());

    bystander.enter(Phase::Over);
    tokio::time::sleep(AFTERMATH).await;
    let (after, peak) = (meter.now(), meter.peak());
    if meter.children_killed() > 0 {
        remarks.push(format!("{} compiler processes killed by this program", meter.children_killed()));
    }
    remarks.extend(admin_answers(&gateway).await);
    Outcome { rest, peak, after, quiet: bystander.quiet(), under_attack, lasted, remarks }
}

/// Trusts the gateway's certificate, and speaks HTTP/1.1.
fn connector(gateway: &Gateway) -> TlsConnector {
    TlsConnector::from(Dialing::secure(gateway).tls.expect("it is for TLS"))
}

async fn holds_too_much(meter: &Meter) {
    while meter.now().memory < MAX_MEMORY {
        tokio::time::sleep(PERIOD).await;
    }
}

/// What is wrong with the admin listener, if something is.
async fn admin_answers(gateway: &Gateway) -> Option<String> {
    const LARGE: usize = 1 << 20;
    let scrape = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send();
    match tokio::time::timeout(ADMIN, AssertUnwindSafe(scrape).catch_unwind()).await {
        Ok(Ok(answer)) if answer.body.len() > LARGE => {
            let (lines, mib) = (answer.body.lines().count(), answer.body.len() >> 20);
            Some(format!("a scrape of `/metrics` has {lines} lines, {mib} MiB"))
        }
        Ok(Ok(_)) => None,
        Ok(Err(_)) | Err(_) => Some("**the admin listener no longer answers**".to_owned()),
    }
}
