//! What a plugin does to streams and asks of clients, which takes effect at once.

use std::collections::BTreeMap;

use hubgate_core::delivery::Action;
use hubgate_core::question::ClientQuestion;
use hubgate_core::stream::{Finish, StreamCommand, StreamDeed, StreamId};
use hubgate_wire::payload::{JsonText, Payload};
use serde::{Deserialize, Serialize};

use super::forms::{ActionForm, ErrorForm, ErrorKind, name_of};
use super::values::Content;

/// What has taken effect while a step was played, in order.
#[derive(Debug, Default)]
pub(super) struct Done(Vec<ActionForm>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PushForm {
    stream: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items_json: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FinishForm {
    stream: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_json: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorForm>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AskForm {
    client: String,
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments_json: Option<String>,
}

impl Done {
    pub(super) fn add_actions(&mut self, actions: &[Action]) {
        self.0.extend(actions.iter().map(ActionForm::from));
    }

    pub(super) fn add_question(&mut self, question: &ClientQuestion) {
        let (arguments, arguments_json) = Content::of(question.arguments.borrow()).keys();
        let (client, method) = (name_of(question.connection.as_str()), question.method.clone());
        self.0.push(ActionForm::Ask(AskForm { client, method, arguments, arguments_json }));
    }

    /// Items that are pushed to a stream one after the other are told of together: a client sees no difference.
    pub(super) fn add_command(&mut self, command: &StreamCommand, names: &BTreeMap<StreamId, String>) {
        let stream = names.get(&command.stream).cloned().unwrap_or_else(|| command.stream.to_string());
        match &command.does {
            StreamDeed::Push(items) if items.is_empty() => {}
            StreamDeed::Push(items) => match self.0.last_mut() {
                Some(ActionForm::Push(last)) if last.stream == stream => last.add(items),
                _ => {
                    let mut push = PushForm { stream, items: None, items_json: None };
                    push.add(items);
                    self.0.push(ActionForm::Push(push));
                }
            },
            StreamDeed::Finish(finish) => self.0.push(ActionForm::Finish(FinishForm::new(stream, finish))),
        }
    }

    pub(super) fn take(&mut self) -> Vec<ActionForm> {
        std::mem::take(&mut self.0)
    }
}

impl PushForm {
    fn add(&mut self, items: &[Payload]) {
        let before = self.items().ok().flatten().map(|items| items.to_text());
        let before = before.iter().filter_map(|text| text.strip_prefix('[')?.strip_suffix(']').map(str::to_owned));
        let items = before.chain(items.iter().map(|item| item.borrow().to_json().into_owned()));
        let text = format!("[{}]", items.collect::<Vec<_>>().join(","));
        let content = JsonText::parse_array(text.clone()).map(|text| Content::of(Payload::Json(text).borrow()));
        (self.items, self.items_json) = content.unwrap_or(Content::Json(text)).keys();
    }

    fn items(&self) -> Result<Option<Content>, String> {
        Content::read("items", self.items.as_ref(), self.items_json.as_deref())
    }

    /// The error says what of it cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.items()? {
            Some(items) if items.is_list() => Ok(()),
            Some(_) => Err("`items` of a push are a list".to_owned()),
            None => Err("a push needs `items`".to_owned()),
        }
    }

    pub(super) fn is(&self, other: &PushForm) -> bool {
        self.stream == other.stream && are_same(self.items(), other.items())
    }
}

impl FinishForm {
    fn new(stream: String, finish: &Finish) -> FinishForm {
        let result = match finish {
            Finish::Value(value) => Some(Content::of(value.borrow())),
            Finish::Void | Finish::Rejected(_) | Finish::Failed(_) => None,
        };
        let error = match finish {
            Finish::Rejected(text) => Some(ErrorForm::Any(text.clone())),
            Finish::Failed(text) => Some(ErrorForm::Of(ErrorKind::Failed(text.clone()))),
            Finish::Void | Finish::Value(_) => None,
        };
        let (result, result_json) = result.map_or((None, None), Content::keys);
        FinishForm { stream, result, result_json, error }
    }

    fn result(&self) -> Result<Option<Content>, String> {
        Content::read("result", self.result.as_ref(), self.result_json.as_deref())
    }

    /// The error says what of it cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        match (self.result()?, &self.error) {
            (Some(_), Some(_)) => Err("a stream ends with a `result` or an `error`, and not with both".to_owned()),
            _ => Ok(()),
        }
    }

    pub(super) fn is(&self, other: &FinishForm) -> bool {
        let error = match (&self.error, &other.error) {
            (Some(expected), Some(came)) => expected.has_come_as(came),
            (expected, came) => expected.is_none() && came.is_none(),
        };
        self.stream == other.stream && error && are_same(self.result(), other.result())
    }
}

impl AskForm {
    fn arguments(&self) -> Result<Option<Content>, String> {
        Content::read("arguments", self.arguments.as_ref(), self.arguments_json.as_deref())
    }

    /// The error says what of it cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.arguments()? {
            Some(arguments) if arguments.is_list() => Ok(()),
            _ => Err("`arguments` of a question are a list, which may be []".to_owned()),
        }
    }

    pub(super) fn is(&self, other: &AskForm) -> bool {
        (name_of(&self.client), &self.method) == (name_of(&other.client), &other.method)
            && are_same(self.arguments(), other.arguments())
    }
}

fn are_same(one: Result<Option<Content>, String>, other: Result<Option<Content>, String>) -> bool {
    match (one, other) {
        (Ok(Some(one)), Ok(Some(other))) => one.is(&other),
        (Ok(None), Ok(None)) => true,
        _ => false,
    }
}
