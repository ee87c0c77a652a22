//! What follows a rule in a class of packets where its time is over: the links behind conditional decisions.
//!
//! An [`Answer`] is made from its last rule to its first, and the same rules in the same order are the same answer, so
//! that classes share links. Only answers that some class has in the end get a link.

use std::collections::HashMap;

use foobar_common::{
    decision::Decision,
    layout::{MAX_HOPS, MAX_LINKS},
    terms::Link,
};

use super::crowded::{Blame, Crowded};
use crate::domain::Rule;

/// Chains that may be made on the way: more are refused before memory runs out.
const MAX_CHAINS: usize = 4_000_000;

/// What decides a class of packets: no rule, a rule, or one and what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Answer(u32);

/// A conditional rule by its place, and what decides where it does not hold.
#[derive(Clone, Copy, Debug)]
struct Chain {
    place: u32,
    next: Answer,
    /// Rules on it that can be over.
    hops: usize,
}

/// How a rule is conditional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Never,
    /// By what it demands: nothing follows it.
    Demands,
    /// It ends.
    Ends,
}

/// All answers of one configuration.
pub struct Answers {
    /// By place.
    decisions: Vec<Decision>,
    conditions: Vec<Condition>,
    chains: Vec<Chain>,
    numbers: HashMap<(u32, Answer), Answer>,
    /// By chain: what stands for it in the tables.
    linked: Vec<Option<Decision>>,
    links: Vec<Link>,
}

impl Answers {
    /// For rules by place, and what each of them decides.
    pub fn new<'a>(rules: impl Iterator<Item = (&'a Rule, Decision)>) -> Self {
        let (conditions, decisions) = rules.map(|(rule, decision)| (condition(rule), decision)).unzip();
        Self {
            conditions,
            decisions,
            chains: Vec::new(),
            numbers: HashMap::new(),
            linked: Vec::new(),
            links: Vec::new(),
        }
    }

    /// The rule at `place`, and `next` where it does not hold.
    pub fn before(&mut self, place: u32, next: Answer) -> Result<Answer, Crowded> {
        let condition = self.conditions[place as usize];
        if condition == Condition::Never {
            return Ok(Answer(place + 1));
        }
        let ends = condition == Condition::Ends;
        let next = if ends { next } else { Answer::default() };
        if let Some(known) = self.numbers.get(&(place, next)) {
            return Ok(*known);
        }
        if self.chains.len() == MAX_CHAINS {
            return Err(Crowded::overlap(vec![place]));
        }
        let hops = usize::from(ends) + self.chain(next).map_or(0, |chain| chain.hops);
        self.chains.push(Chain { place, next, hops });
        let answer = Answer((self.decisions.len() + self.chains.len()) as u32);
        self.numbers.insert((place, next), answer);
        Ok(answer)
    }

    fn chain(&self, answer: Answer) -> Option<Chain> {
        let index = (answer.0 as usize).checked_sub(self.decisions.len() + 1)?;
        self.chains.get(index).copied()
    }

    /// Refuses answers of which one packet could have one each, where too many of their rules can be over.
    pub fn refuse_many_hops(&self, sides: [&mut dyn Iterator<Item = &Answer>; 3]) -> Result<(), Crowded> {
        let longest = sides.map(|side| side.filter_map(|answer| self.chain(*answer)).max_by_key(|chain| chain.hops));
        let hops: usize = longest.iter().flatten().map(|chain| chain.hops).sum();
        if hops <= MAX_HOPS {
            return Ok(());
        }
        let mut places: Vec<_> = longest.into_iter().flatten().flat_map(|chain| self.timed(chain)).collect();
        places.sort_unstable();
        let problem = format!("{hops} rules with `for` can match one packet, and {MAX_HOPS} may");
        Err(Crowded::new(problem, Blame::Places(places)))
    }

    /// Places of the rules of a chain that can be over.
    fn timed(&self, chain: Chain) -> Vec<u32> {
        let mut places = Vec::new();
        let mut chain = Some(chain);
        while let Some(Chain { place, next, hops: _ }) = chain {
            places.extend((self.conditions[place as usize] == Condition::Ends).then_some(place));
            chain = self.chain(next);
        }
        places
    }

    /// What the tables hold for an answer; makes the links that it needs.
    pub fn decision(&mut self, answer: Answer) -> Result<Decision, Crowded> {
        let Some(chain) = self.chain(answer) else {
            return Ok(answer.0.checked_sub(1).map_or(Decision::NONE, |place| self.decisions[place as usize]));
        };
        let index = answer.0 as usize - self.decisions.len() - 1;
        self.linked.resize(self.chains.len(), None);
        if let Some(decision) = self.linked[index] {
            return Ok(decision);
        }
        let (rule, next) = (self.decisions[chain.place as usize], self.decision(chain.next)?);
        if self.links.len() == MAX_LINKS {
            let problem =
                format!("the rules with `for`, `limit` or `log` need more than the {MAX_LINKS} links that there are");
            return Err(Crowded::new(problem, Blame::Places(vec![chain.place])));
        }
        let decision = rule.conditional(self.links.len() as u32);
        self.links.push(Link { rule, next });
        self.linked[index] = Some(decision);
        Ok(decision)
    }

    /// The links of all decisions that were asked for.
    pub fn into_links(self) -> Vec<Link> {
        self.links
    }
}

fn condition(rule: &Rule) -> Condition {
    if rule.lifetime.is_some() {
        Condition::Ends
    } else if rule.limit.is_some() || rule.log {
        Condition::Demands
    } else {
        Condition::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().expect("a rule")).collect()
    }

    fn answers(rules: &[Rule]) -> Answers {
        let decision = |place: usize| Decision::new(place as u32, false, place as u32 + 1);
        Answers::new(rules.iter().enumerate().map(|(place, rule)| (rule, decision(place))))
    }

    #[test]
    fn the_same_rules_share_a_link_and_only_what_is_asked_for_has_one() {
        let rules = rules(&["deny tcp/1 for 1m", "allow tcp/2 limit 1/s", "deny tcp/3", "deny tcp/4 for 1m"]);
        let mut answers = answers(&rules);
        let last = answers.before(3, Answer::default()).expect("room");
        let plain = answers.before(2, last).expect("room");
        let limited = answers.before(1, plain).expect("room");
        assert_eq!(answers.before(1, Answer::default()).expect("room"), limited, "nothing follows a limit");
        let both = answers.before(0, limited).expect("room");
        assert_eq!(answers.before(0, limited).expect("room"), both);

        let first = answers.decision(both).expect("links");
        let second = answers.decision(limited).expect("links");
        let untimed = answers.decision(plain).expect("a decision");

        assert!(first.is_conditional() && second.is_conditional() && !untimed.is_conditional());
        let links = answers.into_links();
        assert_eq!(links.len(), 2, "{links:?}");
        assert_eq!(links[first.id() as usize].next, second);
        assert_eq!(links[second.id() as usize].next, Decision::NONE);
        assert_eq!(links[second.id() as usize].rule.id(), 2);
    }

    #[test]
    fn too_many_rules_that_can_be_over_for_one_packet_are_named() {
        let texts: Vec<_> = (0..=MAX_HOPS).map(|n| format!("deny tcp for 1m as r{n}")).collect();
        let rules = rules(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let mut answers = answers(&rules);
        let mut chain = |places: std::ops::Range<usize>| {
            places.rev().fold(Answer::default(), |next, place| answers.before(place as u32, next).expect("room"))
        };
        let (six, five, five_more, six_more) = (chain(0..6), chain(6..11), chain(11..16), chain(11..17));
        let of = |last| answers.refuse_many_hops([&mut [six].iter(), &mut [five].iter(), &mut [last].iter()]);
        assert_eq!(of(five_more), Ok(()));
        let refusal = of(six_more).expect_err("17 rules");
        let wanted = "17 rules with `for` can match one packet, and 16 may";
        assert_eq!(refusal, Crowded::new(wanted, Blame::Places((0..17).collect())));
    }
}
