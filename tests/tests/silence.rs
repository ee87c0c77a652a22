//! Connections that are silent while backends come and go, also past the moment when previous backends are given up: as
//! long as none is silent for `idle`, none breaks.

use std::{
    thread,
    time::{Duration, Instant},
};

use foobar_tests::site::{Echo, Echoes, Site, Way};

/// Half of them are opened before backends change, and half amid it.
const CONNECTIONS: usize = 1000;
const IDLE: Duration = Duration::from_secs(25);
/// Until they speak the first time: less than `idle` after the first change.
const FIRST: Duration = Duration::from_secs(18);
/// Until they speak again: previous backends are given up by then, which is looked for every ten seconds.
const SECOND: Duration = Duration::from_secs(37);

foobar_tests::ways!(silent: dsr_v4 DSR V4 + DSR V6 + TUNNEL V4 + TUNNEL V6, nat_v4 NAT V4 + NAT V6,
    snat_v6 SNAT V6 + SNAT V4);

fn silent(way: Way) {
    let (site, _servers) = way.site(5);
    let sources = site.network.add_sources(way.family);
    way.serve(&site, &[1, 2, 3], &["--idle", &format!("{}s", IDLE.as_secs())]);
    let tell = |words: &[&str]| site.tell(&[&["backend", words[0], "echo"], &words[1..]].concat());
    let early = hushed(&site, way, &sources);

    let changed = Instant::now();
    tell(&["add", &way.new_backend(4)]);
    site.wait_for_next_hops();
    tell(&["drain", &way.backend(2)]);
    let late = hushed(&site, way, &sources);
    assert!(late.so_far().iter().all(|echo| echo.server != "b2"), "it drains");
    tell(&["weight", &way.backend(1), "300"]);
    tell(&["rm", &way.backend(3)]);
    tell(&["add", &way.new_backend(5)]);
    site.wait_for_next_hops();

    let kinds = [("early", &early), ("late", &late)];
    for at in [FIRST, SECOND] {
        assert_eq!(site.status().services[0].backends.len(), 5, "who has connections stays");
        thread::sleep((changed + at).saturating_duration_since(Instant::now()));
        for (kind, echoes) in &kinds {
            speaks(echoes, &format!("the {kind} ones, after {:?}", changed.elapsed()));
        }
    }
    let drained = site.status().services[0].backends[1].left.expect("b2 drains");
    assert_eq!(drained.certain_in_seconds, 0, "only what is noted is on b2");
}

/// Connections that echoed once and say nothing more.
fn hushed(site: &Site, way: Way, sources: &[std::net::IpAddr]) -> Echoes {
    let echoes = way.echoes(site, sources, CONNECTIONS / 2);
    speaks(&echoes, "at first");
    echoes
}

/// Each echoes once, and is silent again.
fn speaks(echoes: &Echoes, when: &str) {
    echoes.speak();
    let found = echoes.wait_for(1);
    echoes.hush();
    let broken: Vec<&Echo> = found.iter().filter(|echo| echo.broken.is_some()).collect();
    assert!(broken.is_empty(), "{when}: {} are broken, such as {:?}", broken.len(), broken[0]);
    println!("{when}: none of {} is broken", found.len());
}
