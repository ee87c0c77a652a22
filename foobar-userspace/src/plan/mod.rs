//! From a configuration to tables. Pure: what is planned here is written by `datapath` and ordered by `daemon`.

pub mod classify;
pub mod crowded;
pub mod fill;
pub mod ids;
pub mod interfaces;
pub mod links;
pub mod pairs;
pub mod place;
pub mod pool;
pub mod ports;
pub mod prefixes;
pub mod rule_sets;
pub mod sets;
pub mod targets;
