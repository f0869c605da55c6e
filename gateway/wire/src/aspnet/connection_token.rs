//! What opens the transports of a connection: the id under which the gateway knows it, and a seal over whose it is.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::token::AccessKey;

/// The length of the id, in characters.
const ID: usize = 24;
/// The length of the seal, in characters: 32 bytes in base64url.
const SEAL: usize = 43;
/// What is sealed begins with this, so that no seal is good for anything else that is signed with an access key.
const PURPOSE: &str = "hubgate connection token of ASP.NET SignalR";

/// A connection token as clients have it: good for one application, one user and one set of hubs, so that none of these has to be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionToken {
    id: String,
    seal: Vec<u8>,
}

/// A text is no connection token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The ConnectionId is in the incorrect format.")]
pub struct MalformedToken;

/// Whose a connection is.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionOwner<'a> {
    pub application: &'a str,
    pub user: Option<&'a str>,
    /// As [`super::hubs`] gives them.
    pub hubs: &'a [String],
}

impl ConnectionToken {
    /// Seals an id, of 24 characters of base64url.
    pub fn seal(key: &AccessKey, id: &str, owner: ConnectionOwner<'_>) -> ConnectionToken {
        ConnectionToken { id: id.to_owned(), seal: key.seal(&sealed(id, owner)).as_ref().to_vec() }
    }

    /// Reads the text that a client has brought. Whether the seal is right is not looked at.
    pub fn parse(text: &str) -> Result<ConnectionToken, MalformedToken> {
        if text.len() != ID + SEAL || !text.is_ascii() {
            return Err(MalformedToken);
        }
        let (id, seal) = text.split_at(ID);
        let is_id = BASE64_URL_SAFE_NO_PAD.decode(id).is_ok();
        let seal = BASE64_URL_SAFE_NO_PAD.decode(seal).map_err(|_| MalformedToken)?;
        match is_id {
            true => Ok(ConnectionToken { id: id.to_owned(), seal }),
            false => Err(MalformedToken),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this key has sealed it for this owner.
    pub fn belongs_to(&self, key: &AccessKey, owner: ConnectionOwner<'_>) -> bool {
        key.has_sealed(&sealed(&self.id, owner), &self.seal)
    }

    /// The text for the client.
    pub fn expose(&self) -> String {
        format!("{}{}", self.id, BASE64_URL_SAFE_NO_PAD.encode(&self.seal))
    }
}

impl fmt::Debug for ConnectionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionToken(…)")
    }
}

/// All parts, each with its length before it, so that no other parts give the same bytes.
fn sealed(id: &str, ConnectionOwner { application, user, hubs }: ConnectionOwner<'_>) -> Vec<u8> {
    let user = user.map(|user| format!("+{user}")).unwrap_or_default();
    let parts = [PURPOSE, id, application, &user].into_iter().chain(hubs.iter().map(String::as_str));
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a key of more than thirty-two characters";
    const CONNECTION: &str = "AAAAAAAAAAAAAAAAAAAAAAAB";

    fn hubs(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_token_is_good_for_its_application_its_user_and_its_hubs_alone() {
        let (key, chat) = (AccessKey::new(KEY), hubs(&["chat"]));
        let owner = ConnectionOwner { application: "app", user: Some("ann"), hubs: &chat };
        let text = ConnectionToken::seal(&key, CONNECTION, owner).expose();
        let token = ConnectionToken::parse(&text).expect("its own text");
        assert_eq!((token.id(), token.belongs_to(&key, owner)), (CONNECTION, true));
        assert!(!token.belongs_to(&AccessKey::new("another key of more than thirty-two"), owner));
        let (more, moved) = (hubs(&["chat", "news"]), hubs(&["cha", "t"]));
        for other in [
            ConnectionOwner { application: "ap", ..owner },
            ConnectionOwner { user: Some("bob"), ..owner },
            ConnectionOwner { user: None, ..owner },
            ConnectionOwner { user: Some(""), ..owner },
            ConnectionOwner { hubs: &more, ..owner },
            ConnectionOwner { hubs: &moved, ..owner },
            ConnectionOwner { hubs: &[], ..owner },
        ] {
            assert!(!token.belongs_to(&key, other), "{other:?}");
        }
        let other_id = format!("B{}", &text[1..]);
        assert!(!ConnectionToken::parse(&other_id).expect("a token").belongs_to(&key, owner));
    }

    #[test]
    fn what_is_no_token_is_refused_and_no_text_shows_one() {
        let token = ConnectionToken::seal(
            &AccessKey::new(KEY),
            CONNECTION,
            ConnectionOwner { application: "a", user: None, hubs: &[] },
        );
        let text = token.expose();
        for wrong in ["", CONNECTION, &text[1..], &format!("{text}A"), &text.replace('A', "*"), &"é".repeat(40)] {
            assert_eq!(ConnectionToken::parse(wrong), Err(MalformedToken), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(&text[..8]));
    }
}
