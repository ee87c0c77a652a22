//! What rare packets ask, in functions of their own: the verifier looks at each once, whoever calls it.
//!
//! They are global functions of numbers alone (Linux 5.6): nothing that a caller knows of a number holds in here.

use foobar_common::{
    Tables as _,
    address::{V4, V6},
    admit::walk,
    decision::Decision,
    find::{Asked, answer, is_from_balancer},
    fragment::Part,
    note::{
        Sign,
        table::{Key, find, free_in, occupy, rewrite},
    },
    pick::choose,
    slot::Slot,
    snat::{self, Pool, Tags, Wanted, answered, gives_way, older, over_in, room_in},
    terms::{Candidates, settle},
};

use crate::maps::{Context, Maps};

/// The rules are asked of numbers: there is no packet.
impl Context for () {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        0
    }
}

/// [`settle`], for packets that a conditional rule matches.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn settle_apart(bank: u64, source: u32, target: u32, pair: u32) -> u64 {
    let [source, target, pair] = [source, target, pair].map(Decision::from_word);
    settle(bank as usize, Candidates { source, target, pair }, &Maps::apart()).word()
}

/// [`answer`], for packets that are for no service, where answers are rewritten.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn answer_apart(high: u64, low: u64, far_high: u64, far_low: u64, word: u64) -> u64 {
    answer(Asked { source: [high, low], destination: [far_high, far_low], word }, &Maps::apart())
}

/// [`is_from_balancer`], for what may be a tunnel.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn is_balancers_apart(high: u64, low: u64, word: u64) -> u64 {
    u64::from(is_from_balancer(Asked { source: [high, low], destination: [0, 0], word }, &Maps::apart()))
}

/// [`answered`], where services rewrite both ends.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn answered_apart(pool: u32, high: u64, low: u64, ports: u64) -> u64 {
    let found = answered(pool, [high, low], ports, &Maps::apart());
    found.map_or(0, |(place, backend)| (place as u64 + 1) | u64::from(backend) << 32)
}

/// [`find`], for flows of services that rewrite both ends.
///
/// [`find`]: snat::find
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn find_place_apart(tags: u64, name: u64, wanted: u64, pool: u64) -> u64 {
    let (tags, wanted, pool) = (Tags::from_word(tags), Wanted::from_word(wanted), Pool::from_words([pool, 0]));
    snat::find(tags, name, wanted, pool, &Maps::apart())
}

/// [`room_in`], for flows that begin.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn room_in_apart(bucket: u64) -> u64 {
    room_in(bucket as usize, &Maps::apart())
}

/// [`older`], where a service's addresses were others.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn older_apart(first: u64, second: u64, tag: u64, pool: u64, after: u32) -> u64 {
    let tags = Tags { buckets: [first as usize, second as usize], tag };
    older(tags, Pool::from_words([pool, 0]), after, &Maps::apart())
}

/// [`gives_way`], for flows that begin.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn gives_way_apart(place: u64, now: u32) -> u64 {
    u64::from(gives_way(place as usize, now, &Maps::apart()))
}

/// [`over_in`], for flows that begin where no port is free.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn over_in_apart(bucket: u64, now: u32) -> u64 {
    over_in(bucket as usize, now, &Maps::apart())
}

/// [`choose`], for flows on slots that changed lately.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn choose_apart(spread: u64, mark: u64, slot: u32, sign: u64, end: u32) -> u64 {
    let (slot, sign) = (Slot::from_word(slot), Sign::from_words(sign, end));
    choose(Key { spread, mark }, slot, sign, &Maps::apart()).word()
}

/// [`find`], for the same.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn find_note_apart(spread: u64, mark: u64) -> u64 {
    find(Key { spread, mark }, &Maps::apart())
}

/// [`occupy`], by their notes.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn occupy_note_apart(place: u64, first: u64, second: u64) -> u64 {
    u64::from(occupy(place as usize, [first, second], &Maps::apart()))
}

/// [`rewrite`], of their notes.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn rewrite_note_apart(place: u64, before: u64, first: u64, second: u64) -> u64 {
    rewrite(place as usize, before, [first, second], &Maps::apart());
    0
}

/// [`free_in`], for their notes.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn free_in_apart(line: u64) -> u64 {
    free_in(line as usize, &Maps::apart())
}

/// What a first fragment's later ones follow.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn remember_v4(source: u32, destination: u32, part: u64) -> u64 {
    let (part, maps) = (Part::from_word(part), Maps::apart());
    maps.set_first::<V4>(&part.key(V4(source), V4(destination)), part.first(maps.now()));
    0
}

#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn remember_v6(high: u64, low: u64, far_high: u64, far_low: u64, part: u64) -> u64 {
    let (part, maps) = (Part::from_word(part), Maps::apart());
    maps.set_first::<V6>(&part.key(V6([high, low]), V6([far_high, far_low])), part.first(maps.now()));
    0
}

/// What later fragments follow.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn recall_v4(source: u32, destination: u32, part: u64) -> u64 {
    let (part, maps) = (Part::from_word(part), Maps::apart());
    maps.first::<V4>(&part.key(V4(source), V4(destination))).map_or(0, |first| part.heeds(first, maps.now()))
}

#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn recall_v6(high: u64, low: u64, far_high: u64, far_low: u64, part: u64) -> u64 {
    let (part, maps) = (Part::from_word(part), Maps::apart());
    let first = maps.first::<V6>(&part.key(V6([high, low]), V6([far_high, far_low])));
    first.map_or(0, |first| part.heeds(first, maps.now()))
}

/// [`walk`], for what this host sends.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn walk_v4(root: u64, address: u32) -> u32 {
    walk(V4(address), root as usize, &Maps::apart())
}

#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn walk_v6(root: u64, high: u64, low: u64) -> u32 {
    walk(V6([high, low]), root as usize, &Maps::apart())
}
