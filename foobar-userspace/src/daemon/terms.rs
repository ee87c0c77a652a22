//! When rules end: the time that each has left, and taking off those whose time is over.
//!
//! The kernel ends a rule by itself: the daemon only writes down when, and clears away what has ended.

use std::time::Duration;

use foobar_common::{
    limit::Limit,
    terms::{Demands, Terms},
};

use super::{
    engine::Engine,
    state::{State, now},
};
use crate::{
    api::types::Refusal,
    domain::{self, Rule, Verdict, duration},
};

/// Gives each rule with `for` that is new its end, and forgets those of rules that are gone. By id, the rules' terms.
pub fn bring_up_to_date(state: &mut State, ids: &[u32], new: &[u32], now: u64) -> Vec<(u32, Terms)> {
    let known = std::mem::take(&mut state.ends);
    for (rule, id) in state.config.firewall.rules.iter().zip(ids) {
        if let Some(lifetime) = rule.lifetime {
            let known = known.get(id).filter(|_| !new.contains(id));
            state.ends.insert(*id, known.copied().unwrap_or_else(|| end(now, lifetime)));
        }
    }
    terms(state, ids)
}

/// By id, what each rule asks beyond its match.
pub fn terms(state: &State, ids: &[u32]) -> Vec<(u32, Terms)> {
    let terms = |(rule, id): (&Rule, &u32)| {
        let terms = Terms::NONE.demanding(demands(rule));
        (*id, state.ends.get(id).map_or(terms, |end| terms.until(*end)))
    };
    state.config.firewall.rules.iter().zip(ids).map(terms).collect()
}

/// By id, the limits of rules that have one.
pub fn limits(state: &State, ids: &[u32]) -> Vec<(u32, Limit)> {
    let rules = state.config.firewall.rules.iter().zip(ids);
    rules.filter_map(|(rule, id)| Some((*id, limit(rule.limit.as_ref()?)))).collect()
}

fn demands(rule: &Rule) -> Demands {
    let mut demands = if rule.log { Demands::LOG } else { Demands::default() };
    if let Some(limit) = &rule.limit {
        demands = demands.and(if limit.per_source { Demands::LIMIT_PER_SOURCE } else { Demands::LIMIT });
        demands = demands.and(if limit.connections { Demands::CONNECTIONS } else { Demands::default() });
    }
    demands
}

/// Without a burst, what one second lets in may come at once, and one packet at least.
fn limit(limit: &domain::Limit) -> Limit {
    let seconds = limit.per.as_secs().max(1);
    let in_a_second = u64::from(limit.count) / seconds;
    Limit::new(limit.count, seconds, limit.burst.unwrap_or(in_a_second.max(1) as u32))
}

/// A rule holds for as long as it says at least: this second has begun already.
fn end(now: u64, lifetime: Duration) -> u32 {
    u32::try_from(now.saturating_add(lifetime.as_secs()).saturating_add(1)).unwrap_or(u32::MAX)
}

impl Engine {
    /// Seconds for which a rule still holds; 0: its time is over. `None` for one without `for`.
    pub(super) fn seconds_left(&self, index: usize) -> Option<u64> {
        let lifetime = self.state.config.firewall.rules[index].lifetime?;
        let end = u64::from(*self.state.ends.get(&self.rule_ids[index])?);
        Some(end.saturating_sub(now()).min(lifetime.as_secs()))
    }

    /// The rule that the same one with `for` renews: it says the same, but for how long.
    pub(super) fn renewable(&self, rule: &Rule) -> Option<usize> {
        let same =
            |other: &Rule| other.lifetime.is_some() && Rule { lifetime: rule.lifetime, ..other.clone() } == *rule;
        rule.lifetime?;
        self.state.config.firewall.rules.iter().position(same)
    }

    /// Lets a rule with `for` begin anew, where it stands: nothing is published, since only its terms change.
    pub(super) fn renew(&mut self, index: usize, rule: Rule) -> Result<(), Refusal> {
        let Some(lifetime) = rule.lifetime else { return Ok(()) };
        let (id, text) = (self.rule_ids[index], rule.to_string());
        let mut wanted = self.state.clone();
        wanted.ends.insert(id, end(now(), lifetime));
        wanted.config.firewall.rules[index] = rule;
        self.store.save(&wanted)?;
        self.unsaved = None;
        self.state = wanted;
        self.write_terms()?;
        tracing::info!("rule {id} is renewed for {}: {text}", duration::write(lifetime));
        Ok(())
    }

    /// Writes the terms of the rules in force, for packets from this moment on.
    pub(super) fn write_terms(&mut self) -> anyhow::Result<()> {
        for (id, limit) in limits(&self.state, &self.rule_ids) {
            self.datapath.set_limit(id, limit)?;
        }
        for (id, terms) in terms(&self.state, &self.rule_ids) {
            self.datapath.set_terms(id, terms)?;
        }
        Ok(())
    }

    /// Whether the time of a rule that allows is over: what it let in has to be noted soon, to go on.
    pub(super) fn allowance_is_over(&self) -> bool {
        let rules = self.state.config.firewall.rules.iter().enumerate();
        let mut allow = rules.filter(|(_, rule)| rule.verdict == Verdict::Allow && rule.lifetime.is_some());
        allow.any(|(index, _)| self.seconds_left(index) == Some(0))
    }

    /// Takes rules off the list whose time is over.
    pub(super) fn remove_over(&mut self) -> Result<(), Refusal> {
        let over: Vec<_> = (0..self.rule_ids.len()).filter(|index| self.seconds_left(*index) == Some(0)).collect();
        if over.is_empty() {
            return Ok(());
        }
        let stays = |index: &usize| over.binary_search(index).is_err();
        let ids: Vec<_> = (0..self.rule_ids.len()).filter(stays).map(|index| Some(self.rule_ids[index])).collect();
        let lines: Vec<_> = over
            .iter()
            .map(|index| (self.rule_ids[*index], self.state.config.firewall.rules[*index].to_string()))
            .collect();
        self.change(|state| {
            let rules = std::mem::take(&mut state.config.firewall.rules);
            let stays = rules.into_iter().enumerate().filter(|(index, _)| stays(index));
            state.config.firewall.rules = stays.map(|(_, rule)| rule).collect();
            state.ids.keep_rules(&state.config.firewall.rules, &ids);
            Ok(())
        })?;
        for (id, text) in lines {
            tracing::info!("rule {id} is removed, its time is over: {text}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rules: &[&str]) -> State {
        let mut state = State::default();
        state.config.firewall.rules = rules.iter().map(|text| text.parse().expect("a rule")).collect();
        state
    }

    #[test]
    fn a_rule_keeps_its_end_and_a_new_one_under_the_same_id_does_not_take_it_over() {
        let mut wanted = state(&["deny tcp/1 for 10s", "deny tcp/2"]);
        let terms = bring_up_to_date(&mut wanted, &[7, 8], &[7, 8], 100);
        assert_eq!(terms, [(7, Terms::NONE.until(111)), (8, Terms::NONE)]);

        let terms = bring_up_to_date(&mut wanted, &[7, 8], &[], 105);
        assert_eq!(terms[0].1, Terms::NONE.until(111));

        bring_up_to_date(&mut wanted, &[7, 8], &[7], 105);
        assert_eq!(wanted.ends[&7], 116);

        wanted.config.firewall.rules.remove(0);
        bring_up_to_date(&mut wanted, &[8], &[], 106);
        assert!(wanted.ends.is_empty());
    }

    #[test]
    fn a_century_is_as_long_as_the_clock_has_room_for() {
        assert_eq!(end(100, Duration::from_secs(u64::MAX)), u32::MAX);
    }
}
