//! Finds the SignalR resource in a document: in what `az` prints, in a list of that, or in a template with all that is nested in it.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::node::{Cut, Node};

const SIGNALR: &str = "Microsoft.SignalRService/signalR";
const DEPLOYMENT: &str = "Microsoft.Resources/deployments";
const WEB_PUB_SUB: &str = "Microsoft.SignalRService/webPubSub";

/// How many resources and types are listed in an error.
const MOST_LISTED: usize = 10;

/// The resources of a document.
#[derive(Debug, Default)]
struct Resources<'a> {
    signalr: Vec<Node<'a>>,
    parts: Vec<Part<'a>>,
    /// The types of all others.
    others: BTreeSet<&'a str>,
}

/// What belongs to a SignalR resource, and is a resource itself.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) node: Node<'a>,
    /// The last words of its type, such as `customDomains`.
    pub(super) kind: &'a str,
    /// Which of the SignalR resources it is nested in. One that stands beside it begins with its name.
    nested_in: Option<usize>,
}

/// The SignalR resource of a document, or the one of this name, with what belongs to it.
pub(super) fn choose<'a>(document: &Node<'a>, name: Option<&str>) -> Result<(Node<'a>, Vec<Part<'a>>)> {
    let mut found = Resources::default();
    found.look_at(document);
    let Resources { signalr, parts, others } = found;
    if signalr.is_empty() {
        bail!(none_of(&others));
    }
    let mut chosen = signalr
        .iter()
        .enumerate()
        .filter(|(_, resource)| name.is_none_or(|name| name_of(resource).eq_ignore_ascii_case(name)));
    let all = || listed(signalr.iter().map(|resource| format!("\"{}\" ({})", Cut(name_of(resource)), place(resource))));
    match (chosen.next(), chosen.next(), name) {
        (Some((index, resource)), None, _) => {
            let is_only = signalr.len() == 1;
            let own = parts.into_iter().filter(|part| part.is_of(index, resource, is_only));
            Ok((resource.clone(), own.collect()))
        }
        (Some(_), Some(_), Some(name)) => {
            bail!("has several SignalR resources that are called {name}: {}", all())
        }
        (Some(_), Some(_), None) => {
            bail!("has several SignalR resources: choose one by --resource NAME: {}", all())
        }
        (None, ..) => {
            bail!("has no SignalR resource that is called {}: it has {}", name.unwrap_or_default(), all())
        }
    }
}

/// What is said of a document without a SignalR resource, and with others of these types.
fn none_of(others: &BTreeSet<&str>) -> String {
    match others.iter().any(|kind| kind.eq_ignore_ascii_case(WEB_PUB_SUB)) {
        true => "has a resource of Azure Web PubSub, and none of Azure SignalR: they are different services".to_owned(),
        false if others.is_empty() => {
            format!(
                "has no resource of type {SIGNALR}: it must be what `az signalr show`, `az resource show` or `bicep build` prints"
            )
        }
        false => {
            format!(
                "has no resource of type {SIGNALR}: it has {}",
                listed(others.iter().map(|kind| Cut(kind).to_string()))
            )
        }
    }
}

fn listed(mut texts: impl Iterator<Item = String>) -> String {
    let first: Vec<String> = texts.by_ref().take(MOST_LISTED).collect();
    match texts.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl Part<'_> {
    /// Whether it belongs to the SignalR resource at this index.
    fn is_of(&self, index: usize, resource: &Node<'_>, is_only: bool) -> bool {
        let (own, name) = (name_of(&self.node), name_of(resource));
        match self.nested_in {
            Some(other) => other == index,
            // What an expression names is not known: where there is one resource, it is that, and else the one whose name it has in it.
            None if self.node.member("name").is_some_and(|name| name.expression().is_some()) => {
                let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
                is_only || own.contains(inner.unwrap_or(name))
            }
            None => {
                let start = own.split_at_checked(name.len());
                start.is_some_and(|(start, rest)| start.eq_ignore_ascii_case(name) && rest.starts_with('/'))
            }
        }
    }
}

/// As it stands in the document, where it may be an expression.
pub(super) fn name_of<'a>(resource: &Node<'a>) -> &'a str {
    resource.member("name").and_then(|name| name.value.as_str()).unwrap_or_default()
}

fn place(resource: &Node<'_>) -> String {
    let path = resource.path();
    if path.is_empty() { "the whole document".to_owned() } else { path }
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
                self.look_at_parts(node);
                self.signalr.push(node.clone());
            }
            Some(kind) if kind.eq_ignore_ascii_case(DEPLOYMENT) => {
                let template = node.member("properties").and_then(|properties| properties.member("template"));
                if let Some(template) = template {
                    self.look_at(&template);
                }
            }
            Some(kind) => match part_of(kind) {
                Some(kind) => self.parts.push(Part { node: node.clone(), kind, nested_in: None }),
                None => {
                    self.others.insert(kind);
                }
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
        let nested_in = Some(self.signalr.len());
        for node in children(resource, "resources") {
            let kind = node.member("type").and_then(|kind| kind.value.as_str()).unwrap_or_default();
            self.parts.push(Part { node, kind: part_of(kind).unwrap_or(kind), nested_in });
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
