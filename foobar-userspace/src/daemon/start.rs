//! How an engine comes up: from the file after a boot, from the running state within one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use anyhow::Result;
use foobar_common::{find::ServiceKey, slot::Slot};

use super::{
    engine::{Engine, Options},
    plan::{Forced, Ring, Rings, key, members},
    sets::NamedSets,
    state::{State, Store, Unrest, boot_id, now},
};
use crate::{
    api::types::Refusal,
    config::{Config, Policy},
    datapath::{self, Datapath},
    domain::BackendState,
    nexthop::NextHops,
};

impl Engine {
    /// Loads the tables or adopts them, puts the configuration in force, and attaches its interfaces.
    ///
    /// Where this fails on a machine without pins, none are left behind.
    pub fn start(options: &Options) -> Result<Self> {
        let wanted = Wanted::read(options)?;
        let store = Store::new(&options.state_dir)?;
        let pinned = datapath::is_pinned(&options.pin_dir);
        if pinned && wanted.text.is_none() {
            refuse_strange_pins(options, &store)?;
        }
        let started = Self::open(options, &wanted, store);
        if started.is_err()
            && !pinned
            && let Err(error) = datapath::remove_pins(&options.pin_dir)
        {
            tracing::error!("what was loaded is not taken off: {error:#}");
        }
        started
    }

    fn open(options: &Options, wanted: &Wanted, store: Store) -> Result<Self> {
        let load = datapath::Options { pin_dir: options.pin_dir.clone(), trace_packets: options.trace_packets };
        let datapath = Datapath::open(&load)?;
        let saved = store.load()?;
        let adopted = datapath.generation().number() > 0;
        let mut state = state_at_start(saved.clone(), wanted, adopted)?;
        let known = adopted && saved.as_ref().is_some_and(|saved| saved.boot == state.boot);
        let rings = match &saved {
            Some(saved) if known => rings_in_force(saved, datapath.live_rings()?, |region| datapath.read_ring(region))?,
            _ => strangers(datapath.live_rings()?.into_values()),
        };
        let mut engine = Self {
            datapath,
            store,
            state: saved.unwrap_or_default(),
            sets: NamedSets::new(&options.state_dir)?,
            rings,
            rule_ids: Vec::new(),
            hops: NextHops::new(),
            peers: BTreeMap::new(),
            warned: BTreeSet::new(),
            unsaved: None,
            expected: Vec::new(),
            noted: 0,
            swept: None,
            ticks: 0,
        };
        if !known {
            engine.forget_all_notes()?;
        }
        let plan = engine.plan(&mut state, &Forced::new())?;
        engine.revive_next_hops(&state)?;
        let drops = state.config.firewall.default == Policy::Drop;
        if drops {
            engine.datapath.note_opened(true)?;
        }
        engine.put_in_force(state, plan)?;
        engine.refuse_at_start();
        if !drops {
            engine.datapath.note_opened(false)?;
        }
        engine.attach_at_start(!adopted)?;
        Ok(engine)
    }

    /// What packets wrote while the tables were taken over may be lost: as if each ring that waits had just had no room.
    fn refuse_at_start(&self) {
        for (name, _) in self.state.unrest.iter().filter(|(_, unrest)| matches!(unrest, Unrest::Waiting(_))) {
            if let Some(ring) = self.rings.get(name) {
                self.datapath.refuse(ring.region, now());
            }
        }
    }

    fn forget_all_notes(&mut self) -> Result<()> {
        for flow in self.datapath.notes()? {
            self.datapath.forget(&flow);
        }
        Ok(())
    }
}

/// With neither a file nor a state of this boot, an empty configuration would take off what is in force.
fn refuse_strange_pins(options: &Options, store: &Store) -> Result<()> {
    let boot = boot_id()?;
    if store.load()?.is_some_and(|saved| saved.boot == boot) {
        return Ok(());
    }
    let (pins, state) = (options.pin_dir.display(), options.state_dir.display());
    let problem = format!("a firewall is in force from {pins}, and {state} does not know its configuration");
    let hint = "give the --state that it was started with, or a file (-c FILE), or take it off (`foobar detach`)";
    Err(Refusal::refused(problem).hint(hint).into())
}

/// What the operator asks for at start.
struct Wanted {
    config: Config,
    /// The file's text; none without a file.
    text: Option<String>,
}

impl Wanted {
    fn read(options: &Options) -> Result<Self> {
        let Some(path) = &options.config else { return Ok(Self { config: Config::default(), text: None }) };
        let text = fs::read_to_string(path).map_err(|error| {
            Refusal::refused(format!("{} cannot be read: {error}", path.display())).hint("check the path")
        })?;
        let config = Config::parse(&text, &path.display().to_string()).map_err(Refusal::from)?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(Self { config, text: Some(text) })
    }
}

/// Same boot and file unchanged: the running state goes on. File changed: it is applied whole. After a boot: the file.
fn state_at_start(saved: Option<State>, wanted: &Wanted, adopted: bool) -> Result<State> {
    let boot = boot_id()?;
    let fresh =
        State { boot: boot.clone(), file: wanted.text.clone(), config: wanted.config.clone(), ..State::default() };
    let Some(saved) = saved.filter(|saved| saved.boot == boot) else { return Ok(fresh) };
    // Without a file at this start, or with the same one, nothing new is wanted.
    let unchanged = wanted.text.is_none() || wanted.text == saved.file;
    let mut state = saved;
    if !unchanged {
        log_dropped(&state.config, &wanted.config);
        state.config = successor(&state.config, &wanted.config);
        // The time of its rules runs from here on.
        state.ends.clear();
        state.file.clone_from(&wanted.text);
    }
    if !adopted {
        // `detach` took everything off: only the file says where to attach again.
        tracing::info!("the tables are new; the running configuration goes on");
        state.config.interfaces.clone_from(&wanted.config.interfaces);
        state = State { ids: state.ids.of_rules(), unrest: State::default().unrest, ..state };
    }
    Ok(state)
}

/// The wanted configuration; backends that it leaves out drain before they leave.
fn successor(running: &Config, wanted: &Config) -> Config {
    let mut next = wanted.clone();
    for service in &mut next.services {
        let same = |old: &&crate::domain::Service| {
            old.name == service.name && old.address == service.address && old.notation() == service.notation()
        };
        let Some(old) = running.services.iter().find(same) else { continue };
        for backend in &old.backends {
            if service.backends.iter().all(|other| other.address != backend.address) {
                service.backends.push(crate::domain::Backend { state: BackendState::Removing, ..backend.clone() });
            }
        }
    }
    next
}

fn log_dropped(running: &Config, wanted: &Config) {
    tracing::info!("the configuration file changed; it is applied whole");
    for rule in running.firewall.rules.iter().filter(|rule| !wanted.firewall.rules.contains(rule)) {
        tracing::warn!("dropped, since the file does not have it: {rule}");
    }
    for service in &running.services {
        match wanted.services.iter().find(|other| other.name == service.name) {
            None => tracing::warn!("dropped, since the file does not have it: service {}", service.name),
            Some(other) if other != service => tracing::warn!("service {} is as the file says again", service.name),
            Some(_) => {}
        }
    }
}

/// Rings that packets see and no state speaks of: they are followed by none, but their regions are taken.
fn strangers(regions: impl Iterator<Item = u32>) -> Rings {
    let ring = |region| (format!("left in region {region}"), Ring { region, members: Vec::new(), slots: Vec::new() });
    regions.map(ring).collect()
}

/// The rings that packets see: those of the saved state's services, and those of services that it does not have any
/// more, as after a crash between saving and publishing.
fn rings_in_force(
    saved: &State,
    mut regions: HashMap<ServiceKey, u32>,
    read: impl Fn(u32) -> Result<Vec<Slot>>,
) -> Result<Rings> {
    let mut rings = Rings::new();
    for service in &saved.config.services {
        let Some(region) = regions.remove(&key(service)) else { continue };
        let slots = read(region)?;
        // The members are those of the state unless a crash came between saving and publishing: then they are unknown,
        // and the ring is built anew.
        let members = members(service, saved);
        let known = foobar_common::ring::build(&members);
        let members =
            if slots.iter().zip(&known).all(|(slot, id)| slot.current() == *id) { members } else { Vec::new() };
        rings.insert(service.name.clone(), Ring { region, members, slots });
    }
    rings.extend(strangers(regions.into_values()));
    Ok(rings)
}

#[cfg(test)]
mod tests {
    use foobar_common::layout::RING_SLOTS;

    use super::{super::plan::plan, *};

    #[test]
    fn the_region_of_a_service_that_was_removed_amid_a_crash_is_taken() {
        let service = |name: &str, port: u16| {
            let backends = r#"[{"address":"10.0.0.1"}]"#;
            let json =
                format!(r#"{{"name":"{name}","address":"192.0.2.1","port":"tcp/{port}","backends":{backends}}}"#);
            serde_json::from_str::<crate::domain::Service>(&json).expect("a service")
        };
        let (stays, gone) = (service("stays", 80), service("gone", 81));
        let saved = State { config: Config { services: vec![stays.clone()], ..Config::default() }, ..State::default() };
        let regions = HashMap::from([(key(&stays), 1), (key(&gone), 0)]);

        let rings = rings_in_force(&saved, regions, |_| Ok(vec![Slot::calm(9); RING_SLOTS as usize])).expect("rings");

        let mut taken: Vec<_> = rings.values().map(|ring| ring.region).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1], "packets still read both");
        let mut state = saved;
        let plan = plan(&mut state, &rings, &Forced::new(), 1).expect("a plan");
        assert!(plan.rings.values().all(|ring| ring.region > 1), "{:?}", plan.rings["stays"].region);
    }
}
