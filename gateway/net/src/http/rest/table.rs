//! Which method and path is which operation, in all versions of the API.

use std::borrow::Cow;
use std::collections::BTreeSet;

use http::{Method, StatusCode};
use hubgate_core::delivery::Target;
use hubgate_core::id::{GroupName, UserId};
use hubgate_wire::path;
use percent_encoding::percent_decode_str;

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
    /// After the hub. `{c}` is a connection, `{s}` a stream of it, `{g}` a group and `{u}` a user; `{gs}` are groups and `{us}` users, with commas
    /// between them.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    pub(super) operation: Named,
    v1: u16,
    v2022: u16,
}

/// An operation, which may have several routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    /// For metrics and for tools.
    pub(super) name: &'static str,
    /// What it does, in a few words.
    pub(super) summary: &'static str,
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

/// A part of a path, between two slashes.
#[derive(Debug, Clone)]
pub(super) struct Segment<'a> {
    pub(super) text: String,
    /// As it stands in the path. It is UTF-8 when its escapes are resolved.
    escaped: &'a str,
}

impl<'a> Segment<'a> {
    /// None if it is not UTF-8.
    pub(super) fn decode(escaped: &'a str) -> Option<Segment<'a>> {
        let text = percent_decode_str(escaped).decode_utf8().ok()?.into_owned();
        Some(Segment { text, escaped })
    }
}

/// How many groups or users one path may name.
pub(super) const MOST_NAMES: usize = 100;

/// The names in a path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names<'a> {
    pub(super) connection: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) stream: Option<&'a str>,
    /// Lists are escaped: a comma in a name parts it from no other.
    groups: Option<&'a str>,
    users: Option<&'a str>,
}

impl Names<'_> {
    /// The stream of a path that names one.
    pub(super) fn stream(&self) -> String {
        self.stream.unwrap_or_default().to_owned()
    }

    /// All names of groups in the path, however they stand there.
    pub(super) fn groups(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.group.into_iter().map(Cow::from).chain(listed(self.groups))
    }

    pub(super) fn users(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.user.into_iter().map(Cow::from).chain(listed(self.users))
    }

    /// Whom a path names that names several, each once.
    pub(super) fn many(&self) -> Vec<Target> {
        let groups: BTreeSet<Cow<'_, str>> = self.groups().collect();
        let users: BTreeSet<Cow<'_, str>> = self.users().collect();
        let groups = groups.iter().map(|name| Target::Group(GroupName::new(&**name)));
        groups.chain(users.iter().map(|id| Target::User(UserId::new(&**id)))).collect()
    }
}

/// The names in a list.
fn listed(escaped: Option<&str>) -> impl Iterator<Item = Cow<'_, str>> {
    escaped.into_iter().flat_map(|names| names.split(',')).map(|name| percent_decode_str(name).decode_utf8_lossy())
}

const SEND_TO_ALL: Named = named("sendToAll", "Sends to all clients of the hub");
const SEND_TO_USER: Named = named("sendToUser", "Sends to a user");
const SEND_TO_USERS: Named = named("sendToUsers", "Sends to several users");
const SEND_TO_CONNECTION: Named = named("sendToConnection", "Sends to a connection");
const SEND_TO_GROUP: Named = named("sendToGroup", "Sends to a group");
const SEND_TO_GROUPS: Named = named("sendToGroups", "Sends to several groups");
const SEND_STREAM_ITEM: Named =
    named("sendStreamItem", "Sends an item of a stream to a client that has asked for the stream");
const COMPLETE_STREAM: Named = named("completeStream", "Ends a stream to a client");
const INVOKE_CONNECTION: Named = named("invokeConnection", "Calls a method of a client, and waits for its result");
const EXECUTE_COMMANDS: Named =
    named("executeCommands", "Executes several commands at once: the gateway executes none");
const GENERATE_CLIENT_TOKEN: Named = named("generateClientToken", "Makes a token with which a client may come");
const CONNECTION_EXISTS: Named = named("connectionExists", "Tells whether a connection is there");
const GROUP_EXISTS: Named = named("groupExists", "Tells whether a group has connections");
const USER_EXISTS: Named = named("userExists", "Tells whether a user has connections");
const USER_IN_GROUP: Named = named("userInGroup", "Tells whether a user is in a group");
const LIST_GROUP_CONNECTIONS: Named = named("listGroupConnections", "Lists the connections of a group, page by page");
const CLOSE_CONNECTION: Named = named("closeConnection", "Closes a connection");
const CLOSE_ALL: Named = named("closeAll", "Closes all connections of the hub");
const CLOSE_GROUP: Named = named("closeGroup", "Closes the connections of a group");
const CLOSE_USER: Named = named("closeUser", "Closes the connections of a user");
const ADD_CONNECTION_TO_GROUP: Named = named("addConnectionToGroup", "Adds a connection to a group");
const REMOVE_CONNECTION_FROM_GROUP: Named = named("removeConnectionFromGroup", "Removes a connection from a group");
const REMOVE_CONNECTION_FROM_ALL_GROUPS: Named =
    named("removeConnectionFromAllGroups", "Removes a connection from all groups");
const ADD_USER_TO_GROUP: Named = named("addUserToGroup", "Adds a user to a group");
const REMOVE_USER_FROM_GROUP: Named = named("removeUserFromGroup", "Removes a user from a group");
const REMOVE_USER_FROM_ALL_GROUPS: Named = named("removeUserFromAllGroups", "Removes a user from all groups");
const REFRESH_CONNECTION: Named =
    named("refreshConnection", "Lets a connection go on with other claims and another end");
const CONNECTION_CLAIMS: Named = named("connectionClaims", "Tells the claims of a connection");

/// Every operation; the first row that a path fits is its own. Each version has both its own paths and those of the other, and each membership can be named from
/// either side.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = &[
    route("POST",   "",                              Kind::Send,   SEND_TO_ALL,                     202, 202),
    route("POST",   ":send",                         Kind::Send,   SEND_TO_ALL,                     202, 202),
    route("POST",   "users/{u}",                     Kind::Send,   SEND_TO_USER,                    202, 202),
    route("POST",   "users/{u}/:send",               Kind::Send,   SEND_TO_USER,                    202, 202),
    route("POST",   "connections/:refreshAuth",      Kind::Refresh, REFRESH_CONNECTION,            200, 200),
    route("POST",   "connections/claims",            Kind::Claims, CONNECTION_CLAIMS,              200, 200),
    route("QUERY",  "connections/claims",            Kind::Claims, CONNECTION_CLAIMS,              200, 200),
    route("POST",   "connections/{c}",               Kind::Send,   SEND_TO_CONNECTION,              202, 202),
    route("POST",   "connections/{c}/:send",         Kind::Send,   SEND_TO_CONNECTION,              202, 202),
    route("POST",   "groups/{g}",                    Kind::Send,   SEND_TO_GROUP,                   202, 202),
    route("POST",   "groups/{g}/:send",              Kind::Send,   SEND_TO_GROUP,                   202, 202),
    route("POST",   "connections/{c}/:invoke",       Kind::Invoke, INVOKE_CONNECTION,              200, 200),
    route("POST",   "connections/{c}/streams/{s}/:send", Kind::StreamItem, SEND_STREAM_ITEM,     202, 202),
    route("POST",   "connections/{c}/streams/{s}/:complete", Kind::EndStream, COMPLETE_STREAM,  202, 202),
    route("POST",   ":execute",                      Kind::Execute, EXECUTE_COMMANDS,           501, 501),
    route("POST",   ":generateToken",                Kind::GenerateToken,
                                                                   GENERATE_CLIENT_TOKEN,           200, 200),
    route("GET",    "connections/{c}",               Kind::Exists, CONNECTION_EXISTS,              200, 200),
    route("GET",    "groups/{g}",                    Kind::Exists, GROUP_EXISTS,                   200, 200),
    route("GET",    "users/{u}",                     Kind::Exists, USER_EXISTS,                    200, 200),
    route("GET",    "groups/{g}/users/{u}",          Kind::Exists, USER_IN_GROUP,                   200, 200),
    route("GET",    "users/{u}/groups/{g}",          Kind::Exists, USER_IN_GROUP,                   200, 200),
    route("GET",    "groups/{g}/connections",        Kind::List,   LIST_GROUP_CONNECTIONS,          200, 200),
    route("DELETE", "connections/{c}",               Kind::Close,  CLOSE_CONNECTION,               202, 200),
    route("POST",   ":closeConnections",             Kind::Close,  CLOSE_ALL,                      204, 204),
    route("POST",   "groups/{g}/:closeConnections",  Kind::Close,  CLOSE_GROUP,                    204, 204),
    route("POST",   "users/{u}/:closeConnections",   Kind::Close,  CLOSE_USER,                     204, 204),
    route("PUT",    "groups/{g}/connections/{c}",    Kind::Add,    ADD_CONNECTION_TO_GROUP,          200, 200),
    route("PUT",    "connections/{c}/groups/{g}",    Kind::Add,    ADD_CONNECTION_TO_GROUP,          200, 200),
    route("DELETE", "groups/{g}/connections/{c}",    Kind::Remove, REMOVE_CONNECTION_FROM_GROUP,     200, 200),
    route("DELETE", "connections/{c}/groups/{g}",    Kind::Remove, REMOVE_CONNECTION_FROM_GROUP,     200, 200),
    route("DELETE", "connections/{c}/groups",        Kind::RemoveFromAllGroups,
                                                                         REMOVE_CONNECTION_FROM_ALL_GROUPS, 200, 200),
    route("PUT",    "groups/{g}/users/{u}",          Kind::Add,    ADD_USER_TO_GROUP,                202, 200),
    route("PUT",    "users/{u}/groups/{g}",          Kind::Add,    ADD_USER_TO_GROUP,                202, 200),
    route("DELETE", "groups/{g}/users/{u}",          Kind::Remove, REMOVE_USER_FROM_GROUP,           202, 204),
    route("DELETE", "users/{u}/groups/{g}",          Kind::Remove, REMOVE_USER_FROM_GROUP,           202, 204),
    route("DELETE", "users/{u}/groups",              Kind::RemoveFromAllGroups,
                                                                         REMOVE_USER_FROM_ALL_GROUPS,       200, 204),
];

/// Those of v1-preview, all of which send.
#[rustfmt::skip]
pub(super) const PREVIEW_ROUTES: &[Route] = &[
    route("POST",   "",                              Kind::Send,   SEND_TO_ALL,                     202, 202),
    route("POST",   "user/{u}",                      Kind::Send,   SEND_TO_USER,                    202, 202),
    route("POST",   "users/{us}",                    Kind::SendToMany, SEND_TO_USERS,               202, 202),
    route("POST",   "group/{g}",                     Kind::Send,   SEND_TO_GROUP,                   202, 202),
    route("POST",   "groups/{gs}",                   Kind::SendToMany, SEND_TO_GROUPS,              202, 202),
];

const fn route(method: &'static str, path: &'static str, kind: Kind, operation: Named, v1: u16, v2022: u16) -> Route {
    Route { method, path, kind, operation, v1, v2022 }
}

const fn named(name: &'static str, summary: &'static str) -> Named {
    Named { name, summary }
}

/// What is at a path that has no hub.
pub(super) fn without_hub(path: &str) -> Option<WithoutHub> {
    WITHOUT_HUB.into_iter().find_map(|(literal, found)| path::is_same_literal(path, literal).then_some(found))
}

/// The operation of a method and the segments after the hub.
pub(super) fn find<'a>(
    version: Version,
    method: &Method,
    segments: &'a [Segment<'a>],
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
fn not_an_operation(version: Version, segments: &[Segment<'_>]) -> Cow<'static, str> {
    let meant = segments.split_last().and_then(|(last, before)| {
        let with_colon = Segment { text: format!(":{}", last.text), escaped: last.escaped };
        let meant = [before, &[with_colon]].concat();
        let route = version.routes().iter().find(|route| names(route.path, &meant).is_some())?;
        route.path.rsplit('/').next().filter(|verb| verb.starts_with(':'))
    });
    match meant {
        Some(verb) => {
            format!("No operation of the REST API has this path: did you mean `{verb}`, with the colon?").into()
        }
        None => super::NOT_AN_OPERATION.into(),
    }
}

/// The names in `segments`, if they are those of `path`.
fn names<'a>(path: &str, segments: &'a [Segment<'_>]) -> Option<Names<'a>> {
    let mut names = Names::default();
    let mut segments = segments.iter();
    for expected in path.split('/').filter(|expected| !expected.is_empty()) {
        let segment = segments.next()?;
        match expected {
            "{c}" => names.connection = Some(&segment.text),
            "{g}" => names.group = Some(&segment.text),
            "{u}" => names.user = Some(&segment.text),
            "{s}" => names.stream = Some(&segment.text),
            "{gs}" => names.groups = Some(segment.escaped),
            "{us}" => names.users = Some(segment.escaped),
            literal if literal.eq_ignore_ascii_case(&segment.text) => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<Segment<'_>> {
        path.split('/').filter(|segment| !segment.is_empty()).filter_map(Segment::decode).collect()
    }

    fn find_in(method: Method, path: &str) -> Result<&'static str, StatusCode> {
        let segments = segments(path);
        find(Version::V2022, &method, &segments)
            .map(|(route, _)| route.operation.name)
            .map_err(|refusal| refusal.status())
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
        let segments = segments("connections/c");
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
            let segments: Vec<Segment<'_>> = path.split('/').filter_map(Segment::decode).collect();
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
    fn a_list_of_names_is_whom_it_names_each_once_and_an_escaped_comma_is_part_of_a_name() {
        let segments = segments("groups/tea,coffee%2Cblack,te%61");
        let (_, names) = find(Version::V1Preview, &Method::POST, &segments).expect("it sends");
        assert_eq!(names.many(), ["coffee,black", "tea"].map(|name| Target::Group(GroupName::new(name))));
    }
}
