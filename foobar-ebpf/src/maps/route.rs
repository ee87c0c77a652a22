//! The kernel's own routes and neighbours, for packets whose way is not in a table (`bpf_fib_lookup`, Linux 4.18).

use aya_ebpf::{
    EbpfContext as _, helpers::generated::bpf_fib_lookup, macros::map, maps::PerCpuArray, programs::XdpContext,
};
use foobar_common::{Address, layout::ROUTE_WORDS, next_hop::NextHop};

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;

/// The kernel's `struct bpf_fib_lookup` in words, of each CPU: on the stack there is little room.
///
/// | word | |
/// |---|---|
/// | 0 | family |
/// | 1 | 0–31 interface |
/// | 2, 3 | source, in network order |
/// | 4, 5 | destination |
/// | 6 | 32–63 the first four bytes of the interface's own MAC |
/// | 7 | 0–15 its last two, 16–63 the next hop's MAC |
#[map]
static ROUTE: PerCpuArray<[u64; ROUTE_WORDS]> = PerCpuArray::with_max_entries(1, 0);

/// The way to a destination, where a packet from `source` is forwarded to somebody whose MAC is known.
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
    if done != 0 {
        return None;
    }
    let (interface, own, next) = (question[1], question[6], question[7]);
    let (own, next) = (own >> 32 | (next & 0xffff) << 32, next >> 16);
    Some(NextHop::from_raw([next | own << 48, own >> 16 | interface << 32]))
}

/// An address as it stands in memory on the wire.
#[inline(always)]
fn wire<A: Address>(address: A) -> [u64; 2] {
    let [high, low] = address.words();
    if A::V6 { [high.to_be(), low.to_be()] } else { [u64::from((low as u32).to_be()), 0] }
}
