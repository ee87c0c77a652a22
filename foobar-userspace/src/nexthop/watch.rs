//! Keeps the engine's next hops fresh: on every change the kernel tells of, on every change of backends, and anyway.

use std::{net::IpAddr, time::Duration};

use anyhow::Context;
use futures_util::{FutureExt, Stream, StreamExt};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{
    NextHop, NextHops, kernel, mac_text,
    resolver::{Resolver, Round},
};
use crate::api::{daemon::Daemon, types::Refusal};

/// What changes together is read together.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// The longest time between two rounds.
const PERIOD: Duration = Duration::from_secs(5);

/// The same while somebody is silent.
const WAITING_PERIOD: Duration = Duration::from_secs(1);

/// How long the first round waits for answers, so that what was adopted is not forgotten for a moment.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);

/// How long a round waits for those who are asked for the first time.
const PATIENCE: Duration = Duration::from_millis(200);

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Runs for as long as the daemon does.
pub async fn keep_fresh(daemon: Daemon) {
    let mut told = None;
    loop {
        if let Err(error) = follow(&daemon, &mut told).await {
            warn!("next hops are not kept fresh: {error:#}; trying again");
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn follow(daemon: &Daemon, told: &mut Option<NextHops>) -> anyhow::Result<()> {
    let (connection, handle, mut events) = new_multicast_connection(&GROUPS).context("cannot open a netlink socket")?;
    tokio::spawn(connection);
    let mut resolver = Resolver::default();
    let in_force = daemon.with(|engine| engine.next_hops_in_force()).await?;
    resolver.adopt(&kernel::links(&handle).await.context("cannot read the interfaces")?, in_force);
    let mut backends_changed = true;
    loop {
        let addresses = daemon.with(|engine| Ok(engine.backend_addresses())).await?;
        let patience = patience(told.as_ref(), &addresses);
        let round = settled(&mut resolver, &handle, &mut events, &addresses, patience).await?;
        let period = if round.is_waiting { WAITING_PERIOD } else { PERIOD };
        if backends_changed || told.as_ref() != Some(&round.hops) {
            tell(daemon, told, round.hops).await?;
        }
        backends_changed = tokio::select! {
            event = events.next() => { event.context("the netlink socket is closed")?; false },
            () = daemon.backends_changed() => true,
            () = sleep(period) => false,
        };
        if !backends_changed {
            sleep(DEBOUNCE).await;
        }
        drain(&mut events);
    }
}

fn patience(told: Option<&NextHops>, addresses: &[IpAddr]) -> Duration {
    match told {
        None => FIRST_PATIENCE,
        Some(told) if addresses.iter().any(|address| !told.contains_key(address)) => PATIENCE,
        Some(_) => Duration::ZERO,
    }
}

/// Goes round until nobody is waited for, or patience ends.
async fn settled(
    resolver: &mut Resolver,
    handle: &Handle,
    events: &mut (impl Stream + Unpin),
    addresses: &[IpAddr],
    patience: Duration,
) -> anyhow::Result<Round> {
    let deadline = Instant::now() + patience;
    loop {
        let round = resolver.resolve(handle, addresses).await.context("cannot read routes and neighbours")?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !round.is_waiting || left.is_zero() {
            return Ok(round);
        }
        let _ = timeout(left.min(DEBOUNCE), events.next()).await;
        drain(events);
    }
}

async fn tell(daemon: &Daemon, told: &mut Option<NextHops>, hops: NextHops) -> Result<(), Refusal> {
    let news = hops.clone();
    daemon.with(move |engine| engine.set_next_hops(&news)).await?;
    for (address, hop) in &hops {
        if told.as_ref().and_then(|told| told.get(address)) != Some(hop) {
            announce(*address, hop);
        }
    }
    *told = Some(hops);
    Ok(())
}

fn announce(address: IpAddr, hop: &Result<NextHop, String>) {
    match hop {
        Ok(hop) => info!("{address} is reached on {} at {}", hop.interface, mac_text(hop.destination_mac)),
        Err(problem) => warn!("no next hop: {problem}"),
    }
}

/// Forgets what has been told up to here: the next round reads the state, not the events.
fn drain(events: &mut (impl Stream + Unpin)) {
    while let Some(Some(_)) = events.next().now_or_never() {}
}
