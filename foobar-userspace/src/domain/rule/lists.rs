//! Lists of ports and ICMP types in their one canonical form: sorted, merged, empty for "any".

use std::ops::RangeInclusive;

use super::{IcmpTypes, Ports};

impl Ports {
    /// Sorts the ranges and merges those that touch; no range is any port.
    ///
    /// Every port is still not any port: a fragment has none, and only "any" matches it.
    pub fn new(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// Whether any port matches, and packets without a port too.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

impl IcmpTypes {
    /// Sorts the types; none is any type.
    pub fn new(types: impl IntoIterator<Item = u8>) -> Self {
        let mut types: Vec<u8> = types.into_iter().collect();
        types.sort_unstable();
        types.dedup();
        Self(types)
    }

    /// Whether any type matches.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(Ports::new([443..=443, 80..=80, 81..=90, 85..=100]).0, [80..=100, 443..=443]);
    }

    proptest! {
        #[test]
        fn merging_keeps_every_port(ends in prop::collection::vec((1..=u16::MAX, 0..200_u16), 1..8), port in 1..=u16::MAX) {
            let ranges: Vec<_> = ends.iter().map(|(low, more)| *low..=low.saturating_add(*more)).collect();
            let ports = Ports::new(ranges.clone());
            let before = ranges.iter().any(|range| range.contains(&port));
            prop_assert_eq!(before, ports.0.iter().any(|range| range.contains(&port)));
            prop_assert!(ports.0.windows(2).all(|pair| u32::from(*pair[0].end()) + 1 < u32::from(*pair[1].start())));
        }
    }
}
