//! Where backends are, and the ways to them.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use foobar_common::{
    layout::NEXT_HOP_WORDS,
    next_hop::NextHop,
    target::{TARGET_WORDS, Target},
};

use super::{super::mapped::store_words, Tables};

impl Tables {
    pub fn next_hop(&self, backend: u32) -> Result<Option<NextHop>> {
        let [first, second] = self.next_hop_words(backend)?;
        Ok(NextHop::from_words([first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)]))
    }

    pub fn set_next_hop(&self, backend: u32, next_hop: Option<NextHop>) -> Result<()> {
        let [first, second] = self.next_hop_words(backend)?;
        let words = next_hop.map_or(NextHop::DEAD_WORDS, NextHop::to_words);
        // A packet that reads between two stores finds a way that is whole or unresolved, never a mixture.
        if second.load(Ordering::Relaxed) != words[1] {
            second.store(0, Ordering::Release);
        }
        first.store(words[0], Ordering::Release);
        second.store(words[1], Ordering::Release);
        Ok(())
    }

    /// Where a backend is. To be written before packets can be sent there.
    pub fn set_target(&self, backend: u32, target: Target) -> Result<()> {
        store_words(self.target_words(backend)?, target.to_words().into_iter());
        Ok(())
    }

    pub fn target(&self, backend: u32) -> Result<Target> {
        let words = self.target_words(backend)?;
        Ok(Target::from_words(std::array::from_fn(|index| words[index].load(Ordering::Relaxed))))
    }

    fn target_words(&self, backend: u32) -> Result<&[AtomicU64; TARGET_WORDS]> {
        let targets = self.targets.words().as_chunks::<TARGET_WORDS>().0;
        targets.get(backend as usize).with_context(|| format!("no backend has the id {backend}"))
    }

    /// Addresses that `snat` gives packets, by their place, as [`foobar_common::Address::words`] has them.
    pub fn pool(&self) -> &[[AtomicU64; 2]] {
        self.pool.words().as_chunks::<2>().0
    }

    fn next_hop_words(&self, backend: u32) -> Result<&[AtomicU64; NEXT_HOP_WORDS]> {
        let pairs = self.next_hops.words().as_chunks::<NEXT_HOP_WORDS>().0;
        pairs.get(backend as usize).with_context(|| format!("no backend has the id {backend}"))
    }
}
