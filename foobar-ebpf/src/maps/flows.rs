//! What is known of packets that came before: what was opened, and first fragments.
//!
//! Hash maps, since packets come as they like: asked where they can matter, and never on the way of all packets.

use aya_ebpf::{macros::map, maps::LruHashMap};
use foobar_common::{
    Address,
    address::{V4, V6},
    fragment::First,
    layout::{MAX_FIRSTS, MAX_HEARD, MAX_STATES},
    plane::Way,
    state::State,
};

type FlowV4 = <V4 as Address>::FlowKey;
type FlowV6 = <V6 as Address>::FlowKey;

#[map]
static STATES_V4: LruHashMap<FlowV4, u64> = LruHashMap::with_max_entries(MAX_STATES, 0);
#[map]
static STATES_V6: LruHashMap<FlowV6, u64> = LruHashMap::with_max_entries(MAX_STATES, 0);
#[map]
static HEARD_V4: LruHashMap<FlowV4, u64> = LruHashMap::with_max_entries(MAX_HEARD, 0);
#[map]
static HEARD_V6: LruHashMap<FlowV6, u64> = LruHashMap::with_max_entries(MAX_HEARD, 0);
#[map]
static FIRSTS_V4: LruHashMap<FlowV4, [u64; 2]> = LruHashMap::with_max_entries(MAX_FIRSTS, 0);
#[map]
static FIRSTS_V6: LruHashMap<FlowV6, [u64; 2]> = LruHashMap::with_max_entries(MAX_FIRSTS, 0);

/// The same key under the type that the map of its family has.
///
/// # Safety
/// `K` and `F` are the same type, which the caller knows from `A::V6`.
#[inline(always)]
unsafe fn same<K, F>(key: &K) -> &F {
    // SAFETY: as the caller promises.
    unsafe { &*core::ptr::from_ref(key).cast() }
}

#[inline(always)]
pub fn state<A: Address>(way: Way, key: &A::FlowKey) -> Option<State> {
    let place = state_of::<A>(way, key)?;
    // SAFETY: an element's word is there while the program holds RCU's read lock; writers store it whole.
    Some(State::from_word(unsafe { place.read_volatile() }))
}

#[inline(always)]
pub fn set_state<A: Address>(way: Way, key: &A::FlowKey, state: State) {
    if let Some(place) = state_of::<A>(way, key) {
        // SAFETY: as for `state`; should it be another's by now, that is fresh for a little longer.
        unsafe { place.write_volatile(state.word()) };
        return;
    }
    let (v4, v6) = opened(way);
    // Where the kernel finds no room, the answer is dropped.
    // SAFETY: `A::V6` tells which key this is.
    let _ = unsafe {
        if A::V6 {
            v6.insert(same::<_, FlowV6>(key), state.word(), 0)
        } else {
            v4.insert(same::<_, FlowV4>(key), state.word(), 0)
        }
    };
}

#[inline(always)]
pub fn first<A: Address>(key: &A::FlowKey) -> Option<First> {
    // SAFETY: `A::V6` tells which key this is; an element is copied while the program holds RCU's read lock.
    let words =
        unsafe { if A::V6 { FIRSTS_V6.get(same::<_, FlowV6>(key)) } else { FIRSTS_V4.get(same::<_, FlowV4>(key)) } };
    words.map(|words| First::from_words(*words))
}

#[inline(always)]
pub fn set_first<A: Address>(key: &A::FlowKey, first: First) {
    let words = first.to_words();
    // Where the kernel finds no room, the later fragments are dropped.
    // SAFETY: `A::V6` tells which key this is.
    let _ = unsafe {
        if A::V6 {
            FIRSTS_V6.insert(same::<_, FlowV6>(key), words, 0)
        } else {
            FIRSTS_V4.insert(same::<_, FlowV4>(key), words, 0)
        }
    };
}

/// Where the word of a state is.
#[inline(always)]
fn state_of<A: Address>(way: Way, key: &A::FlowKey) -> Option<*mut u64> {
    let (v4, v6) = opened(way);
    // SAFETY: `A::V6` tells which key this is.
    unsafe { if A::V6 { v6.get_ptr_mut(same::<_, FlowV6>(key)) } else { v4.get_ptr_mut(same::<_, FlowV4>(key)) } }
}

/// What was opened, by the way of the answer.
#[inline(always)]
fn opened(way: Way) -> (&'static LruHashMap<FlowV4, u64>, &'static LruHashMap<FlowV6, u64>) {
    match way {
        Way::In => (&STATES_V4, &STATES_V6),
        Way::Out => (&HEARD_V4, &HEARD_V6),
    }
}
