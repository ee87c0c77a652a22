//! From the state that is wanted to what has to be written: one image, the rings that change, the ids that are new.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use foobar_common::{
    address::{V4, V6},
    image::Image,
    layout::{MAX_ANSWER_KEYS, MAX_PAIRS, MAX_SERVICE_KEYS, MAX_SERVICES, RING_UNIT, RING_UNITS},
    limit::Limit,
    plane::{Room, Way},
    ring::{self, Member},
    slot::Slot,
    terms::Terms,
};

use super::{
    claims::{answers, claims, name_servers, too_many_answers, too_many_keys},
    state::{State, Unrest},
    terms,
};
use crate::{
    api::types::Refusal,
    config::{Config, Egress, Firewall, Policy},
    domain::{Backend, BackendState, Rule, Service},
    plan::{
        classify::{Numbered, classify},
        fill::{Fill, fill},
        interfaces::Ifindexes,
        sets::SetIds,
    },
};

/// A service's ring in force, or about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Where it is in the rings' map.
    pub region: u32,
    /// From which members it was built.
    pub members: Vec<Member>,
    pub slots: Vec<Slot>,
}

/// By service.
pub type Rings = BTreeMap<String, Ring>;

/// What has to be written for a state.
pub struct Plan {
    pub image: Image,
    pub rings: Rings,
    /// Services whose rings have to be written.
    pub changed: BTreeSet<String>,
    /// Ids of rules in the order of the list.
    pub rule_ids: Vec<u32>,
    /// The same of those for what this host sends.
    pub egress_ids: Vec<u32>,
    pub new_rules: Vec<u32>,
    /// By the id of each rule, what it asks beyond its match: to be written before the image is published.
    pub terms: Vec<(u32, Terms)>,
    /// By id, to be written before the terms.
    pub limits: Vec<(u32, Limit)>,
    pub new_backends: Vec<u32>,
}

/// Slots that a ring is to have, by service, whatever its members say: how aging changes a ring.
pub type Forced = BTreeMap<String, Vec<Slot>>;

/// Plans `state`, whose ids, ends and unrest are brought up to date, from the rings in force.
pub fn plan(state: &mut State, live: &Rings, forced: &Forced, now: u64) -> Result<Plan, Refusal> {
    let services = state.config.services.clone();
    if services.len() > MAX_SERVICES as usize {
        return Err(Refusal::refused(format!("more than {MAX_SERVICES} services"))
            .hint("run another instance with its own --pin-dir, --socket and --state"));
    }
    let Firewall { rules, egress, default, sets } = &state.config.firewall;
    let (mut rule_ids, new_rules) = state.ids.number_rules(rules, &egress.rules)?;
    let egress_ids = rule_ids.split_off(rules.len());
    let sent = plan_egress(egress, &egress_ids)?;
    let mut image = Image { drops: *default == Policy::Drop, sent, ..Image::default() };
    state.ids.number_sets(sets.keys())?;
    let terms = terms::bring_up_to_date(state, &rule_ids, &new_rules, now);
    let limits = terms::limits(state, &rule_ids);
    let new_backends = state.ids.number_backends(&services)?;
    let possible: Vec<_> = state.possible().flat_map(|state| state.config.services.clone()).collect();
    state.pool.number(&possible)?;
    let numbered = numbered(&state.config.firewall.rules, &rule_ids);
    classify(&numbered, &state.ifindexes, state.ids.sets(), &mut image)?;
    let (rings, changed) = plan_rings(state, &services, live, forced, now)?;
    lay_claims(state, &services, &rings, &mut image)?;
    for balancer in &state.config.tunnels {
        match balancer {
            IpAddr::V4(address) => image.balancer(V4::from(*address)),
            IpAddr::V6(address) => image.balancer(V6::from(*address)),
        }
    }
    Ok(Plan { image, rings, changed, rule_ids, egress_ids, new_rules, terms, limits, new_backends })
}

/// Everything that ports are claimed for, and the addresses that packets get.
fn lay_claims(state: &State, services: &[Service], rings: &Rings, image: &mut Image) -> Result<(), Refusal> {
    let mut laid = Vec::new();
    for service in services {
        laid.extend(claims(service, rings[&service.name].region));
        laid.extend(answers(service, state));
    }
    image.claim(&laid);
    for service in services {
        name_servers(service, rings[&service.name].region, state, image);
    }
    let (keys, answers) = (image.services.len(), image.others.len());
    if keys > MAX_SERVICE_KEYS {
        return Err(too_many_keys(keys));
    }
    if answers > MAX_ANSWER_KEYS {
        return Err(too_many_answers(answers));
    }
    for service in services.iter().filter(|service| service.echo) {
        match service.address {
            IpAddr::V4(address) => image.echo(V4::from(address)),
            IpAddr::V6(address) => image.echo(V6::from(address)),
        }
    }
    for address in
        services.iter().flat_map(|service| state.pool.of(service).into_iter().chain(state.pool.older(service)))
    {
        let Some(place) = state.pool.place(address) else { continue };
        match address {
            IpAddr::V4(address) => image.pool(V4::from(address), place),
            IpAddr::V6(address) => image.pool(V6::from(address), place),
        }
    }
    Ok(())
}

fn numbered<'a>(rules: &'a [Rule], ids: &[u32]) -> Vec<Numbered<'a>> {
    rules.iter().zip(ids).map(|(rule, id)| Numbered { rule, id: *id }).collect()
}

/// The rules for what this host sends: the classifier's big side is the far one, so sources are what rules say of
/// destinations.
fn plan_egress(egress: &Egress, ids: &[u32]) -> Result<Option<Box<Image>>, Refusal> {
    if egress.is_idle() {
        return Ok(None);
    }
    let turned = |rule: &Rule| Rule { from: rule.to.clone(), to: rule.from.clone(), ..rule.clone() };
    let rules: Vec<_> = egress.rules.iter().map(turned).collect();
    let mut image = Image { drops: egress.default == Policy::Drop, ..Image::default() };
    classify(&numbered(&rules, ids), &Ifindexes::default(), &SetIds::default(), &mut image)?;
    let Room { nodes, sources, narrowed, pairs } = Way::Out.room();
    for (count, room, what) in [
        (image.nodes.0.len(), nodes, "trie nodes for their prefixes"),
        (image.sources.len(), sources, "kinds of destinations"),
        (image.narrowed.len(), narrowed, "kinds of ports at sources"),
        (image.pairs.len(), pairs, "cells for pairs of destinations and ports"),
    ] {
        if count > room {
            return Err(no_room(&count.to_string(), room, what));
        }
    }
    // Where they are hashed, they are too many for these tables.
    if !image.sparse.is_empty() {
        return Err(no_room(&format!("more than {MAX_PAIRS}"), pairs, "cells for pairs of destinations and ports"));
    }
    Ok(Some(Box::new(image)))
}

fn no_room(count: &str, room: usize, what: &str) -> Refusal {
    Refusal::refused(format!("the egress rules need {count} {what}, and there is room for {room}"))
        .hint("join egress rules that have the same addresses or the same ports")
}

/// How full a configuration makes tables that hold nothing else, or what a first start would say to it.
pub fn judge(config: &Config) -> Result<Vec<Fill>, Refusal> {
    let mut state = State { config: config.clone(), ..State::default() };
    let names: BTreeSet<_> = config.firewall.rules.iter().flat_map(|rule| &rule.on).cloned().collect();
    state.ifindexes = names.into_iter().zip(1..).map(|(name, index)| (name, BTreeSet::from([index]))).collect();
    plan(&mut state, &Rings::new(), &Forced::new(), 0).map(|plan| fill(&plan.image))
}

/// A service of the same name, address and first port spreads its flows as before: else every connection would move. So
/// would those on ports that it keeps, if another one became its first.
pub fn refuse_another_spread(before: &Config, wanted: &Config) -> Result<(), Refusal> {
    for service in &wanted.services {
        let moved = |old: &&Service| service.moves_from(old).is_some();
        if let Some(old) = before.services.iter().find(moved) {
            return Err(moves_ports(old, service));
        }
        let Some(before) = before.services.iter().find(|other| other.is_same(service)) else { continue };
        if (before.ring, before.affinity) != (service.ring, service.affinity) {
            let Service { name, ring, affinity, .. } = before;
            return Err(Refusal::refused(format!(
                "service {name} has a ring of {ring} slots and the affinity `{affinity}` for as long as it lives: its connections \
                 would move"
            ))
            .hint("add a service of another name, or remove this one first"));
        }
    }
    Ok(())
}

fn moves_ports(old: &Service, service: &Service) -> Refusal {
    let Service { name, ports, .. } = old;
    let first = format!("{}/{}", ports.transport(), ports.first());
    let hint = if service.ports.contains(ports.first()) {
        format!("write that port first: `ports = \"{}\"`", service.ports.led_by(ports.first()))
    } else {
        "keep that port, or add a service of another name, or remove this one first".to_owned()
    };
    Refusal::refused(format!(
        "service {name} spreads its flows by {first}, its first port, for as long as it lives: connections on ports that it \
         keeps would move"
    ))
    .hint(hint)
}

fn plan_rings(
    state: &mut State,
    services: &[Service],
    live: &Rings,
    forced: &Forced,
    now: u64,
) -> Result<(Rings, BTreeSet<String>), Refusal> {
    let slots: u32 = services.iter().map(|service| service.ring.div_ceil(RING_UNIT) * RING_UNIT).sum();
    if slots > RING_UNITS / 2 * RING_UNIT {
        let most = RING_UNITS / 2 * RING_UNIT;
        return Err(Refusal::refused(format!("the rings of all services have {slots} slots, and {most} is the most"))
            .hint("give services with few backends smaller rings: `ring = 4093`"));
    }
    let mut rings = Rings::new();
    let mut changed = BTreeSet::new();
    for service in services {
        let members = members(service, state);
        // One of another size is followed by none: a daemon that starts may find that.
        let old = live.get(&service.name).filter(|old| old.slots.len() == service.ring as usize);
        let aged = forced.get(&service.name);
        let slots = aged.cloned().unwrap_or_else(|| follow(old, &members, service.ring, state));
        if let Some(old) = old.filter(|old| old.slots == slots) {
            rings.insert(service.name.clone(), Ring { members, ..old.clone() });
            continue;
        }
        let region = free_region(live.values().chain(rings.values()), service.ring).ok_or_else(too_many_rings)?;
        if aged.is_none() && slots.iter().any(|slot| slot.is_tracked()) {
            state.unrest.insert(service.name.clone(), Unrest::Waiting(now));
        }
        changed.insert(service.name.clone());
        rings.insert(service.name.clone(), Ring { region, members, slots });
    }
    state.unrest.retain(|name, _| rings.contains_key(name));
    // A crash can leave slots tracked of which the state says nothing.
    for (name, _) in rings.iter().filter(|(_, ring)| ring.slots.iter().any(|slot| slot.is_tracked())) {
        state.unrest.entry(name.clone()).or_insert(Unrest::Settling);
    }
    Ok((rings, changed))
}

/// The first region with room for so many slots between these rings.
fn free_region<'a>(taken: impl Iterator<Item = &'a Ring>, slots: u32) -> Option<u32> {
    let units = |slots: usize| (slots as u32).div_ceil(RING_UNIT);
    let mut taken: Vec<_> = taken.map(|ring| (ring.region, ring.region + units(ring.slots.len()))).collect();
    taken.sort_unstable();
    let wanted = units(slots as usize);
    let mut free = 0;
    for (first, end) in taken {
        if first >= free + wanted {
            break;
        }
        free = free.max(end);
    }
    (free + wanted <= RING_UNITS).then_some(free)
}

fn too_many_rings() -> Refusal {
    let slots = RING_UNITS * RING_UNIT;
    Refusal::refused(format!(
        "there is no spare room for a ring: all of them, and those that replace them, have {slots} slots"
    ))
    .hint("change fewer services at a time")
}

/// The slots that follow the ring in force when its members become `members`.
fn follow(old: Option<&Ring>, members: &[Member], size: u32, state: &State) -> Vec<Slot> {
    let living = state.ids.living();
    let lives = |id: u32| living.get(id as usize).copied().unwrap_or(false);
    match old {
        Some(old) if old.members == members && old.slots.iter().all(|slot| lives(slot.previous())) => old.slots.clone(),
        Some(old) => ring::follow(Some(&old.slots), &ring::build(members, size), lives),
        None => ring::follow(None, &ring::build(members, size), lives),
    }
}

/// The backends as the ring sees them; those that take no new flows have no weight there.
pub fn members(service: &Service, state: &State) -> Vec<Member> {
    let can_serve = |backend: &Backend| backend.state == BackendState::Ready && backend.weight > 0;
    let others_serve = service.backends.iter().any(|backend| !backend.backup && can_serve(backend));
    let member = |backend: &Backend| {
        let serves = can_serve(backend) && !(backend.backup && others_serve);
        let weight = if serves { backend.weight } else { 0 };
        let id = state.ids.backend(service, backend)?;
        Some(Member { id, name: ring::name(bits(backend.address)), weight })
    };
    service.backends.iter().filter_map(member).collect()
}

pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// How many slots each backend has.
pub fn shares(ring: &Ring) -> HashMap<u32, u32> {
    let mut shares = HashMap::new();
    for slot in &ring.slots {
        *shares.entry(slot.current()).or_default() += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_may_come_back_keeps_the_places_of_its_addresses() {
        let service = |name: &str, first: u8| {
            let snat: Vec<_> = (first..first + 8).map(|n| format!("10.0.1.{n}")).collect();
            let json = serde_json::json!({
                "name": name, "address": "192.0.2.1", "port": format!("tcp/{first}"), "forward": "snat", "snat": snat,
                "ring": 1009, "backends": [{ "address": "10.0.0.1" }],
            });
            serde_json::from_value::<Service>(json).expect("a service")
        };
        let of =
            |services: Vec<Service>| State { config: Config { services, ..Config::default() }, ..State::default() };
        let mut before = of(vec![service("a", 1), service("b", 9)]);
        let known = plan(&mut before, &Rings::new(), &Forced::new(), 1).expect("16 addresses").rings;
        let mut after = State { config: of(vec![service("c", 17)]).config, ..before.clone() };
        plan(&mut after.clone(), &known, &Forced::new(), 1).expect("nobody has the others any more");
        after.pending = Some(Box::new(super::super::state::Pending { until: 1, before: before.clone() }));

        let refused = plan(&mut after.clone(), &known, &Forced::new(), 1).map(|_| ()).expect_err("24 addresses");

        assert!(refused.error.contains("more than 16 addresses"), "{refused}");
        after.config.services = vec![service("a", 1)];
        plan(&mut after, &known, &Forced::new(), 1).expect("fewer than there may be again");
        assert_eq!(after.pool, before.pool);
    }

    #[test]
    fn egress_rules_that_make_too_many_pairs_are_refused_by_the_planner() {
        let rule = |n: u32| format!("deny tcp/{} to 10.{}.{}.0/24", n + 1, n / 256, n % 256).parse().expect("a rule");
        let egress = Egress { rules: (0..1_800).map(rule).collect(), ..Egress::default() };
        let ids: Vec<_> = (1..=1_800).collect();
        let refusal = plan_egress(&egress, &ids).expect_err("no room");
        assert!(refusal.error.contains("pairs of destinations and ports"), "{}", refusal.error);
    }
}
