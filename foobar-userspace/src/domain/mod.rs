//! What an operator talks about: rules, services, backends. Every value here is valid by construction.

pub mod rule;
pub mod service;

pub use rule::{IcmpTypes, Matcher, Ports, Rule, Source, Verdict};
pub use service::{Backend, BackendState, Forward, Queries, Service, Transport};
