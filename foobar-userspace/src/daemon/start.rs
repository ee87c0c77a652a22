//! How an engine comes up: from the file after a boot, from the running state within one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::Result;
use foobar_common::{find::ServiceEntry, slot::Slot};

use super::{
    apply::ReadFile,
    claims::key,
    engine::{Engine, Options},
    heard::Heard,
    packets::Packets,
    plan::{Forced, Ring, Rings, members},
    sets::{NamedSets, Unread},
    state::{State, Store, Unrest, boot_id, now},
};
use crate::{
    api::types::Refusal,
    config::{Config, Firewall},
    datapath::{self, Datapath, KnownServices, Sweeping},
    domain::Service,
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
        if pinned && wanted.file.is_none() {
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
        let adopted = datapath.number() > 0;
        let known = adopted && saved.as_ref().is_some_and(|saved| boot_id().is_ok_and(|boot| saved.boot == boot));
        let mut engine = Self {
            datapath,
            store,
            state: saved.unwrap_or_default(),
            sets: NamedSets::new(&options.state_dir)?,
            rings: Rings::new(),
            held: Rings::new(),
            own_file: options.config.clone(),
            rule_ids: Vec::new(),
            egress_ids: Vec::new(),
            hops: NextHops::new(),
            peers: BTreeMap::new(),
            warned: BTreeSet::new(),
            unsaved: None,
            expected: Vec::new(),
            noted: 0,
            swept: None,
            heard: Heard::default(),
            ticks: 0,
            packets: Packets::new(datapath::interface_name),
        };
        if known && engine.still_waits(wanted) {
            engine.go_on_waiting()?;
        } else {
            engine.begin(wanted, adopted, known)?;
        }
        engine.attach_at_start(!adopted)?;
        Ok(engine)
    }

    /// Whether the saved change waits for confirmation, packets see it, and no other file is asked for.
    fn still_waits(&self, wanted: &Wanted) -> bool {
        let Some(pending) = &self.state.pending else { return false };
        let is_published = self.datapath.generation().deadline() == pending.until;
        is_published && now() < u64::from(pending.until) && wanted.is_known_to(&self.state)
    }

    /// Takes over what packets see, and what they see again if nobody confirms.
    fn go_on_waiting(&mut self) -> Result<()> {
        let generation = self.datapath.generation();
        let rings = |engine: &Self, state: &State, generation| {
            rings_in_force(state, engine.datapath.services_of(generation), |service| engine.datapath.read_ring(service))
        };
        self.rings = rings(self, &self.state, generation.confirmed())?;
        if let Some(pending) = &self.state.pending {
            self.held = rings(self, &pending.before, generation.before())?;
        }
        let Firewall { rules, egress, .. } = &self.state.config.firewall;
        (self.rule_ids, _) = self.state.ids.clone().number_rules(rules, &egress.rules)?;
        self.egress_ids = self.rule_ids.split_off(rules.len());
        self.take_sets_over(&self.state.clone())?;
        self.datapath.attend_egress(self.state.attention())?;
        // Who put the change in force may have been cut off before.
        self.hand_places_over(&self.state.clone())?;
        self.refuse_at_start();
        tracing::warn!("a change waits for confirmation: `foobar confirm` keeps it");
        Ok(())
    }

    /// Puts the configuration in force. A change that was not confirmed is undone.
    fn begin(&mut self, wanted: &Wanted, adopted: bool, known: bool) -> Result<()> {
        if let Some(before) = self.state.rolled_back() {
            if known {
                tracing::warn!("a change was not confirmed: what was before is the running configuration");
            }
            self.state = before;
            self.datapath.fall_back();
        }
        // A confirmation may have been saved, and cut off before packets heard of it; or nobody knows what waits.
        self.datapath.settle(now() as u32);
        let mut state = state_at_start(self.state.clone(), wanted, adopted)?;
        let services = self.datapath.services_of(self.datapath.generation());
        self.rings = if known {
            rings_in_force(&self.state, services, |service| self.datapath.read_ring(service))?
        } else {
            strangers(services.by_key.into_values())
        };
        if !known {
            // Of backends that nobody knows.
            self.datapath.sweep(&Sweeping::default())?;
        }
        state.renew_sets(&self.state);
        let plan = self.plan(&mut state, &Forced::new())?;
        self.load_sets(&state, Unread::AsBefore)?;
        self.revive_next_hops(&state)?;
        let attention = state.attention();
        self.datapath.attend_egress(self.state.attention().and(attention))?;
        self.put_in_force(state, plan)?;
        self.drop_strange_elements()?;
        self.refuse_at_start();
        self.datapath.attend_egress(attention)
    }

    /// What packets wrote while the tables were taken over may be lost: as if each ring that waits had just had no room.
    fn refuse_at_start(&self) {
        for (name, _) in self.state.unrest.iter().filter(|(_, unrest)| matches!(unrest, Unrest::Waiting(_))) {
            if let Some(ring) = self.rings.get(name) {
                self.datapath.refuse(ring.region, now());
            }
        }
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
    /// The file; none without one.
    file: Option<ReadFile>,
}

impl Wanted {
    fn read(options: &Options) -> Result<Self> {
        let Some(path) = &options.config else { return Ok(Self { config: Config::default(), file: None }) };
        let text = fs::read_to_string(path).map_err(|error| {
            Refusal::refused(format!("{} cannot be read: {error}", path.display())).hint("check the path")
        })?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let file = ReadFile { path, text };
        let config = file.config()?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(Self { config, file: Some(file) })
    }

    /// Without a file at this start, or with the same one, nothing new is wanted.
    fn is_known_to(&self, state: &State) -> bool {
        let known = state.seen.as_ref().or(state.file.as_ref());
        self.file.as_ref().is_none_or(|file| Some(&file.text) == known)
    }
}

/// Same boot and file unchanged: the running state goes on. File changed: it is applied whole. After a boot: the file.
fn state_at_start(saved: State, wanted: &Wanted, adopted: bool) -> Result<State> {
    let boot = boot_id()?;
    let mut fresh = State { boot: boot.clone(), config: wanted.config.clone(), ..State::default() };
    if let Some(file) = &wanted.file {
        fresh.remember_file(file, true);
    }
    if saved.boot != boot {
        return Ok(fresh);
    }
    let mut state = saved;
    if !wanted.is_known_to(&state) {
        log_dropped(&state.config, &wanted.config);
        let running = std::mem::take(&mut state.config);
        let mut config = wanted.config.clone();
        keep_spread(&mut config, &running);
        state.config = config.draining(&running);
        // The time of its rules runs from here on.
        state.ends.clear();
        (state.file, state.source) = (fresh.file, fresh.source);
    }
    if fresh.seen.is_some() {
        state.seen = fresh.seen;
    }
    if !adopted {
        // `detach` took everything off: only the file says where to attach again.
        tracing::info!("the tables are new; the running configuration goes on");
        state.config.interfaces.clone_from(&wanted.config.interfaces);
        let State { unrest, pool, .. } = State::default();
        state = State { ids: state.ids.of_rules(), unrest, pool, ..state };
    }
    Ok(state)
}

/// Services that go on spread their flows as before, since every connection would move otherwise.
fn keep_spread(config: &mut Config, running: &Config) {
    for service in &mut config.services {
        keep_first_port(service, running);
        let Some(old) = running.services.iter().find(|old| old.is_same(service)) else { continue };
        let spread = (old.ring, old.affinity);
        if spread != (service.ring, service.affinity) {
            let Service { name, ring, affinity, .. } = old;
            tracing::warn!(
                "service {name} keeps its ring of {ring} slots and the affinity `{affinity}` for as long as it lives, \
                 whatever the file says: give it another name to change that"
            );
            (service.ring, service.affinity) = spread;
        }
    }
}

/// A service that goes on under another first port keeps the one by which its flows are spread, if it has it still.
fn keep_first_port(service: &mut Service, running: &Config) {
    let Some(old) = running.services.iter().find(|old| service.moves_from(old).is_some()) else { return };
    let Service { name, ports, .. } = old;
    if service.ports.contains(ports.first()) {
        service.ports = service.ports.led_by(ports.first());
        tracing::warn!("service {name} goes on as {}: its first port spreads its flows", service.ports);
    } else {
        tracing::warn!("service {name} has lost {}, by which its flows were spread: connections move", ports.first());
    }
}

fn log_dropped(running: &Config, wanted: &Config) {
    tracing::info!("the configuration file changed; it is applied whole");
    for rule in running.firewall.rules.iter().filter(|rule| !wanted.firewall.rules.contains(rule)) {
        tracing::warn!("dropped, since the file does not have it: {rule}");
    }
    let egress = &wanted.firewall.egress.rules;
    for rule in running.firewall.egress.rules.iter().filter(|rule| !egress.contains(rule)) {
        tracing::warn!("dropped, since the file does not have it: egress {rule}");
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
fn strangers(services: impl Iterator<Item = ServiceEntry>) -> Rings {
    let ring = |ServiceEntry { ring: region, slots, .. }| {
        let slots = vec![Slot::default(); slots as usize];
        (format!("left in region {region}"), Ring { region, members: Vec::new(), slots })
    };
    services.map(ring).collect()
}

/// The rings that packets see: those of the saved state's services, and those of services that it does not have any
/// more, as after a crash between saving and publishing.
fn rings_in_force(
    saved: &State,
    services: KnownServices,
    read: impl Fn(&ServiceEntry) -> Result<Vec<Slot>>,
) -> Result<Rings> {
    let mut rings = Rings::new();
    for service in &saved.config.services {
        let Some(entry) = services.at(key(service), service.ports.first()) else { continue };
        let (slots, region) = (read(&entry)?, entry.ring);
        // The members are those of the state unless a crash came between saving and publishing: then they are unknown,
        // and the ring is built anew.
        let members = members(service, saved);
        let known = foobar_common::ring::build(&members, entry.slots);
        let members =
            if slots.iter().zip(&known).all(|(slot, id)| slot.current() == *id) { members } else { Vec::new() };
        rings.insert(service.name.clone(), Ring { region, members, slots });
    }
    let known: BTreeSet<_> = rings.values().map(|ring| ring.region).collect();
    rings.extend(strangers(services.by_key.into_values().filter(|entry| !known.contains(&entry.ring))));
    Ok(rings)
}

#[cfg(test)]
mod tests {
    use foobar_common::{
        image::{Claim, Image},
        layout::RING_SLOTS,
    };

    use super::{super::plan::plan, *};

    #[test]
    fn the_region_of_a_service_that_was_removed_amid_a_crash_is_taken() {
        let service = |name: &str, port: u16| {
            let backends = r#"[{"address":"10.0.0.1"}]"#;
            let json =
                format!(r#"{{"name":"{name}","address":"192.0.2.1","port":"tcp/{port}","backends":{backends}}}"#);
            serde_json::from_str::<Service>(&json).expect("a service")
        };
        let (stays, gone) = (service("stays", 80), service("gone", 81));
        let saved = State { config: Config { services: vec![stays.clone()], ..Config::default() }, ..State::default() };
        let in_region = |region| ServiceEntry { ring: region, slots: RING_SLOTS, ..ServiceEntry::default() };
        let mut image = Image::default();
        let claim = |service: &Service, region: u32| {
            let ports = service.ports.ranges().to_vec();
            Claim { key: key(service), ports, entry: in_region(region).to_words(), listens: true }
        };
        image.claim(&[claim(&stays, 65), claim(&gone, 0)]);
        let by_key = image.services.iter().map(|(key, words)| (*key, ServiceEntry::from_words(*words))).collect();
        let services = KnownServices { groups: image.groups, by_key };

        let rings = rings_in_force(&saved, services, |_| Ok(vec![Slot::calm(9); RING_SLOTS as usize])).expect("rings");

        let mut taken: Vec<_> = rings.values().map(|ring| ring.region).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 65], "packets still read both");
        let mut state = saved;
        let plan = plan(&mut state, &rings, &Forced::new(), 1).expect("a plan");
        assert!(plan.rings.values().all(|ring| ring.region >= 130), "{:?}", plan.rings["stays"].region);
    }

    #[test]
    fn every_key_of_a_service_is_of_the_ring_that_its_first_port_has() {
        let json = r#"{"name":"web","address":"2001:db8::1","port":"tcp/443,80,8000-8099","ring":1009,
            "backends":[{"address":"2001:db8::2"}]}"#;
        let web = serde_json::from_str::<Service>(json).expect("a service");
        let mut saved = State { config: Config { services: vec![web], ..Config::default() }, ..State::default() };
        let plan = plan(&mut saved, &Rings::new(), &Forced::new(), 1).expect("a plan");
        let words = |(key, words): (&_, &_)| (*key, ServiceEntry::from_words(*words));
        let by_key: std::collections::HashMap<_, _> = plan.image.services.iter().map(words).collect();
        assert_eq!(by_key.len(), 2, "HTTP, and what is none");
        let services = KnownServices { groups: plan.image.groups, by_key };

        let rings = rings_in_force(&saved, services, |_| Ok(plan.rings["web"].slots.clone())).expect("rings");

        assert_eq!(rings, plan.rings);
    }

    #[test]
    fn a_changed_file_begins_the_time_of_its_rules_anew_and_a_restart_does_not() {
        let saved = State {
            boot: boot_id().expect("a boot"),
            file: Some("as it was".to_owned()),
            ends: [(3, 900)].into(),
            ..State::default()
        };
        for (text, adopted, ends) in [("as it was", true, 1), ("as it was", false, 1), ("changed", true, 0)] {
            let file = ReadFile { path: "/etc/foobar.toml".into(), text: text.to_owned() };
            let wanted = Wanted { config: Config::default(), file: Some(file) };
            let state = state_at_start(saved.clone(), &wanted, adopted).expect("a state");
            assert_eq!(state.ends.len(), ends, "{text}, adopted: {adopted}");
        }
    }
}
