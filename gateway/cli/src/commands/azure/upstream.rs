//! Upstream templates become items of `[[upstream]]`.
//!
//! Source: Azure SignalR Service, "Upstream endpoints": a pattern is `*`, a name, or names with commas between them; the first template
//! that matches gets the event.

use hubgate_wire::webhook::{InvalidTemplate, UrlTemplate};
use toml::{Table, Value};

use super::node::{Cut, Malformed, Node};
use super::remarks::Remarks;

/// Those of `upstream`, in their order.
pub(super) fn items(upstream: &Node<'_>, remarks: &mut Remarks) -> Result<Vec<Value>, Malformed> {
    let mut items = Vec::new();
    for member in remarks.members(upstream)? {
        match member.name().as_str() {
            "templates" => {
                for template in remarks.items(&member)? {
                    items.extend(item(&template, remarks)?.map(Value::from));
                }
            }
            _ => remarks.push(&member, "is not known here: it has no effect"),
        }
    }
    Ok(items)
}

fn item(template: &Node<'_>, remarks: &mut Remarks) -> Result<Option<Table>, Malformed> {
    const LEFT_OUT: &str = "the template is left out, and its events go to the next one that matches";
    let [mut hubs, mut categories, mut events] = [(); 3].map(|()| vec![Value::from("*")]);
    let (mut url, mut is_whole) = (None, true);
    for member in remarks.members(template)? {
        match member.name().as_str() {
            "urltemplate" => match remarks.read(&member, Node::text)? {
                Some(text) => match UrlTemplate::parse(text) {
                    Ok(_) => url = Some(text),
                    Err(error) => remarks.push(&member, format_args!("{}; {LEFT_OUT}", what_is_wrong(&error))),
                },
                None => remarks.push(&member, format_args!("is not known: {LEFT_OUT}")),
            },
            "hubpattern" => is_whole &= take(&member, &mut hubs, remarks)?,
            "eventpattern" => is_whole &= take(&member, &mut events, remarks)?,
            "categorypattern" => {
                is_whole &= take(&member, &mut categories, remarks)?;
                categories.retain(|name| {
                    let name = name.as_str().unwrap_or_default();
                    let is_known = matches!(name, "*" | "connections" | "messages");
                    if !is_known {
                        let why = format_args!("has the category {}: there are connections and messages", Cut(name));
                        remarks.push(&member, why);
                    }
                    is_known
                });
            }
            "auth" => no_identity(&member, remarks)?,
            _ => remarks.push(&member, "is not known here: it has no effect"),
        }
    }
    let Some(url) = url else { return Ok(None) };
    if !is_whole || categories.is_empty() {
        remarks.push(template, format_args!("what it is about is not known: {LEFT_OUT}"));
        return Ok(None);
    }
    Ok(Some(Table::from_iter([
        ("hubs".to_owned(), hubs.into()),
        ("categories".to_owned(), categories.into()),
        ("events".to_owned(), events.into()),
        ("url".to_owned(), url.into()),
    ])))
}

/// What is wrong with a URL, and nothing of what it says: it may have a secret.
fn what_is_wrong(error: &InvalidTemplate) -> String {
    match error {
        InvalidTemplate::UnknownParameter(_) => {
            "has braces around what is not a parameter: there are {hub}, {category} and {event}; a brace itself is %7B"
                .to_owned()
        }
        InvalidTemplate::NotHttp | InvalidTemplate::ParameterInHost | InvalidTemplate::KeyVault => error.to_string(),
    }
}

/// Takes a pattern over; gives whether it could be read.
fn take(pattern: &Node<'_>, names: &mut Vec<Value>, remarks: &mut Remarks) -> Result<bool, Malformed> {
    let Some(text) = remarks.read(pattern, Node::text)? else { return Ok(false) };
    let given = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let given: Vec<Value> = given.map(Value::from).collect();
    if !given.is_empty() {
        *names = given;
    }
    Ok(true)
}

fn no_identity(auth: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
    for member in remarks.members(auth)? {
        let kind = match member.name().as_str() {
            "type" => remarks.read(&member, Node::text)?,
            _ => None,
        };
        if kind.is_some_and(|kind| !kind.is_empty() && !kind.eq_ignore_ascii_case("none")) {
            let why = "there are no managed identities here: requests come without a bearer token, and the header \
                       `X-ASRS-Signature` proves who asks";
            remarks.push(&member, why);
        }
    }
    Ok(())
}
