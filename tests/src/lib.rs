//! What foobar's tests stand on: frames, a lab that runs them through the loaded program, and a site for real traffic.
//!
//! Everything here panics where it cannot go on, with a sentence: a test that cannot run has failed.

#![deny(unsafe_code)]

pub mod frames;
pub mod lab;
pub mod random;
pub mod site;
