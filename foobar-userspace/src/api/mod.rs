//! The daemon's HTTP/JSON over a Unix socket: its types, its server, its client.

pub mod refusal;
pub mod requests;
pub mod types;
