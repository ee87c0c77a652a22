//! `foobar-bench`: nanoseconds a packet, beside an empty program and beside xdp-filter, in one run; and parts of its
//! own for what is measured in traffic.

mod cpu;
mod frames;
mod harness;
mod memory;
mod ours;
mod peer;
mod report;
mod requests;
mod rings;
mod rules;
mod scene;
mod traffic;
mod tunnels;

use anyhow::{Context as _, Result};
use clap::Parser;
use foobar_userspace::domain::Forward;

use self::{
    frames::{Kind, frame},
    harness::{Case, Harness, Load, Target},
    report::{Report, Row},
    rules::{FLOWS, Rules},
    scene::Scene,
};

/// Times the data path through `BPF_PROG_TEST_RUN`.
#[derive(Parser)]
struct Arguments {
    /// Runs of a program in one measurement.
    #[arg(long, default_value_t = 500_000)]
    repeat: u32,
    /// Measurements of each program, in turn; the mean of the middle half counts.
    #[arg(long, default_value_t = 16)]
    rounds: usize,
    /// Only the cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Instead: foobar beside nftables with the same 1,000 rules, in traffic between two namespaces.
    #[arg(long)]
    nftables: bool,
    /// Instead: what balancing adds to an HTTP request, beside HAProxy and nftables, in CPU time of the machine.
    #[arg(long)]
    requests: bool,
    /// Instead: what tunnels leave of a path's throughput.
    #[arg(long)]
    tunnels: bool,
    /// Where to write the figures as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: std::path::PathBuf,
}

/// What is timed: a name, a frame, how many flows (0: each packet a new one), and the XDP action that proves it.
struct Scenario {
    name: &'static str,
    rules: Rules,
    kind: Kind,
    flows: u64,
    action: u32,
}

const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "denied source", rules: Rules::Ordinary, kind: Kind::DeniedSource, flows: 1, action: DROP },
    Scenario { name: "allowed port", rules: Rules::Ordinary, kind: Kind::AllowedPort, flows: 1, action: PASS },
    Scenario { name: "forwarded, 1 flow", rules: Rules::Ordinary, kind: Kind::Established, flows: 1, action: TX },
    Scenario {
        name: "forwarded, 1,000 flows",
        rules: Rules::Ordinary,
        kind: Kind::Established,
        flows: 1_000,
        action: TX,
    },
    Scenario {
        name: "forwarded, 100,000 flows",
        rules: Rules::Ordinary,
        kind: Kind::Established,
        flows: 100_000,
        action: TX,
    },
    Scenario { name: "forwarded, SYNs of new flows", rules: Rules::Ordinary, kind: Kind::Syn, flows: 0, action: TX },
    Scenario { name: "forwarded, HTTP request", rules: Rules::Ordinary, kind: Kind::Request, flows: 1, action: TX },
    Scenario { name: "tunnel, 1 flow", rules: TUNNEL, kind: Kind::Established, flows: 1, action: TX },
    Scenario { name: "tunnel, 100,000 flows", rules: TUNNEL, kind: Kind::Established, flows: 100_000, action: TX },
    Scenario { name: "nat, 1 flow", rules: NAT, kind: Kind::Established, flows: 1, action: TX },
    Scenario { name: "nat, answers", rules: NAT, kind: Kind::Answer, flows: 1, action: TX },
    Scenario { name: "nat, 100,000 flows", rules: NAT, kind: Kind::Established, flows: 100_000, action: TX },
    Scenario { name: "snat, 1 flow", rules: SNAT, kind: Kind::Established, flows: 1, action: TX },
    Scenario { name: "snat, 100,000 flows", rules: SNAT, kind: Kind::Established, flows: 100_000, action: TX },
    syns(SNAT_SYNS, Scene::PortsFree, Forward::Snat, TX),
    syns("snat, SYNs that take ports over", Scene::PortsOver, Forward::Snat, TX),
    syns("snat, SYNs, no port free", Scene::PortsTaken, Forward::Snat, DROP),
    noted(NOTED[0], Forward::Dsr),
    noted(NOTED[1], Forward::Tunnel),
    noted(NOTED[2], Forward::Nat),
    noted(NOTED[3], Forward::Snat),
    Scenario {
        name: RENEWED,
        rules: Rules::Amid(Scene::Renewed, Forward::Dsr),
        kind: Kind::Established,
        flows: FLOWS,
        action: TX,
    },
    syns(TRACKED_SYNS, Scene::Unnoted, Forward::Dsr, TX),
    syns(TRACKED_FLOOD, Scene::NotesFull, Forward::Dsr, TX),
    Scenario { name: "source and port, 10 rules", rules: FEW, kind: Kind::AllowedPort, flows: 1, action: PASS },
    Scenario { name: "the same, 100,000 flows", rules: FEW, kind: Kind::AllowedPort, flows: 100_000, action: PASS },
    Scenario { name: "source and port, 10,000 rules", rules: MANY, kind: Kind::AllowedPort, flows: 1, action: PASS },
    Scenario {
        name: "no set, 1,000 sources",
        rules: Rules::Set(0),
        kind: Kind::AllowedPort,
        flows: 1000,
        action: PASS,
    },
    Scenario {
        name: "no set, 100,000 sources",
        rules: Rules::Set(0),
        kind: Kind::AllowedPort,
        flows: 100_000,
        action: PASS,
    },
    Scenario { name: SMALL, rules: Rules::Set(1000), kind: Kind::AllowedPort, flows: 1000, action: PASS },
    Scenario { name: SELDOM, rules: Rules::Set(1000), kind: Kind::AllowedPort, flows: 100_000, action: PASS },
    Scenario { name: LARGE, rules: Rules::Set(1_000_000), kind: Kind::AllowedPort, flows: 100_000, action: PASS },
    Scenario {
        name: "the same of 10,000, 100,000 flows",
        rules: MANY,
        kind: Kind::AllowedPort,
        flows: 100_000,
        action: PASS,
    },
];

/// Half of the sources are members.
pub const SMALL: &str = "set of 1,000, 1,000 sources";
pub const LARGE: &str = "set of 1,000,000, 100,000 sources";
/// One of 200 sources is a member, as with a list of whom to deny.
pub const SELDOM: &str = "set of 1,000, 100,000 sources";
pub const SNAT_SYNS: &str = "snat, SYNs of new flows";
/// Every slot's backend has changed, and each flow has a note.
pub const NOTED: [&str; 4] = [
    "tracked, 100,000 notes",
    "tracked tunnel, 100,000 notes",
    "tracked nat, 100,000 notes",
    "tracked snat, 100,000 notes",
];
/// Each flow's first packet in a second does so.
pub const RENEWED: &str = "tracked, each renews its note";
pub const TRACKED_SYNS: &str = "tracked, SYNs that are noted";
pub const TRACKED_FLOOD: &str = "tracked, SYNs, no room for notes";
const TUNNEL: Rules = Rules::Forward(Forward::Tunnel);
const NAT: Rules = Rules::Forward(Forward::Nat);
const SNAT: Rules = Rules::Forward(Forward::Snat);
const FEW: Rules = Rules::Pairs(10);
const MANY: Rules = Rules::Pairs(10_000);

/// SYNs of new flows, in this scene.
const fn syns(name: &'static str, scene: Scene, forward: Forward, action: u32) -> Scenario {
    Scenario { name, rules: Rules::Amid(scene, forward), kind: Kind::Syn, flows: 0, action }
}

/// Packets of flows that have notes.
const fn noted(name: &'static str, forward: Forward) -> Scenario {
    let rules = Rules::Amid(Scene::Noted, forward);
    Scenario { name, rules, kind: Kind::Established, flows: FLOWS, action: TX }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.nftables {
        return traffic::compare();
    }
    if arguments.requests {
        return requests::compare();
    }
    if arguments.tunnels {
        tunnels::compare();
        return Ok(());
    }
    let mut harness = Harness::load()?;
    let mut filter = peer::XdpFilter::load()?;
    let mut report = Report::default();

    let wanted = || SCENARIOS.iter().filter(|scenario| scenario.name.contains(&arguments.only));
    let mut rules = Vec::new();
    for scenario in wanted() {
        if !rules.contains(&scenario.rules) {
            rules.push(scenario.rules);
        }
    }
    let mut loaded = rules.iter().map(|rules| with_rules(*rules)).collect::<Result<Vec<_>>>()?;
    let load = Load { frame: frame(Kind::AllowedPort, false), flows: 1, v6: false, spread: false };
    let targets = vec![Target::Empty, Target::Plain(filter.program()?)];
    let mut cases = vec![Case { name: "xdp-filter", targets, load, action: PASS, ours: None }];
    let load = Load { frame: frame(Kind::Established, false), flows: 1, v6: false, spread: false };
    let mut targets = vec![Target::EmptyFrags];
    targets.extend(["grow_frags", "apart_frags", "clock_frags"].map(Target::OwnFrags));
    cases.push(Case { name: "calls", targets, load, action: TX, ours: None });
    let mut rows = Vec::new();
    for v6 in [false, true] {
        for &Scenario { name, rules: wanted, kind, flows, action } in wanted() {
            let index = rules.iter().position(|rules| *rules == wanted).context("all rules are loaded")?;
            let load = Load { frame: frame(kind, v6), flows, v6, spread: matches!(wanted, Rules::Set(_)) };
            let targets = vec![Target::EmptyFrags, Target::Frags(loaded[index].program()?)];
            cases.push(Case { name, targets, load, action, ours: Some(index) });
            rows.push((name, v6));
        }
    }
    let times = harness.compare(&cases, &mut loaded, &arguments_of(&arguments))?;
    report.f = times[0][1] - times[0][0];
    let net = |index: usize| times[1][index] - times[1][0];
    (report.moves, report.call, report.clock) = (net(1), net(2), net(3));
    let row =
        |((name, v6), times): ((&'static str, bool), &Vec<f64>)| Row { name, v6, empty: times[0], foobar: times[1] };
    report.rows = rows.into_iter().zip(&times[2..]).map(row).collect();
    report.print();
    rings::report();
    memory::report();
    report.write(&arguments.json)
}

fn with_rules(rules: Rules) -> Result<ours::Ours> {
    let mut ours = ours::Ours::load(rules).context("loading foobar")?;
    ours.warm_up()?;
    Ok(ours)
}

fn arguments_of(arguments: &Arguments) -> harness::Effort {
    harness::Effort { repeat: arguments.repeat, rounds: arguments.rounds }
}
