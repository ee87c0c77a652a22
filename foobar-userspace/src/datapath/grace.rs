//! Waits until no packet can still be reading what was in force before.
//!
//! XDP programs run inside RCU read-side sections; `membarrier(MEMBARRIER_CMD_GLOBAL)` returns after a grace period
//! (it is `synchronize_rcu`, Linux 4.3). It begins when a generation flips, so that the next change seldom waits.

use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{MembarrierCommand, membarrier};

#[derive(Default)]
pub struct Grace {
    running: Option<JoinHandle<rustix::io::Result<()>>>,
    /// A process that adopts tables does not know when they last flipped.
    begun: bool,
}

impl Grace {
    /// Begins a grace period in the background.
    pub fn begin(&mut self) {
        self.begun = true;
        self.running = Some(thread::spawn(|| membarrier(MembarrierCommand::Global)));
    }

    /// Returns when a grace period has passed since the last flip.
    pub fn wait(&mut self) -> Result<()> {
        if !self.begun {
            self.begin();
        }
        let Some(running) = self.running.take() else { return Ok(()) };
        let done = running.join().map_err(|_| anyhow!("waiting for a grace period panicked"))?;
        done.context("waiting for a grace period (membarrier)")
    }
}
