//! May a request become a client, and as whom: what an authorizer is asked, and what it says.

use std::fmt;

use hubgate_core::delivery::Action;
use hubgate_core::event::UpstreamFailure;
use hubgate_core::id::{GroupName, HubName, PluginName, UserId};
use hubgate_core::pairs::Pairs;

/// A request that wants to become a client, for the plugin that decides about it. Its texts may be credentials.
#[derive(Debug)]
pub struct AuthorizeCall {
    pub plugin: PluginName,
    pub hub: HubName,
    pub headers: Pairs,
    /// Of the URL, decoded.
    pub query: Pairs,
    /// Without its port.
    pub remote_address: Box<str>,
}

/// What came of an [`AuthorizeCall`].
#[derive(Debug)]
pub struct Authorization {
    pub result: Result<Grant, Refused>,
    /// What the plugin asked for, in order, to be done on the hub. Empty without a grant.
    pub actions: Vec<Action>,
}

/// As whom a request becomes a client.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    pub user_id: Option<UserId>,
    /// In the order in which they were given; a name may repeat.
    pub claims: Vec<(String, String)>,
    /// The groups that the client is in from its start.
    pub groups: Vec<GroupName>,
    pub lifetime_seconds: Option<u32>,
}

impl fmt::Debug for Grant {
    /// Without the values of claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claims: Vec<&str> = self.claims.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Grant")
            .field("user_id", &self.user_id)
            .field("claims", &claims)
            .field("groups", &self.groups)
            .field("lifetime_seconds", &self.lifetime_seconds)
            .finish()
    }
}

/// Why a request becomes no client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nobody knows who it is. The text is for the client.
    Unauthorized(String),
    /// It is known, and may not come. The text is for the client.
    Forbidden(String),
    /// The plugin could not say.
    Failed(UpstreamFailure),
}

impl From<UpstreamFailure> for Authorization {
    fn from(failure: UpstreamFailure) -> Authorization {
        Authorization { result: Err(Refused::Failed(failure)), actions: Vec::new() }
    }
}
