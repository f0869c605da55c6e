//! Names and ids. Each is a type of its own, so that a user id cannot be taken for a group.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A hub's name in lower case: hubs are compared without case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HubName(Arc<str>);

/// Why a text is no [`HubName`]; the text is the one the service's REST API gives.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "Invalid hub name. Valid hub name should be in between 1 and 128 characters long. The first character must be a \
     letter, other characters can be letters, digits or the following symbols _`,.[]"
)]
pub struct InvalidHubName;

impl HubName {
    /// Checks the rule of the service's REST API (a letter, then up to 127 of letters, digits, ``_`,.[]``) and lowers
    /// the case.
    pub fn parse(name: &str) -> Result<HubName, InvalidHubName> {
        let mut characters = name.chars();
        let valid = characters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && characters.all(|c| c.is_ascii_alphanumeric() || "_`,.[]".contains(c))
            && name.len() <= 128;
        match valid {
            true => Ok(HubName(name.to_ascii_lowercase().into())),
            false => Err(InvalidHubName),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names a text that is compared as it is.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(name: impl Into<Arc<str>>) -> $name {
                $name(name.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        display!($name);
    };
}

macro_rules! display {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

display!(HubName);
name!(
    /// A user, compared with case.
    UserId
);
name!(
    /// A group, compared with case.
    GroupName
);
name!(
    /// A plugin of the configuration.
    PluginName
);
name!(
    /// A hub server: one process, whatever connections it has.
    ServerId
);

impl GroupName {
    /// The longest name that the service's REST API accepts, in characters.
    pub const LONGEST: usize = 1024;

    /// Takes `name` if it has 1 to 1,024 characters that are not all white space.
    pub fn parse(name: &str) -> Result<GroupName, InvalidGroupName> {
        match name.trim().is_empty() || name.chars().count() > Self::LONGEST {
            true => Err(InvalidGroupName),
            false => Ok(GroupName::new(name)),
        }
    }
}

/// Why a text is no [`GroupName`]; the text is the one the service's REST API gives.
#[derive(Debug, thiserror::Error)]
#[error("Invalid group name. Valid group name should be in between 1 and 1024 characters long.")]
pub struct InvalidGroupName;

/// The place of a shard among the shards of its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);

/// A connection of a hub server: the shard that it is on, and its number there, which no other one ever has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerConnectionId {
    pub shard: ShardIndex,
    pub number: u32,
}

/// A connection's public id: 128 random bits and the shard that owns the connection, as 24 characters of base64url. What
/// names a connection therefore says where it lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId([u8; 24]);

impl ConnectionId {
    /// An id on `shard`. `random` must come from a secure source where the id is a secret (a connection token).
    pub fn new(shard: ShardIndex, random: [u8; 16]) -> ConnectionId {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&random);
        bytes[16..].copy_from_slice(&shard.0.to_be_bytes());
        let mut text = [0; 24];
        URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).expect("18 bytes are 24 characters");
        ConnectionId(text)
    }

    /// Reads an id from outside; `None` if it cannot be one of ours, so that no such connection exists.
    pub fn parse(text: &str) -> Option<ConnectionId> {
        let text: [u8; 24] = text.as_bytes().try_into().ok()?;
        URL_SAFE_NO_PAD.decode_slice(text, &mut [0; 18]).ok()?;
        Some(ConnectionId(text))
    }

    /// The shard that owns the connection.
    pub fn shard(&self) -> ShardIndex {
        let mut bytes = [0; 18];
        URL_SAFE_NO_PAD.decode_slice(self.0, &mut bytes).expect("made by `new` or checked by `parse`");
        ShardIndex(u16::from_be_bytes([bytes[16], bytes[17]]))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

display!(ConnectionId);
