//! The connections of a group, page by page.
//!
//! Source: Azure SignalR Service, "Data plane REST API", version 2024-12-01: list connections in a group.

use std::num::NonZero;

use hubgate_core::delivery::Target;
use hubgate_core::id::{ConnectionId, GroupName, UserId};
use serde_json::{Value, json};

use super::super::query::Query;
use crate::questions::HubAccess;
use crate::refusal::Refusal;

/// Connections of one page, in number.
const LONGEST_PAGE: usize = 200;

/// What a page is asked for with; it is also how the next one is asked for.
const TOP: &str = "top";
const PAGE_SIZE: &str = "maxPageSize";
const CONTINUATION: &str = "continuationToken";

/// Which connections of a group are asked for.
#[derive(Debug)]
pub(super) struct MembersQuery {
    /// Of all pages together, in number.
    top: Option<usize>,
    page_size: usize,
    after: Option<ConnectionId>,
}

/// Connections with their users, and what the next page is asked for with, if there is one.
#[derive(Debug)]
pub(super) struct Page {
    members: Vec<(ConnectionId, Option<UserId>)>,
    next: Option<MembersQuery>,
}

impl MembersQuery {
    pub(super) fn of(query: Query<'_>) -> Result<MembersQuery, Refusal> {
        let top = number::<u32>(query, TOP, "a number, 0 or more")?;
        let page_size = number::<NonZero<u32>>(query, PAGE_SIZE, "a number from 1 to 200")?;
        let after = match query.get(CONTINUATION).filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => {
                Some(ConnectionId::parse(&*token).ok_or_else(|| invalid(CONTINUATION, "one of a `nextLink`"))?)
            }
        };
        let page_size = page_size.map_or(LONGEST_PAGE, |size| LONGEST_PAGE.min(size.get() as usize));
        Ok(MembersQuery { top: top.map(|top| top as usize), page_size, after })
    }

    /// One page of what is asked for.
    pub(super) async fn answer(self, access: &HubAccess<'_>, group: GroupName) -> Result<Page, Refusal> {
        let most = self.top.map_or(self.page_size, |top| top.min(self.page_size));
        if most == 0 {
            return Ok(Page { members: Vec::new(), next: None });
        }
        // One more tells whether there are more.
        let mut members = access.members(Target::Group(group), self.after, most + 1).await?;
        let is_more = members.len() > most;
        members.truncate(most);
        let top = self.top.map(|top| top - members.len());
        let after = members.last().map(|(id, _)| *id).filter(|_| is_more && top != Some(0));
        let next = after.map(|after| MembersQuery { top, after: Some(after), ..self });
        Ok(Page { members, next })
    }

    /// The query of the next page: the caller's own with these items.
    fn query(&self, asked: Query<'_>) -> String {
        let mut query = form_urlencoded::Serializer::new(asked.without(&[TOP, PAGE_SIZE, CONTINUATION]));
        if let Some(top) = self.top {
            query.append_pair(TOP, &top.to_string());
        }
        query.append_pair(PAGE_SIZE, &self.page_size.to_string());
        if let Some(after) = &self.after {
            query.append_pair(CONTINUATION, after.as_str());
        }
        query.finish()
    }
}

impl Page {
    /// As callers get it; `url` is the one that was asked, without its query, and `asked` its query.
    pub(super) fn body(&self, url: &str, asked: Query<'_>) -> Value {
        let member = |(id, user): &(ConnectionId, Option<UserId>)| match user {
            Some(user) => json!({ "connectionId": id.as_str(), "userId": user.as_str() }),
            None => json!({ "connectionId": id.as_str() }),
        };
        let mut body = json!({ "value": self.members.iter().map(member).collect::<Vec<_>>() });
        if let Some(next) = &self.next {
            body["nextLink"] = format!("{url}?{}", next.query(asked)).into();
        }
        body
    }
}

fn number<N: std::str::FromStr>(query: Query<'_>, name: &str, expected: &str) -> Result<Option<N>, Refusal> {
    let read = |text: &str| text.parse().map_err(|_| invalid(name, expected));
    query.get(name).filter(|text| !text.is_empty()).map(|text| read(&text)).transpose()
}

fn invalid(name: &str, expected: &str) -> Refusal {
    Refusal::bad_request(format!("Invalid value of '{name}'. It should be {expected}."))
}
