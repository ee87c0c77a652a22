//! The built object is what `foobar_common::layout` says it is. Needs no privilege: the kernel is not asked.

use std::collections::BTreeMap;

use aya_obj::{Map, Object};
use foobar_common::{
    Address, Outcome,
    address::{V4, V6},
    event,
    handoff::{HANDOFF_WORDS, Stage},
    layout::{self, map},
    note::table::{IN_A_LINE, LINES},
    snat::{LEASE_WORDS, MAPPING_WORDS},
};
use foobar_userspace::datapath;

const ARRAY: u32 = 2;
const HASH: u32 = 1;
const ARRAY_OF_MAPS: u32 = 12;
const PROGRAM_ARRAY: u32 = 3;
const PER_CPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const RING: u32 = 27;

/// Kind, bytes of a key, bytes of a value, entries.
type Shape = (u32, usize, usize, u32);

const fn table(words: usize) -> Shape {
    (ARRAY, 4, words * 8, 1)
}

const fn counters(words: usize, entries: u32) -> Shape {
    (PER_CPU_ARRAY, 4, words * 8, entries)
}

const fn array(words: usize, entries: usize) -> Shape {
    (ARRAY, 4, words * 8, entries as u32)
}

const fn states<A: Address>(entries: u32) -> Shape {
    (LRU_HASH, size_of::<A::FlowKey>(), 8, entries)
}

const fn firsts<A: Address>() -> Shape {
    (LRU_HASH, size_of::<A::FlowKey>(), 16, layout::MAX_FIRSTS)
}

/// Every map as the layout has it.
fn wanted() -> BTreeMap<&'static str, Shape> {
    BTreeMap::from([
        (map::GENERATION, table(layout::GENERATION_WORDS)),
        (map::PORTS, table(layout::PORTS_WORDS)),
        (map::ROOTS, table(layout::ROOTS_WORDS)),
        (map::NODES, table(layout::NODES_WORDS)),
        (map::SOURCES, table(layout::SOURCES_WORDS)),
        (map::NARROWED, table(layout::NARROWED_WORDS)),
        (map::INTERFACES, table(layout::INTERFACES_WORDS)),
        (map::PAIRS, table(layout::PAIRS_WORDS)),
        (map::NEEDS, table(layout::NEEDS_WORDS)),
        (map::LINKS, table(layout::LINKS_WORDS)),
        (map::TERMS, table(layout::TERMS_WORDS)),
        (map::GROUPS, table(layout::GROUPS_WORDS)),
        (map::SERVICES, table(layout::SERVICES_WORDS)),
        (map::RINGS, table(layout::RINGS_WORDS)),
        (map::NEXT_HOPS, table(layout::NEXT_HOPS_WORDS)),
        (map::ROOM, table(layout::ROOM_WORDS)),
        (map::CLOCK, table(layout::CLOCK_WORDS)),
        (map::SETS, table(layout::SETS_WORDS)),
        (map::ASKED, table(layout::ASKED_WORDS)),
        (map::SET_FRONTS, table(layout::SET_FRONTS_WORDS)),
        (map::SET_LINES, (ARRAY_OF_MAPS, 4, 4, layout::SET_SLOTS as u32)),
        (map::QUESTIONS, table(layout::QUESTIONS_WORDS)),
        (map::TIMED, (HASH, 24, 8, layout::MAX_TIMED)),
        (map::NOTES, array(2 * IN_A_LINE, LINES)),
        (map::NOTED, array(layout::NOTED_WORDS, 1)),
        (map::STATES_V4, states::<V4>(layout::MAX_STATES)),
        (map::STATES_V6, states::<V6>(layout::MAX_STATES)),
        (map::HEARD_V4, states::<V4>(layout::MAX_HEARD)),
        (map::HEARD_V6, states::<V6>(layout::MAX_HEARD)),
        (map::FIRSTS_V4, firsts::<V4>()),
        (map::FIRSTS_V6, firsts::<V6>()),
        (map::OUTCOMES, counters(layout::TALLY_WORDS, Outcome::COUNT as u32)),
        (map::SENT, counters(layout::TALLY_WORDS, Outcome::COUNT as u32)),
        (map::RULES, counters(layout::TALLY_WORDS, layout::MAX_RULES)),
        (map::WATCH, table(layout::WATCH_WORDS)),
        (map::EVENTS, (RING, 0, 0, layout::EVENTS_BYTES)),
        (map::BUCKETS, table(layout::BUCKETS_WORDS)),
        (map::LIMITED, counters(layout::TALLY_WORDS, layout::MAX_RULES)),
        (map::TARGETS, table(layout::TARGETS_WORDS)),
        (map::POOL, table(layout::POOL_WORDS)),
        (map::HANDOFFS, counters(HANDOFF_WORDS, 1)),
        (map::ROUTE, counters(layout::ROUTE_WORDS, 1)),
        (map::CLIENTS, array(layout::CLIENT_WORDS, layout::MAX_CLIENTS)),
        (map::WANTED, array(layout::WANTED_WORDS, layout::MAX_WANTED)),
        (map::TAGS, array(1, layout::TAGS_WORDS)),
        (map::LEASES, array(LEASE_WORDS, layout::MAX_MAPPINGS)),
        (map::MAPPINGS, array(MAPPING_WORDS, layout::MAX_MAPPINGS)),
        (map::SEARCHED, array(1, layout::MAX_BUCKETS)),
        (map::STAGES, (PROGRAM_ARRAY, 4, 4, Stage::COUNT as u32)),
        (map::BUDGETS, counters(layout::BUDGET_WORDS, event::BUDGETS as u32)),
        (map::BACKENDS, counters(layout::BACKEND_TALLY_WORDS, layout::MAX_BACKENDS)),
    ])
}

fn object() -> Object {
    let bytes = datapath::object();
    assert!(!bytes.is_empty(), "the eBPF program was not built\nhint: run `cargo xtask setup`, then build again");
    Object::parse(bytes).expect("the object is one that aya reads")
}

#[test]
fn every_map_has_the_name_and_the_size_that_the_layout_says() {
    let shape = |map: &Map| (map.map_type(), map.key_size() as usize, map.value_size() as usize, map.max_entries());
    let object = object();
    let mut built: BTreeMap<_, _> =
        object.maps.iter().map(|(name, map)| (name.trim_start_matches(".bss."), shape(map))).collect();
    // aya-log's own.
    built.retain(|name, _| !name.starts_with("AYA_LOG") && *name != ".rodata");
    assert_eq!(built, wanted());
}

#[test]
fn the_list_of_maps_is_whole() {
    let names: Vec<_> = wanted().into_keys().collect();
    let mut all = [map::TABLES, map::MAPS].concat();
    all.sort_unstable();
    assert_eq!(names, all);
}

#[test]
fn every_program_is_there_under_its_name() {
    let object = object();
    let mut names: Vec<_> = object.programs.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut all = layout::program::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(names, all);
}

#[test]
fn every_key_and_value_is_made_of_whole_words() {
    for (name, (kind, key, value, _)) in wanted() {
        assert!(value % 8 == 0 || matches!(kind, ARRAY_OF_MAPS | PROGRAM_ARRAY), "{name}");
        assert!(!matches!(kind, HASH | LRU_HASH) || key % 8 == 0, "{name}");
    }
}
