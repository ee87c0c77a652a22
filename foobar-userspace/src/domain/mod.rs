//! What an operator talks about: rules, services, backends. Every value that was read from text is valid.
//!
//! Pure: nothing here touches the system, and every refusal says what would be right.

pub mod duration;
pub mod mistake;
pub mod name;
pub mod packet;
pub mod prefix;
pub mod rule;
pub mod seen;
pub mod service;
pub mod set;

pub use mistake::Mistake;
pub use rule::{IcmpTypes, Limit, Matcher, Ports, Rule, Source, Verdict};
pub use service::{
    Affinity, Backend, BackendAddress, BackendArg, BackendState, Encapsulation, Forward, Part, Queries, ServerId,
    Service, ServiceFault, ServicePorts, Transport,
};
pub use set::SetSource;
