//! New access keys for operators: written where the keys are kept, and told once the gateway goes by them.

use hubgate_net::{Change, KeyPlace, KeyRefusal, KeyRegeneration, on_a_thread};
use hubgate_wire::token::AccessKey;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, KeptKeys, Rewritten};

/// Has a key made anew where the keys are kept, which `find` says; both may wait for a disk.
pub(super) async fn rewrite(
    key: KeyPlace,
    find: impl FnOnce() -> Result<KeptKeys, KeyRefusal> + Send + 'static,
) -> Result<Rewritten, KeyRefusal> {
    let refused = |error: &dyn std::fmt::Display| KeyRefusal(error.to_string());
    let rewriting = on_a_thread("keys", move || find()?.regenerate(key).map_err(|stay| KeyRefusal(stay.to_string())));
    rewriting.map_err(|error| refused(&error))?.await.map_err(|panicked| refused(&panicked))?
}

/// What the file had before comes back, as the gateway does not go by the new one; gives what to tell the operator.
pub(super) async fn take_back(rewritten: Rewritten, why: String) -> KeyRefusal {
    let undone = match on_a_thread("keys", move || rewritten.undo().map_err(|error| error.to_string())) {
        Ok(undoing) => undoing.await.unwrap_or_else(|panicked| Err(panicked.to_string())),
        Err(error) => Err(error.to_string()),
    };
    match undone {
        Ok(()) => KeyRefusal(why),
        Err(error) => KeyRefusal(format!("{why}; the new key stands in its file, and stays there: {error}")),
    }
}

/// Tells an operator of the key that is now used.
pub(super) fn tell(key: KeyPlace, keys: &[AccessKey], answer: oneshot::Sender<Result<AccessKey, KeyRefusal>>) {
    tracing::info!(key = key.name(), "an operator has had an access key made anew");
    // Whoever asked may be gone; `hubgate keys` lists it.
    drop(answer.send(Ok(keys[key.index()].clone())));
}

/// Serves operators of a gateway whose configuration is not followed: it goes on as it is, with other keys.
pub(super) async fn serve(
    mut config: Config,
    changes: mpsc::Sender<Change>,
    mut regenerations: mpsc::Receiver<KeyRegeneration>,
) {
    while let Some(KeyRegeneration { key, answer }) = regenerations.recv().await {
        let kept = config.kept_keys.clone();
        let rewritten = match rewrite(key, move || Ok(kept)).await {
            Ok(rewritten) => rewritten,
            Err(refusal) => {
                drop(answer.send(Err(refusal)));
                continue;
            }
        };
        config.net.access_keys.clone_from(&rewritten.keys);
        let (done, is_done) = oneshot::channel();
        let change = Change { settings: config.net.clone(), done };
        if changes.send(change).await.is_err() || is_done.await.is_err() {
            // The gateway is stopping; the next start finds the new key.
            return;
        }
        tell(key, &rewritten.keys, answer);
    }
}
