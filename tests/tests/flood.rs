//! A SYN flood, and forged SYNs and RSTs of the connections that live on tracked slots meanwhile: none breaks, and
//! memory has a bound.

use std::{env, fs, net::SocketAddr, time::Duration};

use foobar_common::layout::MAX_UNPROVEN;
use foobar_tests::site::{Echo, Echoes, Flood, Memory, PATIENCE, Site, Way, flood, forge, wait_until};

/// SYNs of the whole flood, three times as many as can be noted; `FOOBAR_SYNS` overrides it.
const SYNS: u64 = 1_500_000;
/// SYNs between two rounds of forged segments.
const ROUND: u64 = 250_000;
/// Half of them are older than the change that made their slots tracked.
const CONNECTIONS: usize = 1000;
/// That come when all is over.
const OTHERS: usize = 100;
/// Bytes of maps that a flood may take: batches of CPUs.
const ROUNDING: u64 = 1 << 20;
/// What a daemon maps of its table of notes is resident when it has read it.
const MOST_RESIDENT: u64 = 64 << 20;

foobar_tests::ways!(flooded: dsr_v4 DSR V4 + TUNNEL V4 + NAT V4, dsr_v6 DSR V6 + TUNNEL V6 + NAT V6,
    snat_v4 SNAT V4 + SNAT V6);

fn flooded(way: Way) {
    let (site, _servers) = way.site(3);
    let sources = site.network.add_sources(way.family);
    way.serve(&site, &[1, 2], &[]);
    let old = way.echoes(&site, &sources, CONNECTIONS / 2);
    site.tell(&["backend", "add", "echo", &way.new_backend(3)]);
    site.wait_for_next_hops();
    for number in [1, 2] {
        site.tell(&["backend", "drain", "echo", &way.backend(number)]);
    }
    let new = way.echoes(&site, &sources, CONNECTIONS / 2);
    assert!(new.so_far().iter().all(|echo| echo.server == "b3"), "every slot has changed");
    let echoes = [&old, &new];

    let syns = env::var("FOOBAR_SYNS").map_or(SYNS, |text| text.parse().expect("FOOBAR_SYNS is a number"));
    let begun = Memory::of(&site.foobar);
    let flood = attack(&site, way, &echoes, syns);
    unbroken(&echoes, "all SYNs");
    let mut used = 0;
    wait_until("the notes to be counted", PATIENCE, || {
        used = site.status().notes.used;
        used >= u64::from(MAX_UNPROVEN) / 2
    });
    unbroken(&echoes, "all SYNs were swept over");
    let after = Memory::of(&site.foobar);
    let others = way.echoes(&site, &sources, OTHERS);
    unbroken(&[&others], "the flood is over");

    let challenges = challenges(&site);
    println!("{challenges} challenges, {flood:?}, {used} notes, {begun:?}, {after:?}");
    assert!(challenges > 0, "forged segments reach who has the connection");
    assert!(used <= u64::from(MAX_UNPROVEN) + CONNECTIONS as u64, "{used} notes");
    assert!(after.maps <= begun.maps + ROUNDING, "maps grow: {begun:?}, {after:?}");
    assert!(after.resident < begun.resident + MOST_RESIDENT, "the daemon grows: {begun:?}, {after:?}");
}

/// SYNs of nobody, and between them a SYN and a RST of each connection.
fn attack(site: &Site, way: Way, echoes: &[&Echoes], syns: u64) -> Flood {
    let clients: Vec<SocketAddr> = echoes.iter().flat_map(|echoes| echoes.so_far()).map(|echo| echo.client).collect();
    let (to, mut random) = (way.target().address, fastrand::Rng::new());
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

/// How often b3 answered a SYN of a connection that it has (RFC 5961, section 4).
fn challenges(site: &Site) -> u64 {
    let read = || fs::read_to_string("/proc/thread-self/net/netstat").expect("the counters of TCP");
    let text = site.network.within("b3", read);
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, numbers) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let mut pairs = names.split(' ').zip(numbers.split(' '));
    let (_, number) = pairs.find(|(name, _)| *name == "TCPSYNChallenge").expect("TCPSYNChallenge");
    number.parse().expect("a number")
}

fn unbroken(echoes: &[&Echoes], after: &str) {
    for echoes in echoes {
        let found = echoes.wait_for(2);
        let broken: Vec<&Echo> = found.iter().filter(|echo| echo.broken.is_some()).collect();
        assert!(broken.is_empty(), "after {after}: {} are broken, such as {:?}", broken.len(), broken[0]);
    }
}
