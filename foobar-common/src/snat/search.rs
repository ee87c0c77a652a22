//! The place of a flow: found by its tag, or taken where one is free.

use super::{
    lease::Lease,
    place::{FIRST_PORT, Mapping, PLACES, PORTS, TAG_WORDS, Wanted},
    pool::{MAX_POOL, Pool},
};
use crate::{hash::mix, tables::Tables};

/// Places of a bucket, and the words of their tags.
const BUCKET: usize = 16;
const BUCKET_TAGS: usize = BUCKET / LANES;
/// Tags in a word.
const LANES: usize = 4;
/// Buckets of an address, those of ports that are not given included.
pub const BUCKETS_EACH: usize = PLACES / BUCKET;
/// Those of ports that are given.
const BUCKETS: u64 = (PORTS / BUCKET) as u64;
/// A lane.
const LANE: u64 = 0xffff;
/// The lowest bit of each tag, and the highest.
const ONES: u64 = 0x0001_0001_0001_0001;
const TOPS: u64 = 0x8000_8000_8000_8000;
/// Of older places with a flow's tag, so many are looked at; a tag in 32,768 is another flow's by chance.
const OTHERS: u32 = 4;
/// Who finds no peace after so many finds no port.
const TRIES: usize = 3;

/// Where a flow's place can be: the first words of the tags of two buckets, and its tag.
#[derive(Clone, Copy, Debug)]
pub struct Tags {
    pub buckets: [usize; 2],
    pub tag: u64,
}

impl Tags {
    /// Both buckets in 24 bits each, then the tag.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        let [first, second] = self.buckets;
        first as u64 | (second as u64) << 24 | self.tag << 48
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { buckets: [word as usize & 0xff_ffff, (word >> 24) as usize & 0xff_ffff], tag: word >> 48 }
    }

    /// `hash`: of the flow, or of its source alone; `ports`: of the flow.
    #[inline(always)]
    pub const fn of(hash: u32, ports: u64, pool: Pool) -> Self {
        let mixed = mix(hash as u64 ^ ports.rotate_left(20));
        let buckets = [bucket(mixed as u32, pool), bucket((mixed >> 32) as u32, pool)];
        // Never 0, which is nobody's.
        Self { buckets, tag: mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 49 | 0x8000 }
    }
}

/// The first word of the tags of the bucket that a hash says. Which bucket of an address does not depend on how many
/// addresses there are.
#[inline(always)]
const fn bucket(hash: u32, pool: Pool) -> usize {
    let scaled = hash as u64 * BUCKETS;
    let (bucket, rest) = ((scaled >> 32) as usize, scaled as u32);
    let address = (rest as u64 * pool.count() as u64) >> 32;
    pool.place(address as u32) * TAG_WORDS + (FIRST_PORT / BUCKET + bucket) * BUCKET_TAGS
}

/// One more than the place that is the flow's with this name, with a backend that is wanted: where it would begin, or
/// where it began when the service had other addresses; 0: it has none.
#[inline(always)]
pub fn find<T: Tables>(tags: Tags, name: u64, wanted: Wanted, pool: Pool, tables: &T) -> u64 {
    let suits = |place| tables.lease(place).is_some_and(|lease| lease.suits(name, wanted));
    for bucket in tags.buckets {
        for index in 0..BUCKET_TAGS {
            let word = bucket + index;
            let lanes = tables.tags(word);
            if !may_have(lanes, tags.tag) {
                continue;
            }
            for lane in 0..LANES {
                let place = word * LANES + lane;
                if (lanes >> (16 * lane)) & LANE == tags.tag && suits(place) {
                    return place as u64 + 1;
                }
            }
        }
    }
    for nth in 0..OTHERS {
        if !pool.has_older() {
            break;
        }
        let found = tables.older(tags, pool, nth);
        if found == 0 || suits(found as usize - 1) {
            return found;
        }
    }
    0
}

/// Whether one of the tags in a word may be this one: it is 0 in what differs (Mycroft's test; lanes above the first
/// may be taken for it).
#[inline(always)]
const fn may_have(lanes: u64, tag: u64) -> bool {
    let differs = lanes ^ (tag * ONES);
    differs.wrapping_sub(ONES) & !differs & TOPS != 0
}

/// One more than the place with a flow's tag that comes after so many others, among those of addresses that its service
/// had; 0: there is none. A flow has the same buckets of each address.
///
/// What counts is counted without a branch: verifiers of Linux 6.1 refuse what the compiler makes of the other loop.
#[inline(always)]
pub fn older<T: Tables>(tags: Tags, pool: Pool, after: u32, tables: &T) -> u64 {
    let mut left = u64::from(after) + 1;
    for address in 0..MAX_POOL {
        if !pool.had(address) {
            continue;
        }
        for bucket in tags.buckets {
            for index in 0..BUCKET_TAGS {
                let word = address * TAG_WORDS + bucket % TAG_WORDS + index;
                let lanes = tables.tags(word);
                for lane in 0..LANES {
                    let hit = one_if_zero(lanes >> (16 * lane) & LANE ^ tags.tag);
                    left -= hit;
                    if hit & one_if_zero(left) != 0 {
                        return (word * LANES + lane + 1) as u64;
                    }
                }
            }
        }
    }
    0
}

/// Of a number below 2^63.
#[inline(always)]
const fn one_if_zero(number: u64) -> u64 {
    number.wrapping_sub(1) >> 63
}

/// Takes a place: a free one of the bucket that has more of them, or one that is over.
#[inline(always)]
pub fn take<T: Tables>(tags: &Tags, lease: Lease, mapping: Mapping, tables: &T) -> Option<usize> {
    let [first, second] = tags.buckets;
    for _ in 0..TRIES {
        let room = tables.room_in(first).max(tables.room_in(second));
        let (found, before) = if room == 0 {
            let now = lease.seen;
            let over = tables.over_in(first, now);
            let over = if over == 0 { tables.over_in(second, now) } else { over };
            (over, over >> 32)
        } else {
            (room, 0)
        };
        let place = (found & PLACE).checked_sub(1)? as usize;
        if claim(place, before, tags.tag, tables) {
            tables.set_mapping(place, mapping);
            tables.set_lease(place, lease);
            return Some(place);
        }
    }
    None
}

/// The part of [`room_in`] and [`over_in`] that is one more than a place.
const PLACE: u64 = 0xffff_ffff;

/// How many places of a bucket are free, in the upper half, and one more than one of them; 0: none is.
#[inline(always)]
pub fn room_in<T: Tables>(bucket: usize, tables: &T) -> u64 {
    let (mut free, mut last) = (0, 0);
    for index in 0..BUCKET_TAGS {
        let word = bucket + index;
        let lanes = tables.tags(word);
        for lane in 0..LANES {
            // Tags have their highest bit.
            let is_free = (lanes >> (16 * lane + 15) & 1) ^ 1;
            free += is_free;
            last = ((word * LANES + lane + 1) as u64 * is_free).max(last);
        }
    }
    free << 32 | last
}

/// One more than a place of a bucket whose flow is over, or whose client is not known to hear its backend, and in the
/// upper half its tag; 0: there is none.
///
/// Time alone makes one so, by the second: in each a bucket is looked through in vain once, whatever a flood asks for.
#[inline(always)]
pub fn over_in<T: Tables>(bucket: usize, now: u32, tables: &T) -> u64 {
    if tables.searched(bucket / BUCKET_TAGS) == now {
        return 0;
    }
    for index in 0..BUCKET {
        let place = bucket * LANES + index;
        // Before the flow is read: who takes the place meanwhile changes it.
        let tag = tables.tags(place / LANES) >> shift_of(place) & LANE;
        if tables.gives_way(place, now) {
            return tag << 32 | (place as u64 + 1);
        }
    }
    tables.set_searched(bucket / BUCKET_TAGS, now);
    0
}

/// Whether a place is free for others where they find none.
#[inline(always)]
pub fn gives_way<T: Tables>(place: usize, now: u32, tables: &T) -> bool {
    // One that has just been claimed is written next.
    tables.lease(place).is_some_and(|lease| lease.is_taken() && lease.is_over(now, u32::MAX, true))
}

/// Writes a tag into its lane; false where another packet was faster: the lane has another tag than `before`.
#[inline(always)]
fn claim<T: Tables>(place: usize, before: u64, tag: u64, tables: &T) -> bool {
    let (word, shift) = (place / LANES, shift_of(place));
    let lanes = tables.tags(word);
    lanes >> shift & LANE == before && tables.swap_tags(word, lanes, lanes & !(LANE << shift) | tag << shift)
}

/// The lowest bit of a place's lane in its word.
#[inline(always)]
const fn shift_of(place: usize) -> usize {
    16 * (place % LANES)
}

const _: () = assert!(PORTS.is_multiple_of(BUCKET) && PLACES == LANES * TAG_WORDS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        image::HostTables,
        snat::{Said, Whose},
    };

    const PLACE_OF_TEST: usize = FIRST_PORT + 5;

    #[test]
    fn who_comes_second_to_a_free_place_does_not_get_it() {
        let tables = HostTables::default();
        assert!(claim(PLACE_OF_TEST, 0, 0x8001, &tables));
        assert!(!claim(PLACE_OF_TEST, 0, 0x8002, &tables));
        assert_eq!(tables.tags(PLACE_OF_TEST / LANES), 0x8001 << shift_of(PLACE_OF_TEST));
    }

    #[test]
    fn who_comes_second_to_a_place_that_is_over_does_not_get_it() {
        let tables = HostTables::default();
        assert!(claim(PLACE_OF_TEST, 0, 0x8001, &tables));
        let whose = Whose { client: [0, 1], ports: 80, name: 1 };
        tables.set_lease(PLACE_OF_TEST, Lease::new(&whose, 1, Said::CLIENTS_DATAGRAM, 1));
        let over = over_in(FIRST_PORT / LANES, 1000, &tables);
        assert_eq!((over & PLACE, over >> 32), (PLACE_OF_TEST as u64 + 1, 0x8001));
        assert!(claim(PLACE_OF_TEST, over >> 32, 0x8002, &tables));
        assert!(!claim(PLACE_OF_TEST, over >> 32, 0x8003, &tables));
    }
}
