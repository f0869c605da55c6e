//! Names and ids. Each is a type of its own, so that a user id cannot be taken for a group.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::arena::key;

/// A hub's name in lower case: hubs are compared without case. A hub of ASP.NET SignalR and one of ASP.NET Core SignalR are two hubs, also where
/// their names are equal: that of the former begins with `aspnet:`, which no other name can.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HubName(Arc<str>);

/// What the names of hubs of ASP.NET SignalR begin with.
const ASP_NET: &str = "aspnet:";

/// The longest name of a hub of ASP.NET SignalR, in characters: that of an application, which is often a .NET type's, and that of a hub.
const LONGEST_ASP_NET_NAME: usize = 256;

/// Why a text names no hub of ASP.NET SignalR.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "Invalid hub name. The name of an ASP.NET SignalR hub is that of its application, `_` and that of the hub, with at most 256 characters from \
     space to ~, without \" and \\."
)]
pub struct InvalidAspNetHubName;

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

    /// The hub of ASP.NET SignalR that a hub server names, which is `{application}_{hub}`. Which part of it is the application cannot be told.
    pub fn asp_net(name: &str) -> Result<HubName, InvalidAspNetHubName> {
        let may_be_in_name = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        match name.contains('_') && name.len() <= LONGEST_ASP_NET_NAME && name.chars().all(may_be_in_name) {
            true => Ok(HubName(format!("{ASP_NET}{}", name.to_ascii_lowercase()).into())),
            false => Err(InvalidAspNetHubName),
        }
    }

    /// Reads what [`HubName::as_str`] gives, of a hub of either kind.
    pub fn read(name: &str) -> Result<HubName, InvalidHubName> {
        match name.strip_prefix(ASP_NET) {
            Some(name) => HubName::asp_net(name).map_err(|InvalidAspNetHubName| InvalidHubName),
            None => HubName::parse(name),
        }
    }

    /// With what tells hubs of ASP.NET SignalR from others.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a hub of ASP.NET SignalR.
    pub fn is_asp_net(&self) -> bool {
        self.0.starts_with(ASP_NET)
    }

    /// The name under which the configuration has the settings of the hub, and of one of the other kind that has the same name.
    pub fn configured(&self) -> &str {
        self.0.strip_prefix(ASP_NET).unwrap_or(&self.0)
    }
}

impl Borrow<str> for HubName {
    fn borrow(&self) -> &str {
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

/// The longest id or name from outside, in characters: the service's REST API accepts names of groups, and ids of users whose
/// connections are to be closed, up to this length.
pub const LONGEST_NAME: usize = 1024;

/// Whether an id or a name from outside is not too long.
pub fn is_short_enough(name: &str) -> bool {
    name.len() <= LONGEST_NAME || name.chars().count() <= LONGEST_NAME
}

impl GroupName {
    /// Takes `name` if it has 1 to 1,024 characters that are not all white space.
    pub fn parse(name: &str) -> Result<GroupName, InvalidGroupName> {
        match !name.trim().is_empty() && is_short_enough(name) {
            true => Ok(GroupName::new(name)),
            false => Err(InvalidGroupName),
        }
    }
}

impl UserId {
    /// Takes `id` if it has 1,024 characters at most.
    pub fn parse(id: &str) -> Result<UserId, InvalidUserId> {
        match is_short_enough(id) {
            true => Ok(UserId::new(id)),
            false => Err(InvalidUserId),
        }
    }
}

/// Why a text is no [`UserId`]; the text is the one the service's REST API gives.
#[derive(Debug, thiserror::Error)]
#[error("Invalid user id. Valid user id should be in between 1 and 1024 characters long.")]
pub struct InvalidUserId;

/// Why a hub has no such method, whoever calls or sends it.
pub const METHOD_TOO_LONG: &str = "The method's name is longer than 1024 characters.";

/// Why a text is no [`GroupName`]; the text is the one the service's REST API gives.
#[derive(Debug, thiserror::Error)]
#[error("Invalid group name. Valid group name should be in between 1 and 1024 characters long.")]
pub struct InvalidGroupName;

/// The place of a shard among the shards of its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);

/// A gateway among those that serve as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A shard, on whatever node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardAddress {
    pub node: NodeId,
    pub shard: ShardIndex,
}

impl From<ShardIndex> for ShardAddress {
    /// The address of a shard of a gateway that serves alone.
    fn from(shard: ShardIndex) -> ShardAddress {
        ShardAddress { node: NodeId::default(), shard }
    }
}

key!(
    /// A client of a shard, until nothing is left to be done for it. No later one has the same key.
    Slot
);
key!(
    /// What carries a client's messages: a connection, or the requests that stand for one. No later one has the same key.
    TransportKey
);

/// A hub of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HubIndex(pub(crate) u32);

/// A connection of a hub server: the address of the shard that it is on, and its number there, which no other one ever has. No
/// peer is told of it, so it need not be hard to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerConnectionId {
    pub owner: ShardAddress,
    pub number: u32,
}

/// A connection's public id: 96 random bits and the address of the shard that has made it, as 24 characters of base64url. What names a
/// connection therefore says where it lives, or who knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId([u8; 24]);

const NO_DIGIT: u8 = 64;

/// The value of each character in base64url.
const DIGITS: [u8; 256] = {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut digits, mut index) = ([NO_DIGIT; 256], 0);
    while index < ALPHABET.len() {
        digits[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    digits
};

impl ConnectionId {
    /// An id on `owner`. `random` must come from a secure source where the id is a secret (a connection token).
    pub fn new(owner: ShardAddress, random: [u8; 12]) -> ConnectionId {
        let mut bytes = [0; 18];
        bytes[..12].copy_from_slice(&random);
        bytes[12..16].copy_from_slice(&owner.node.0.to_be_bytes());
        bytes[16..].copy_from_slice(&owner.shard.0.to_be_bytes());
        let mut text = [0; 24];
        URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).expect("18 bytes are 24 characters");
        ConnectionId(text)
    }

    /// Reads an id from outside; `None` if it cannot be one of ours, so that no such connection exists.
    pub fn parse(text: impl AsRef<[u8]>) -> Option<ConnectionId> {
        let text: [u8; 24] = text.as_ref().try_into().ok()?;
        // All values at once: only that of no digit has its bit.
        let values = text.iter().fold(0, |values, byte| values | DIGITS[usize::from(*byte)]);
        (values & NO_DIGIT == 0).then_some(ConnectionId(text))
    }

    /// The shard that has made it. The connection lives there, unless its transport came to another node.
    pub fn owner(&self) -> ShardAddress {
        // The last 6 of 18 bytes are the last 8 digits, of 6 bits each.
        let digits = self.0[16..].iter().map(|byte| u64::from(DIGITS[usize::from(*byte)]));
        let bits = digits.fold(0, |bits, digit| bits << 6 | digit);
        ShardAddress { node: NodeId((bits >> 16) as u32), shard: ShardIndex(bits as u16) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

display!(ConnectionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_where_its_connection_lives() {
        for shard in [0, 1, 2, 63, 64, 4095, 4096, 65_535] {
            for node in [0, 1, 0x1234_5678, u32::MAX] {
                for random in [[0; 12], [255; 12], [0x5a; 12]] {
                    let owner = ShardAddress { node: NodeId(node), shard: ShardIndex(shard) };
                    let id = ConnectionId::new(owner, random);
                    let read = ConnectionId::parse(id.as_str()).expect("its own text");
                    assert_eq!((read, read.owner()), (id, owner));
                }
            }
        }
    }

    #[test]
    fn ids_and_names_have_at_most_1024_characters_of_whatever_length() {
        for character in ["x", "é", "😀"] {
            let (longest, longer) = (character.repeat(LONGEST_NAME), character.repeat(LONGEST_NAME + 1));
            assert!(UserId::parse(&longest).is_ok() && GroupName::parse(&longest).is_ok());
            assert!(UserId::parse(&longer).is_err() && GroupName::parse(&longer).is_err());
        }
    }

    #[test]
    fn what_is_no_base64url_of_that_length_is_no_id() {
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAA+",
            "AAAAAAAAAAAAAAAAAAAAAAé",
        ] {
            assert_eq!(ConnectionId::parse(text), None, "{text}");
        }
    }
}
