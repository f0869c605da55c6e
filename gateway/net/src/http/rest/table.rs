//! Which method and path is which operation, in both versions of the API.

use http::{Method, StatusCode};
use hubgate_wire::path;

use crate::refusal::Refusal;

/// A version of the API, which path prefixes tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    /// 2022-06-01 and later ones.
    V2022,
}

impl Version {
    pub(super) const ALL: [Version; 2] = [Version::V2022, Version::V1];

    /// What is before the hub in its paths.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Version::V1 => "/api/v1/hubs",
            Version::V2022 => "/api/hubs",
        }
    }

    /// The version of a path, and what follows its prefix: the hub first.
    pub(super) fn of(path: &str) -> Option<(Version, &str)> {
        let below = |version: &Version| path::strip_base(path, version.prefix())?.strip_prefix('/');
        Version::ALL.iter().find_map(|version| Some((*version, below(version)?)))
    }

    /// The status of success.
    pub(super) fn success(self, route: &Route) -> StatusCode {
        let status = match self {
            Version::V1 => route.v1,
            Version::V2022 => route.v2022,
        };
        StatusCode::from_u16(status).expect("the table has statuses")
    }
}

/// A row of [`ROUTES`].
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// Behind the hub. `{c}` is a connection, `{g}` a group and `{u}` a user.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// For metrics.
    pub(super) name: &'static str,
    v1: u16,
    v2022: u16,
}

/// What an operation does to whom its path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Send,
    Exists,
    Close,
    /// To the group of the path.
    Add,
    /// From the group of the path.
    Remove,
    RemoveFromAllGroups,
    /// The connections of a group, page by page.
    List,
    /// Lets a connection that the body names go on with other claims and another end.
    Refresh,
    /// The claims of a connection that the body names.
    Claims,
    /// Asks the connection of the path, and waits for its answer.
    Invoke,
    /// A token with which a client may come.
    GenerateToken,
}

/// The names in a path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names<'a> {
    pub(super) connection: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    pub(super) user: Option<&'a str>,
}

/// Every operation; the first row that a path fits is its own. Each version has both its own paths and those of the other, and each membership can be named from
/// either side.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = &[
    route("POST",   "",                              Kind::Send,   "sendToAll",                     202, 202),
    route("POST",   ":send",                         Kind::Send,   "sendToAll",                     202, 202),
    route("POST",   "users/{u}",                     Kind::Send,   "sendToUser",                    202, 202),
    route("POST",   "users/{u}/:send",               Kind::Send,   "sendToUser",                    202, 202),
    route("POST",   "connections/:refreshAuth",      Kind::Refresh, "refreshConnection",            200, 200),
    route("POST",   "connections/claims",            Kind::Claims, "connectionClaims",              200, 200),
    route("QUERY",  "connections/claims",            Kind::Claims, "connectionClaims",              200, 200),
    route("POST",   "connections/{c}",               Kind::Send,   "sendToConnection",              202, 202),
    route("POST",   "connections/{c}/:send",         Kind::Send,   "sendToConnection",              202, 202),
    route("POST",   "groups/{g}",                    Kind::Send,   "sendToGroup",                   202, 202),
    route("POST",   "groups/{g}/:send",              Kind::Send,   "sendToGroup",                   202, 202),
    route("POST",   "connections/{c}/:invoke",       Kind::Invoke, "invokeConnection",              200, 200),
    route("POST",   ":generateToken",                Kind::GenerateToken,
                                                                   "generateClientToken",           200, 200),
    route("GET",    "connections/{c}",               Kind::Exists, "connectionExists",              200, 200),
    route("GET",    "groups/{g}",                    Kind::Exists, "groupExists",                   200, 200),
    route("GET",    "users/{u}",                     Kind::Exists, "userExists",                    200, 200),
    route("GET",    "groups/{g}/users/{u}",          Kind::Exists, "userInGroup",                   200, 200),
    route("GET",    "users/{u}/groups/{g}",          Kind::Exists, "userInGroup",                   200, 200),
    route("GET",    "groups/{g}/connections",        Kind::List,   "listGroupConnections",          200, 200),
    route("DELETE", "connections/{c}",               Kind::Close,  "closeConnection",               202, 200),
    route("POST",   ":closeConnections",             Kind::Close,  "closeAll",                      204, 204),
    route("POST",   "groups/{g}/:closeConnections",  Kind::Close,  "closeGroup",                    204, 204),
    route("POST",   "users/{u}/:closeConnections",   Kind::Close,  "closeUser",                     204, 204),
    route("PUT",    "groups/{g}/connections/{c}",    Kind::Add,    "addConnectionToGroup",          200, 200),
    route("PUT",    "connections/{c}/groups/{g}",    Kind::Add,    "addConnectionToGroup",          200, 200),
    route("DELETE", "groups/{g}/connections/{c}",    Kind::Remove, "removeConnectionFromGroup",     200, 200),
    route("DELETE", "connections/{c}/groups/{g}",    Kind::Remove, "removeConnectionFromGroup",     200, 200),
    route("DELETE", "connections/{c}/groups",        Kind::RemoveFromAllGroups,
                                                                         "removeConnectionFromAllGroups", 200, 200),
    route("PUT",    "groups/{g}/users/{u}",          Kind::Add,    "addUserToGroup",                202, 200),
    route("PUT",    "users/{u}/groups/{g}",          Kind::Add,    "addUserToGroup",                202, 200),
    route("DELETE", "groups/{g}/users/{u}",          Kind::Remove, "removeUserFromGroup",           202, 204),
    route("DELETE", "users/{u}/groups/{g}",          Kind::Remove, "removeUserFromGroup",           202, 204),
    route("DELETE", "users/{u}/groups",              Kind::RemoveFromAllGroups,
                                                                         "removeUserFromAllGroups",       200, 204),
];

const fn route(method: &'static str, path: &'static str, kind: Kind, name: &'static str, v1: u16, v2022: u16) -> Route {
    Route { method, path, kind, name, v1, v2022 }
}

/// The operation of a method and the segments behind the hub.
pub(super) fn find<'a>(method: &Method, segments: &'a [String]) -> Result<(&'static Route, Names<'a>), Refusal> {
    // HEAD asks for what GET asks for.
    let method = if *method == Method::HEAD { &Method::GET } else { method }.as_str();
    let matching = || ROUTES.iter().filter_map(|route| Some((route, names(route.path, segments)?)));
    if let Some(found) = matching().find(|(route, _)| route.method == method) {
        return Ok(found);
    }
    let mut allowed: Vec<&str> = matching().map(|(route, _)| route.method).collect();
    allowed.sort_unstable();
    allowed.dedup();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    match allowed.is_empty() {
        true => Err(Refusal::NotFound(not_an_operation(segments))),
        false => Err(Refusal::MethodNotAllowed(allowed.join(", ").into())),
    }
}

/// That no operation has the path, with the one that has it with a colon.
fn not_an_operation(segments: &[String]) -> &'static str {
    let Some((last, before)) = segments.split_last() else { return super::NOT_AN_OPERATION };
    let meant = [before, &[format!(":{last}")]].concat();
    let route = ROUTES.iter().find(|route| names(route.path, &meant).is_some());
    match route.and_then(|route| route.path.rsplit('/').next()) {
        Some(":send") => super::IS_IT_SEND,
        Some(":closeConnections") => super::IS_IT_CLOSE,
        Some(":invoke") => super::IS_IT_INVOKE,
        Some(":generateToken") => super::IS_IT_GENERATE_TOKEN,
        _ => super::NOT_AN_OPERATION,
    }
}

/// The names in `segments`, if they are those of `path`.
fn names<'a>(path: &str, segments: &'a [String]) -> Option<Names<'a>> {
    let mut names = Names::default();
    let mut segments = segments.iter();
    for expected in path.split('/').filter(|expected| !expected.is_empty()) {
        let segment = segments.next()?;
        match expected {
            "{c}" => names.connection = Some(segment),
            "{g}" => names.group = Some(segment),
            "{u}" => names.user = Some(segment),
            literal if literal.eq_ignore_ascii_case(segment) => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(method: Method, path: &str) -> Result<&'static str, StatusCode> {
        let segments: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(String::from).collect();
        find(&method, &segments).map(|(route, _)| route.name).map_err(|refusal| refusal.status())
    }

    #[test]
    fn a_method_and_a_path_are_one_operation() {
        assert_eq!(find_in(Method::POST, ""), Ok("sendToAll"));
        assert_eq!(find_in(Method::HEAD, "users/u/groups/g"), Ok("userInGroup"));
        assert_eq!(find_in(Method::DELETE, "connections/c"), Ok("closeConnection"));
        assert_eq!(find_in(Method::GET, "groups/g/connections"), Ok("listGroupConnections"));
        assert_eq!(find_in(Method::POST, "Users/u/:Send"), Ok("sendToUser"));
        assert_eq!(find_in(Method::POST, "connections/:refreshAuth"), Ok("refreshConnection"));
        for method in [Method::POST, Method::from_bytes(b"QUERY").expect("a method")] {
            assert_eq!(find_in(method, "connections/claims"), Ok("connectionClaims"));
        }
        assert_eq!(find_in(Method::PUT, "connections/c"), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(find_in(Method::POST, "users/u/:sned"), Err(StatusCode::NOT_FOUND));
        assert_eq!(find_in(Method::POST, "users"), Err(StatusCode::NOT_FOUND));
    }

    #[test]
    fn a_method_that_a_path_does_not_have_is_answered_with_those_that_it_has() {
        let segments = ["connections", "c"].map(String::from);
        let refused = find(&Method::PUT, &segments).expect_err("nothing is put there");
        assert!(
            matches!(&refused, Refusal::MethodNotAllowed(allowed) if allowed == "DELETE, GET, POST, HEAD"),
            "{refused}"
        );
    }

    #[test]
    fn an_operation_without_its_colon_is_told_what_was_meant() {
        for (path, meant) in [
            ("send", Some("`:send`")),
            ("groups/tea/Send", Some("`:send`")),
            ("users/ann/closeConnections", Some("`:closeConnections`")),
            ("connections/c/invoke", Some("`:invoke`")),
            ("generateToken", Some("`:generateToken`")),
            ("users/ann/invoke", None),
            ("users/ann/dance", None),
            ("", None),
            ("a/b/send", None),
        ] {
            let segments: Vec<String> = path.split('/').map(String::from).collect();
            let refused = find(&Method::POST, &segments).expect_err("it has no such path").to_string();
            assert_eq!(refused.contains("did you mean"), meant.is_some(), "{path}: {refused}");
            assert!(refused.contains(meant.unwrap_or_default()), "{path}: {refused}");
        }
    }

    #[test]
    fn no_two_rows_have_the_same_method_and_path() {
        for (index, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| (other.method, other.path) == (route.method, route.path);
            assert_eq!(ROUTES.iter().position(|other| same(&other)), Some(index), "{} {}", route.method, route.path);
        }
    }
}
