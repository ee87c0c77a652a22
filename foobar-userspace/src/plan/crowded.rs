//! What there is no room for, in a sentence that names rules: those that take the most of it.

use foobar_common::layout::MAX_NODES;

use super::classify::Numbered;
use crate::{
    api::types::Refusal,
    domain::{Matcher, Rule},
};

/// Rules that a sentence names, at most.
const NAMED: usize = 3;
const JOIN: &str = "join rules that have the same addresses, or the same ports: one rule can list many of both";

/// Rules that do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowded {
    problem: String,
    blame: Blame,
    hint: &'static str,
}

/// How the rules to name are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// They stand at these places of the list.
    Places(Vec<u32>),
    /// They list the most sources.
    Sources,
    /// They list the most interfaces and destinations.
    Targets,
    /// They list the most ports.
    Ports,
}

impl Crowded {
    pub fn new(problem: impl Into<String>, blame: Blame) -> Self {
        Self { problem: problem.into(), blame, hint: JOIN }
    }

    /// Rules that overlap so much that time or memory would run out.
    pub fn overlap(places: Vec<u32>) -> Self {
        Self::new("the rules overlap in too many combinations", Blame::Places(places))
    }

    pub fn nodes(places: Vec<u32>) -> Self {
        let problem = format!("the rules' prefixes need more than the {MAX_NODES} trie nodes that there are");
        Self { hint: "write shorter prefixes, or fewer of them", ..Self::new(problem, Blame::Places(places)) }
    }

    /// Refuses more than there is room for.
    pub fn within(count: usize, room: usize, of_what: &str, blame: Blame) -> Result<(), Self> {
        if count <= room {
            return Ok(());
        }
        Err(Self::new(format!("the rules make {count} {of_what}, and there is room for {room}"), blame))
    }

    /// The sentence that an operator reads.
    pub fn refusal(self, rules: &[Numbered<'_>]) -> Refusal {
        let of = |place: usize| rules[place].rule;
        let places = match self.blame {
            Blame::Places(places) => places.into_iter().map(|place| place as usize).take(NAMED).collect(),
            Blame::Sources => largest(rules, |rule| rule.from.len()),
            Blame::Targets => largest(rules, |rule| rule.to.len() + rule.on.len()),
            Blame::Ports => largest(rules, ports),
        };
        let texts: Vec<_> = places.into_iter().map(|place| format!("`{}`", of(place).in_short())).collect();
        let named = match texts.split_last() {
            None => String::new(),
            Some((only, [])) => format!(", such as {only}"),
            Some((last, others)) => format!(", such as {} and {last}", others.join(", ")),
        };
        Refusal::refused(format!("{}{named}", self.problem)).hint(self.hint)
    }
}

/// Places of the largest rules, first first.
fn largest(rules: &[Numbered<'_>], size: impl Fn(&Rule) -> usize) -> Vec<usize> {
    let mut places: Vec<_> = (0..rules.len()).filter(|place| size(rules[*place].rule) > 0).collect();
    places.sort_by_key(|place| std::cmp::Reverse(size(rules[*place].rule)));
    places.truncate(NAMED);
    places.sort_unstable();
    places
}

/// Ranges of ports, or types.
fn ports(rule: &Rule) -> usize {
    match &rule.matcher {
        Matcher::Any => 0,
        Matcher::Tcp(list) | Matcher::Udp(list) => list.0.len().max(1),
        Matcher::Icmp(list) | Matcher::Icmpv6(list) => list.0.len().max(1),
        Matcher::Protocol(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(crowded: Crowded, rules: &[&str]) -> String {
        let rules: Vec<Rule> = rules.iter().map(|text| text.parse().expect("a rule")).collect();
        let numbered: Vec<_> = rules.iter().map(|rule| Numbered { rule, id: 1 }).collect();
        crowded.refusal(&numbered).error
    }

    #[test]
    fn the_largest_rules_are_named_in_their_order() {
        let rules = ["allow tcp/1,3", "deny from 10.0.0.1", "allow tcp/5", "allow udp/7,9,11", "allow udp/1,3,5"];
        let crowded = Crowded::within(9, 5, "kinds of ports", Blame::Ports).expect_err("too many");
        let wanted = "the rules make 9 kinds of ports, and there is room for 5, such as `allow tcp/1,3`, \
                      `allow udp/7,9,11` and `allow udp/1,3,5`";
        assert_eq!(said(crowded, &rules), wanted);
        let wanted = "the rules overlap in too many combinations, such as `allow tcp/5`";
        assert_eq!(said(Crowded::overlap(vec![2]), &rules), wanted);
    }

    #[test]
    fn a_long_rule_is_shortened() {
        let prefixes: Vec<_> = (0..100).map(|n| format!("10.0.{n}.0/24")).collect();
        let rule = format!("deny from {}", prefixes.join(","));
        let said = said(Crowded::nodes(vec![0]), &[&rule]);
        assert!(said.ends_with("…`") && said.chars().count() < 250, "{said}");
    }
}
