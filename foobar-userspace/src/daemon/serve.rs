//! `foobar run`: from the first check to the last sentence. Ending it leaves the traffic as it is.

use std::{future::Future, io::IsTerminal, path::PathBuf, thread, time::Duration};

use anyhow::Context;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{Level, error, info, warn};
use tracing_subscriber::EnvFilter;

use super::{
    engine::{self, Engine},
    lock, packets, preflight,
};
use crate::{
    api::{daemon::Daemon, server, socket::Socket},
    netns, nexthop,
};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// A configuration file.
    pub config: Option<PathBuf>,
    /// A network namespace to work in.
    pub netns: Option<String>,
    pub pin_dir: PathBuf,
    pub socket: PathBuf,
    pub state: PathBuf,
    pub log: Level,
}

/// How long requests under way may take after the daemon was told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Runs the daemon until SIGTERM or SIGINT.
pub fn run(options: Options) -> anyhow::Result<()> {
    log(options.log)?;
    preflight::check(options.netns.as_deref(), &options.pin_dir)?;
    let _state = lock::state(&options.state)?;
    let _pins = lock::pins(&options.pin_dir)?;
    let socket = Socket::bind(&options.socket)?;
    if let Some(name) = &options.netns {
        netns::enter(name)?;
    }
    let engine = Engine::start(&engine::Options {
        pin_dir: options.pin_dir,
        state_dir: options.state,
        config: options.config,
        trace_packets: options.log == Level::TRACE,
    })?;
    // Threads are made from here on, in the namespace that was entered.
    let runtime = Runtime::new().context("cannot start the runtime")?;
    // What is declared last goes first: a change under way ends before the locks are let go.
    runtime.block_on(serve(Daemon::new(engine), &socket))
}

async fn serve(daemon: Daemon, socket: &Socket) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(());
    let signal = told_to_stop()?;
    tokio::spawn(nexthop::keep_fresh(daemon.clone()));
    tokio::spawn(nexthop::ask_for_wanted(daemon.clone()));
    tokio::spawn(tick(daemon.clone()));
    tokio::spawn(show_packets(daemon.clone()));
    let listener = socket.listener().context("cannot watch the socket")?;
    let mut server = tokio::spawn(server::serve(listener, daemon.clone(), closed(stopping)));
    info!("ready: answering on {}", socket.path().display());
    tokio::select! {
        name = signal => info!("{name}: stopping"),
        ended = &mut server => return ended.context("the API panicked")?,
    }
    drop(stop);
    daemon.packets().close();
    if timeout(LAST_REQUESTS, server).await.is_err() {
        warn!("requests are still under way after {} s; they are not waited for", LAST_REQUESTS.as_secs());
    }
    daemon.with(|engine| engine.stop()).await?;
    Ok(())
}

/// Lets the engine see to what takes time.
async fn tick(daemon: Daemon) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let ticked = daemon.with(|engine| {
            engine.tick();
            Ok(())
        });
        if let Err(refusal) = ticked.await {
            error!("{refusal}");
            return;
        }
    }
}

/// Hands packets that the program shows to who watches.
async fn show_packets(daemon: Daemon) {
    let events = daemon.with(|engine| Ok(engine.take_events())).await;
    let Ok(Some(events)) = events else { return };
    thread::spawn(move || {
        if let Err(error) = packets::follow(events, &daemon.packets()) {
            error!("no packet is shown (`foobar watch`, rules with `log`): {error}");
        }
    });
}

/// Resolves to the name of the signal. From the call on, neither kills the process.
fn told_to_stop() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

async fn closed(mut stopping: watch::Receiver<()>) {
    // An error says that the sender is gone, which is the message.
    while stopping.changed().await.is_ok() {}
}

/// Ours at the level asked for, libraries when they warn.
fn log(level: Level) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("warn,foobar={level},foobar_userspace={level}"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    subscriber.try_init().map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}
