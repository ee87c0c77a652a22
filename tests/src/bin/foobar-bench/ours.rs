//! foobar as it is timed: its rules, and a service of each family.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;
use aya::programs::ProgramFd;
use foobar_common::{Outcome, next_hop::NextHop};
use foobar_userspace::{
    config::{Config, Mode},
    daemon::{
        plan::{Forced, Rings, plan},
        sets::{join, journal::Overlay},
        state::State,
    },
    datapath::{self, Datapath, Options, Patience, Publication},
};

use super::{
    frames::{SERVICE_V4, SERVICE_V6},
    rules::{Rules, members},
};

/// The loopback interface: where a test run's frames come in.
const INGRESS: u32 = 1;

pub struct Ours {
    datapath: Datapath,
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
        let mut ours = Self { datapath, pins };
        ours.publish(rules, configuration)?;
        Ok(ours)
    }

    /// Puts the program on an interface of this thread's network namespace, natively.
    pub fn attach(&mut self, interface: &str) -> Result<()> {
        self.datapath.attach(interface, Mode::Native, Patience::Settle)?;
        Ok(())
    }

    pub fn detach(&mut self, interface: &str) -> Result<()> {
        self.datapath.detach(interface)
    }

    /// Packets that nothing decided.
    pub fn passed_by_default(&self) -> Result<u64> {
        let outcomes = self.datapath.outcomes()?;
        let found = outcomes.iter().find(|(outcome, _)| *outcome == Outcome::DefaultPass);
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
        for id in &plan.new_backends {
            let last = *id as u8;
            let hop = NextHop::new([2, 0, 0, 0, 1, last], [2, 0, 0, 0, 0, 1], INGRESS);
            self.datapath.set_next_hop(*id, Some(hop))?;
        }
        let rings = plan.rings.values().map(|ring| (ring.region, ring.slots.as_slice())).collect();
        self.datapath.publish(&Publication { image: &plan.image, rings })?;
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

/// As an operator would write it.
fn configuration(rules: Rules) -> String {
    let service = |name: &str, address: &str, backends: [&str; 3]| {
        let backends = backends.map(|address| format!("{{ address = \"{address}\" }}")).join(", ");
        format!(
            "[[service]]\nname = \"{name}\"\naddress = \"{address}\"\nports = \"tcp/80\"\nforward = \"dsr\"\nbackends = [{backends}]\n"
        )
    };
    format!(
        "[firewall]\ndefault = \"drop\"\nrules = {:?}\nsets = {{ timed = {{ prefixes = [] }} }}\n{}{}",
        rules.lines(),
        service("web", SERVICE_V4, ["198.18.1.1", "198.18.1.2", "198.18.1.3"]),
        service("web6", SERVICE_V6, ["2001:db8:2::11", "2001:db8:2::12", "2001:db8:2::13"]),
    )
}
