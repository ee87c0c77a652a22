//! Ids of rules and backends: small numbers that index counters and stand in slots.
//!
//! A rule keeps its id, and so its counter, as long as its identity is among the rules, wherever it stands. A backend
//! keeps its id while it is a backend of its service.

use std::collections::{BTreeMap, BTreeSet};

use foobar_common::layout::{MAX_BACKENDS, MAX_NAMED_SETS, MAX_RULES, MAX_SETS};
use serde::{Deserialize, Serialize};

use crate::{
    api::types::Refusal,
    domain::{Backend, BackendState, Forward, Rule, Service},
};

/// Rules, and those for what this host sends.
type Lists<'a> = (&'a [Rule], &'a [Rule]);

/// Who has which id. Kept with the running configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// By identity, and an ordinal among equals.
    rules: BTreeMap<String, u32>,
    /// The id that was given last: ids go round, so that one that is free again is not taken at once.
    #[serde(default)]
    last_rule: u32,
    /// By name.
    #[serde(default)]
    sets: BTreeMap<String, u32>,
    #[serde(default)]
    last_set: u32,
    /// Of the configuration before this one.
    #[serde(default)]
    held_sets: BTreeSet<u32>,
    /// By service, its first port, and address.
    backends: BTreeMap<String, u32>,
    /// Ids of backends that left: a slot or a note may hold them still.
    retired: BTreeSet<u32>,
    /// Ids of rules that a change which waits for confirmation left out: they may come back.
    #[serde(default)]
    held_rules: BTreeSet<u32>,
}

impl Ids {
    /// Gives every rule its id, those for what this host sends behind the others; ids of rules that are gone are free
    /// again. Returns those that are new, too.
    pub fn number_rules(&mut self, rules: &[Rule], egress: &[Rule]) -> Result<(Vec<u32>, Vec<u32>), Refusal> {
        let keys = rule_keys(rules, egress);
        let present: BTreeSet<_> = keys.iter().collect();
        self.rules.retain(|key, _| present.contains(key));
        let used: BTreeSet<_> = self.rules.values().chain(&self.held_rules).copied().collect();
        let round = (self.last_rule..self.last_rule + MAX_RULES - 1).map(|last| last % (MAX_RULES - 1) + 1);
        let mut free = round.filter(|id| !used.contains(id));
        let mut new = Vec::new();
        for key in &keys {
            if self.rules.contains_key(key) {
                continue;
            }
            let id = free.next().ok_or_else(too_many_rules)?;
            self.last_rule = id;
            self.rules.insert(key.clone(), id);
            new.push(id);
        }
        Ok((keys.iter().map(|key| self.rules[key]).collect(), new))
    }

    /// Keeps the ids of rules that a change of the list left in it; `None` for one that is new. Without this, equal rules
    /// would trade their ids when one of them comes or goes.
    pub fn keep_rules(&mut self, rules: &[Rule], egress: &[Rule], ids: &[Option<u32>]) {
        let kept = rule_keys(rules, egress).into_iter().zip(ids);
        self.rules = kept.filter_map(|(key, id)| Some((key, (*id)?))).collect();
    }

    /// Gives every set its id. One that rules in force, or that come back, may name is nobody else's.
    pub fn number_sets<'a>(&mut self, names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
        let names: BTreeSet<_> = names.collect();
        if names.len() > MAX_NAMED_SETS {
            return Err(too_many_sets());
        }
        self.sets.retain(|name, _| names.contains(name));
        for name in names {
            if self.sets.contains_key(name) {
                continue;
            }
            let used: BTreeSet<_> = self.sets.values().chain(&self.held_sets).collect();
            let mut round = (1..=MAX_SETS as u32).map(|step| (self.last_set + step) % MAX_SETS as u32);
            let id = round.find(|id| !used.contains(id)).ok_or_else(too_many_sets)?;
            self.last_set = id;
            self.sets.insert(name.clone(), id);
        }
        Ok(())
    }

    /// Holds the ids that sets had before, and gives others to those that come from elsewhere.
    pub fn renew_sets(&mut self, before: &Self, is_new: impl Fn(&String) -> bool) {
        self.held_sets = before.sets.values().copied().collect();
        self.sets.retain(|name, _| !is_new(name));
    }

    /// Ids of the sets, by name.
    pub fn sets(&self) -> &BTreeMap<String, u32> {
        &self.sets
    }

    /// The rules' alone: no table holds a backend's any more.
    #[must_use]
    pub fn of_rules(self) -> Self {
        Self { rules: self.rules, last_rule: self.last_rule, ..Self::default() }
    }

    /// Gives every backend its id, and retires those of backends that are gone. Returns those that are new.
    pub fn number_backends(&mut self, services: &[Service]) -> Result<Vec<u32>, Refusal> {
        let keys: BTreeSet<_> = services
            .iter()
            .flat_map(|service| {
                // One in maintenance is dead, and gets another id when it lives again.
                let living = service.backends.iter().filter(|backend| backend.state != BackendState::Maint);
                living.map(|backend| backend_key(service, backend))
            })
            .collect();
        let retired = &mut self.retired;
        self.backends.retain(|key, id| {
            let stays = keys.contains(key);
            if !stays {
                retired.insert(*id);
            }
            stays
        });
        let used: BTreeSet<_> = self.backends.values().chain(&self.retired).copied().collect();
        let mut free = (1..MAX_BACKENDS).filter(|id| !used.contains(id));
        let mut new = Vec::new();
        for key in keys {
            if self.backends.contains_key(&key) {
                continue;
            }
            let id = free.next().ok_or_else(too_many_backends)?;
            self.backends.insert(key, id);
            new.push(id);
        }
        Ok(new)
    }

    /// The id of a service's backend.
    pub fn backend(&self, service: &Service, backend: &Backend) -> Option<u32> {
        self.backends.get(&backend_key(service, backend)).copied()
    }

    /// Ids of backends that left and may still be held.
    pub fn retired(&self) -> impl Iterator<Item = u32> {
        self.retired.iter().copied()
    }

    /// Frees retired ids that nothing holds.
    pub fn release(&mut self, is_held: impl Fn(u32) -> bool) {
        self.retired.retain(|id| is_held(*id));
    }

    /// Gives no id of these rules to another one, until they are let go. A rule of `after` whose terms differ is another
    /// one: what an id demands holds for both lists.
    pub fn hold_rules(&mut self, ids: &Self, before: Lists<'_>, after: Lists<'_>) {
        self.held_rules = ids.rules.values().copied().collect();
        let with_keys = |(rules, egress): Lists<'_>| rule_keys(rules, egress).into_iter();
        let known: BTreeMap<_, _> = with_keys(before)
            .zip(before.0.iter().chain(before.1))
            .filter_map(|(key, rule)| Some((*ids.rules.get(&key)?, rule)))
            .collect();
        for (key, rule) in with_keys(after).zip(after.0.iter().chain(after.1)) {
            let old = self.rules.get(&key).and_then(|id| known.get(id));
            if old.is_some_and(|old| !has_same_terms(old, rule)) {
                self.rules.remove(&key);
            }
        }
    }

    pub fn let_rules_go(&mut self) {
        self.held_rules.clear();
    }

    /// The ids as they were in `self`, after a change to `later` that is undone: what only that one has is known, and
    /// what it gave up lives.
    #[must_use]
    pub fn back_from(mut self, later: &Self) -> Self {
        (self.last_rule, self.last_set) = (later.last_rule, later.last_set);
        let living: BTreeSet<_> = self.backends.values().copied().collect();
        self.retired = later.retired.difference(&living).copied().collect();
        for (key, id) in &later.backends {
            self.backends.entry(key.clone()).or_insert(*id);
        }
        self
    }

    /// By id: whether it belongs to a backend. For what asks of every slot of a ring.
    pub fn living(&self) -> Vec<bool> {
        let mut living = vec![false; MAX_BACKENDS as usize];
        for id in self.backends.values() {
            living[*id as usize] = true;
        }
        living
    }
}

/// Whether two rules ask the same beyond their match.
fn has_same_terms(first: &Rule, second: &Rule) -> bool {
    first.lifetime == second.lifetime && first.limit == second.limit && first.log == second.log
}

fn too_many_rules() -> Refusal {
    Refusal::refused(format!("more than {} rules", MAX_RULES - 1)).hint("a rule can list many ports or prefixes")
}

fn too_many_sets() -> Refusal {
    Refusal::refused(format!("more than {MAX_NAMED_SETS} sets")).hint("join sets that the same rules name")
}

fn too_many_backends() -> Refusal {
    Refusal::refused(format!("more than {} backends", MAX_BACKENDS - 1))
        .hint("ids of removed backends are free again when their last flows are over")
}

/// `identity#ordinal`, the ordinal among equal identities; those for what this host sends are others.
fn rule_keys(rules: &[Rule], egress: &[Rule]) -> Vec<String> {
    let mut seen = BTreeMap::<String, u32>::new();
    let inward = rules.iter().map(Rule::identity);
    let outward = egress.iter().map(|rule| format!("egress {}", rule.identity()));
    let key = |identity: String| {
        let ordinal = seen.entry(identity.clone()).or_default();
        *ordinal += 1;
        format!("{identity}#{ordinal}")
    };
    inward.chain(outward).map(key).collect()
}

/// Another way of forwarding makes another backend of it: what its packets were is nothing that it could go on with.
fn backend_key(service: &Service, backend: &Backend) -> String {
    let ports = &service.ports;
    let key = format!("{} {}/{} {}", service.name, ports.transport(), ports.first(), backend.address);
    match (service.forward, backend.port) {
        (Forward::Dsr, _) => key,
        (forward, None) => format!("{key} {forward}"),
        (forward, Some(port)) => format!("{key} {forward} {port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().expect("a rule")).collect()
    }

    #[test]
    fn a_rule_keeps_its_id_when_others_come_and_go() {
        let mut ids = Ids::default();
        let (first, _) = ids.number_rules(&rules(&["allow tcp/80", "deny udp"]), &[]).expect("ids");
        let (second, new) =
            ids.number_rules(&rules(&["deny from 10.0.0.0/8", "deny udp", "allow tcp/80"]), &[]).expect("ids");
        assert_eq!(second[1..], [first[1], first[0]]);
        assert_eq!(new, [second[0]]);
    }

    #[test]
    fn equal_rules_keep_their_ids_when_the_first_of_them_goes() {
        let mut ids = Ids::default();
        let (all, _) = ids.number_rules(&rules(&["allow tcp/22", "allow tcp/23", "allow tcp/22"]), &[]).expect("ids");
        let left = rules(&["allow tcp/23", "allow tcp/22"]);
        ids.keep_rules(&left, &[], &[Some(all[1]), Some(all[2])]);
        assert_eq!(ids.number_rules(&left, &[]).expect("ids"), (vec![all[1], all[2]], vec![]));
    }

    #[test]
    fn an_id_that_is_free_again_is_not_taken_at_once() {
        let mut ids = Ids::default();
        let (first, _) = ids.number_rules(&rules(&["allow tcp/22"]), &[]).expect("ids");
        ids.number_rules(&[], &[]).expect("ids");
        let (second, _) = ids.number_rules(&rules(&["allow tcp/23"]), &[]).expect("ids");
        assert_ne!(first, second);
    }

    fn service(backends: &[&str]) -> Service {
        let backends: Vec<_> = backends.iter().map(|address| format!(r#"{{"address":"{address}"}}"#)).collect();
        let json =
            format!(r#"{{"name":"s","address":"192.0.2.1","port":"tcp/80","backends":[{}]}}"#, backends.join(","));
        serde_json::from_str(&json).expect("a service")
    }

    #[test]
    fn what_a_change_that_waits_leaves_out_keeps_its_ids() {
        let mut before = Ids::default();
        let (old, _) = before.number_rules(&rules(&["allow tcp/22"]), &[]).expect("ids");
        before.number_backends(&[service(&["10.0.0.1"])]).expect("ids");
        let mut later = before.clone();
        later.hold_rules(&before, (&rules(&["allow tcp/22"]), &[]), (&[], &[]));
        let many: Vec<Rule> = (1..MAX_RULES - 1)
            .map(|n| format!("deny from 10.0.{}.{}", n / 256, n % 256))
            .map(|text| text.parse().expect("a rule"))
            .collect();
        let (new, _) = later.number_rules(&many, &[]).expect("ids");
        assert!(!new.contains(&old[0]), "it may come back");
        later.number_rules(&[many, rules(&["deny udp"])].concat(), &[]).expect_err("the last id is held");
        later.number_backends(&[service(&["10.0.0.2"])]).expect("ids");
        assert_eq!(later.retired().collect::<Vec<_>>(), [1]);

        let mut back = before.back_from(&later);
        assert_eq!(back.number_rules(&rules(&["allow tcp/22"]), &[]).expect("ids").0, old);
        assert_eq!(back.retired().count(), 0, "the backend lives");
        let both = service(&["10.0.0.1", "10.0.0.2"]);
        assert_eq!(back.number_backends(std::slice::from_ref(&both)).expect("ids"), [0; 0], "both are known");
        assert_eq!(back.backend(&both, &both.backends[1]), Some(2));
    }

    #[test]
    fn a_rule_with_other_terms_is_another_one_while_both_may_hold() {
        let (plain, timed) = (rules(&["deny udp", "deny tcp"]), rules(&["deny udp for 10m", "deny tcp"]));
        let mut before = Ids::default();
        let (old, _) = before.number_rules(&plain, &[]).expect("ids");
        let mut later = before.clone();
        later.hold_rules(&before, (&plain, &[]), (&timed, &[]));
        let (new, _) = later.number_rules(&timed, &[]).expect("ids");
        assert!(new[0] != old[0] && new[1] == old[1], "{old:?} {new:?}");
    }

    #[test]
    fn the_same_rule_in_both_lists_is_two() {
        let mut ids = Ids::default();
        let both = rules(&["deny tcp/25"]);
        let (all, new) = ids.number_rules(&both, &both).expect("ids");
        assert_eq!(all, new);
        assert_ne!(all[0], all[1]);
        assert_eq!(ids.number_rules(&[], &both).expect("ids"), (vec![all[1]], vec![]));
    }

    #[test]
    fn equal_rules_have_counters_of_their_own() {
        let mut ids = Ids::default();
        let (both, _) = ids.number_rules(&rules(&["allow tcp/80", "allow tcp/80"]), &[]).expect("ids");
        assert_ne!(both[0], both[1]);
    }
}
