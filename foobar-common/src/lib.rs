//! The language that foobar's kernel and user sides share, and every decision that either takes about a packet.
//!
//! Nothing here knows aya, a map or a socket: the kernel program, the host tests and the planner bring their own
//! [`Frame`] and [`Tables`] and run the same code.

#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![deny(unsafe_code)]

pub mod address;
pub mod admit;
pub mod answer;
pub mod ask;
pub mod checksum;
pub mod child;
pub mod class;
pub mod complain;
pub mod decision;
pub mod depart;
pub mod echo;
pub mod essential;
pub mod event;
pub mod extension;
pub mod find;
pub mod flow;
pub mod forward;
pub mod fragment;
pub mod frame;
pub mod generation;
pub mod handoff;
pub mod hash;
pub mod header;
pub mod hops;
pub mod interface;
pub mod layout;
pub mod limit;
pub mod nat;
pub mod next_hop;
pub mod note;
pub mod outcome;
pub mod parse;
pub mod pick;
pub mod plane;
pub mod query;
pub mod quic;
pub mod quoted;
pub mod readdress;
pub mod refuse;
pub mod send;
pub mod serve;
pub mod sets;
pub mod slot;
pub mod snat;
pub mod sparse;
pub mod state;
pub mod sweep;
pub mod tables;
pub mod target;
pub mod terms;
pub mod tunnel;
pub mod untunnel;

#[cfg(any(test, feature = "std"))]
pub mod image;
#[cfg(any(test, feature = "std"))]
pub mod ring;
#[cfg(any(test, feature = "std"))]
pub mod trie;

pub use address::Address;
pub use depart::{Departure, depart};
pub use flow::Flow;
pub use frame::{Frame, FrameMut};
pub use outcome::{Action, Outcome, Step};
pub use serve::serve;
pub use tables::Tables;
