//! The engine as asynchronous code holds it: one change at a time, off the runtime's threads.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Notify, task, time::sleep};

use super::types::Refusal;
use crate::daemon::engine::Engine;

/// How often, and how long apart, the engine is asked whether the resolver has spoken.
const LOOK_UP_TRIES: u32 = 50;
const LOOK_UP_PAUSE: Duration = Duration::from_millis(10);

/// A shared engine, and the bell that rings when its backends may have changed.
#[derive(Clone)]
pub struct Daemon {
    engine: Arc<Mutex<Engine>>,
    backends_changed: Arc<Notify>,
}

impl Daemon {
    pub fn new(engine: Engine) -> Self {
        Self { engine: Arc::new(Mutex::new(engine)), backends_changed: Arc::new(Notify::new()) }
    }

    /// Runs `work` on the engine; it goes on even if the caller goes away.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let engine = Arc::clone(&self.engine);
        let done = task::spawn_blocking(move || {
            // A change that panicked may be half done.
            let mut engine = engine.lock().map_err(|_| stuck())?;
            work(&mut engine)
        });
        done.await.unwrap_or_else(|_| Err(stuck()))
    }

    /// The same, and the next hops are looked up anew if it succeeded.
    pub async fn with_backends<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let answer = self.with(work).await?;
        self.backends_changed.notify_one();
        Ok(answer)
    }

    /// Looks up the way to backends that are about to be added, so that their first packets find it. Waits for those who
    /// do not answer for half a second at most.
    pub async fn look_up(&self, addresses: Vec<IpAddr>) -> Result<(), Refusal> {
        let expected = addresses.clone();
        self.with(move |engine| {
            engine.expect(expected);
            Ok(())
        })
        .await?;
        self.backends_changed.notify_one();
        for _ in 0..LOOK_UP_TRIES {
            let asked = addresses.clone();
            if self.with(move |engine| Ok(engine.knows(&asked))).await? {
                break;
            }
            sleep(LOOK_UP_PAUSE).await;
        }
        Ok(())
    }

    /// Returns once the backends may have changed since the last time.
    pub async fn backends_changed(&self) {
        self.backends_changed.notified().await;
    }
}

fn stuck() -> Refusal {
    Refusal::broken("the daemon failed in the middle of a change; traffic keeps flowing as it was")
        .hint("restart the daemon, and report what its log says")
}
