//! The daemon's HTTP/JSON over a Unix socket: its types, its server, its client.

mod careful;
mod changes;
pub mod client;
mod convert;
pub mod daemon;
pub mod events;
pub mod refusal;
pub mod requests;
mod routes;
pub mod server;
mod sets;
pub mod socket;
pub mod types;
mod watch;
pub mod wire;
