//! What tunnels leave of a path's throughput: bytes over one connection to a server behind a router, through the
//! balancer and without it, with an MTU of 1500 and without any offload that would make packets larger than that.
//!
//! Upwards all of it goes through a tunnel, downwards what says that it arrived does. Both ways take turns.

use std::process::Command;

use foobar_tests::{
    frames::Family,
    site::{Flows, Iperf, Mode, Network, Site, Way, quiet},
};

const ROUNDS: usize = 5;
/// Of a run, in seconds.
const RUN: u32 = 2;
const SHAPED: &str = "500mbit";
/// The least share of what goes without a balancer: where the link is what limits, and where the machine does.
const OF_SHAPED: [f64; 2] = [0.95, 0.95];
const OF_UNSHAPED: [f64; 2] = [0.4, 0.9];

const WAY: Way = Way { mode: Mode::TUNNEL, family: Family::V4 };

/// Prints the throughput with and without tunnels, unshaped and on a link of 500 Mbit/s.
pub fn compare() {
    let (site, _echo) = WAY.site(1);
    let _iperf = Iperf::serve(&site.network, "b1");
    WAY.add(&site, ("iperf", Iperf::PORT), &[WAY.mode.layout.backend(WAY.family, 1)], &[]);
    without_offloads(&site.network);

    println!("One TCP connection, MTU 1500, no offloads; median of {ROUNDS} runs of {RUN} s each, both ways in turn\n");
    println!(
        "{:<10} {:<5} {:>14} {:>14} {:>7} {:>9}",
        "link", "", "direct Mbit/s", "tunnel Mbit/s", "share", "at least"
    );
    measure(&site, "unshaped", OF_UNSHAPED);
    // Both ways share the links between the router and the server.
    for (host, interface) in [("router", "eth1"), ("b1", "eth0")] {
        let namespace = site.network.names.namespace(host);
        let shape = format!("qdisc add dev {interface} root tbf rate {SHAPED} burst 128kb latency 50ms");
        quiet(Command::new("tc").args(["-n", &namespace]).args(shape.split(' ')));
    }
    measure(&site, SHAPED, OF_SHAPED);
}

fn measure(site: &Site, link: &str, bounds: [f64; 2]) {
    let targets = [WAY.mode.layout.backend(WAY.family, 1), WAY.service()];
    for (flows, bound) in [Flows::Up, Flows::Down].into_iter().zip(bounds) {
        let before = site.outcome("redirected");
        let mut rates = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            for (rates, target) in rates.iter_mut().zip(targets) {
                rates.push(Iperf::measure(&site.network, "client", target, flows, RUN));
            }
        }
        assert!(site.outcome("redirected") > before, "foobar forwarded nothing");
        let [direct, tunnel] = rates.map(median);
        let share = tunnel / direct;
        let verdict = if share >= bound { "held" } else { "MISSED" };
        let flows = format!("{flows:?}").to_lowercase();
        println!(
            "{link:<10} {flows:<5} {:>14.0} {:>14.0} {share:>7.3} {bound:>9} {verdict}",
            direct / 1e6,
            tunnel / 1e6
        );
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// After programs are attached, since that turns one of them on.
fn without_offloads(network: &Network) {
    let hosts = ["client", "lb", "router", "b1", "sw"];
    for host in hosts {
        let links = quiet(Command::new("ip").args([
            "-n",
            &network.names.namespace(host),
            "-br",
            "link",
            "show",
            "type",
            "veth",
        ]));
        for link in links.lines().filter_map(|line| line.split(['@', ' ']).next()) {
            let offloads = ["rx", "tx", "sg", "tso", "gso", "gro"].map(|offload| [offload, "off"]);
            quiet(network.inside(host, "ethtool").args(["-K", link]).args(offloads.as_flattened()));
        }
    }
}
