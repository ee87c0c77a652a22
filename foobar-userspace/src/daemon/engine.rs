//! The one writer: every change is planned, persisted, published and then acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    path::PathBuf,
};

use foobar_common::{next_hop::NextHop, plane::Way};

use super::{
    caution::Caution,
    heard::Heard,
    interfaces::lost_on,
    packets::Packets,
    plan::{Forced, Plan, Rings, plan, refuse_another_spread},
    sets::{NamedSets, Unread},
    state::{Pending, State, Store, now},
    sweep::Sweep,
    waiting::deadline,
    ways::backends,
};
use crate::{
    api::types::Refusal,
    config::{Firewall, Policy},
    datapath::{Datapath, Publication, remove_pins},
    domain::Verdict,
    nexthop::NextHops,
};

/// Where an engine keeps what it has.
#[derive(Clone, Debug)]
pub struct Options {
    pub pin_dir: PathBuf,
    pub state_dir: PathBuf,
    /// The configuration file; none: an empty configuration.
    pub config: Option<PathBuf>,
    /// Log every packet, for debugging.
    pub trace_packets: bool,
}

/// The running configuration, the tables that enforce it, and the way to every backend.
pub struct Engine {
    pub(super) datapath: Datapath,
    pub(super) store: Store,
    pub(super) state: State,
    pub(super) sets: NamedSets,
    pub(super) rings: Rings,
    /// The rings that packets see again where a change is not confirmed.
    pub(super) held: Rings,
    /// The file that a start is given.
    pub(super) own_file: Option<PathBuf>,
    /// Ids of the rules in the order of the list.
    pub(super) rule_ids: Vec<u32>,
    /// The same of those for what this host sends.
    pub(super) egress_ids: Vec<u32>,
    pub(super) hops: NextHops,
    /// By interface: the peer on which the passing program was last seen.
    pub(super) peers: BTreeMap<String, String>,
    /// Interfaces that were warned of, since what leaves by them is lost.
    pub(super) warned: BTreeSet<String>,
    /// Why what runs is not what is on disk, in a sentence.
    pub(super) unsaved: Option<String>,
    /// Addresses of backends to come.
    pub(super) expected: Vec<IpAddr>,
    /// Notes that the last sweep left.
    pub(super) noted: u64,
    /// The last sweep, where the one before this second's look matters.
    pub(super) swept: Option<Sweep>,
    pub(super) heard: Heard,
    pub(super) ticks: u64,
    pub packets: Packets,
}

impl Engine {
    /// Edits a copy of the state and puts it in force, or changes nothing.
    pub(super) fn change<T>(&mut self, edit: impl FnOnce(&mut State) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.change_with(&Caution::default(), edit)
    }

    /// The same with the caller's caution: what would cut its connection is refused, and it may have to be confirmed.
    pub(super) fn change_with<T>(
        &mut self,
        caution: &Caution,
        edit: impl FnOnce(&mut State) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.refuse_while_waiting()?;
        let mut wanted = self.state.clone();
        let answer = edit(&mut wanted)?;
        wanted.config.check().map_err(|fault| Refusal { hint: fault.hint, ..Refusal::refused(fault.problem) })?;
        refuse_another_spread(&self.state.config, &wanted.config)?;
        self.refuse_services_merged(&wanted)?;
        wanted.renew_sets(&self.state);
        self.learn_egress_of(&mut wanted);
        if caution.confirm_within.is_some() {
            wanted.hold_rules(&self.state);
            wanted.pending = Some(Box::new(Pending { until: 0, before: self.state.clone() }));
        }
        let plan = self.plan(&mut wanted, &Forced::new())?;
        self.refuse_cut(caution, &wanted, &plan)?;
        if caution.confirm_within.is_some()
            && let Err(error) = self.load_sets(&wanted, Unread::Refused)
        {
            self.let_sets_go();
            return Err(error.into());
        }
        // The time begins when nothing is left that takes long.
        if let (Some(pending), Some(within)) = (&mut wanted.pending, caution.confirm_within) {
            pending.until = deadline(within);
        }
        self.put_in_force(wanted, plan)?;
        Ok(answer)
    }

    /// Puts rings in force that time has changed.
    pub(super) fn replace_rings(&mut self, mut state: State, slots: &Forced) -> Result<(), Refusal> {
        let plan = self.plan(&mut state, slots)?;
        self.put_in_force(state, plan)
    }

    /// Plans a state from the rings in force, for the interfaces as they are.
    pub(super) fn plan(&self, state: &mut State, slots: &Forced) -> Result<Plan, Refusal> {
        state.ifindexes = self.ifindexes(&state.config)?;
        plan(state, &self.rings, slots, now())
    }

    /// Persists, then publishes. If publishing fails, what was in force stays, on disk too.
    pub(super) fn put_in_force(&mut self, wanted: State, plan: Plan) -> Result<(), Refusal> {
        let done = self.load_sets(&wanted, Unread::Refused).map_err(Refusal::from);
        let done = done.and_then(|()| self.save_and_publish(wanted, plan));
        // What is in no state that is left: the one before, or what was refused.
        self.let_sets_go();
        done
    }

    fn save_and_publish(&mut self, wanted: State, plan: Plan) -> Result<(), Refusal> {
        let (did, will) = (self.state.attention(), wanted.attention());
        // What leaves is seen before anything depends on it, and for as long as that may.
        let both = did.and(will);
        if both != did {
            self.datapath.attend_egress(both)?;
        }
        self.store.save(&wanted)?;
        if let Err(error) = self.publish(&wanted, &plan) {
            if let Err(error) = self.write_terms() {
                tracing::error!("the rules' terms are not as they were: {error:#}");
            }
            self.save();
            return Err(error.into());
        }
        self.unsaved = None;
        let closes = loses_an_allowance(&self.state.config.firewall, &wanted.config.firewall);
        let before = std::mem::replace(&mut self.rings, plan.rings);
        self.held = if wanted.pending.is_some() { before } else { Rings::new() };
        self.state = wanted;
        self.rule_ids = plan.rule_ids;
        self.egress_ids = plan.egress_ids;
        self.name_rules();
        self.mark_held();
        if will != both {
            self.datapath.attend_egress(will)?;
        }
        if closes {
            // What a rule allowed was not noted, and the other end may be the next to speak.
            self.datapath.note_open_sockets();
        }
        Ok(())
    }

    /// Saves what holds already. Where that fails it holds all the same, and every tick tries again.
    pub(super) fn save(&mut self) {
        match self.store.save(&self.state) {
            Ok(()) => self.unsaved = None,
            Err(error) => {
                let warning =
                    format!("what was done last is not on disk, and a restart of the daemon may undo it: {error:#}");
                if self.unsaved.as_ref() != Some(&warning) {
                    tracing::warn!("{warning}");
                }
                self.unsaved = Some(warning);
            }
        }
    }

    fn publish(&mut self, wanted: &State, plan: &Plan) -> anyhow::Result<()> {
        // An id or a region that is taken again may still be in a packet's hands.
        self.datapath.wait_for_readers()?;
        for id in &plan.new_rules {
            self.datapath.reset_rule(*id)?;
        }
        for (id, limit) in &plan.limits {
            self.datapath.set_limit(*id, *limit)?;
        }
        for (id, terms) in &plan.terms {
            self.datapath.set_terms(*id, *terms)?;
        }
        for id in &plan.new_backends {
            self.datapath.reset_backend(*id)?;
        }
        for id in &plan.new_backends {
            self.datapath.set_next_hop(*id, Some(NextHop::UNRESOLVED))?;
        }
        self.fill_pool(wanted);
        // New addresses wait until this generation says that answers come to them.
        let claimed = self.state.settled().clone();
        self.write_next_hops(wanted, &claimed)?;
        let ring = |name: &String| (plan.rings[name].region, plan.rings[name].slots.as_slice());
        let rings = plan.changed.iter().map(ring).collect();
        let publication = Publication { image: &plan.image, rings };
        match &wanted.pending {
            Some(pending) => self.datapath.publish_until(&publication, pending.until)?,
            None => self.datapath.publish(&publication)?,
        };
        tracing::debug!(generation = self.datapath.number(), rings = plan.changed.len(), "published");
        self.bury(wanted);
        let told = self.write_next_hops(wanted, wanted.settled());
        if let Err(error) = told.and_then(|()| self.hand_places_over(wanted)) {
            tracing::error!("addresses that are new to `snat` are told to packets later: {error:#}");
        }
        Ok(())
    }

    /// Marks backends dead that left. The generation is in force: nothing after it may say that it is not.
    pub(super) fn bury(&mut self, state: &State) {
        for id in state.dead_backends() {
            if let Err(error) = self.datapath.set_next_hop(id, None) {
                tracing::error!("backend id {id} is not marked dead: {error:#}");
            }
        }
    }

    /// Lets every backend live whose entry was never written, as after a crash between saving and publishing.
    pub(super) fn revive_next_hops(&mut self, state: &State) -> anyhow::Result<()> {
        for (id, ..) in backends(state) {
            if self.datapath.next_hop(id)?.is_none() {
                self.datapath.set_next_hop(id, Some(NextHop::UNRESOLVED))?;
            }
        }
        Ok(())
    }

    /// The ways to backends that stand in the table, as packets take them.
    pub fn next_hops_in_force(&self) -> Result<Vec<(IpAddr, NextHop)>, Refusal> {
        let mut hops = Vec::new();
        for (id, _, backend) in backends(&self.state) {
            hops.extend(self.datapath.next_hop(id)?.map(|hop| (backend.address, hop)));
        }
        Ok(hops)
    }

    /// Neighbours by interface that packets wanted in vain since this was asked last.
    pub fn take_wanted(&self) -> Vec<(u32, IpAddr)> {
        self.datapath.take_wanted()
    }

    /// Every backend's address once, for the resolver, and those of backends to come.
    pub fn backend_addresses(&self) -> Vec<IpAddr> {
        let services = self.state.possible().flat_map(|state| &state.config.services);
        let addresses = services
            .flat_map(|service| &service.backends)
            .map(|backend| backend.address)
            .chain(self.expected.iter().copied());
        addresses.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Has the resolver look up addresses that no backend has yet; forgotten at the next tick.
    pub fn expect(&mut self, addresses: Vec<IpAddr>) {
        self.expected.extend(addresses);
    }

    /// Whether the resolver has spoken of all of these.
    pub fn knows(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().all(|address| self.hops.contains_key(address))
    }

    /// To be called when the process ends on purpose: what is attached stays; tables that nothing uses do not.
    pub fn stop(&self) -> Result<(), Refusal> {
        if self.datapath.attachments()?.is_empty() {
            remove_pins(self.datapath.pin_dir())?;
            tracing::info!("stopped; nothing was attached, so nothing is left behind");
        } else {
            tracing::info!(
                "stopped: the program stays attached and traffic keeps flowing; `foobar detach` takes it off"
            );
        }
        Ok(())
    }

    /// Takes over what the resolver found out. An address that is not in there is unresolved.
    pub fn set_next_hops(&mut self, hops: &NextHops) -> Result<(), Refusal> {
        self.hops.clone_from(hops);
        let lossy = self.lossy();
        for interface in lossy.difference(&self.warned) {
            tracing::warn!("{}", lost_on(interface));
        }
        self.warned = lossy;
        let state = self.state.clone();
        self.write_next_hops(&state, state.settled())?;
        self.learn_egress()
    }
}

/// Whether a rule that allowed is not there any more, under a default that drops.
fn loses_an_allowance(old: &Firewall, new: &Firewall) -> bool {
    let loses = |way| {
        let stays: HashSet<_> = new.rules(way).iter().collect();
        old.rules(way).iter().any(|rule| rule.verdict == Verdict::Allow && !stays.contains(rule))
    };
    new.default == Policy::Drop && loses(Way::In) || new.egress.default == Policy::Drop && loses(Way::Out)
}
