//! An operator's order for a new access key, for whoever keeps the keys.

use std::net::IpAddr;

use hubgate_wire::token::AccessKey;

use crate::order_answer::{Caller, OrderAnswer};

/// Which of the two access keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// The one that signs.
    Primary,
    Secondary,
}

impl KeyPlace {
    pub const ALL: [KeyPlace; 2] = [KeyPlace::Primary, KeyPlace::Secondary];

    pub fn name(self) -> &'static str {
        match self {
            KeyPlace::Primary => "primary",
            KeyPlace::Secondary => "secondary",
        }
    }

    /// Where it stands among the keys.
    pub fn index(self) -> usize {
        match self {
            KeyPlace::Primary => 0,
            KeyPlace::Secondary => 1,
        }
    }
}

/// A key is to become another one. Where there is no secondary one yet, it is made.
#[derive(Debug)]
pub struct KeyRegeneration {
    pub key: KeyPlace,
    /// Where the order came from, for the log.
    pub operator: IpAddr,
    pub caller: Caller,
    /// Told the new key.
    pub answer: OrderAnswer<AccessKey>,
}
