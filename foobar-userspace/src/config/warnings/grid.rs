//! Where boxes of packets stand, so that those which can meet another one are found without looking at all of them.
//!
//! A box is in the smallest cell that has all of its sources, and there among those of its protocol and ports. Cells are of
//! a few sizes, each a map in order: those that a range of sources meets follow each other.

use std::collections::BTreeMap;

use super::cover::{PORT, PROTOCOL, SOURCE, Span};

/// Bits of an address that sources of one cell may differ in, smallest first.
const SIZES_V4: [u32; 5] = [0, 8, 16, 24, 32];
const SIZES_V6: [u32; 7] = [0, 64, 80, 96, 112, 120, 128];
/// Bits of a port that those of one cell may differ in.
const PORTS: u32 = 6;

/// Numbers of boxes by cell.
#[derive(Default)]
pub struct Grid {
    v4: [Cells; SIZES_V4.len()],
    v6: [Cells; SIZES_V6.len()],
}

/// Cells of one size, by what their sources have in common.
type Cells = BTreeMap<u128, Cell>;

#[derive(Default)]
struct Cell {
    /// Of more than one protocol, or of ports that differ much.
    wide: Vec<usize>,
    by_port: BTreeMap<(u128, u128), Vec<usize>>,
}

impl Grid {
    pub fn add(&mut self, span: &Span, number: usize) {
        let (cells, sizes): (&mut [Cells], &[u32]) =
            if span.v6 { (&mut self.v6, &SIZES_V6) } else { (&mut self.v4, &SIZES_V4) };
        let is_one = |size: &u32| common(span.low[SOURCE], *size) == common(span.high[SOURCE], *size);
        // The largest has every address.
        let size = sizes.iter().position(is_one).unwrap_or(sizes.len() - 1);
        cells[size].entry(common(span.low[SOURCE], sizes[size])).or_default().add(span, number);
    }

    /// The boxes of each cell that this one may meet.
    pub fn near(&self, span: &Span) -> impl Iterator<Item = &[usize]> {
        let (cells, sizes): (&[Cells], &[u32]) = if span.v6 { (&self.v6, &SIZES_V6) } else { (&self.v4, &SIZES_V4) };
        let (low, high) = (span.low[SOURCE], span.high[SOURCE]);
        let cells = cells
            .iter()
            .zip(sizes)
            .flat_map(move |(cells, size)| cells.range(common(low, *size)..=common(high, *size)));
        cells.flat_map(|(_, cell)| cell.near(span))
    }
}

impl Cell {
    fn add(&mut self, span: &Span, number: usize) {
        let (first, last) = ports(span);
        let boxes = if first == last { self.by_port.entry(first).or_default() } else { &mut self.wide };
        boxes.push(number);
    }

    fn near(&self, span: &Span) -> impl Iterator<Item = &[usize]> {
        let (first, last) = ports(span);
        let by_port = self.by_port.range(first..=last).map(|(_, boxes)| boxes.as_slice());
        by_port.chain(std::iter::once(self.wide.as_slice()))
    }
}

/// The first and the last protocol of a box, each with what its ports have in common.
fn ports(span: &Span) -> ((u128, u128), (u128, u128)) {
    let of = |end: &[u128]| (end[PROTOCOL], common(end[PORT], PORTS));
    (of(&span.low), of(&span.high))
}

/// What numbers that differ in so many bits at most have in common.
fn common(number: u128, bits: u32) -> u128 {
    number.checked_shr(bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ranges of numbers of up to so many bits, narrow ones and wide ones.
    fn ranges(bits: u32) -> impl Strategy<Value = (u128, u128)> {
        let range = move |(low, len, shift): (u128, u128, u32)| {
            let top = u128::MAX >> (128 - bits);
            let low = low & top;
            (low, low.saturating_add(len.checked_shr(shift).unwrap_or(0)).min(top))
        };
        (any::<u128>(), any::<u128>(), 128 - bits..=128).prop_map(range)
    }

    fn spans() -> impl Strategy<Value = Span> {
        let sources =
            prop_oneof![ranges(32).prop_map(|range| (false, range)), ranges(128).prop_map(|range| (true, range))];
        (sources, ranges(2), ranges(17)).prop_map(|((v6, source), protocol, port)| Span {
            v6,
            low: [source.0, 0, protocol.0, port.0],
            high: [source.1, 0, protocol.1, port.1],
        })
    }

    proptest! {
        #[test]
        fn no_box_that_meets_another_is_missed(spans in prop::collection::vec(spans(), 100)) {
            let mut grid = Grid::default();
            for (number, span) in spans.iter().enumerate() {
                grid.add(span, number);
            }
            for span in &spans {
                let mut found: Vec<_> = grid.near(span).flatten().copied().collect();
                found.sort_unstable();
                prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "each once: {:?}", found);
                let mut missed = (0..spans.len()).filter(|number| spans[*number].meets(span) && !found.contains(number));
                prop_assert_eq!(missed.next(), None);
            }
        }
    }
}
