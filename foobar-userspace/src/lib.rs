//! The control plane of foobar.
//!
//! `domain` and `plan` are pure; `datapath` alone speaks to aya; everything else is a way in or out.

#![deny(unsafe_code)]

pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod datapath;
pub mod domain;
pub mod netns;
pub mod nexthop;
pub mod plan;
