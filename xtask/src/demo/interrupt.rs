//! Ctrl-C as an error: every wait of the demo ends with it, and what was built is removed on the way out.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Set once a signal asked the demo to end.
pub struct Interrupt(Arc<AtomicBool>);

/// What every wait returns from then on.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted; everything that the demo made is removed")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupt {
    pub fn listen() -> Result<Self> {
        let raised = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register(signal, Arc::clone(&raised)).context("listening for Ctrl-C")?;
        }
        Ok(Self(raised))
    }

    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
    }

    pub fn pause(&self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.check()?;
            thread::sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now())));
        }
        self.check()
    }
}
