//! Clients for operators: who is connected, and whose connection is to end.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use http::{StatusCode, Uri};
use hubgate_core::ListedClients;
use hubgate_core::id::{ConnectionId, GroupName, HubName, UserId};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::outcome::{Denial, Reply};
use super::{Admin, rfc3339};
use crate::client_rows::{ClientRow, RowsPart};
use crate::cluster_link;
use crate::http::Query;
use crate::inbox::{InboxSender, LocalMessage};
use crate::refusal::Refusal;

/// Clients of one page, in number.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;
/// How long the shards may take together.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What clients are told of why they are closed, in bytes.
const LONGEST_REASON: usize = 1024;

/// `GET /admin/connections`.
pub(super) async fn list(admin: &Admin, uri: &Uri) -> Result<Reply, Denial> {
    let query = Query::of(uri);
    let most = match query.get("limit") {
        None => PAGE,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=LONGEST_PAGE).contains(limit))
            .ok_or_else(|| Denial::bad_request(format!("`limit` must be a number from 1 to {LONGEST_PAGE}.")))?,
    };
    let Some(wanted) = wanted(query)? else {
        return Ok(page(admin, Vec::new(), None));
    };
    // One more tells whether there are more.
    let (mut rows, _) = gather(admin, wanted, most + 1).await?;
    let is_more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().map(|row| row.id).filter(|_| is_more);
    Ok(page(admin, rows, next))
}

/// Which clients a query asks for; none if no client can be one of them.
fn wanted(query: Query<'_>) -> Result<Option<ListedClients>, Denial> {
    let invalid = |name: &str, why: &dyn std::fmt::Display| Denial::bad_request(format!("`{name}`: {why}"));
    let hub = query.get("hub").map(|hub| HubName::read(&hub).map_err(|error| invalid("hub", &error)));
    let user = query.get("user").map(|user| UserId::parse(&user).map_err(|error| invalid("user", &error)));
    let group = query.get("group").map(|group| GroupName::parse(&group).map_err(|error| invalid("group", &error)));
    let after = query.get("after").map(|after| {
        ConnectionId::parse(&*after).ok_or_else(|| invalid("after", &"it must be the `next` of a page before."))
    });
    let id = query.get("id").map(|id| ConnectionId::parse(&*id));
    let (hub, user, group, after) = (hub.transpose()?, user.transpose()?, group.transpose()?, after.transpose()?);
    Ok(match id {
        Some(None) => None,
        id => Some(ListedClients { hub, user, group, after, id: id.flatten(), not_fit_for: None }),
    })
}

fn page(admin: &Admin, rows: Vec<ClientRow>, next: Option<ConnectionId>) -> Reply {
    let node = admin.shared.cluster.as_ref().map(|cluster| cluster_link::id(cluster.node()));
    let connection = |row: &ClientRow| -> Value {
        json!({
            "id": row.id.as_str(),
            "hub": row.facts.hub.as_str(),
            "user": row.facts.user_id.as_ref().map(UserId::as_str),
            "transport": row.transport.name(),
            "protocol": row.facts.protocol.name(),
            "connectedAt": rfc3339(UNIX_EPOCH + Duration::from_millis(row.connected_at)),
            "queuedBytes": row.queued_bytes,
            "node": node,
        })
    };
    let connections: Vec<Value> = rows.iter().map(connection).collect();
    Reply::Json(json!({ "connections": connections, "next": next.as_ref().map(ConnectionId::as_str) }))
}

/// The clients of all shards with the smallest ids, in the order of these, and how many there are in all. Each shard is asked for a part
/// after the other, so that whoever else it serves is served between them.
pub(super) async fn gather(
    admin: &Admin,
    wanted: ListedClients,
    most: usize,
) -> Result<(Vec<ClientRow>, usize), Denial> {
    let (wanted, deadline) = (Arc::new(wanted), Instant::now() + TIMEOUT);
    let inboxes = admin.shards.inboxes();
    let of_shards = inboxes.iter().map(|inbox| gather_of(inbox, &wanted, most));
    let gathered = timeout_at(deadline, join_all(of_shards)).await.map_err(|_| Refusal::NoAnswer)?;
    let (mut rows, mut count) = (Vec::new(), 0);
    for of_shard in gathered {
        let (more, counted) = of_shard.ok_or(Refusal::NoAnswer)?;
        rows.extend(more);
        count += counted;
    }
    keep_smallest(&mut rows, most);
    Ok((rows, count))
}

/// The same of one shard; nothing if it has ended.
async fn gather_of(inbox: &InboxSender, wanted: &Arc<ListedClients>, most: usize) -> Option<(Vec<ClientRow>, usize)> {
    let (mut rows, mut count, mut from) = (Vec::new(), 0, 0);
    loop {
        let (answer, answered) = oneshot::channel();
        let list = LocalMessage::List { wanted: wanted.clone(), from, most, answer };
        inbox.send(list.into()).await.ok()?;
        let RowsPart { rows: more, count: counted, next } = answered.await.ok()?;
        rows.extend(more);
        keep_smallest(&mut rows, most);
        count += counted;
        match next {
            Some(next) => from = next,
            None => return Some((rows, count)),
        }
    }
}

fn keep_smallest(rows: &mut Vec<ClientRow>, most: usize) {
    rows.sort_unstable_by_key(|row| row.id);
    // One that has moved meanwhile was met twice.
    rows.dedup_by_key(|row| row.id);
    rows.truncate(most);
}

/// `DELETE /admin/connections/{id}`.
pub(super) async fn close(admin: &Admin, id: &str, uri: &Uri) -> Result<Reply, Denial> {
    let reason = Query::of(uri).get("reason").map(|reason| reason.into_owned());
    if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Denial::bad_request(format!("`reason` has more than {LONGEST_REASON} bytes.")));
    }
    let shown = percent_decode_str(id).decode_utf8_lossy();
    let Some(id) = ConnectionId::parse(&*shown) else {
        return Err(unknown(admin, None));
    };
    let close = |answer| LocalMessage::CloseClient { id, reason: reason.clone(), answer };
    let answers = admin.shards.ask(close, TIMEOUT).await;
    let mut is_silent = false;
    for answer in answers {
        match answer {
            Some(Ok(Some(hub))) => {
                let told = format!("the connection of hub {hub} is closed");
                return Ok(Reply::Changed(json!({ "id": id.as_str(), "hub": hub.as_str() }), told));
            }
            Some(Ok(None)) => {}
            Some(Err(refusal)) => return Err(refusal.into()),
            None => is_silent = true,
        }
    }
    Err(if is_silent { Refusal::NoAnswer.into() } else { unknown(admin, Some(id)) })
}

/// Nobody here has this id.
fn unknown(admin: &Admin, id: Option<ConnectionId>) -> Denial {
    let elsewhere = match (&admin.shared.cluster, id) {
        (Some(cluster), Some(id)) if id.owner().node != cluster.node() => {
            format!(": it was made at node {}, ask the admin listener there", cluster_link::id(id.owner().node))
        }
        _ => String::new(),
    };
    Denial::new(StatusCode::NOT_FOUND, format!("No connection of this gateway has this id{elsewhere}."))
}
