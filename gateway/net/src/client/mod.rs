//! Clients on Server-Sent Events and long polling.

mod asp_net;
mod long_polling;
mod requests;
mod server_sent_events;

pub(crate) use requests::HttpClients;
