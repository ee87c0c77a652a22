//! The engine as asynchronous code holds it: one change at a time, off the runtime's threads.
//!
//! A panic amid a change ends the process: nobody knows what is done of it, packets flow on by what is pinned, and who
//! starts the daemon again finds what was acknowledged.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Notify, task, time::sleep};

use super::types::Refusal;
use crate::daemon::{engine::Engine, packets::Packets};

/// The exit code of what broke.
const BROKEN: u8 = 2;

/// How often, and how long apart, the engine is asked whether the resolver has spoken.
const LOOK_UP_TRIES: u32 = 50;
const LOOK_UP_PAUSE: Duration = Duration::from_millis(10);

/// A shared engine, and the bell that rings when its backends may have changed.
#[derive(Clone)]
pub struct Daemon {
    engine: Arc<Mutex<Engine>>,
    backends_changed: Arc<Notify>,
    packets: Packets,
}

impl Daemon {
    pub fn new(engine: Engine) -> Self {
        let packets = engine.packets.clone();
        Self { engine: Arc::new(Mutex::new(engine)), backends_changed: Arc::new(Notify::new()), packets }
    }

    /// The packets that are shown, which no change of the engine holds up.
    pub fn packets(&self) -> Packets {
        self.packets.clone()
    }

    /// Runs `work` on the engine; it goes on even if the caller goes away.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        with(Arc::clone(&self.engine), work).await
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

async fn with<E: Send + 'static, T: Send + 'static>(
    shared: Arc<Mutex<E>>,
    work: impl FnOnce(&mut E) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = task::spawn_blocking(move || {
        let mut engine = shared.lock().unwrap_or_else(|_| give_up());
        work(&mut engine)
    });
    match done.await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => give_up(),
        Err(_) => Err(Refusal::broken("the daemon is stopping").hint("start it again, and repeat the command")),
    }
}

/// Ends the process.
fn give_up() -> ! {
    tracing::error!(
        "the daemon failed in the middle of a change and ends; traffic keeps flowing as it was: start it again, and \
         report what stands above"
    );
    std::process::exit(i32::from(BROKEN))
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        process::{Command, Stdio},
    };

    use super::*;

    const CHILD: &str = "FOOBAR_TEST_PANICS";

    #[test]
    fn a_panic_amid_a_change_ends_the_process() {
        if env::var_os(CHILD).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let shared = Arc::new(Mutex::new(1));
            let _ = runtime.block_on(with(shared, |_| -> Result<(), Refusal> { panic!("half done") }));
            return;
        }
        let this = env::current_exe().expect("the test's own file");
        let name = "api::daemon::tests::a_panic_amid_a_change_ends_the_process";
        let mut command = Command::new(this);
        command.args(["--exact", name]).env(CHILD, "1").stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(command.status().expect("its end").code(), Some(i32::from(BROKEN)));
    }
}
