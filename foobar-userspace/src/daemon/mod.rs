//! The daemon: one engine that holds the truth, and what keeps it company.
//!
//! `engine` plans, persists, publishes and acknowledges, in this order; `serve` runs it.

mod aging;
mod changes;
pub mod engine;
mod explain;
mod interfaces;
pub mod lock;
pub mod plan;
pub mod preflight;
mod report;
pub mod serve;
pub mod sets;
mod start;
pub mod state;
mod sweep;
pub mod terms;
