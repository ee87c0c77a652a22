//! Two thousand connections that keep echoing, and short ones beside them, while everything changes: those of a backend
//! that dies break, and no other.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use foobar_tests::site::{Echo, Echoes, PATIENCE, Short, Shorts, Site, Way, wait_until};

const CONNECTIONS: usize = 2000;
/// Short connections; on a machine that is too slow there are fewer.
const PER_SECOND: u32 = 2000;
/// Short connections in which every backend that takes new ones is found.
const A_FEW: usize = 500;
/// After which a backend that drains gets no new connection.
const SETTLED: Duration = Duration::from_secs(1);

foobar_tests::ways!(live: dsr_v4 DSR V4, dsr_v6 DSR V6, tunnel_v6 TUNNEL V6 + TUNNEL V4 + GUE V4, nat_v4 NAT V4 + NAT V6,
    snat_v4 SNAT V4 + SNAT V6);

fn live(way: Way) {
    let (mut site, _servers) = way.site(5);
    let sources = site.network.add_sources(way.family);
    way.serve(&site, &[1, 2, 3, 4], &[]);
    let traffic = Traffic::begin(way, &site, &sources);
    let backend = |words: &[&str]| {
        site.tell(&[&["backend", words[0], "echo"], &words[1..]].concat());
        Instant::now()
    };

    backend(&["add", &way.new_backend(5)]);
    site.wait_for_next_hops();
    traffic.goes_on("a backend was added");
    backend(&["weight", &way.backend(1), "400"]);
    backend(&["weight", &way.backend(5), "50"]);
    traffic.goes_on("weights changed");
    let drained = backend(&["drain", &way.backend(2)]);
    traffic.goes_on("a backend drains");
    let removed = backend(&["rm", &way.backend(3)]);
    traffic.goes_on("a backend is being removed");

    site.foobar.kill();
    traffic.goes_on("the daemon is gone");
    site.foobar.start();
    traffic.goes_on("the daemon is back");
    // What is begun from here on counts no longer, and what was begun before has sent its SYN before the backend is ready.
    let ready = Instant::now();
    traffic.goes_on("the daemon is back for a while");
    site.tell(&["backend", "ready", "echo", &way.backend(2)]);
    traffic.goes_on("a backend is ready again");

    let died = Instant::now();
    site.network.unplug("b4");
    thread::sleep(SETTLED);
    site.tell(&["backend", "rm", "echo", &way.backend(4), "--now"]);
    let buried = Instant::now();
    wait_until("the dead backend's connections to break", PATIENCE, || {
        traffic.echoes.so_far().iter().all(|echo| echo.server != "b4" || echo.broken.is_some())
    });
    traffic.goes_on("a backend died");

    let shorts = traffic.end();
    let got = |server: &str, from: Instant, to: Instant| {
        shorts.iter().filter(|short| short.is_of(server) && short.began > from && short.began < to).count()
    };
    assert_eq!(got("b2", drained + SETTLED, ready), 0, "new connections of a backend that drains");
    assert!(got("b2", ready, died) > 0, "new connections of a backend that is ready again");
    let end = Instant::now();
    assert_eq!(got("b3", removed + SETTLED, end), 0, "new connections of a backend that is being removed");
    assert_eq!(got("b4", buried, end), 0, "new connections of a dead backend");
    assert!(got("b5", ready, end) > 0, "new connections of a backend that was added");
    let failed = |short: &&Short| short.end.is_err() && (short.ended < died || short.began > buried);
    let failed: Vec<_> = shorts.iter().filter(failed).collect();
    assert!(failed.is_empty(), "{} short connections failed: {:?}", failed.len(), failed[0]);
}

/// What goes on all the time.
struct Traffic {
    echoes: Echoes,
    shorts: Shorts,
    began: Instant,
}

impl Traffic {
    fn begin(way: Way, site: &Site, sources: &[IpAddr]) -> Self {
        let shorts = way.shorts(site, sources, PER_SECOND);
        let echoes = way.echoes(site, sources, CONNECTIONS);
        let traffic = Self { echoes, shorts, began: Instant::now() };
        for name in ["b1", "b2", "b3", "b4"] {
            assert!(traffic.echoes.so_far().iter().any(|echo| echo.server == name), "{name} has connections");
        }
        traffic
    }

    /// Every connection echoes twice more, but for those of the dead one.
    fn goes_on(&self, after: &str) {
        self.shorts.wait_for(A_FEW);
        let echoes = self.echoes.wait_for(2);
        let broken: Vec<&Echo> = echoes.iter().filter(|echo| echo.broken.is_some() && echo.server != "b4").collect();
        assert!(broken.is_empty(), "{after}: {} are broken: {:?}", broken.len(), broken[0]);
        let dead = echoes.iter().filter(|echo| echo.broken.is_some()).count();
        let done = self.shorts.so_far();
        println!("{after}: {dead} broken, {done} short connections in {:?}", self.began.elapsed());
    }

    fn end(self) -> Vec<Short> {
        self.shorts.end()
    }
}
