//! What operators want of the clients of a shard, on its thread.

use hubgate_core::delivery::{Action, Except, Target};
use hubgate_core::id::{ConnectionId, HubName};
use hubgate_core::{ListPart, ListedClients, Outgoing};
use tokio::sync::oneshot;

use crate::client_rows::{ClientRow, RowsPart};
use crate::peer_task::PeerTask;
use crate::questions::HubAccess;
use crate::refusal::Refusal;
use crate::shard::ShardHandle;
use crate::shared::unix_milliseconds;

/// A part of the list of a shard's clients.
pub(crate) fn list(shard: &ShardHandle, wanted: &ListedClients, from: usize, most: usize) -> RowsPart {
    let ListPart { clients, count, next } = shard.list(wanted, from, most);
    let (now, unix_now) = (shard.shared().now(), unix_milliseconds());
    let row = |client: hubgate_core::ListedClient| ClientRow {
        id: client.facts.id,
        transport: client.transport,
        connected_at: unix_now.saturating_sub((now - client.opened).0),
        queued_bytes: client.attached.map_or(0, |transport| shard.queued_bytes(transport)),
        facts: client.facts,
    };
    RowsPart { rows: clients.into_iter().map(row).collect(), count, next }
}

/// Closes a client, if it is on this shard; tells its hub.
pub(crate) fn close(
    shard: &ShardHandle,
    id: ConnectionId,
    reason: Option<String>,
    answer: oneshot::Sender<Result<Option<HubName>, Refusal>>,
) {
    let Some(hub) = shard.hub_of_client(id) else {
        // Who asked may be gone.
        let _ = answer.send(Ok(None));
        return;
    };
    let task_shard = shard.clone();
    let closing = async move {
        let close =
            Action::Close { target: Target::Connection(id), except: Vec::new(), reason, allow_reconnect: false };
        let closed = HubAccess::new(&task_shard, &hub).change(close).await;
        let _ = answer.send(closed.map(|()| Some(hub)));
    };
    shard.tasks().spawn(PeerTask::Admin, closing, || ());
}

/// Sends something to clients of a hub, on whatever shard; tells how many connections of this gateway it was for, after filters.
pub(crate) fn send(
    shard: &ShardHandle,
    hub: HubName,
    (to, message): (Target, Outgoing),
    answer: oneshot::Sender<Result<usize, Refusal>>,
) {
    let task_shard = shard.clone();
    let sending = async move {
        let sent = HubAccess::new(&task_shard, &hub).send_and_count(to, message, Except::default()).await;
        // Who asked may be gone.
        let _ = answer.send(sent);
    };
    shard.tasks().spawn(PeerTask::Admin, sending, || ());
}
