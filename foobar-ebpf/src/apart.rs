//! What rare packets ask, in functions of their own: the verifier looks at each once, whoever calls it.
//!
//! They are global functions of numbers alone (Linux 5.6): nothing that a caller knows of a number holds in here.

use foobar_common::{
    admit::against_extensions,
    class::Class,
    decision::Decision,
    terms::{Candidates, settle},
};

use crate::maps::{Context, Maps};

/// The rules are asked of numbers: there is no packet.
impl Context for () {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        0
    }
}

/// [`settle`], for packets that a conditional rule matches.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn settle_apart(bank: u64, source: u32, target: u32, pair: u32) -> u64 {
    let [source, target, pair] = [source, target, pair].map(Decision::from_word);
    settle(bank as usize, Candidates { source, target, pair }, &Maps::apart()).word()
}

/// [`against_extensions`], for packets that have some.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn extensions_apart(bank: u64, extensions: u64, source: u64, narrowed: u32) -> u64 {
    against_extensions(bank as usize, extensions, Class::from_word(source), narrowed, &Maps::apart()).word()
}
