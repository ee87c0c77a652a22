//! Which rules can never match, and which ones decide in their stead.
//!
//! A rule is a union of boxes: ranges of sources, destinations, protocols and ports. What earlier rules leave of a box is
//! found by cutting it, until something is left or nothing: the answer is exact for rules that say no more than that. A
//! rule that holds for a time or on some interfaces covers nothing; one with a limit does, since over the limit is final.

use std::{collections::BTreeSet, ops::RangeInclusive};

use ipnet::IpNet;

use super::{grid::Grid, kinds, kinds_of};
use crate::domain::{Matcher, Rule, Source};

/// Cuts and comparisons that may be made: rules that are left then are taken for ones that match.
const MAX_STEPS: usize = 200_000_000;
/// What finding the cells that a box can meet counts for.
const FIND_STEPS: usize = 16;
/// Boxes that are remembered: a rule that has more of them than are left covers nothing, and one that has more than this is
/// covered by none. The tables have room for fewer prefixes.
const MAX_BOXES: usize = 400_000;
/// Source, destination, protocol, port.
const SIDES: usize = 4;
pub const SOURCE: usize = 0;
pub const PROTOCOL: usize = 2;
pub const PORT: usize = 3;
/// Ports, and one for packets without.
const PORTS: u128 = 1 << 16;

/// Packets of one family within ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub v6: bool,
    pub low: [u128; SIDES],
    pub high: [u128; SIDES],
}

/// The rules so far.
#[derive(Default)]
pub struct Cover {
    boxes: Vec<(Span, usize)>,
    grid: Grid,
    steps: usize,
}

impl Cover {
    /// The earlier rules that decide about every packet of this one, if they do.
    pub fn covers(&mut self, rule: &Rule) -> Option<BTreeSet<usize>> {
        let (mut by, mut unnamed) = (BTreeSet::new(), BTreeSet::new());
        let parts = Parts::of(rule);
        if parts.count() > MAX_BOXES {
            return None;
        }
        for (span, is_fragments) in parts.spans() {
            let mut near = self.near(&span);
            near.sort_unstable();
            // Which rule decides about its later fragments, nobody needs to know.
            let by = if is_fragments { &mut unnamed } else { &mut by };
            if self.leaves(&span, &near, by) {
                return None;
            }
        }
        Some(if by.is_empty() { unnamed } else { by })
    }

    pub fn add(&mut self, index: usize, rule: &Rule) {
        if !rule.on.is_empty() || rule.lifetime.is_some() || rule.sets().next().is_some() {
            return;
        }
        let parts = Parts::of(rule);
        if parts.count() > MAX_BOXES - self.boxes.len() {
            return;
        }
        for (span, _) in parts.spans() {
            self.grid.add(&span, self.boxes.len());
            self.boxes.push((span, index));
        }
    }

    /// Boxes that meet this one.
    fn near(&mut self, span: &Span) -> Vec<usize> {
        let (mut near, mut steps) = (Vec::new(), FIND_STEPS);
        for cell in self.grid.near(span) {
            steps += 1 + cell.len();
            near.extend(cell.iter().copied().filter(|index| self.boxes[*index].0.meets(span)));
        }
        self.steps += steps;
        near
    }

    /// Whether something of a box is in none of these; `by` gets the rules that cover its parts.
    fn leaves(&mut self, span: &Span, near: &[usize], by: &mut BTreeSet<usize>) -> bool {
        self.steps += near.len() + 1;
        if self.steps > MAX_STEPS {
            return true;
        }
        let Some(at) = near.iter().position(|index| self.boxes[*index].0.meets(span)) else { return true };
        let (other, rule) = self.boxes[near[at]];
        let rest = &near[at + 1..];
        // One that covers all of it is named alone.
        if let Some(whole) = near[at..].iter().find(|index| self.boxes[**index].0.contains(span)) {
            by.insert(self.boxes[*whole].1);
            return false;
        }
        by.insert(rule);
        span.without(&other).iter().any(|part| self.leaves(part, rest, by))
    }
}

impl Span {
    pub fn meets(&self, other: &Self) -> bool {
        self.v6 == other.v6
            && (0..SIDES).all(|side| self.low[side] <= other.high[side] && other.low[side] <= self.high[side])
    }

    fn contains(&self, other: &Self) -> bool {
        self.v6 == other.v6
            && (0..SIDES).all(|side| self.low[side] <= other.low[side] && other.high[side] <= self.high[side])
    }

    /// The parts that are not in another box, which it meets.
    fn without(mut self, other: &Self) -> Vec<Self> {
        let mut parts = Vec::new();
        for side in 0..SIDES {
            if self.low[side] < other.low[side] {
                let mut part = self;
                part.high[side] = other.low[side] - 1;
                self.low[side] = other.low[side];
                parts.push(part);
            }
            if self.high[side] > other.high[side] {
                let mut part = self;
                part.low[side] = other.high[side] + 1;
                self.high[side] = other.high[side];
                parts.push(part);
            }
        }
        parts
    }
}

/// What a rule's boxes are made of: there may be too many to have them all at once.
struct Parts {
    from: Vec<(bool, Numbers)>,
    to: Vec<(bool, Numbers)>,
    targets: Vec<(Numbers, Numbers, bool)>,
}

impl Parts {
    fn of(rule: &Rule) -> Self {
        Self { from: sides(&rule.from), to: sides(&rule.to), targets: targets(rule) }
    }

    fn count(&self) -> usize {
        let of = |side: &[(bool, Numbers)], v6| side.iter().filter(|(family, _)| *family == v6).count();
        let pairs = [false, true].map(|v6| of(&self.from, v6).saturating_mul(of(&self.to, v6)));
        pairs[0].saturating_add(pairs[1]).saturating_mul(self.targets.len())
    }

    /// The boxes, and of each whether it is there for later fragments alone.
    fn spans(&self) -> impl Iterator<Item = (Span, bool)> {
        let pairs = self.from.iter().flat_map(|(v6, source)| {
            let to = self.to.iter().filter(move |(family, _)| family == v6);
            to.map(move |(_, destination)| (*v6, source, destination))
        });
        pairs.flat_map(|(v6, source, destination)| {
            self.targets.iter().map(move |(protocol, ports, is_fragments)| {
                let (low, high) = (
                    [*source.start(), *destination.start(), *protocol.start(), *ports.start()],
                    [*source.end(), *destination.end(), *protocol.end(), *ports.end()],
                );
                (Span { v6, low, high }, *is_fragments)
            })
        })
    }
}

type Numbers = RangeInclusive<u128>;

/// Ranges of addresses, by family. What is in a set can be any address.
fn sides(prefixes: &[Source]) -> Vec<(bool, Numbers)> {
    let any = [(false, 0..=u128::from(u32::MAX)), (true, 0..=u128::MAX)];
    if prefixes.is_empty() || prefixes.iter().any(|source| matches!(source, Source::Set(_))) {
        return any.into();
    }
    let range = |source: &Source| match source {
        Source::Prefix(IpNet::V4(net)) => {
            Some((false, u128::from(net.network().to_bits())..=u128::from(net.broadcast().to_bits())))
        }
        Source::Prefix(IpNet::V6(net)) => Some((true, net.network().to_bits()..=net.broadcast().to_bits())),
        Source::Set(_) => None,
    };
    prefixes.iter().filter_map(range).collect()
}

/// Protocols, and ports or types of each.
fn targets(rule: &Rule) -> Vec<(Numbers, Numbers, bool)> {
    let Some((protocol, count, ranges)) = kinds(&rule.matcher) else { return vec![(0..=255, 0..=PORTS, false)] };
    let protocol = u128::from(protocol);
    let wide = |range: &RangeInclusive<usize>| *range.start() as u128..=*range.end() as u128;
    let is_whole = ranges == [0..=count - 1] || matches!(rule.matcher, Matcher::Protocol(_));
    if is_whole {
        return vec![(protocol..=protocol, 0..=PORTS, false)];
    }
    let own = ranges.iter().map(|range| (protocol..=protocol, wide(range), false));
    let fragments = kinds_of(rule).map_or(Vec::new(), |(_, _, all)| all[ranges.len()..].to_vec());
    own.chain(fragments.iter().map(|range| (protocol..=protocol, wide(range), true))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_more_boxes_than_there_is_room_for_covers_nothing_and_takes_none() {
        let list = |item: &dyn Fn(u32) -> String| (0..1_000).map(item).collect::<Vec<_>>().join(",");
        let ports = list(&|n| (2 * n + 1).to_string());
        let text = format!("deny tcp/{ports} from {}", list(&|n| format!("10.{}.{}.0/24", n / 250, n % 250)));
        let large: Rule = text.parse().expect("a rule");
        let (mut cover, small) = (Cover::default(), "deny tcp/1 from 10.0.1.0/24".parse().expect("a rule"));
        cover.add(0, &large);
        assert_eq!((cover.boxes.len(), cover.covers(&small)), (0, None));
        cover.add(1, &"deny".parse().expect("a rule"));
        assert_eq!((cover.covers(&small), cover.covers(&large)), (Some([1].into()), None));
    }
}
