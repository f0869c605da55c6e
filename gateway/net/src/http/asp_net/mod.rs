//! ASP.NET SignalR: the requests of its hub servers and clients.
//!
//! Source: Azure SignalR SDK for .NET, `Microsoft.Azure.SignalR.AspNet`; ASP.NET SignalR 2.4, its server and its clients.

mod asking;
mod negotiate;
mod requests;
mod server;

pub(super) use requests::answer;
pub(super) use server::answer as answer_server;
