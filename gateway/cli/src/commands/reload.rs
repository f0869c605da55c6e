//! Follows the configuration while the gateway runs.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use hubgate_net::{Change, KeyRegeneration, ModeChange, OperatorOrder, OrderRefusal, Panicked, on_a_thread};
use hubgate_plugin_host::PluginHost;
use hubgate_wire::token::AccessKey;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::key_regeneration::{CALLER_GONE, forsake, rewrite, take_back, tell};
use super::service_manager;
use crate::config::{Change as When, Config, ConfigError, ReadFile, RewrittenFile, kept_modes};
use crate::logging::Logging;

/// How often the files are looked at. A changed one is read once it has been the same for so long.
const ROUND: Duration = Duration::from_millis(500);

/// Where the configuration comes from, and what of it this command keeps by itself.
pub(crate) struct Reload {
    pub(crate) load: Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>,
    pub(crate) logging: Logging,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

/// What the gateway is told while it runs.
#[derive(Debug)]
pub(crate) struct Told {
    /// SIGHUP.
    pub(crate) hang_up: Signal,
    pub(crate) orders: mpsc::Receiver<OperatorOrder>,
}

/// Why a configuration is not taken over.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} cannot change while the gateway runs: restart it for that, or take the change back")]
    Fixed(String),
    #[error(transparent)]
    Plugins(#[from] hubgate_plugin_host::StartError),
    #[error("no thread can be had to read it: {0}")]
    NoThread(io::Error),
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error("the gateway is stopping")]
    Stopping,
}

impl Reload {
    /// Reads the configuration again at SIGHUP, when one of its files changes, and when an operator wants something changed, and hands on
    /// what it says. A bad one changes nothing.
    pub(crate) async fn follow(
        self,
        mut current: Config,
        plugins: PluginHost,
        changes: mpsc::Sender<Change>,
        mut told: Told,
    ) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // As they were when they were read: what has changed since then is read next.
        let mut read = current.files.clone();
        let mut seen = read.clone();
        loop {
            let order = tokio::select! {
                _ = told.hang_up.recv() => {
                    tracing::info!("SIGHUP: reading the configuration again");
                    None
                }
                _ = rounds.tick() => {
                    let before = std::mem::replace(&mut seen, now(&read));
                    let is_settled = before == seen;
                    if seen == read || !is_settled {
                        continue;
                    }
                    None
                }
                Some(order) = told.orders.recv() => Some(order),
            };
            read = now(&read);
            service_manager::reloading();
            let applied = match order {
                Some(OperatorOrder::RegenerateKey(order)) => self.regenerate(order, &current, &plugins, &changes).await,
                Some(OperatorOrder::SetMode(change)) => self.set_mode(change, &current, &plugins, &changes).await,
                None => self.apply(&current, &plugins, &changes).await.map_err(say_that_it_stays).ok(),
            };
            if let Some(config) = applied {
                read.clone_from(&config.files);
                current = config;
            }
            service_manager::ready();
        }
    }

    /// Has a key made anew in the configuration as it stands now, and takes that over; gives it if it is.
    async fn regenerate(
        &self,
        order: KeyRegeneration,
        current: &Config,
        plugins: &PluginHost,
        changes: &mpsc::Sender<Change>,
    ) -> Option<Config> {
        if order.caller.is_gone() {
            forsake(order);
            return None;
        }
        if current.net.cluster.is_some() {
            drop(order.answer.send(Err(of_each_node(&current.kept_keys))));
            return None;
        }
        let load = self.load.clone();
        let find = move || {
            let as_it_is =
                load().map_err(|error| OrderRefusal(format!("the configuration cannot be taken over: {error}")));
            as_it_is.map(|config| config.kept_keys)
        };
        let rewritten = match rewrite(order.key, current.files.clone(), find).await {
            Ok(rewritten) => rewritten,
            Err(refusal) => {
                drop(order.answer.send(Err(refusal)));
                return None;
            }
        };
        match self.apply(current, plugins, changes).await {
            Ok(next) if is_same(&next.net.access_keys, &rewritten.keys) => {
                tell(order, &rewritten.keys);
                Some(next)
            }
            Ok(next) => {
                let why = "somebody else has changed the keys at the same moment; `hubgate keys` lists them";
                drop(order.answer.send(Err(OrderRefusal(why.to_owned()))));
                Some(next)
            }
            Err(error) => {
                drop(order.answer.send(Err(take_back(rewritten.file, say_that_it_stays(error)).await)));
                None
            }
        }
    }

    /// Has a hub's mode changed, and tells whoever asked; gives the configuration that is taken over, if one is.
    async fn set_mode(
        &self,
        change: ModeChange,
        current: &Config,
        plugins: &PluginHost,
        changes: &mpsc::Sender<Change>,
    ) -> Option<Config> {
        let (hub, operator) = (&change.hub, change.operator);
        if change.caller.is_gone() {
            tracing::info!(%hub, %operator, "a hub's mode stays: the operator is gone who wanted another one");
            drop(change.answer.send(Err(OrderRefusal(CALLER_GONE.to_owned()))));
            return None;
        }
        let (told, next) = match write_mode(&change, current).await {
            Ok(_) if change.dry_run => (Ok(()), None),
            Ok(rewritten) => match self.apply(current, plugins, changes).await {
                Ok(next) if next.net.core.hub(hub).mode == change.mode => (Ok(()), Some(next)),
                Ok(next) => {
                    let why = "somebody else has changed it at the same moment".to_owned();
                    (Err(OrderRefusal(why)), Some(next))
                }
                Err(error) => {
                    let why = say_that_it_stays(error);
                    let refusal = match rewritten {
                        Some(rewritten) => take_back(rewritten, why).await,
                        None => OrderRefusal(why),
                    };
                    (Err(refusal), None)
                }
            },
            Err(refusal) => (Err(refusal), None),
        };
        // Whoever asked may be gone.
        drop(change.answer.send(told));
        next
    }

    async fn apply(
        &self,
        current: &Config,
        plugins: &PluginHost,
        changes: &mpsc::Sender<Change>,
    ) -> Result<Config, Refused> {
        let (load, plugins, before) = (self.load.clone(), plugins.clone(), current.clone());
        // Reading files and compiling plugins takes its time.
        let configured = on_a_thread("reload", move || {
            let mut next = load()?;
            if !next.net.admin.has_token_file && !before.net.admin.has_token_file {
                // It would be another random one.
                next.net.admin.token.clone_from(&before.net.admin.token);
            }
            let changed = before.changes(&next);
            if let Some((key, _)) = changed.iter().find(|(_, when)| **when == When::Restart) {
                return Err(Refused::Fixed(next.origins.place(key)));
            }
            plugins.configure(next.host.clone())?;
            Ok((next, changed))
        });
        let (next, changed) = configured.map_err(Refused::NoThread)?.await??;
        let (done, is_done) = oneshot::channel();
        let change = Change { settings: next.net.clone(), done };
        changes.send(change).await.map_err(|_| Refused::Stopping)?;
        is_done.await.map_err(|_| Refused::Stopping)?;
        self.logging.set(Some(&next.log));
        next.log_warnings();
        let changed: Vec<String> = changed.into_keys().collect();
        match changed.is_empty() {
            true => tracing::info!("the configuration has not changed"),
            false => tracing::info!(changed = changed.join(", "), "the configuration was reloaded"),
        }
        Ok(next)
    }
}

/// What a node of a cluster says whose configuration is to be like that of the others.
fn of_each_node(place: &dyn fmt::Display) -> OrderRefusal {
    OrderRefusal(format!(
        "this gateway is one of a cluster, each node of which has a configuration of its own: change {place} on each node"
    ))
}

/// Writes a hub's mode into the configuration, or only looks whether that could be; both may wait for a disk.
async fn write_mode(change: &ModeChange, current: &Config) -> Result<Option<RewrittenFile>, OrderRefusal> {
    let (hub, mode, dry_run) = (change.hub.clone(), change.mode, change.dry_run);
    if current.net.cluster.is_some() {
        let place = format!("`{}` in {}", kept_modes::key(&hub), current.path().display());
        return Err(of_each_node(&place));
    }
    let refused = |error: &dyn fmt::Display| OrderRefusal(error.to_string());
    let (file, in_effect) = (current.path().to_owned(), current.files.clone());
    let writing = on_a_thread("modes", move || match dry_run {
        true => kept_modes::check(&file, &in_effect, &hub, mode).map(|()| None),
        false => kept_modes::write(&file, &in_effect, &hub, mode),
    });
    let written = writing.map_err(|error| refused(&error))?.await.map_err(|panicked| refused(&panicked))?;
    written.map_err(|stays| refused(&stays))
}

/// Logs why the configuration is not taken over, and gives it.
fn say_that_it_stays(error: Refused) -> String {
    let why = error.to_string();
    tracing::error!(error = why, "the configuration stays as it was");
    why
}

fn is_same(keys: &[AccessKey], others: &[AccessKey]) -> bool {
    keys.iter().map(AccessKey::expose).eq(others.iter().map(AccessKey::expose))
}

fn now(files: &[ReadFile]) -> Vec<ReadFile> {
    files.iter().map(ReadFile::now).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hubgate_plugin_host::{BadPlugins, Compilation, Folders};
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;
    use crate::config::Addresses;

    /// Far longer than what is waited for takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn text(connections: usize) -> String {
        format!("[server]\naccess-keys = ['{}']\nlimits.connections = {connections}\n", "k".repeat(32))
    }

    #[tokio::test]
    async fn what_changes_while_the_gateway_starts_or_reads_its_configuration_is_read_next() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("hubgate.toml");
        fs::write(&path, text(1)).expect("the folder is ours");
        // Each time the file has been read, it changes at once, up to the third version.
        let load = move || {
            let config = Config::load(&path, Addresses::default())?;
            let next = config.net.limits.connections + 1;
            if next <= 3 {
                // Of another length each time, whatever the clock of the file system says.
                fs::write(&path, format!("{}{}", text(next), "#".repeat(next))).expect("the folder is ours");
            }
            Ok(config)
        };
        let first = load().expect("valid");
        let compilation = Compilation { program: None, cache: None };
        let folders = Folders { state: None, components: None };
        let plugins = PluginHost::start(first.host.clone(), compilation, folders, BadPlugins::Refuse);
        let hang_up = signal(SignalKind::hangup()).expect("signals can be listened for");
        let (_operators, orders) = mpsc::channel(1);
        let told = Told { hang_up, orders };
        let (changes, mut changed) = mpsc::channel(1);
        let reload = Reload { load: Arc::new(load), logging: Logging::unchanging() };
        let following = tokio::spawn(reload.follow(first, plugins.expect("there are none"), changes, told));
        for expected in [2, 3] {
            let change = tokio::time::timeout(PATIENCE, changed.recv()).await.expect("it is read").expect("it goes on");
            assert_eq!(change.settings.limits.connections, expected);
            change.done.send(()).expect("it is waited for");
        }
        following.abort();
    }
}
