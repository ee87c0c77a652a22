//! A SYN flood, and forged SYNs and RSTs of the connections that live on tracked slots meanwhile: none breaks, and
//! memory has a bound.

use std::{env, net::SocketAddr, thread, time::Duration};

use foobar_common::layout::MAX_UNPROVEN;
use foobar_tests::site::{Echo, Echoes, Flood, Memory, PATIENCE, Site, Way, flood, forge, wait_until};

/// SYNs of the whole flood; `FOOBAR_SYNS` overrides it.
const SYNS: u64 = 5_000_000;
/// SYNs that fill whatever a flood can fill.
const FILLING: u64 = 1_000_000;
/// SYNs between two rounds of forged segments.
const ROUND: u64 = 250_000;
/// Half of them are older than the change that made their slots tracked.
const CONNECTIONS: usize = 1000;
/// What a daemon takes for copies of its notes comes and goes with its sweeps.
const MOST_RESIDENT: u64 = 256 << 20;

foobar_tests::every_way!(flooded);

fn flooded(way: Way) {
    let (site, _servers) = way.site(3);
    let sources = site.network.add_sources(way.family);
    way.serve(&site, &[1, 2], &[]);
    let old = way.echoes(&site, &sources, CONNECTIONS / 2);
    site.tell(&["backend", "add", "echo", &way.backend(3)]);
    site.wait_for_next_hops();
    for number in [1, 2] {
        site.tell(&["backend", "drain", "echo", &way.backend(number)]);
    }
    let new = way.echoes(&site, &sources, CONNECTIONS / 2);
    assert!(new.so_far().iter().all(|echo| echo.server == "b3"), "every slot has changed");
    let echoes = [&old, &new];

    let syns = env::var("FOOBAR_SYNS").map_or(SYNS, |text| text.parse().expect("FOOBAR_SYNS is a number"));
    let filling = attack(&site, way, &echoes, FILLING);
    unbroken(&echoes, "the first SYNs");
    wait_until("the notes to be counted", PATIENCE, || site.status().notes.used >= u64::from(MAX_UNPROVEN) / 2);
    let (used, before) = (site.status().notes.used, Memory::of(&site.foobar));
    let rest = attack(&site, way, &echoes, syns.saturating_sub(FILLING));
    unbroken(&echoes, "all SYNs");
    // Two sweeps, of which one begins after the flood.
    thread::sleep(Duration::from_secs(11));
    let (used_after, after) = (site.status().notes.used, Memory::of(&site.foobar));
    unbroken(&echoes, "all SYNs were swept over");

    println!("{filling:?}, {rest:?}, {used} and {used_after} notes, {before:?}, {after:?}");
    let most = u64::from(MAX_UNPROVEN) + CONNECTIONS as u64;
    assert!(used <= most && used_after <= most, "{used} and {used_after} notes");
    assert_eq!(after.maps, before.maps, "what maps take");
    assert!(after.resident < before.resident + MOST_RESIDENT, "{before:?}, {after:?}");
}

/// SYNs of nobody, and between them a SYN and a RST of each connection.
fn attack(site: &Site, way: Way, echoes: &[&Echoes], syns: u64) -> Flood {
    let clients: Vec<SocketAddr> =
        echoes.iter().flat_map(|echoes| echoes.so_far()).map(|echo| echo.client).collect();
    let (to, mut random) = (way.target().address, fastrand::Rng::with_seed(syns));
    site.on_client(|| {
        let mut all = Flood { sent: 0, took: Duration::ZERO };
        while all.sent < syns {
            let one = flood(to, ROUND.min(syns - all.sent), &mut random);
            forge(&clients, to, &mut random);
            all = Flood { sent: all.sent + one.sent, took: all.took + one.took };
        }
        all
    })
}

fn unbroken(echoes: &[&Echoes], after: &str) {
    for echoes in echoes {
        let found = echoes.wait_for(2);
        let broken: Vec<&Echo> = found.iter().filter(|echo| echo.broken.is_some()).collect();
        assert!(broken.is_empty(), "after {after}: {} are broken, such as {:?}", broken.len(), broken[0]);
    }
}
