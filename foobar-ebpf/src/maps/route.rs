//! The kernel's own routes and neighbours, for packets whose way is not in a table (`bpf_fib_lookup`, Linux 4.18).

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_F_MMAPABLE, BPF_FIB_LKUP_RET_NO_NEIGH},
    helpers::generated::bpf_fib_lookup,
    macros::map,
    maps::{Array, PerCpuArray},
    programs::XdpContext,
};
use foobar_common::{
    Address,
    layout::{MAX_WANTED, ROUTE_WORDS, WANTED_V6, WANTED_WORDS},
    next_hop::NextHop,
    target::client_index,
};

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;

/// The kernel's `struct bpf_fib_lookup` in words, of each CPU: on the stack there is little room.
///
/// | word | |
/// |---|---|
/// | 0 | 0–7 family: of the next hop, where it is another one than the packet's |
/// | 1 | 0–31 interface |
/// | 2, 3 | source, in network order |
/// | 4, 5 | destination |
/// | 6 | 32–63 the first four bytes of the interface's own MAC |
/// | 7 | 0–15 its last two, 16–63 the next hop's MAC |
#[map]
static ROUTE: PerCpuArray<[u64; ROUTE_WORDS]> = PerCpuArray::with_max_entries(1, 0);

/// Neighbours whose MAC the kernel does not know. It asks when it sends something itself, or on userspace's word.
#[map]
static WANTED: Array<[u64; WANTED_WORDS]> = Array::with_max_entries(MAX_WANTED as u32, BPF_F_MMAPABLE);

/// The way to a destination, where a packet from `source` is forwarded; unresolved where nobody's MAC is known there yet.
#[inline(always)]
pub fn find<A: Address>(context: &XdpContext, source: A, destination: A) -> Option<NextHop> {
    let place = ROUTE.get_ptr_mut(0)?;
    // SAFETY: this CPU's own element, and nothing else runs on this CPU meanwhile.
    let question = unsafe { &mut *place };
    question[0] = if A::V6 { AF_INET6 } else { AF_INET };
    question[1] = context.ingress_ifindex() as u64;
    [question[2], question[3]] = wire(source);
    [question[4], question[5]] = wire(destination);
    [question[6], question[7]] = [0, 0];
    let len = (ROUTE_WORDS * 8) as u32;
    // SAFETY: the context is this very program's, and the words are the structure that the helper takes.
    let done = unsafe { bpf_fib_lookup(context.as_ptr(), place.cast(), len.cast_signed(), 0) };
    if done != 0 && done != i64::from(BPF_FIB_LKUP_RET_NO_NEIGH) {
        return None;
    }
    let (interface, own, next) = (question[1], question[6], question[7]);
    let (own, next) = (own >> 32 | (next & 0xffff) << 32, next >> 16);
    // The first kernels of 6.1 say nothing of a neighbour that is being asked for, and leave its MAC as it was.
    if done != 0 || next == 0 {
        want(question[0] & 0xff == AF_INET6, interface, [question[4], question[5]]);
        return Some(NextHop::UNRESOLVED);
    }
    Some(NextHop::from_raw([next | own << 48, own >> 16 | interface << 32]))
}

/// Has userspace see to it that the kernel asks for a neighbour, the last one of those that share a place.
#[inline(always)]
fn want(is_v6: bool, interface: u64, address: [u64; 2]) {
    let index = client_index(address) & (MAX_WANTED as u32 - 1);
    let Some(place) = WANTED.get_ptr_mut(index) else { return };
    let (family, low) = if is_v6 { (WANTED_V6, address[1]) } else { (0, 0) };
    for (word, value) in [(1, address[0]), (2, low), (0, u64::from(interface as u32) | family)] {
        // SAFETY: an element has three words; userspace takes them one by one, and a wrong pair is nobody's neighbour.
        unsafe { place.cast::<u64>().add(word).write_volatile(value) };
    }
}

/// An address as it stands in memory on the wire.
#[inline(always)]
fn wire<A: Address>(address: A) -> [u64; 2] {
    let [high, low] = address.words();
    if A::V6 { [high.to_be(), low.to_be()] } else { [u64::from((low as u32).to_be()), 0] }
}
