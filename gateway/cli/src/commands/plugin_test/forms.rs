//! What passes between a plugin and a hub, in the form in which scripts write it: that of the contract.

use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::UpstreamFailure;
use hubgate_core::filter::{FilterMessage, MessageKind, Origin, Refusal, Verdict};
use hubgate_core::id::{ConnectionId, GroupName, PluginName, ServerId, UserId};
use hubgate_wire::payload::{JsonText, Payload};
use serde::{Deserialize, Serialize};

use super::deeds::{AskForm, FinishForm, PushForm};
use super::values::Content;

/// Characters of a connection's id.
const ID_LENGTH: usize = 24;

/// The id of the connection that a script calls so: the name, and as many `_` as an id needs. `None` of what cannot be a name.
pub(super) fn connection_id(name: &str) -> Option<ConnectionId> {
    let is_name = !name.is_empty() && (name.len() == ID_LENGTH || !name.ends_with('_'));
    is_name.then(|| ConnectionId::parse(format!("{name:_<ID_LENGTH$}"))).flatten()
}

/// What a script calls the connection.
pub(super) fn name_of(id: &str) -> String {
    id.trim_end_matches('_').to_owned()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TargetForm {
    All,
    Group(String),
    User(String),
    Connection(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MemberForm {
    Connection(String),
    User(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ActionForm {
    Send(SendForm),
    Join(MembershipForm),
    Leave(MembershipForm),
    LeaveAll(MemberForm),
    Close(ClosingForm),
    Push(PushForm),
    Finish(FinishForm),
    Ask(AskForm),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SendForm {
    to: TargetForm,
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments_json: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct MembershipForm {
    member: MemberForm,
    group: String,
    /// Of a join alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ClosingForm {
    target: TargetForm,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default)]
    allow_reconnect: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a text, { rejected = \"…\" }, { failed = \"…\" } or { trapped = \"…\" }")]
pub(super) enum ErrorForm {
    /// Of a rejection or a failure; what came is a rejection.
    Any(String),
    Of(ErrorKind),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ErrorKind {
    Rejected(String),
    Failed(String),
    /// The call was broken off: by a trap, or because it was beyond a budget.
    Trapped(String),
}

/// A hub message as filters see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct MessageForm {
    #[serde(default, skip_serializing_if = "KindForm::is_invocation")]
    kind: KindForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments_json: Option<String>,
    /// An item or a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_json: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindForm {
    #[default]
    Invocation,
    StreamInvocation,
    StreamItem,
    Completion,
}

/// What a filter says of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VerdictForm {
    Pass,
    Drop,
    Replace(MessageForm),
    Reject(String),
    Close(String),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OriginForm {
    HubServer(String),
    Plugin(String),
    Webhook,
    Rest,
    Management,
}

impl From<&Target> for TargetForm {
    fn from(target: &Target) -> TargetForm {
        match target {
            Target::All => TargetForm::All,
            Target::Group(group) => TargetForm::Group(group.as_str().to_owned()),
            Target::User(user) => TargetForm::User(user.as_str().to_owned()),
            Target::Connection(id) => TargetForm::Connection(name_of(id.as_str())),
        }
    }
}

impl TargetForm {
    /// The error says why there can be no such target.
    pub(super) fn to_target(&self) -> Result<Target, String> {
        Ok(match self {
            TargetForm::All => Target::All,
            TargetForm::Group(group) => Target::Group(GroupName::parse(group).map_err(|error| error.to_string())?),
            TargetForm::User(user) => Target::User(UserId::parse(user).map_err(|error| error.to_string())?),
            TargetForm::Connection(name) => match connection_id(name) {
                Some(id) => Target::Connection(id),
                None => return Err(format!("\"{name}\" cannot be a client's name")),
            },
        })
    }
}

impl From<&Member> for MemberForm {
    fn from(member: &Member) -> MemberForm {
        match member {
            Member::Connection(id) => MemberForm::Connection(name_of(id.as_str())),
            Member::User(user) => MemberForm::User(user.as_str().to_owned()),
        }
    }
}

impl From<&Action> for ActionForm {
    fn from(action: &Action) -> ActionForm {
        let names = |ids: &[ConnectionId]| ids.iter().map(|id| name_of(id.as_str())).collect();
        match action {
            Action::Send { to, message, except } => {
                let call = message.as_call();
                let (method, arguments) = call.map_or_else(Default::default, |(method, arguments)| {
                    (method.to_owned(), Some(Content::of(arguments.borrow())))
                });
                let (arguments, arguments_json) = arguments.map_or((None, None), Content::keys);
                let except = names(&except.connections);
                ActionForm::Send(SendForm { to: to.into(), method, arguments, arguments_json, except })
            }
            Action::Join { member, group, ttl_seconds, plugin: _ } => ActionForm::Join(MembershipForm {
                member: member.into(),
                group: group.as_str().to_owned(),
                ttl_seconds: *ttl_seconds,
            }),
            Action::Leave { member, group } => ActionForm::Leave(MembershipForm {
                member: member.into(),
                group: group.as_str().to_owned(),
                ttl_seconds: None,
            }),
            Action::LeaveAll(member) => ActionForm::LeaveAll(member.into()),
            Action::Close { target, except, reason, allow_reconnect } => ActionForm::Close(ClosingForm {
                target: target.into(),
                except: names(except),
                reason: reason.clone(),
                allow_reconnect: *allow_reconnect,
            }),
        }
    }
}

impl ActionForm {
    /// The error says what of it cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            ActionForm::Send(send) => match send.arguments()? {
                Some(arguments) if arguments.is_list() => Ok(()),
                Some(_) => Err("`arguments` of a send are a list".to_owned()),
                None => Err("a send needs `arguments`, which may be []".to_owned()),
            },
            ActionForm::Leave(MembershipForm { ttl_seconds: Some(_), .. }) => {
                Err("`ttl-seconds` is of a join alone".to_owned())
            }
            ActionForm::Push(push) => push.check(),
            ActionForm::Finish(finish) => finish.check(),
            ActionForm::Ask(ask) => ask.check(),
            ActionForm::Join(_) | ActionForm::Leave(_) | ActionForm::LeaveAll(_) | ActionForm::Close(_) => Ok(()),
        }
    }

    /// Whether both ask for the same.
    pub(super) fn is(&self, other: &ActionForm) -> bool {
        match (self.named(), other.named()) {
            (ActionForm::Send(one), ActionForm::Send(other)) => {
                let arguments = match (one.arguments(), other.arguments()) {
                    (Ok(Some(one)), Ok(Some(other))) => one.is(&other),
                    _ => false,
                };
                arguments && (one.to, one.method, one.except) == (other.to, other.method, other.except)
            }
            (ActionForm::Push(one), ActionForm::Push(other)) => one.is(&other),
            (ActionForm::Finish(one), ActionForm::Finish(other)) => one.is(&other),
            (ActionForm::Ask(one), ActionForm::Ask(other)) => one.is(&other),
            (one, other) => one == other,
        }
    }

    /// With names in place of ids.
    fn named(&self) -> ActionForm {
        let mut named = self.clone();
        let names = |ids: &mut Vec<String>| {
            ids.iter_mut().for_each(|id| *id = name_of(id));
            ids.sort();
        };
        let target = |target: &mut TargetForm| {
            if let TargetForm::Connection(id) = target {
                *id = name_of(id);
            }
        };
        match &mut named {
            ActionForm::Send(SendForm { to, except, .. })
            | ActionForm::Close(ClosingForm { target: to, except, .. }) => {
                target(to);
                names(except);
            }
            ActionForm::Join(MembershipForm { member, .. })
            | ActionForm::Leave(MembershipForm { member, .. })
            | ActionForm::LeaveAll(member) => {
                if let MemberForm::Connection(id) = member {
                    *id = name_of(id);
                }
            }
            ActionForm::Push(_) | ActionForm::Finish(_) | ActionForm::Ask(_) => {}
        }
        named
    }
}

impl SendForm {
    fn arguments(&self) -> Result<Option<Content>, String> {
        Content::read("arguments", self.arguments.as_ref(), self.arguments_json.as_deref())
    }
}

impl From<UpstreamFailure> for ErrorForm {
    fn from(failure: UpstreamFailure) -> ErrorForm {
        let trapped = |text: &str| ErrorForm::Of(ErrorKind::Trapped(text.to_owned()));
        match failure {
            UpstreamFailure::Rejected(text) => ErrorForm::Any(text),
            UpstreamFailure::Failed(text) | UpstreamFailure::Unavailable(text) => {
                ErrorForm::Of(ErrorKind::Failed(text))
            }
            UpstreamFailure::Trapped(text) => trapped(&text),
            UpstreamFailure::TimedOut => trapped("it ran longer than its call-time"),
            UpstreamFailure::OutOfCpuTime { .. } => trapped("it used more processor time than its cpu-time"),
            UpstreamFailure::OutOfMemory => trapped("it wanted more than its memory"),
            UpstreamFailure::Busy | UpstreamFailure::NotServing => trapped("it could not be called"),
        }
    }
}

impl ErrorForm {
    /// Without what changes from build to build: the functions that a trap was in, which follow what it was.
    pub(super) fn in_any_build(&self) -> ErrorForm {
        match self {
            ErrorForm::Of(ErrorKind::Trapped(text)) => {
                let (what, _functions) = text.rsplit_once(", in ").unwrap_or((text, ""));
                ErrorForm::Of(ErrorKind::Trapped(what.to_owned()))
            }
            other => other.clone(),
        }
    }

    /// Whether this, which was expected, has come. Of a trap a part is enough: its text also says where. A text without a kind is none of
    /// a trap: any short one would be a part of it.
    pub(super) fn has_come_as(&self, came: &ErrorForm) -> bool {
        let came = match came {
            ErrorForm::Any(text) => ErrorKind::Rejected(text.clone()),
            ErrorForm::Of(kind) => kind.clone(),
        };
        match (self, &came) {
            (ErrorForm::Of(ErrorKind::Trapped(part)), ErrorKind::Trapped(text)) => text.contains(part),
            (ErrorForm::Any(expected), ErrorKind::Rejected(text) | ErrorKind::Failed(text)) => expected == text,
            (ErrorForm::Any(_), ErrorKind::Trapped(_)) => false,
            (ErrorForm::Of(expected), came) => expected == came,
        }
    }
}

impl KindForm {
    fn is_invocation(&self) -> bool {
        *self == KindForm::Invocation
    }

    fn is_call(self) -> bool {
        matches!(self, KindForm::Invocation | KindForm::StreamInvocation)
    }
}

impl From<FilterMessage> for MessageForm {
    fn from(message: FilterMessage) -> MessageForm {
        let kind = match message.kind {
            MessageKind::Invocation => KindForm::Invocation,
            MessageKind::StreamInvocation => KindForm::StreamInvocation,
            MessageKind::StreamItem => KindForm::StreamItem,
            MessageKind::Completion => KindForm::Completion,
        };
        let content = message.content.map(|content| Content::of(content.borrow()));
        let (value, json) = content.map_or((None, None), Content::keys);
        let (arguments, arguments_json, content, content_json) =
            if kind.is_call() { (value, json, None, None) } else { (None, None, value, json) };
        let (target, error) = (message.target, message.error);
        MessageForm { kind, target, arguments, arguments_json, content, content_json, error }
    }
}

impl MessageForm {
    /// As a filter is shown it; the error says why there can be no such message.
    pub(super) fn to_message(&self) -> Result<FilterMessage, String> {
        let kind = match self.kind {
            KindForm::Invocation => MessageKind::Invocation,
            KindForm::StreamInvocation => MessageKind::StreamInvocation,
            KindForm::StreamItem => MessageKind::StreamItem,
            KindForm::Completion => MessageKind::Completion,
        };
        let content = self.content()?.map(|content| JsonText::parse_text(content.to_text()));
        let content = content.transpose().map_err(|error| format!("the message's content {error}"))?.map(Payload::Json);
        let message = FilterMessage { kind, target: self.target.clone(), content, error: self.error.clone() };
        message.can_replace(kind)?;
        Ok(message)
    }

    fn content(&self) -> Result<Option<Content>, String> {
        let arguments = Content::read("arguments", self.arguments.as_ref(), self.arguments_json.as_deref())?;
        let content = Content::read("content", self.content.as_ref(), self.content_json.as_deref())?;
        match (self.kind.is_call(), arguments, content) {
            (true, Some(arguments), None) if !arguments.is_list() => Err("`arguments` of a call are a list".to_owned()),
            (true, content, None) | (false, None, content) => Ok(content),
            (true, _, Some(_)) => Err("a call has `arguments`, and no `content`".to_owned()),
            (false, Some(_), _) => Err("only a call has `arguments`: others have `content`".to_owned()),
        }
    }

    fn is(&self, other: &MessageForm) -> bool {
        let alike = match (self.content(), other.content()) {
            (Ok(Some(one)), Ok(Some(other))) => one.is(&other),
            (Ok(None), Ok(None)) => true,
            _ => false,
        };
        alike && (self.kind, &self.target, &self.error) == (other.kind, &other.target, &other.error)
    }
}

impl From<Verdict> for VerdictForm {
    fn from(verdict: Verdict) -> VerdictForm {
        match verdict {
            Verdict::Pass => VerdictForm::Pass,
            Verdict::Replace(message) => VerdictForm::Replace(message.into()),
            Verdict::Refuse(Refusal::Rejected(text)) => VerdictForm::Reject(text),
            // A filter that fails has no verdict.
            Verdict::Refuse(Refusal::Dropped | Refusal::Failed(_)) => VerdictForm::Drop,
            Verdict::Close(text) => VerdictForm::Close(text),
        }
    }
}

impl VerdictForm {
    pub(super) fn is(&self, other: &VerdictForm) -> bool {
        match (self, other) {
            (VerdictForm::Replace(one), VerdictForm::Replace(other)) => one.is(other),
            (one, other) => one == other,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            VerdictForm::Replace(message) => message.to_message().map(drop),
            _ => Ok(()),
        }
    }
}

impl OriginForm {
    pub(super) fn to_origin(&self) -> Origin {
        match self {
            OriginForm::HubServer(name) => Origin::HubServer(ServerId::new(name.as_str())),
            OriginForm::Plugin(name) => Origin::Plugin(PluginName::new(name.as_str())),
            OriginForm::Webhook => Origin::Webhook,
            OriginForm::Rest => Origin::Rest,
            OriginForm::Management => Origin::Management,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_called_by_its_name_whose_id_is_the_name_and_underscores() {
        let id = connection_id("c1").expect("a name");
        assert_eq!(id.as_str(), "c1______________________");
        assert_eq!(name_of(id.as_str()), "c1");
        for wrong in ["", "c1_", "a b", "ä", "longer-than-twenty-four-characters"] {
            assert_eq!(connection_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_error_is_named_with_or_without_its_kind() {
        let (rejected, failed) = (ErrorForm::Any("no".to_owned()), ErrorForm::Of(ErrorKind::Failed("no".to_owned())));
        let trapped = ErrorForm::Of(ErrorKind::Trapped("unreachable, in f < g".to_owned()));
        assert!(rejected.has_come_as(&rejected) && rejected.has_come_as(&failed));
        assert!(!failed.has_come_as(&rejected) && failed.has_come_as(&failed));
        for text in ["", "in", "unreachable", "unreachable, in f < g"] {
            assert!(!ErrorForm::Any(text.to_owned()).has_come_as(&trapped), "{text}");
        }
        assert!(ErrorForm::Of(ErrorKind::Trapped("unreachable".to_owned())).has_come_as(&trapped));
        assert!(!ErrorForm::Of(ErrorKind::Failed("unreachable".to_owned())).has_come_as(&trapped));
    }

    #[test]
    fn of_a_trap_what_changes_with_a_build_is_left_out() {
        let trapped = |text: &str| ErrorForm::Of(ErrorKind::Trapped(text.to_owned()));
        let came = trapped("wasm trap: unreachable, in <wasm function 1477> < f");
        assert_eq!(came.in_any_build(), trapped("wasm trap: unreachable"));
        assert!(came.in_any_build().has_come_as(&came));
        let rejected = ErrorForm::Any("no room, in all of them".to_owned());
        assert_eq!(rejected.in_any_build(), rejected);
    }
}
