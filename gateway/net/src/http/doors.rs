//! Which path is which door: every path that is no file's.
//!
//! The fixed parts of a path are compared without case, as the routes of ASP.NET Core are.

use http::Method;
use hubgate_wire::path;

use crate::network_rules::RequestKind;
use crate::refusal::Refusal;

/// What clients, hub servers, callers of the REST API and load balancers come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Client,
    ClientNegotiation,
    /// Of a hub without a host.
    HubNegotiation,
    /// Of a client of such a hub, for a newer token.
    HubRefresh,
    Server,
    /// Everything that clients of ASP.NET SignalR ask for.
    AspNetClient,
    AspNetServer,
    /// Its own table says which operation a path is.
    Rest,
    Health,
    Ready,
}

impl Door {
    /// What network rules tell its requests by; `None`: they are for load balancers, and no rule is about them.
    pub(super) fn kind(self) -> Option<RequestKind> {
        match self {
            Door::Client | Door::ClientNegotiation | Door::HubNegotiation | Door::HubRefresh | Door::AspNetClient => {
                Some(RequestKind::Client)
            }
            Door::Server | Door::AspNetServer => Some(RequestKind::Server),
            Door::Rest => Some(RequestKind::Rest),
            Door::Health | Door::Ready => None,
        }
    }
}

/// Where a request names its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HubIn {
    Query,
    Path,
    /// Nowhere, or where the door itself looks for it.
    Neither,
}

/// A row of a table.
#[derive(Debug)]
pub(super) struct Row {
    /// As [`name_in`] reads it.
    path: &'static str,
    pub(super) door: Door,
    pub(super) hub: HubIn,
    /// As the header `Allow` lists them; `None`: the door itself looks at the method.
    methods: Option<&'static str>,
}

#[rustfmt::skip]
const DOORS: &[Row] = &[
    row("/client",               Door::Client,            HubIn::Query,   None),
    row("/client/negotiate",     Door::ClientNegotiation, HubIn::Query,   Some("POST, OPTIONS")),
    row("/hubs/{}/negotiate",    Door::HubNegotiation,    HubIn::Path,    Some("POST, OPTIONS")),
    row("/hubs/{}/refresh",      Door::HubRefresh,        HubIn::Path,    Some("POST, OPTIONS")),
    row("/server",               Door::Server,            HubIn::Query,   None),
    row("/aspnetclient/{}",      Door::AspNetClient,      HubIn::Neither, None),
    row("/aspnetserver",         Door::AspNetServer,      HubIn::Neither, None),
    row("/api/{}/..",            Door::Rest,              HubIn::Neither, None),
    row("/healthz",              Door::Health,            HubIn::Neither, None),
    row("/readyz",               Door::Ready,             HubIn::Neither, None),
];

const fn row(path: &'static str, door: Door, hub: HubIn, methods: Option<&'static str>) -> Row {
    Row { path, door, hub, methods }
}

/// The door of a path on the clients' listener, and the name in the path, still encoded.
pub(super) fn find(path: &str) -> Option<(&'static Row, &str)> {
    DOORS.iter().find_map(|row| Some((row, name_in(row.path, path)?)))
}

/// The name in a path of this form, or an empty one where the form has none. What is in braces is any one segment, the name; `..` at the end
/// is any number more.
pub(crate) fn name_in<'p>(form: &str, path: &'p str) -> Option<&'p str> {
    let (mut expected, mut found) = (path::segments(form), path::segments(path));
    let mut name = "";
    loop {
        match (expected.next(), found.next()) {
            (Some(".."), _) | (None, None) => return Some(name),
            (Some(any), Some(segment)) if any.starts_with('{') => name = segment,
            (Some(literal), Some(segment)) if path::is_literal(segment, literal) => {}
            (_, _) => return None,
        }
    }
}

impl Row {
    /// Whether the door has such a method, as far as the table says.
    pub(super) fn check(&self, method: &Method) -> Result<(), Refusal> {
        match self.methods {
            Some(methods) if !methods.split(", ").any(|each| method == each) => {
                Err(Refusal::method_not_allowed(methods))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_parts_of_a_path_have_any_case_and_a_hub_keeps_its_name() {
        let door = |path| find(path).map(|(row, name)| (row.door, name));
        assert_eq!(door("/Client/"), Some((Door::Client, "")));
        assert_eq!(door("/CLIENT/Negotiate"), Some((Door::ClientNegotiation, "")));
        assert_eq!(door("/server/"), Some((Door::Server, "")));
        assert_eq!(door("/Hubs/My%20Hub/Negotiate"), Some((Door::HubNegotiation, "My%20Hub")));
        assert_eq!(door("/hubs/chat/Refresh"), Some((Door::HubRefresh, "chat")));
        assert_eq!(door("/Api/V1/hubs/chat").map(|(door, _)| door), Some(Door::Rest));
        for other in
            ["/", "//client/", "/client//negotiate", "/hubs/a/b/negotiate", "/api", "/hubs/negotiate", "/clients"]
        {
            assert_eq!(door(other), None, "{other}");
        }
    }
}
