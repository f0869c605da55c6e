//! Which method and path is which operation, in all versions of the API.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use hubgate_core::delivery::Target;
use hubgate_core::id::{GroupName, UserId};
use hubgate_wire::path;

use crate::refusal::Refusal;

/// A version of the API, which path prefixes tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// It only sends.
    V1Preview,
    V1,
    /// 2022-06-01 and later ones.
    V2022,
}

impl Version {
    pub(super) const ALL: [Version; 3] = [Version::V2022, Version::V1, Version::V1Preview];

    /// What is before the hub in its paths.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Version::V1Preview => "/api/v1-preview/hub",
            Version::V1 => "/api/v1/hubs",
            Version::V2022 => "/api/hubs",
        }
    }

    pub(super) fn routes(self) -> &'static [Route] {
        match self {
            Version::V1Preview => PREVIEW_ROUTES,
            Version::V1 | Version::V2022 => ROUTES,
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
            Version::V1Preview | Version::V1 => route.v1,
            Version::V2022 => route.v2022,
        };
        StatusCode::from_u16(status).expect("the table has statuses")
    }
}

/// What needs neither a hub nor a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithoutHub {
    Health,
    /// The key with which an application that has an Entra identity signs tokens.
    AccessKey,
    /// This API as a document.
    Document,
}

/// The paths of these, all of which are read by GET and HEAD.
pub(super) const WITHOUT_HUB: [(&str, WithoutHub); 5] = [
    ("/api/health", WithoutHub::Health),
    ("/api/v1/health", WithoutHub::Health),
    ("/api/auth/accessKey", WithoutHub::AccessKey),
    ("/api/v1/auth/accessKey", WithoutHub::AccessKey),
    ("/api/openapi.json", WithoutHub::Document),
];

/// A row of [`ROUTES`] and [`PREVIEW_ROUTES`].
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// Behind the hub. `{c}` is a connection, `{s}` a stream of it, `{g}` a group and `{u}` a user; `{gs}` are groups and `{us}` users, with commas
    /// between them.
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
    SendToMany,
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
    /// Sends an item of a stream to the connection of the path, which has asked for the stream.
    StreamItem,
    EndStream,
    /// A token with which a client may come.
    GenerateToken,
    /// Several commands at once. The gateway has it only to say that it does not do it.
    Execute,
}

/// The names in a path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names<'a> {
    pub(super) connection: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) stream: Option<&'a str>,
    groups: Option<&'a str>,
    users: Option<&'a str>,
}

impl Names<'_> {
    /// The stream of a path that names one.
    pub(super) fn stream(&self) -> String {
        self.stream.unwrap_or_default().to_owned()
    }

    /// All names of groups in the path, however they stand there.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.group.into_iter().chain(self.groups.into_iter().flat_map(|groups| groups.split(',')))
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.user.into_iter().chain(self.users.into_iter().flat_map(|users| users.split(',')))
    }

    /// Whom a path names that names several, each once.
    pub(super) fn many(&self) -> Vec<Target> {
        let groups: BTreeSet<&str> = self.groups().collect();
        let users: BTreeSet<&str> = self.users().collect();
        let groups = groups.into_iter().map(GroupName::new).map(Target::Group);
        groups.chain(users.into_iter().map(UserId::new).map(Target::User)).collect()
    }
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
    route("POST",   "connections/{c}/streams/{s}/:send", Kind::StreamItem, "sendStreamItem",     202, 202),
    route("POST",   "connections/{c}/streams/{s}/:complete", Kind::EndStream, "completeStream",  202, 202),
    route("POST",   ":execute",                      Kind::Execute, "executeCommands",           501, 501),
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

/// Those of v1-preview, all of which send.
#[rustfmt::skip]
pub(super) const PREVIEW_ROUTES: &[Route] = &[
    route("POST",   "",                              Kind::Send,   "sendToAll",                     202, 202),
    route("POST",   "user/{u}",                      Kind::Send,   "sendToUser",                    202, 202),
    route("POST",   "users/{us}",                    Kind::SendToMany, "sendToUsers",               202, 202),
    route("POST",   "group/{g}",                     Kind::Send,   "sendToGroup",                   202, 202),
    route("POST",   "groups/{gs}",                   Kind::SendToMany, "sendToGroups",              202, 202),
];

const fn route(method: &'static str, path: &'static str, kind: Kind, name: &'static str, v1: u16, v2022: u16) -> Route {
    Route { method, path, kind, name, v1, v2022 }
}

/// What is at a path that has no hub.
pub(super) fn without_hub(path: &str) -> Option<WithoutHub> {
    WITHOUT_HUB.into_iter().find_map(|(literal, found)| path::is_same_literal(path, literal).then_some(found))
}

/// The operation of a method and the segments behind the hub.
pub(super) fn find<'a>(
    version: Version,
    method: &Method,
    segments: &'a [String],
) -> Result<(&'static Route, Names<'a>), Refusal> {
    // HEAD asks for what GET asks for.
    let method = if *method == Method::HEAD { &Method::GET } else { method }.as_str();
    // `connections/claims` is not the connection `claims`, whatever the method.
    let path = version.routes().iter().find(|route| names(route.path, segments).is_some()).map(|route| route.path);
    let matching = || {
        version
            .routes()
            .iter()
            .filter(move |route| Some(route.path) == path)
            .filter_map(|route| Some((route, names(route.path, segments)?)))
    };
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
        true => Err(Refusal::NotFound(not_an_operation(version, segments))),
        false => Err(Refusal::MethodNotAllowed(allowed.join(", ").into())),
    }
}

/// That no operation has the path, with the one that has it with a colon.
fn not_an_operation(version: Version, segments: &[String]) -> &'static str {
    let Some((last, before)) = segments.split_last() else { return super::NOT_AN_OPERATION };
    let meant = [before, &[format!(":{last}")]].concat();
    let route = version.routes().iter().find(|route| names(route.path, &meant).is_some());
    match route.and_then(|route| route.path.rsplit('/').next()) {
        Some(":send") => super::IS_IT_SEND,
        Some(":closeConnections") => super::IS_IT_CLOSE,
        Some(":invoke") => super::IS_IT_INVOKE,
        Some(":generateToken") => super::IS_IT_GENERATE_TOKEN,
        Some(":complete") => super::IS_IT_COMPLETE,
        Some(":execute") => super::IS_IT_EXECUTE,
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
            "{s}" => names.stream = Some(segment),
            "{gs}" => names.groups = Some(segment),
            "{us}" => names.users = Some(segment),
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
        find(Version::V2022, &method, &segments).map(|(route, _)| route.name).map_err(|refusal| refusal.status())
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
        assert_eq!(find_in(Method::DELETE, "connections/claims"), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(find_in(Method::PUT, "connections/c"), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(find_in(Method::POST, "users/u/:sned"), Err(StatusCode::NOT_FOUND));
        assert_eq!(find_in(Method::POST, "users"), Err(StatusCode::NOT_FOUND));
    }

    #[test]
    fn a_method_that_a_path_does_not_have_is_answered_with_those_that_it_has() {
        let segments = ["connections", "c"].map(String::from);
        let refused = find(Version::V1, &Method::PUT, &segments).expect_err("nothing is put there");
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
            ("execute", Some("`:execute`")),
            ("connections/c/streams/s/send", Some("`:send`")),
            ("connections/c/streams/s/complete", Some("`:complete`")),
            ("users/ann/invoke", None),
            ("users/ann/dance", None),
            ("", None),
            ("a/b/send", None),
        ] {
            let segments: Vec<String> = path.split('/').map(String::from).collect();
            let refused = find(Version::V2022, &Method::POST, &segments).expect_err("it has no such path").to_string();
            assert_eq!(refused.contains("did you mean"), meant.is_some(), "{path}: {refused}");
            assert!(refused.contains(meant.unwrap_or_default()), "{path}: {refused}");
        }
    }

    #[test]
    fn no_two_rows_have_the_same_method_and_path() {
        for routes in Version::ALL.map(Version::routes) {
            for (index, route) in routes.iter().enumerate() {
                let same = |other: &Route| (other.method, other.path) == (route.method, route.path);
                assert_eq!(routes.iter().position(same), Some(index), "{} {}", route.method, route.path);
            }
        }
    }

    #[test]
    fn a_path_is_of_one_version() {
        for (path, expected) in [
            ("/api/hubs/chat/:send", Some((Version::V2022, "chat/:send"))),
            ("/api/v1/hubs/chat", Some((Version::V1, "chat"))),
            ("/api/v1-preview/hub/chat/users/a,b", Some((Version::V1Preview, "chat/users/a,b"))),
            ("/api/v1-preview/hubs/chat", None),
            ("/api/hub/chat", None),
        ] {
            assert_eq!(Version::of(path), expected, "{path}");
        }
    }

    #[test]
    fn a_list_of_names_is_whom_it_names_each_once() {
        let segments = ["groups", "tea,coffee,tea"].map(String::from);
        let (_, names) = find(Version::V1Preview, &Method::POST, &segments).expect("it sends");
        assert_eq!(names.many(), ["coffee", "tea"].map(|name| Target::Group(GroupName::new(name))));
    }
}
