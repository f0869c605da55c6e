//! Which path is which door, on both listeners: every path that is no file's.
//!
//! The fixed parts of a path are compared without case, as the routes of ASP.NET Core are.

use http::Method;
use hubgate_wire::path;

use crate::key_regeneration::KeyPlace;
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
    /// Its own table says which operation a path is.
    Rest,
    Health,
    Ready,
}

impl Door {
    /// What network rules tell its requests by; `None`: they are for load balancers, and no rule is about them.
    pub(super) fn kind(self) -> Option<RequestKind> {
        match self {
            Door::Client | Door::ClientNegotiation | Door::HubNegotiation | Door::HubRefresh => {
                Some(RequestKind::Client)
            }
            Door::Server => Some(RequestKind::Server),
            Door::Rest => Some(RequestKind::Rest),
            Door::Health | Door::Ready => None,
        }
    }
}

/// What operators and their tools come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminDoor {
    Metrics,
    Plugins,
    Rollback,
    Hubs,
    Hub,
    Cluster,
    Keys,
    Regenerate(KeyPlace),
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
pub(crate) struct Row<D: 'static> {
    /// `{}` is any one segment, `..` at the end any number more.
    path: &'static str,
    pub(crate) door: D,
    pub(super) hub: HubIn,
    /// As the header `Allow` lists them; `None`: the door itself looks at the method.
    methods: Option<&'static str>,
}

#[rustfmt::skip]
const DOORS: &[Row<Door>] = &[
    row("/client",               Door::Client,            HubIn::Query,   None),
    row("/client/negotiate",     Door::ClientNegotiation, HubIn::Query,   Some("POST, OPTIONS")),
    row("/hubs/{}/negotiate",    Door::HubNegotiation,    HubIn::Path,    Some("POST, OPTIONS")),
    row("/hubs/{}/refresh",      Door::HubRefresh,        HubIn::Path,    Some("POST, OPTIONS")),
    row("/server",               Door::Server,            HubIn::Query,   None),
    row("/api/{}/..",            Door::Rest,              HubIn::Neither, None),
    row("/healthz",              Door::Health,            HubIn::Neither, None),
    row("/readyz",               Door::Ready,             HubIn::Neither, None),
];

#[rustfmt::skip]
const ADMIN_DOORS: &[Row<AdminDoor>] = &[
    row("/metrics",                         AdminDoor::Metrics,  HubIn::Neither, Some("GET")),
    row("/admin/plugins",                   AdminDoor::Plugins,  HubIn::Neither, Some("GET")),
    row("/admin/plugins/{}/rollback",       AdminDoor::Rollback, HubIn::Neither, Some("POST")),
    row("/admin/hubs",                      AdminDoor::Hubs,     HubIn::Neither, Some("GET")),
    row("/admin/hubs/{}",                   AdminDoor::Hub,      HubIn::Path,    Some("GET")),
    row("/admin/cluster",                   AdminDoor::Cluster,  HubIn::Neither, Some("GET")),
    row("/admin/keys",                      AdminDoor::Keys,     HubIn::Neither, Some("GET")),
    row("/admin/keys/primary:regenerate",   AdminDoor::Regenerate(KeyPlace::Primary),   HubIn::Neither, Some("POST")),
    row("/admin/keys/secondary:regenerate", AdminDoor::Regenerate(KeyPlace::Secondary), HubIn::Neither, Some("POST")),
];

const fn row<D>(path: &'static str, door: D, hub: HubIn, methods: Option<&'static str>) -> Row<D> {
    Row { path, door, hub, methods }
}

/// The door of a path on the clients' listener, and the name in the path, still encoded.
pub(super) fn find(path: &str) -> Option<(&'static Row<Door>, &str)> {
    find_in(DOORS, path)
}

/// The same on the admin listener.
pub(crate) fn find_admin(path: &str) -> Option<(&'static Row<AdminDoor>, &str)> {
    find_in(ADMIN_DOORS, path)
}

fn find_in<'p, D>(table: &'static [Row<D>], path: &'p str) -> Option<(&'static Row<D>, &'p str)> {
    table.iter().find_map(|row| Some((row, row.name_in(path)?)))
}

impl<D> Row<D> {
    /// The name in a path that is this row's, or an empty one where its paths have none.
    fn name_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (mut expected, mut found) = (path::segments(self.path), path::segments(path));
        let mut name = "";
        loop {
            match (expected.next(), found.next()) {
                (Some(".."), _) | (None, None) => return Some(name),
                (Some("{}"), Some(segment)) => name = segment,
                (Some(literal), Some(segment)) if path::is_literal(segment, literal) => {}
                (_, _) => return None,
            }
        }
    }

    /// Whether the door has such a method, as far as the table says.
    pub(crate) fn check(&self, method: &Method) -> Result<(), Refusal> {
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

    #[test]
    fn operators_have_doors_of_their_own_and_each_has_its_methods() {
        let (rollback, name) = find_admin("/admin/plugins/a%2Fb/rollback").expect("a door");
        assert_eq!((rollback.door, name), (AdminDoor::Rollback, "a%2Fb"));
        assert!(rollback.check(&Method::POST).is_ok() && rollback.check(&Method::GET).is_err());
        assert_eq!(find_admin("/admin/hubs/chat").map(|(row, name)| (row.door, name)), Some((AdminDoor::Hub, "chat")));
        assert!(find("/admin/hubs").is_none() && find_admin("/client").is_none());
    }
}
