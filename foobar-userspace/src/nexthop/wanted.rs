//! Has the kernel ask for neighbours that packets wanted in vain.

use std::time::Duration;

use anyhow::Context as _;
use rtnetlink::new_connection;
use tokio::time::sleep;
use tracing::debug;

use super::kernel;
use crate::api::daemon::Daemon;

/// As long as TCP waits at least before it sends a segment again (Linux, `TCP_RTO_MIN`).
const PERIOD: Duration = Duration::from_millis(200);

/// Runs for as long as the daemon does.
pub async fn ask_for_wanted(daemon: Daemon) {
    loop {
        sleep(PERIOD).await;
        if let Err(error) = ask(&daemon).await {
            debug!("nobody asks for neighbours: {error:#}");
        }
    }
}

async fn ask(daemon: &Daemon) -> anyhow::Result<()> {
    let wanted = daemon.with(|engine| Ok(engine.take_wanted())).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    let (connection, handle, _) = new_connection().context("cannot open a netlink socket")?;
    let serving = tokio::spawn(connection);
    for (interface, address) in wanted {
        if let Err(error) = kernel::ask(&handle, interface, address).await {
            debug!(%address, %error, "the kernel does not ask for a neighbour");
        }
    }
    serving.abort();
    Ok(())
}
