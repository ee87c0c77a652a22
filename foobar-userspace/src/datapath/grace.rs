//! Waits until no packet can still be reading what was in force before.
//!
//! XDP programs run inside RCU read-side sections; `membarrier(MEMBARRIER_CMD_GLOBAL)` returns after a grace period
//! (it is `synchronize_rcu`, Linux 4.3). It begins when a generation flips, so that the next change seldom waits.

use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use rustix::{
    io,
    thread::{MembarrierCommand, membarrier},
};

pub struct Grace {
    period: fn() -> io::Result<()>,
    running: Option<JoinHandle<io::Result<()>>>,
    /// A process that adopts tables does not know when they last flipped; nor does one whose last wait failed.
    begun: bool,
}

impl Default for Grace {
    fn default() -> Self {
        Self { period: || membarrier(MembarrierCommand::Global), running: None, begun: false }
    }
}

impl Grace {
    /// Begins a grace period in the background.
    pub fn begin(&mut self) {
        self.begun = true;
        self.running = Some(thread::spawn(self.period));
    }

    /// Returns when a grace period has passed since the last flip.
    pub fn wait(&mut self) -> Result<()> {
        if !self.begun {
            self.begin();
        }
        let Some(running) = self.running.take() else { return Ok(()) };
        self.begun = false;
        let done = running.join().map_err(|_| anyhow!("waiting for a grace period panicked"))?;
        done.context("waiting for a grace period (membarrier)")?;
        self.begun = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn after_a_failed_wait_the_next_one_waits_for_a_period_of_its_own() {
        static PERIODS: AtomicU32 = AtomicU32::new(0);
        let period = || match PERIODS.fetch_add(1, Ordering::Relaxed) {
            0 => Err(io::Errno::INVAL),
            _ => Ok(()),
        };
        let mut grace = Grace { period, ..Grace::default() };
        grace.begin();
        grace.wait().expect_err("the kernel refuses");

        grace.wait().expect("another period");
        assert_eq!(PERIODS.load(Ordering::Relaxed), 2, "it was waited for");

        grace.wait().expect("nothing flipped since");
        assert_eq!(PERIODS.load(Ordering::Relaxed), 2);
    }
}
