//! What an authorizer says, as scripts write it.

use std::collections::BTreeMap;

use hubgate_plugin_host::Grant;
use serde::{Deserialize, Serialize};

use super::script::OneOrMany;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct GrantForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    claims: BTreeMap<String, OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime_seconds: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RefusalForm {
    Unauthorized(String),
    Forbidden(String),
}

impl From<Grant> for GrantForm {
    fn from(grant: Grant) -> GrantForm {
        let mut claims: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in grant.claims {
            claims.entry(name).or_default().push(value);
        }
        let values = |mut values: Vec<String>| match values.len() {
            1 => OneOrMany::One(values.remove(0)),
            _ => OneOrMany::Many(values),
        };
        GrantForm {
            user: grant.user_id.map(|user| user.to_string()),
            claims: claims.into_iter().map(|(name, of_name)| (name, values(of_name))).collect(),
            groups: grant.groups.iter().map(|group| group.as_str().to_owned()).collect(),
            lifetime_seconds: grant.lifetime_seconds,
        }
    }
}

impl GrantForm {
    /// Whether both grant the same, in whatever order the groups are.
    pub(super) fn is(&self, other: &GrantForm) -> bool {
        let claims = |form: &GrantForm| -> Vec<(String, Vec<String>)> {
            form.claims.iter().map(|(name, values)| (name.clone(), values.iter().cloned().collect())).collect()
        };
        let groups = |form: &GrantForm| {
            let mut groups = form.groups.clone();
            groups.sort();
            groups
        };
        (&self.user, self.lifetime_seconds) == (&other.user, other.lifetime_seconds)
            && claims(self) == claims(other)
            && groups(self) == groups(other)
    }
}
