//! Finds the SignalR resource in a document: in what `az` prints, in a list of that, or in a template with all that is nested in it.

use anyhow::{Result, bail};

use super::node::Node;

const SIGNALR: &str = "Microsoft.SignalRService/signalR";
const DEPLOYMENT: &str = "Microsoft.Resources/deployments";
const WEB_PUB_SUB: &str = "Microsoft.SignalRService/webPubSub";

/// The resources of a document.
#[derive(Debug, Default)]
struct Resources<'a> {
    signalr: Vec<Node<'a>>,
    /// What belongs to a SignalR resource, and stands beside it.
    parts: Vec<(Node<'a>, String)>,
    /// The types of all others.
    others: Vec<String>,
}

/// The one that is to be imported, and what belongs to a SignalR resource beside it: each with its type.
pub(super) type Chosen<'a> = (Node<'a>, Vec<(Node<'a>, String)>);

/// The SignalR resource of a document, or the one of this name.
pub(super) fn choose<'a>(document: &Node<'a>, name: Option<&str>) -> Result<Chosen<'a>> {
    let mut found = Resources::default();
    found.look_at(document);
    let Resources { signalr, parts, mut others } = found;
    if signalr.is_empty() {
        others.sort();
        others.dedup();
        match others.iter().any(|kind| kind.eq_ignore_ascii_case(WEB_PUB_SUB)) {
            true => bail!("has a resource of Azure Web PubSub, and none of Azure SignalR: they are different services"),
            false if others.is_empty() => {
                bail!(
                    "has no resource of type {SIGNALR}: it must be what `az signalr show`, `az resource show` or `bicep build` prints"
                )
            }
            false => bail!("has no resource of type {SIGNALR}: it has {}", others.join(", ")),
        }
    }
    let all: Vec<String> =
        signalr.iter().map(|resource| format!("\"{}\" ({})", name_of(resource), place(resource))).collect();
    let mut chosen: Vec<Node<'a>> = signalr
        .into_iter()
        .filter(|resource| name.is_none_or(|name| name_of(resource).eq_ignore_ascii_case(name)))
        .collect();
    match (chosen.pop(), chosen.is_empty(), name) {
        (Some(resource), true, _) => Ok((resource, parts)),
        (Some(_), false, Some(name)) => {
            bail!("has several SignalR resources that are called {name}: {}", all.join(", "))
        }
        (Some(_), false, None) => {
            bail!("has several SignalR resources: choose one by --resource NAME: {}", all.join(", "))
        }
        (None, _, _) => {
            bail!("has no SignalR resource that is called {}: it has {}", name.unwrap_or_default(), all.join(", "))
        }
    }
}

/// As it stands in the document, where it may be an expression.
pub(super) fn name_of<'a>(resource: &Node<'a>) -> &'a str {
    resource.member("name").and_then(|name| name.value.as_str()).unwrap_or_default()
}

fn place<'n>(resource: &'n Node<'_>) -> &'n str {
    if resource.path.is_empty() { "the whole document" } else { &resource.path }
}

impl<'a> Resources<'a> {
    /// Notes the resources in a resource, in a template or in a list of them. What is none of these has none.
    fn look_at(&mut self, node: &Node<'a>) {
        for item in node.items().unwrap_or_default() {
            self.look_at(&item);
        }
        let text = |name: &str| node.member(name).and_then(|member| member.value.as_str());
        match text("type") {
            // Referred to, and made elsewhere.
            Some(_) if node.member("existing").is_some_and(|existing| existing.is_on().unwrap_or(false)) => {}
            Some(kind) if kind.eq_ignore_ascii_case(SIGNALR) => {
                self.signalr.push(node.clone());
                self.look_at_parts(node);
            }
            Some(kind) if kind.eq_ignore_ascii_case(DEPLOYMENT) => {
                let template = node.member("properties").and_then(|properties| properties.member("template"));
                if let Some(template) = template {
                    self.look_at(&template);
                }
            }
            Some(kind) => match part_of(kind) {
                Some(part) => self.parts.push((node.clone(), part.to_owned())),
                None => self.others.push(kind.to_owned()),
            },
            // A template's resources are a list, or have names; `value` has those of a list of the management API.
            None => {
                for name in ["resources", "value"] {
                    for resource in children(node, name) {
                        self.look_at(&resource);
                    }
                }
            }
        }
    }

    /// Within their resource, parts have types of one word.
    fn look_at_parts(&mut self, resource: &Node<'a>) {
        for part in children(resource, "resources") {
            let kind = part.member("type").and_then(|kind| kind.value.as_str()).unwrap_or_default();
            let kind = part_of(kind).unwrap_or(kind).to_owned();
            self.parts.push((part, kind));
        }
    }
}

fn children<'a>(node: &Node<'a>, name: &str) -> Vec<Node<'a>> {
    let Some(children) = node.member(name) else { return Vec::new() };
    match children.items() {
        Ok(items) => items,
        Err(_) => children.members().unwrap_or_default(),
    }
}

/// What comes after the type of SignalR resources in the type of what belongs to one.
fn part_of(kind: &str) -> Option<&str> {
    let (start, rest) = kind.split_at_checked(SIGNALR.len())?;
    rest.strip_prefix('/').filter(|_| start.eq_ignore_ascii_case(SIGNALR))
}
