//! What plugins and other senders ask of a hub.

use crate::id::{ConnectionId, GroupName, PluginName};
use crate::outgoing::Outgoing;
pub use crate::target::{Except, Member, Target};

/// One thing that a sender asks of a hub. Nothing happens, and nobody is told, where the target does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Send {
        to: Target,
        message: Outgoing,
        except: Except,
    },
    Join {
        member: Member,
        group: GroupName,
        /// Of a user's membership, in seconds: how long connections that the user makes later still join. `Some(0)`:
        /// present connections only; `None`: without end.
        ttl_seconds: Option<u32>,
        /// The plugin that asks, on whose account a user's membership is. None: a caller with an access key.
        plugin: Option<PluginName>,
    },
    Leave {
        member: Member,
        group: GroupName,
    },
    LeaveAll(Member),
    Close {
        target: Target,
        except: Vec<ConnectionId>,
        /// The `error` of the hub's Close message.
        reason: Option<String>,
        allow_reconnect: bool,
    },
}

impl Action {
    /// What it carries, about, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Action::Send { to, message, except } => {
                let users: usize = except.users.iter().map(|user| user.as_str().len()).sum();
                to.weight() + message.weight() + size_of_val(&*except.connections) + size_of_val(&*except.users) + users
            }
            Action::Close { target, except, reason, .. } => {
                target.weight() + size_of_val(&**except) + reason.as_ref().map_or(0, String::len)
            }
            Action::Join { member, group, .. } | Action::Leave { member, group } => {
                member.weight() + group.as_str().len()
            }
            Action::LeaveAll(member) => member.weight(),
        }
    }

    /// Whom it sends something to.
    pub(crate) fn send_target(&self) -> Option<&Target> {
        match self {
            Action::Send { to, .. } => Some(to),
            Action::Join { .. } | Action::Leave { .. } | Action::LeaveAll(_) | Action::Close { .. } => None,
        }
    }

    /// What it sends.
    pub(crate) fn send_message(&self) -> Option<&Outgoing> {
        match self {
            Action::Send { message, .. } => Some(message),
            Action::Join { .. } | Action::Leave { .. } | Action::LeaveAll(_) | Action::Close { .. } => None,
        }
    }
}
