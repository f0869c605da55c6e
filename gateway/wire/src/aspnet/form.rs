//! Forms and queries, of which clients write some oddly: empty items, repeated ones, and forms that do not say that they are forms.

use std::borrow::Cow;

/// Items of the query that only open connections or defeat caches. Hubs never see them.
const OURS: [&str; 2] = ["access_token", "_"];

/// The first value of `name` in a form.
pub fn form_value(form: &[u8], name: &str) -> Option<String> {
    let mut items = form_urlencoded::parse(form);
    items.find(|(each, _)| each == name).map(|(_, value)| value.into_owned())
}

/// A query as the hub sees it, without what is only for the gateway and without empty items.
pub fn hub_query(query: &str) -> String {
    let name_of = |item: &str| form_urlencoded::parse(item.as_bytes()).next().map(|(name, _)| name.into_owned());
    let is_kept =
        |item: &&str| name_of(item).is_some_and(|name| !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)));
    let kept: Vec<Cow<'_, str>> = query.split('&').filter(is_kept).map(Cow::Borrowed).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_whatever_else_is_in_it() {
        let form = b"&&x&data=%7B%22A%22%3A%5B%22a+b%26%22%5D%7D&data=2&messageId";
        assert_eq!(form_value(form, "data").as_deref(), Some(r#"{"A":["a b&"]}"#));
        assert_eq!(form_value(form, "messageId").as_deref(), Some(""));
        assert_eq!((form_value(form, "Data"), form_value(b"", "data")), (None, None));
    }

    #[test]
    fn a_hub_sees_the_query_of_its_user_and_no_token() {
        let query = "transport=webSockets&&user=a%20b&%61ccess_token=s&ACCESS_TOKEN=s&_=1&id=7&flag&=x&user=c";
        assert_eq!(hub_query(query), "transport=webSockets&user=a%20b&id=7&flag&=x&user=c");
        assert_eq!(hub_query("&&"), "");
    }
}
