//! The query of a request.

use std::borrow::Cow;

use hubgate_core::id::HubName;

use crate::refusal::Refusal;

/// Names of the query that open connections or only defeat caches. Handlers never see them.
const OURS: [&str; 4] = ["access_token", "id", "_", STRAIGHT];
/// In the query of a client that was sent straight to a node.
pub(super) const STRAIGHT: &str = "hubgate_node";

/// A query, read without regard to the case of its names, as ASP.NET Core does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(crate) fn of(uri: &'a http::Uri) -> Query<'a> {
        Query(uri.query().unwrap_or_default())
    }

    /// The first value of `name`.
    pub(crate) fn get(self, name: &str) -> Option<Cow<'a, str>> {
        self.all(name).next()
    }

    /// All values of `name`.
    pub(crate) fn all(self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        form_urlencoded::parse(self.0.as_bytes())
            .filter(move |(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All of its items with their values.
    pub(crate) fn items(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + Clone {
        form_urlencoded::parse(self.0.as_bytes())
    }

    /// All values of the list `name`, in the spellings that HTTP libraries have for it: `name=a&name=b`, `name[]=a` and
    /// `name[0]=a`.
    pub(crate) fn list(self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        let is_item = move |each: &str| match each.get(..name.len()) {
            Some(start) if start.eq_ignore_ascii_case(name) => is_index(&each[name.len()..]),
            _ => false,
        };
        form_urlencoded::parse(self.0.as_bytes()).filter(move |(each, _)| is_item(each)).map(|(_, value)| value)
    }

    /// The hub that the request is for.
    pub(crate) fn hub(self) -> Result<HubName, Refusal> {
        let mut hubs = self.all("hub");
        match (hubs.next(), hubs.next()) {
            (Some(hub), None) => Ok(HubName::parse(&hub)?),
            _ => Err(Refusal::NotOneHub),
        }
    }

    /// The query as its sender wrote it, without the items that are the gateway's own and those called `others`.
    pub(crate) fn without(self, others: &[&str]) -> String {
        let is_ours = |item: &&str| {
            // Compared as it is read: `%61ccess_token` is the token, too.
            let name = form_urlencoded::parse(item.as_bytes()).next().map(|(name, _)| name);
            let mut names = OURS.iter().chain(others);
            name.is_none_or(|name| names.any(|each| name.eq_ignore_ascii_case(each)))
        };
        let kept: Vec<&str> = self.0.split('&').filter(|item| !is_ours(item)).collect();
        kept.join("&")
    }
}

/// Nothing, `[]`, or a number in brackets.
fn is_index(text: &str) -> bool {
    let digits = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    text.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_exactly_one_hub() {
        let hub = |query| Query(query).hub().ok().map(|hub| hub.to_string());
        assert_eq!(hub("a=b&HUB=Chat"), Some("chat".to_owned()));
        assert_eq!(hub("a=b"), None);
        assert_eq!(hub("hub=a&hub=b"), None);
        assert_eq!(hub("hub=%20"), None);
    }

    #[test]
    fn a_list_has_the_spellings_of_all_libraries() {
        let list = |query| Query(query).list("excluded").map(|item| item.into_owned()).collect::<Vec<_>>();
        assert_eq!(list("excluded=a&EXCLUDED=b"), ["a", "b"]);
        assert_eq!(list("excluded[]=a&excluded%5B%5D=b"), ["a", "b"]);
        assert_eq!(list("excluded[0]=a&excluded[1]=b,c"), ["a", "b,c"]);
        assert_eq!(list("excluded[x]=a&excludedx=b&exclude=c&excluded[=d"), Vec::<String>::new());
    }

    #[test]
    fn handlers_see_the_query_without_what_opens_connections() {
        let query = Query("hub=chat&access_token=s&room=a%20b&id=s&_=1");
        assert_eq!(query.without(&[]), "hub=chat&room=a%20b");
        assert_eq!(query.without(&["hub"]), "room=a%20b");
        let escaped = Query("%61ccess_token=s&%69d=s&ACCESS%5Ftoken=s&%5F&&room=%0d%0a");
        assert_eq!(
            (escaped.get("access_token").as_deref(), escaped.without(&[])),
            (Some("s"), "room=%0d%0a".to_owned())
        );
    }
}
