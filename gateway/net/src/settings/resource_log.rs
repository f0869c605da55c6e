//! What is written of connections, messages and requests, and where.

use std::path::PathBuf;

/// A kind of lines in the resource log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogCategory {
    /// Clients and hub servers that connect and leave.
    Connectivity,
    /// What clients say, and what is sent to them.
    Messaging,
    /// Requests of the REST API, and negotiations.
    HttpRequests,
}

impl LogCategory {
    pub const ALL: [LogCategory; 3] = [LogCategory::Connectivity, LogCategory::Messaging, LogCategory::HttpRequests];
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceLogSettings {
    pub file: PathBuf,
    pub categories: Vec<LogCategory>,
}
