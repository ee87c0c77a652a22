//! The daemon: one engine that holds the truth, and what keeps it company.
//!
//! `engine` plans, persists, publishes and acknowledges, in this order; `serve` runs it.

mod aging;
pub mod apply;
pub mod caution;
mod changes;
pub mod claims;
mod cut;
pub mod dry_run;
pub mod engine;
mod explain;
mod heard;
mod interfaces;
pub mod lock;
mod moved;
mod offloads;
mod packet_log;
pub mod packets;
pub mod plan;
pub mod preflight;
pub mod recent;
mod report;
pub mod serve;
pub mod sets;
mod start;
pub mod state;
mod sweep;
pub mod terms;
mod waiting;
mod watching;
pub mod ways;
