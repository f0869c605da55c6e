//! What operators want changed that the configuration says, for whoever keeps it.

use std::net::IpAddr;

use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;

use crate::key_regeneration::KeyRegeneration;
use crate::order_answer::{Caller, OrderAnswer};

/// An operator's order.
#[derive(Debug)]
pub enum OperatorOrder {
    RegenerateKey(KeyRegeneration),
    SetMode(ModeChange),
}

/// A hub is to have another mode.
#[derive(Debug)]
pub struct ModeChange {
    pub hub: HubName,
    pub mode: Mode,
    /// Whether it is only asked if that could be.
    pub dry_run: bool,
    /// Where the order came from, for the log.
    pub operator: IpAddr,
    pub caller: Caller,
    pub answer: OrderAnswer<()>,
}
