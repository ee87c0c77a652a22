//! Membership by the lines against membership by the list, while prefixes come and go.

use std::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::{
    Extent, STRIDES_WORD, TIMED_WORD,
    contents::{Contents, Prefix},
    host::HostSets,
    is_member,
    table::{Crowded, Memory, Table},
};
use crate::{
    address::{Address, V4, V6},
    image::HostTables,
    layout::FRONT_WORDS,
};

/// An address whose bits stand in front.
fn halves<A: Address>(bits: u128) -> [u64; 2] {
    Prefix { bits, len: A::BYTES as u8 * 8 }.halves()
}

/// Prefixes near each other, with every length.
fn prefixes(v6: bool) -> impl Strategy<Value = Vec<Prefix>> {
    let longest = if v6 { 128u8 } else { 32 };
    let one = (any::<u128>(), any::<u128>(), 0..=longest, 0u8..5).prop_map(move |(base, noise, len, near)| {
        // Few fronts, so that prefixes lie within each other.
        let front = [0x0a00_0000u128 << 96, 0x2001_0db8u128 << 96, 0, u128::MAX, base][usize::from(near)];
        let keep = u32::from(len.saturating_sub(9));
        let mask = if keep == 0 { 0 } else { u128::MAX << (128 - keep) };
        Prefix::new(front & mask | noise & !mask, len)
    });
    prop::collection::vec(one, 0..60)
}

/// Every edge of every prefix, inside and outside.
fn edges(all: &[Prefix], longest: u8) -> Vec<u128> {
    let unit = 1u128 << (128 - u32::from(longest));
    let last = |prefix: &Prefix| prefix.bits | u128::MAX.checked_shr(u32::from(prefix.len)).unwrap_or(0);
    let cut = |bits: u128| bits & !(unit - 1);
    all.iter()
        .flat_map(|prefix| [prefix.bits, prefix.bits.wrapping_sub(unit), last(prefix), last(prefix).wrapping_add(1)])
        .map(cut)
        .collect()
}

fn compare<A: Address>(tables: &HostTables, contents: &Contents, addresses: &[u128]) -> Result<(), TestCaseError> {
    for address in addresses {
        let expected = contents.iter().any(|prefix| prefix.covers(*address));
        prop_assert_eq!(is_member::<A, _>(halves::<A>(*address), 0, tables), u64::from(expected), "{:x}", address);
    }
    Ok(())
}

fn come_and_go<A: Address>(
    before: &[Prefix],
    after: &[Prefix],
    gone: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let family = usize::from(A::V6);
    let all = [before, after].concat();
    let addresses = edges(&all, A::BYTES as u8 * 8);
    let mut contents: Contents = before.iter().copied().collect();
    let empty = Contents::default();
    let build = |contents: &Contents| {
        let mut sets = HostSets::default();
        let lines = sets.push(if A::V6 { [&empty, contents] } else { [contents, &empty] });
        (HostTables { sets, ..HostTables::default() }, lines)
    };
    let (mut tables, mut lines) = build(&contents);
    compare::<A>(&tables, &contents, &addresses)?;
    for prefix in after {
        contents.insert(*prefix);
        if lines[family].add(*prefix).is_err() {
            (tables, lines) = build(&contents);
        }
        tables.sets.records[0][STRIDES_WORD..TIMED_WORD].copy_from_slice(&lines[1].stride_words());
        compare::<A>(&tables, &contents, &addresses)?;
    }
    for index in gone.iter().filter(|_| !all.is_empty()) {
        let prefix = *index.get(&all);
        contents.remove(prefix);
        lines[family].remove(prefix, &contents);
        compare::<A>(&tables, &contents, &addresses)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ipv4_members_are_those_of_the_list(
        before in prefixes(false),
        after in prop::collection::vec(prefixes(false), 1),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        come_and_go::<V4>(&before, &after[0][..after[0].len().min(20)], &gone)?;
    }

    #[test]
    fn ipv6_members_are_those_of_the_list(
        before in prefixes(true),
        after in prop::collection::vec(prefixes(true), 1),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        come_and_go::<V6>(&before, &after[0][..after[0].len().min(20)], &gone)?;
    }
}

#[test]
fn what_ends_is_a_member_until_then() {
    let empty = Contents::default();
    let mut tables = HostTables { now: 99, ..HostTables::default() };
    tables.sets.push([&empty, &empty]);
    let address = |bits: u32| [u64::from(bits) << 32, 0];
    for (bits, len) in [(0x0a00_0000u32, 8), (0xc000_0201, 32)] {
        tables.sets.add_until(0, false, Prefix { bits: u128::from(bits) << 96, len }, 100);
    }
    tables.sets.add_until(0, true, Prefix { bits: 0x2001_0db8 << 96, len: 32 }, 100);
    let members = |tables: &HostTables| {
        let v4 = [0x0a01_0203, 0xc000_0201, 0xc000_0202].map(|bits| is_member::<V4, _>(address(bits), 0, tables));
        (v4, is_member::<V6, _>([0x2001_0db8_0000_0001, 7], 0, tables))
    };
    assert_eq!(members(&tables), ([1, 1, 0], 1));
    tables.now = 100;
    assert_eq!(members(&tables), ([0; 3], 0));
}

#[test]
fn what_ends_in_one_family_is_no_member_in_the_other() {
    let empty = Contents::default();
    let mut tables = HostTables::default();
    tables.sets.push([&empty, &empty]);
    // 32.1.13.184 has the bits of 2001:db8::/32.
    let bits = 0x2001_0db8 << 96;
    tables.sets.add_until(0, false, Prefix { bits, len: 32 }, 100);
    tables.sets.add_until(0, true, Prefix { bits: 0x2001_0db9 << 96, len: 32 }, 100);
    assert_eq!(is_member::<V4, _>([0x2001_0db8 << 32, 0], 0, &tables), 1);
    assert_eq!(is_member::<V6, _>([0x2001_0db8 << 32, 1], 0, &tables), 0);
}

#[test]
fn many_neighbours_make_lines_overflow_and_stay_members() {
    for step in [1u32, 8, 16] {
        let list = (0..20_000u32).map(|index| Prefix::new(u128::from((10 << 24) + index * step) << 96, 32));
        let (contents, empty) = (list.collect::<Contents>(), Contents::default());
        let mut tables = HostTables::default();
        let [mut lines, _] = tables.sets.push([&contents, &empty]);
        // One more, in a line that is full.
        let one_more = Prefix::new(0x0a00_0003 << 96, 32);
        lines.add(one_more).expect("room");
        for index in 0..20_000 * step {
            let address = [u64::from((10 << 24) + index) << 32, 0];
            let expected = index % step == 0 || index == 3;
            assert_eq!(is_member::<V4, _>(address, 0, &tables), u64::from(expected), "{index}, every {step}th");
        }
    }
}

/// The prefix with a number in a list.
type Shape = Box<dyn Fn(u32) -> (u32, u8)>;

#[test]
fn lists_of_every_shape_fit_soon() {
    let number = |index: u32| index.wrapping_mul(2_654_435_761);
    let shapes: [(&str, Shape); 6] = [
        ("at random", Box::new(move |index| (number(index), 32))),
        ("one in each /29", Box::new(|index| (index * 8, 32))),
        ("one in each /29 of some /24", Box::new(move |index| ((number(index / 32) & !0xff) + index % 32 * 8, 32))),
        ("one in each /28 of some /24", Box::new(move |index| ((number(index / 16) & !0xff) + index % 16 * 16, 32))),
        ("/28", Box::new(|index| (index << 4, 28))),
        ("/20", Box::new(|index| (index << 12, 20))),
    ];
    for (name, shape) in shapes {
        let contents: Contents = (0..60_000)
            .map(|index| {
                let (bits, len) = shape(index);
                Prefix::new(u128::from(bits) << 96, len)
            })
            .collect();
        let mut made = 0;
        let mut seed = 0;
        let chance = || {
            seed += 7919;
            seed
        };
        let table = Table::build(&contents, false, chance, |lines| {
            made += 1;
            let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
            Ok::<_, Crowded>(Words { lines: zeros(lines as usize * 8), front: zeros(FRONT_WORDS) })
        });
        let bytes = u64::from(table.expect("room").lines()) * 64;
        assert!(made <= 3, "{name}: made {made} times");
        let each = bytes / 60_000;
        let most = if name == "/20" { 130 } else { 50 };
        assert!(each <= most, "{name}: {each} bytes a prefix");
    }
}

struct Words {
    lines: Vec<AtomicU64>,
    front: Vec<AtomicU64>,
}

impl Memory for Words {
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.lines[index]
    }

    fn front(&self, index: usize) -> &AtomicU64 {
        &self.front[index]
    }
}

/// Prefixes of one /64 that would share a line under one seed do not under others: what a list says cannot make a table
/// that never fits.
#[test]
fn blocks_that_share_lines_under_one_seed_do_not_under_another() {
    let extent = |seed| Extent { buckets: 1000, seed, ..Extent::default() };
    let keys = (0..200_000u64).map(|index| [0x2001_0db8_0000_0001, (index << 6) + 0x16]);
    let share: Vec<_> = keys.filter(|key| extent(5).line(*key) == 77).take(100).collect();
    assert_eq!(share.len(), 100);
    for seed in [0, 1, 6, 99, Extent::SEEDS - 1] {
        let lines: std::collections::BTreeSet<_> = share.iter().map(|key| extent(seed).line(*key)).collect();
        assert!(lines.len() > 80, "seed {seed}: {} lines", lines.len());
    }
}
