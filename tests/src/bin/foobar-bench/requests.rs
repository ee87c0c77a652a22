//! What balancing adds to an HTTP request, in CPU time of the whole machine: foobar, HAProxy in TCP mode and nftables'
//! DNAT, each on a balancer of its own between the same client and the same two nginx, on one bridge.
//!
//! The floor is an XDP program that does the least that such a balancer can, in foobar's place (see `bounce` in
//! `foobar-ebpf/src/bin/harness.rs`). All ways take turns, and the median of their runs counts.

use std::{fs, net::IpAddr};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::Array,
    programs::{Xdp, XdpMode},
};
use foobar_tests::{
    frames::Family,
    site::{Beside, Foobar, Net, Network, Nginx, PATIENCE, Site, Target, backend, quiet, wait_until, wrk},
};

use foobar_userspace::datapath::HARNESS;

use super::cpu::Reading;

const ROUNDS: usize = 5;
/// Of a run, in seconds, and of what comes before it.
const RUN: u32 = 3;
const WARM_UP: u32 = 1;
/// Of what others took from this machine: above it, figures are no better than the machine was quiet.
const QUIET: f64 = 0.03;

/// Numbers in the one network: the client's, the balancers' and of the second service of foobar; and of the client's
/// addresses elsewhere, to which answers come back by one of them.
const CLIENT: u8 = 1;
const FOOBAR: u8 = 2;
const HAPROXY: u8 = 5;
const NFTABLES: u8 = 6;
const FLOOR: u8 = 7;
const NAT: u8 = 101;
const FROM_NAT: u8 = 201;
const FROM_NFTABLES: u8 = 202;

/// What a request may add, in what it adds with the other.
const OF_HAPROXY: f64 = 0.2;
const OF_NFTABLES: f64 = 0.55;

const WAYS: [&str; 6] = ["direct", "foobar, dsr", "foobar, nat", "nftables, DNAT", "HAProxy, TCP", "floor, XDP"];
const SERVERS: [&str; 2] = ["b1", "b2"];
/// Their places among [`WAYS`].
const DIRECT: usize = 0;
const DSR: usize = 1;
const NATTED: usize = 2;
const DNAT: usize = 3;
const PROXIED: usize = 4;

/// Prints what a request costs by every way, and what each adds.
pub fn compare() -> Result<()> {
    let lab = Lab::build()?;
    let mut runs = [const { Vec::new() }; WAYS.len()];
    for round in 1..=ROUNDS {
        for (way, runs) in runs.iter_mut().enumerate() {
            let run = lab.run(way).with_context(|| format!("round {round}, {}", WAYS[way]))?;
            eprintln!("round {round}, {:<14} {run}", WAYS[way]);
            runs.push(run);
        }
    }
    lab.prove()?;
    print(&runs);
    Ok(())
}

/// One run by one way.
#[derive(Clone, Copy)]
struct Run {
    per_second: f64,
    /// Microseconds of CPU time a request.
    cost: f64,
    /// The share of the machine that others took.
    others: f64,
}

impl std::fmt::Display for Run {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { per_second, cost, others } = self;
        write!(out, "{per_second:>8.0} requests/s, {cost:>6.2} µs each, others took {:.0} %", others * 100.0)
    }
}

/// The client, two nginx, and a balancer of each kind. What is declared first is ended first.
struct Lab {
    _floor: Floor,
    _haproxy: Beside,
    _nginx: [Nginx; 2],
    site: Site,
}

impl Lab {
    fn build() -> Result<Self> {
        let network = Network::build(2);
        let foobar = Foobar::new(&network.names);
        let mut site = Site { servers: Vec::new(), foobar, ends: Vec::new(), network };
        let network = &site.network;
        network.add_host("haproxy", Net::Clients, HAPROXY);
        network.add_router("nftables", &[Net::Clients], NFTABLES);
        network.add_host("floor", Net::Clients, FLOOR);
        network.ip("lb", &format!("address add {}/32 dev eth0\n", at(NAT)));
        // From another network than the servers', who would answer a neighbour past the balancer.
        for (service, from, by) in [(NAT, FROM_NAT, FOOBAR), (NFTABLES, FROM_NFTABLES, NFTABLES)] {
            let from = Net::Far.v4(from);
            network.ip("client", &format!("address add {from}/32 dev eth0\n"));
            network.ip("client", &format!("route add {}/32 dev eth0 src {from}\n", at(service)));
            network.ip("nftables", &format!("route replace {from}/32 via {}\n", at(CLIENT)));
            for host in SERVERS {
                network.ip(host, &format!("route add {from}/32 via {}\n", at(by)));
            }
        }
        let nginx = SERVERS.map(|host| Nginx::without_log(network, host));
        let haproxy = haproxy(network);
        dnat(network);
        site.foobar.start();
        site.attach();
        let backends = backends();
        site.add_service("direct-return", Network::service(Family::V4), &backends);
        let (address, [one, two]) = (at(NAT).to_string(), backends.map(|address| address.to_string()));
        let words = ["service", "add", "translated", &address, "tcp/80", "--forward", "nat"];
        site.tell(&[words.as_slice(), &["--backend", &one, "--backend", &two]].concat());
        site.wait_for_next_hops();
        let floor = Floor::lay(&site)?;
        let lab = Self { _floor: floor, _haproxy: haproxy, _nginx: nginx, site };
        lab.prove()?;
        Ok(lab)
    }

    /// By every way both servers answer.
    fn prove(&self) -> Result<()> {
        for (way, name) in WAYS.iter().enumerate() {
            let ask = |address| Target::new(address, 80).ask().map(|answer| answer.backend);
            let targets = targets(way);
            let answers =
                self.site.on_client(|| targets.into_iter().cycle().take(24).map(ask).collect::<Result<Vec<_>, _>>());
            let answers = answers.with_context(|| format!("a request, {name}"))?;
            let both = SERVERS.iter().all(|host| answers.iter().any(|answer| answer == host));
            ensure!(both, "{name}: both servers should answer, and that was {answers:?}");
        }
        let counted = self.site.stats();
        let served = counted.services.iter().all(|service| service.backends.iter().all(|backend| backend.packets > 0));
        ensure!(served && counted.services.len() == 2, "foobar forwarded for both of its services: {counted:?}");
        Ok(())
    }

    fn run(&self, way: usize) -> Result<Run> {
        let targets = targets(way);
        let network = &self.site.network;
        wrk(network, "client", &targets, WARM_UP);
        let begun = Reading::now()?;
        let requests = wrk(network, "client", &targets, RUN);
        let used = begun.used()?;
        ensure!(requests.failed == 0 && requests.answered > 0, "wrk had no good run: {requests:?}");
        Ok(Run {
            per_second: f64::from(requests.answered) / requests.seconds,
            cost: used.ours * 1e6 / f64::from(requests.answered),
            others: used.others / used.whole,
        })
    }
}

/// Whom wrk's two threads ask.
fn targets(way: usize) -> [IpAddr; 2] {
    match way {
        DIRECT => backends(),
        DSR => [Network::service(Family::V4); 2],
        NATTED => [at(NAT); 2],
        DNAT => [at(NFTABLES); 2],
        PROXIED => [at(HAPROXY); 2],
        _ => [at(FLOOR); 2],
    }
}

fn backends() -> [IpAddr; 2] {
    [backend(1), backend(2)]
}

const fn at(number: u8) -> IpAddr {
    Net::Clients.v4(number)
}

/// The program that does the least, on a host of its own. It is taken off when this is dropped.
struct Floor(#[expect(dead_code, reason = "holds the programs")] Ebpf);

impl Floor {
    fn lay(site: &Site) -> Result<Self> {
        let network = &site.network;
        for host in SERVERS {
            network.ip(host, &format!("address add {}/32 dev lo\n", at(FLOOR)));
        }
        let mut ebpf = Ebpf::load(HARNESS).context("loading the harness")?;
        let IpAddr::V4(address) = at(FLOOR) else { unreachable!("an IPv4 network") };
        let mut known = [u64::from(u32::from_ne_bytes(address.octets())), 0, 0];
        for (word, backend) in known[1..].iter_mut().zip(&site.status().services[0].backends) {
            let hop = backend.next_hop.as_ref().context("the servers' MACs are known")?;
            *word = mac(&hop.mac)?;
        }
        let map = ebpf.map_mut("BOUNCE").context("the harness has no map BOUNCE")?;
        Array::<_, [u64; 3]>::try_from(map)?.set(0, known, 0)?;
        for (host, interface, name) in [("floor", "eth0", "bounce"), ("sw", "floor", "pass")] {
            let program: &mut Xdp = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
            network.within(host, || program.attach(interface, XdpMode::Driver)).with_context(|| name.to_owned())?;
        }
        Ok(Self(ebpf))
    }
}

/// A MAC as it stands in a frame.
fn mac(text: &str) -> Result<u64> {
    let bytes: Result<Vec<_>, _> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    let bytes = bytes.with_context(|| format!("`{text}` is no MAC"))?;
    Ok(bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

/// As Debian has it, in TCP mode, with a thread for each CPU.
fn haproxy(network: &Network) -> Beside {
    let [one, two] = backends();
    let timeouts = "timeout connect 5s\ntimeout client 60s\ntimeout server 60s";
    let servers = format!("balance roundrobin\nserver b1 {one}:80\nserver b2 {two}:80");
    let listen = format!("listen web\nbind {}:80\n{servers}\n", at(HAPROXY));
    let file = network.names.directory().join("haproxy.cfg");
    fs::write(&file, format!("defaults\nmode tcp\n{timeouts}\n{listen}")).expect("HAProxy's configuration");
    let mut process = Beside::start(network.inside("haproxy", "haproxy").arg("-db").arg("-f").arg(file));
    wait_until("HAProxy to listen", PATIENCE, || {
        assert!(!process.has_ended(), "haproxy ended: `cargo xtask bench` installs it");
        network.within("haproxy", || std::net::TcpStream::connect((at(HAPROXY), 80)).is_ok())
    });
    process
}

/// Answers come back by the routes that the servers have, so that nothing but the destination is translated.
fn dnat(network: &Network) {
    let [one, two] = backends();
    let to = format!("dnat to numgen inc mod 2 map {{ 0 : {one}, 1 : {two} }}");
    let rule = format!("ip daddr {} tcp dport 80 {to}", at(NFTABLES));
    let chain = format!("chain in {{\ntype nat hook prerouting priority dstnat;\n{rule}\n}}");
    quiet(network.inside("nftables", "nft").arg(format!("table ip bench {{\n{chain}\n}}\n")));
}

fn print(runs: &[Vec<Run>; WAYS.len()]) {
    let of = |way: usize, what: fn(&Run) -> f64| {
        let mut found: Vec<_> = runs[way].iter().map(what).collect();
        found.sort_by(f64::total_cmp);
        found
    };
    let median = |way, what| of(way, what)[ROUNDS / 2];
    let added = |way| median(way, |run| run.cost) - median(DIRECT, |run| run.cost);
    println!("HTTP requests over 64 open connections; median of {ROUNDS} runs of {RUN} s each, all ways in turn\n");
    println!(
        "{:<15} {:>10} {:>8} {:>15} {:>9} {:>13} {:>14}",
        "", "requests/s", "CPU µs", "from – to", "adds µs", "of HAProxy's", "of nftables'"
    );
    for (way, name) in WAYS.iter().enumerate() {
        let costs = of(way, |run| run.cost);
        let range = format!("{:.2} – {:.2}", costs[0], costs[ROUNDS - 1]);
        print!(
            "{name:<15} {:>10.0} {:>8.2} {range:>15}",
            median(way, |run| run.per_second),
            median(way, |run| run.cost)
        );
        if way == DIRECT {
            println!();
            continue;
        }
        println!(" {:>9.2} {:>13.2} {:>14.2}", added(way), added(way) / added(PROXIED), added(way) / added(DNAT));
    }
    println!();
    for way in [DSR, NATTED] {
        for (peer, bound) in [(PROXIED, OF_HAPROXY), (DNAT, OF_NFTABLES)] {
            let ratio = added(way) / added(peer);
            let verdict = if ratio <= bound { "held" } else { "MISSED" };
            println!("{} adds {ratio:.2} of what {} adds; at most {bound}: {verdict}", WAYS[way], WAYS[peer]);
        }
    }
    let others = runs.iter().flatten().map(|run| run.others).fold(0.0, f64::max);
    let caution = if others > QUIET { ": not a quiet machine, and these figures are no better than that" } else { "" };
    println!("\nothers took at most {:.1} % of this machine during a run{caution}", others * 100.0);
}
