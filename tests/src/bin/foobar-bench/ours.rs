//! foobar as it is timed: its rules, and a service of each family.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions};
use foobar_common::{Outcome, slot::Slot, target::Target};
use foobar_userspace::{
    config::{Config, Mode},
    daemon::{
        plan::{Forced, Rings, plan},
        sets::{join, journal::Overlay},
        state::State,
        ways::{backends, target, words},
    },
    datapath::{self, Datapath, NotedFlow, Options, Patience, Publication},
    domain::{Backend, Forward},
    nexthop,
};

use super::{
    frames::{BACKENDS_V4, BACKENDS_V6, Kind, SERVICE_V4, SERVICE_V6, frame},
    rules::{Rules, members},
    scene::Scene,
};

/// The loopback interface: where a test run's frames come in.
const INGRESS: u32 = 1;

pub struct Ours {
    pub datapath: Datapath,
    pub scene: Option<Scene>,
    /// Where the rings are, IPv4's first.
    pub rings: [u32; 2],
    /// When packets of a family were run last, and the second in which they began, for scenes that time makes.
    pub timed: [Option<(Instant, u64)>; 2],
    /// Of the flows that are timed, by family.
    pub notes: [Vec<NotedFlow>; 2],
    pins: PathBuf,
}

impl Ours {
    pub fn load(rules: Rules) -> Result<Self> {
        Self::with(&format!("{rules:?}"), Some(rules), &configuration(rules))
    }

    /// With a configuration of its own; the name is part of its pins'.
    pub fn with(name: &str, rules: Option<Rules>, configuration: &str) -> Result<Self> {
        let pins = PathBuf::from(format!("/sys/fs/bpf/foobar-bench-{}-{name}", std::process::id()));
        let options = Options { pin_dir: pins.clone(), trace_packets: false };
        let datapath = Datapath::open(&options).inspect_err(|_| take_off(&pins))?;
        let mut ours = Self {
            datapath,
            scene: rules.and_then(Rules::scene),
            rings: [0; 2],
            timed: [None; 2],
            notes: [vec![], vec![]],
            pins,
        };
        ours.publish(rules, configuration)?;
        Ok(ours)
    }

    /// Puts the program on an interface of this thread's network namespace, natively.
    pub fn attach(&mut self, interface: &str) -> Result<()> {
        self.datapath.attach(interface, Mode::Native, Patience::Settle, || Ok(()))?;
        Ok(())
    }

    pub fn detach(&mut self, interface: &str) -> Result<()> {
        self.datapath.detach(interface)
    }

    /// Packets that came to this.
    pub fn counted(&self, outcome: Outcome) -> Result<u64> {
        let outcomes = self.datapath.outcomes()?;
        let found = outcomes.iter().find(|(other, _)| *other == outcome);
        Ok(found.map_or(0, |(_, cpus)| cpus.iter().map(|cpu| cpu.packets).sum()))
    }

    pub fn program(&mut self) -> Result<ProgramFd> {
        Ok(self.datapath.program()?.fd()?.try_clone()?)
    }

    /// Loads the timed set, and says what that took.
    fn load_set(&mut self, state: &State, count: usize) -> Result<()> {
        let begun = Instant::now();
        let families = [false, true].map(|v6| join(&members(count, v6), &Overlay::default())[usize::from(v6)].clone());
        let id = state.ids.sets()["timed"];
        self.datapath.load_set(id, [&families[0], &families[1]])?;
        let (seconds, bytes) = (begun.elapsed().as_secs_f64(), self.datapath.set_bytes(id));
        println!("set of {count} IPv4 and {count} IPv6 prefixes: loaded in {seconds:.2} s, {} MB", bytes / 1_000_000);
        Ok(())
    }

    fn publish(&mut self, rules: Option<Rules>, configuration: &str) -> Result<()> {
        let config = Config::parse(configuration, "the bench's configuration")?;
        let mut state = State { config, ..State::default() };
        let plan = plan(&mut state, &Rings::new(), &Forced::new(), 0)?;
        if let Some(Rules::Set(count)) = rules {
            self.load_set(&state, count)?;
        }
        for (address, place) in state.pool.all() {
            self.datapath.set_pool_address(place, words(address));
        }
        for (id, service, backend) in backends(&state) {
            let hop = hop(backend, id as u8);
            self.datapath
                .set_target(id, target((service, backend), &hop, &state, state.pool.of(service), Target::default()))?;
            self.datapath.set_next_hop(id, Some(hop.as_packets_take_it()))?;
        }
        self.rings = ["web", "web6"].map(|name| plan.rings.get(name).map_or(0, |ring| ring.region));
        let is_tracked = self.scene.is_some_and(Scene::is_tracked);
        let slots = |slots: Vec<Slot>| if is_tracked { changed(&slots) } else { slots };
        let rings: Vec<_> = plan.rings.into_values().map(|ring| (ring.region, slots(ring.slots))).collect();
        let rings = rings.iter().map(|(region, slots)| (*region, slots.as_slice())).collect();
        self.datapath.publish(&Publication { image: &plan.image, rings })?;
        Ok(())
    }

    /// Has packets go through before anything is timed, so that there are clients to answer.
    pub fn warm_up(&mut self) -> Result<()> {
        for v6 in [false, true] {
            let frame = frame(Kind::Established, v6);
            let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::default() };
            self.datapath.program()?.test_run(options)?;
        }
        Ok(())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        take_off(&self.pins);
    }
}

fn take_off(pins: &Path) {
    if let Err(error) = datapath::remove_pins(pins) {
        eprintln!("{} is left behind: {error:#}", pins.display());
    }
}

/// The same ring after each slot's backend has changed to the next one: what flows there were are on the one before.
fn changed(slots: &[Slot]) -> Vec<Slot> {
    let ids: BTreeSet<_> = slots.iter().map(|slot| slot.current()).collect();
    let next = |id: u32| ids.range(id + 1..).chain(&ids).next().copied().unwrap_or(id);
    slots.iter().map(|slot| Slot::tracked(next(slot.current()), slot.current())).collect()
}

fn hop(backend: &Backend, last: u8) -> nexthop::NextHop {
    let source = if backend.address.is_ipv4() { "198.18.1.254" } else { "2001:db8:2::fe" };
    nexthop::NextHop {
        interface: "lo".to_owned(),
        ifindex: INGRESS,
        destination_mac: [2, 0, 0, 0, 1, last],
        source_mac: [2, 0, 0, 0, 0, 1],
        gateway: None,
        source: source.parse().ok(),
        network: None,
        mtu: 1500,
    }
}

/// As an operator would write it.
fn configuration(rules: Rules) -> String {
    let forward = rules.forward();
    let service = |name: &str, address: &str, backends: [&str; 3]| {
        let pool = |last: u8| {
            if address.contains(':') { format!("2001:db8:2::f{last}") } else { format!("198.18.2.{last}") }
        };
        let snat =
            if forward == Forward::Snat { format!("snat = {:?}\n", [1, 2, 3, 4].map(pool)) } else { String::new() };
        let backends = backends.map(|address| format!("{{ address = \"{address}\" }}")).join(", ");
        format!(
            "[[service]]\nname = \"{name}\"\naddress = \"{address}\"\nports = \"tcp/80\"\nforward = \"{forward}\"\n{snat}backends = [{backends}]\n"
        )
    };
    format!(
        "[firewall]\ndefault = \"drop\"\nrules = {:?}\nsets = {{ timed = {{ prefixes = [] }} }}\n{}{}",
        rules.lines(),
        service("web", SERVICE_V4, BACKENDS_V4),
        service("web6", SERVICE_V6, BACKENDS_V6),
    )
}
