//! New access keys for operators: written where the keys are kept, and told once the gateway goes by them.

use hubgate_net::{Change, KeyPlace, KeyRegeneration, OperatorOrder, OrderRefusal, on_a_thread};
use hubgate_wire::token::AccessKey;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, KeptKeys, ReadFile, Rewritten, RewrittenFile};

/// Why a gateway whose configuration is not followed keeps the modes of its hubs.
const NOT_FOLLOWED: &str =
    "`hubgate dev` goes by one mode as long as it runs: start it again with another `--mode`, or use `hubgate serve`";

/// What the log tells of an order that is not carried out any more.
pub(super) const CALLER_GONE: &str = "whoever asked is gone";

/// Has a key made anew where the keys are kept, which `find` says; both may wait for a disk. A file that is another one than in effect must
/// have come to rest.
pub(super) async fn rewrite(
    key: KeyPlace,
    in_effect: Vec<ReadFile>,
    find: impl FnOnce() -> Result<KeptKeys, OrderRefusal> + Send + 'static,
) -> Result<Rewritten, OrderRefusal> {
    let refused = |error: &dyn std::fmt::Display| OrderRefusal(error.to_string());
    let rewriting =
        on_a_thread("keys", move || find()?.regenerate(key, &in_effect).map_err(|stay| OrderRefusal(stay.to_string())));
    rewriting.map_err(|error| refused(&error))?.await.map_err(|panicked| refused(&panicked))?
}

/// What the file had before comes back, as the gateway does not go by the new one; gives what to tell the operator.
pub(super) async fn take_back(rewritten: RewrittenFile, why: String) -> OrderRefusal {
    let undone = match on_a_thread("undo", move || rewritten.undo().map_err(|error| error.to_string())) {
        Ok(undoing) => undoing.await.unwrap_or_else(|panicked| Err(panicked.to_string())),
        Err(error) => Err(error.to_string()),
    };
    match undone {
        Ok(()) => OrderRefusal(why),
        Err(error) => OrderRefusal(format!("{why}; what is new stands in its file, and stays there: {error}")),
    }
}

/// Leaves a key as it is that nobody waits for any more: whoever gave up, and asks again, must not have two made.
pub(super) fn forsake(KeyRegeneration { key, operator, answer, .. }: KeyRegeneration) {
    tracing::info!(key = key.name(), %operator, "an access key stays: the operator is gone who asked for another one");
    drop(answer.send(Err(OrderRefusal(CALLER_GONE.to_owned()))));
}

/// Tells an operator of the key that is now used.
pub(super) fn tell(KeyRegeneration { key, operator, answer, .. }: KeyRegeneration, keys: &[AccessKey]) {
    tracing::info!(key = key.name(), %operator, "an operator has had an access key made anew");
    // Whoever asked may be gone; `hubgate keys` lists it.
    drop(answer.send(Ok(keys[key.index()].clone())));
}

/// Serves operators of a gateway whose configuration is not followed: it goes on as it is, with other keys.
pub(super) async fn serve(
    mut config: Config,
    changes: mpsc::Sender<Change>,
    mut orders: mpsc::Receiver<OperatorOrder>,
) {
    while let Some(order) = orders.recv().await {
        let order = match order {
            OperatorOrder::RegenerateKey(order) => order,
            OperatorOrder::SetMode(change) => {
                // Whoever asked may be gone.
                drop(change.answer.send(Err(OrderRefusal(NOT_FOLLOWED.to_owned()))));
                continue;
            }
        };
        if order.caller.is_gone() {
            forsake(order);
            continue;
        }
        let kept = config.kept_keys.clone();
        let rewritten = match rewrite(order.key, Vec::new(), move || Ok(kept)).await {
            Ok(rewritten) => rewritten,
            Err(refusal) => {
                drop(order.answer.send(Err(refusal)));
                continue;
            }
        };
        config.net.access_keys.clone_from(&rewritten.keys);
        let (done, is_done) = oneshot::channel();
        let change = Change { settings: config.net.clone(), done };
        if changes.send(change).await.is_err() || is_done.await.is_err() {
            let refusal = take_back(rewritten.file, "the gateway is stopping".to_owned()).await;
            drop(order.answer.send(Err(refusal)));
            return;
        }
        tell(order, &rewritten.keys);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::PathBuf;

    use hubgate_net::Caller;

    use super::*;
    use crate::config::Addresses;

    const OPERATOR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A configuration with a key of its own, and its file.
    fn config(folder: &tempfile::TempDir) -> (Config, PathBuf) {
        let file = folder.path().join("hubgate.toml");
        fs::write(&file, format!("[server]\naccess-keys = ['{}']\n", "k".repeat(32))).expect("the folder is ours");
        (Config::load(&file, Addresses::default()).expect("it is valid"), file)
    }

    #[tokio::test]
    async fn a_gateway_that_stops_takes_a_key_back_and_says_so() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let (config, file) = config(&folder);
        let before = fs::read_to_string(&file).expect("it is text");
        let (orders, ordered) = mpsc::channel(1);
        let (answer, answered) = oneshot::channel();
        let (_waiting, caller) = Caller::waiting();
        let order = KeyRegeneration { key: KeyPlace::Primary, operator: OPERATOR, caller, answer };
        orders.send(OperatorOrder::RegenerateKey(order)).await.expect("it is heard");
        let (changes, stopped) = mpsc::channel(1);
        drop(stopped);
        serve(config, changes, ordered).await;
        let refusal = answered.await.expect("it is answered").expect_err("nobody goes by the new key");
        assert_eq!(refusal.to_string(), "the gateway is stopping");
        assert_eq!(fs::read_to_string(&file).expect("it is text"), before);
    }

    #[tokio::test]
    async fn no_key_is_made_for_an_operator_who_is_gone() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let (config, file) = config(&folder);
        let before = fs::read_to_string(&file).expect("it is text");
        let (orders, ordered) = mpsc::channel(1);
        let (answer, answered) = oneshot::channel();
        let (waiting, caller) = Caller::waiting();
        drop(waiting);
        let order = KeyRegeneration { key: KeyPlace::Primary, operator: OPERATOR, caller, answer };
        orders.send(OperatorOrder::RegenerateKey(order)).await.expect("it is heard");
        drop(orders);
        let (changes, mut changed) = mpsc::channel(1);
        serve(config, changes, ordered).await;
        assert!(changed.recv().await.is_none(), "the gateway goes on as it is");
        let refusal = answered.await.expect("it is answered, for the log").expect_err("no key was made");
        assert_eq!(refusal.to_string(), CALLER_GONE);
        assert_eq!(fs::read_to_string(&file).expect("it is text"), before);
    }
}
