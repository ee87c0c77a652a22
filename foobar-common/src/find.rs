//! Is this (address, port, protocol) a service, or does it come from a backend or a balancer? Two reads, of a port's group
//! and of a perfect hash, since a hash map costs 20 ns.
//!
//! Ports that the same services claim, whatever their addresses, are a group, so that a range of ports is one key and not
//! thousands. Userspace looks for a seed under which no two keys of a bank share a bucket.

use crate::{
    address::Address,
    flow::{Flow, port_word},
    generation::Generation,
    layout::{GROUPS_IN_A_WORD, SERVICE_BUCKETS, SERVICE_DISPLACED, SERVICE_DISPLACEMENTS, service_entry},
    pick::{flow_hash, slot_index},
    quic::Scheme,
    snat::PLACES,
    tables::Tables,
    target::Mode,
};

/// What a packet is looked up by: the address in two words; the port's group, protocol and family in the third.
///
/// | bits of the third | |
/// |---|---|
/// | 0–15 | the group of the port, 1 or more |
/// | 16–23 | protocol |
/// | 24 | 1: IPv6 |
/// | 25–27 | what is asked: see [`Kind`] |
pub type ServiceKey = [u64; 3];

/// A key and its service's words; all zero where there is none.
pub type Bucket = [u64; BUCKET_WORDS];
pub const BUCKET_WORDS: usize = 5;

const V6: u64 = 1 << 24;
const KIND_SHIFT: u32 = 25;

/// What a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A service's address and port.
    Service = 0,
    /// A `nat` backend's address and the group of its port; what stands in the bucket is the backend's id.
    Backend = 1,
    /// An address that `snat` gives packets, without a port; in the bucket is its place.
    Pool = 2,
    /// A balancer whose tunnels are taken off, without a port; in the bucket is 1.
    Balancer = 3,
    /// A service's address whose echo is answered, without a port; in the bucket is 1.
    Echo = 4,
    /// A server id of a service, see [`server_key`]; in the bucket is the backend's id.
    Server = 5,
}

impl Kind {
    /// What a key is of.
    #[inline(always)]
    pub const fn of(key: &ServiceKey) -> Self {
        match key[2] >> KIND_SHIFT {
            0 => Self::Service,
            1 => Self::Backend,
            2 => Self::Pool,
            3 => Self::Balancer,
            4 => Self::Echo,
            _ => Self::Server,
        }
    }
}

/// The key of something that is not a service.
#[inline(always)]
pub fn key_of<A: Address>(kind: Kind, address: A, group: Group, protocol: u8) -> ServiceKey {
    let [high, low, third] = service_key(address, group, protocol);
    [high, low, third | (kind as u64) << KIND_SHIFT]
}

/// The key of a server id of the service that has this ring. It is as of an IPv6 address, so that all of it is hashed.
#[inline(always)]
pub const fn server_key(ring: u32, id: u64) -> ServiceKey {
    [ring as u64, id, V6 | (Kind::Server as u64) << KIND_SHIFT]
}

/// Ports of one protocol that the same claims are for; 0: none is.
pub type Group = u16;

/// The group of a port in the word that holds it and its neighbours, by the port's [`service_entry`].
#[inline(always)]
pub const fn group_in(word: u64, entry: usize) -> Group {
    (word >> (entry % GROUPS_IN_A_WORD * Group::BITS as usize)) as Group
}

/// A service as the tables hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The ring's region.
    pub ring: u32,
    /// How many slots it has; fixed for a service's life, as the next two are.
    pub slots: u32,
    /// Mixed into each flow's hash.
    pub seed: u32,
    /// Whether all flows of one source have one slot.
    pub by_source: bool,
    /// Whether request starts of HTTP/1 are the queries; else connections are.
    pub http: bool,
    pub mode: Mode,
    /// Which connection ids name a backend.
    pub scheme: Scheme,
}

impl ServiceEntry {
    const HTTP: u64 = 1;
    const BY_SOURCE: u64 = 1 << 1;
    const MODE_SHIFT: u32 = 2;
    const SCHEME_SHIFT: u32 = 4;
    const SLOTS_SHIFT: u32 = 32;

    /// | bits of the first word | | bits of the second | |
    /// |---|---|---|---|
    /// | 0–31 | ring | 0 | queries are HTTP's |
    /// | 32–63 | seed | 1 | affinity of sources |
    /// | | | 2–3 | mode |
    /// | | | 4–10 | scheme of connection ids |
    /// | | | 32–63 | slots |
    pub const fn to_words(self) -> [u64; 2] {
        let http = if self.http { Self::HTTP } else { 0 };
        let by_source = if self.by_source { Self::BY_SOURCE } else { 0 };
        let mode = (self.mode as u64) << Self::MODE_SHIFT;
        [
            self.ring as u64 | (self.seed as u64) << 32,
            http | by_source
                | mode
                | self.scheme.bits() << Self::SCHEME_SHIFT
                | (self.slots as u64) << Self::SLOTS_SHIFT,
        ]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self {
            ring: words[0] as u32,
            slots: (words[1] >> Self::SLOTS_SHIFT) as u32,
            seed: (words[0] >> 32) as u32,
            by_source: words[1] & Self::BY_SOURCE != 0,
            http: words[1] & Self::HTTP != 0,
            mode: Mode::from_bits(words[1] >> Self::MODE_SHIFT),
            scheme: Scheme::from_bits(words[1] >> Self::SCHEME_SHIFT),
        }
    }

    /// The slot of a flow: of its source alone, where the service wants that.
    pub fn slot_of<A: Address>(&self, source: A, destination: A, ports: u64) -> u32 {
        self.slot_of_hash(self.hash_of(source, destination, ports))
    }

    /// The hash of a flow: of its source alone, where the service wants that.
    #[inline(always)]
    pub fn hash_of<A: Address>(&self, source: A, destination: A, ports: u64) -> u32 {
        let ports = if self.by_source { 0 } else { ports };
        flow_hash(source, destination, ports, self.seed)
    }

    #[inline(always)]
    pub const fn slot_of_hash(&self, hash: u32) -> u32 {
        slot_index(hash, self.slots)
    }
}

#[inline(always)]
pub fn service_key<A: Address>(address: A, group: Group, protocol: u8) -> ServiceKey {
    let [high, low] = address.words();
    [high, low, u64::from(group) | u64::from(protocol) << 16 | if A::V6 { V6 } else { 0 }]
}

/// The protocol of a key.
pub const fn protocol_of(key: ServiceKey) -> u8 {
    (key[2] >> 16) as u8
}

/// The same key for another group of ports.
#[must_use]
pub const fn with_group([high, low, third]: ServiceKey, group: Group) -> ServiceKey {
    [high, low, third & !(Group::MAX as u64) | group as u64]
}

/// Where a key stands in the table that was built with `seed`.
#[inline(always)]
pub const fn bucket_index(key: ServiceKey, seed: u64) -> usize {
    let [high, low, third] = key;
    let mut hash = (low ^ third.rotate_left(32) ^ seed).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 32;
    if third & V6 != 0 {
        hash = (hash ^ high).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 29;
    }
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SERVICE_BUCKETS.ilog2())) as usize
}

/// Which displacement is for a key that is not a service's: the seed that its bucket has.
#[inline(always)]
pub const fn displacement_index(key: ServiceKey, seed: u64) -> usize {
    bucket_index(key, !seed) % SERVICE_DISPLACEMENTS
}

/// Which word of a bank of the services' table has the seed of a key that is not a service's; `None`: a service's is `seed`,
/// the table's own.
#[inline(always)]
pub const fn displaced_seed(key: ServiceKey, seed: u64) -> Option<usize> {
    match Kind::of(&key) {
        Kind::Service => None,
        _ => Some(SERVICE_DISPLACED + displacement_index(key, seed)),
    }
}

/// The service that this flow is for. A later fragment is for none, since its port is unknown.
#[inline(always)]
pub fn find<A: Address, T: Tables>(flow: &Flow<A>, bank: usize, tables: &T) -> Option<ServiceEntry> {
    let (_, port) = flow.ports()?;
    find_at(flow.destination, port, flow.protocol, bank, tables)
}

/// The service at an address and port.
#[inline(always)]
pub fn find_at<A: Address, T: Tables>(
    address: A,
    port: u16,
    protocol: u8,
    bank: usize,
    tables: &T,
) -> Option<ServiceEntry> {
    let group = tables.group(bank, service_entry(protocol, port)?);
    found(service_key(address, group, protocol), bank, tables).map(ServiceEntry::from_words)
}

/// The backend that a server id names at the service with this ring.
#[inline(always)]
pub fn find_server<T: Tables>(ring: u32, id: u64, bank: usize, tables: &T) -> Option<u32> {
    found(server_key(ring, id), bank, tables).map(|[backend, _]| backend as u32)
}

/// Whether this is a service's address whose echo is answered.
#[inline(always)]
pub fn echoes<A: Address, T: Tables>(address: A, bank: usize, tables: &T) -> bool {
    found(key_of(Kind::Echo, address, 0, 0), bank, tables).is_some()
}

/// A question of numbers alone, as functions of their own have them: who sent what to whom, and in which generation.
///
/// | bits | |
/// |---|---|
/// | 0–39 | source port, destination port and protocol, as [`port_word`] has them |
/// | 40 | 1: IPv6 |
/// | 41 | bank |
/// | 42 | some service is `nat` |
/// | 43 | some service is `snat`, or `nat` with an address for clients near its backends |
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    pub word: u64,
}

impl Asked {
    const V6: u64 = 1 << 40;
    const NAT: u64 = 1 << 42;
    const POOL: u64 = 1 << 43;

    #[inline(always)]
    pub fn of<A: Address>(flow: &Flow<A>, generation: Generation) -> Self {
        let (source, destination) = flow.ports().unwrap_or((0, 0));
        let ports = port_word(flow.protocol, source, destination);
        Self::between::<A>(flow.source.words(), flow.destination.words(), ports, generation)
    }

    /// `ports`: as [`port_word`] has them.
    #[inline(always)]
    pub fn between<A: Address>(source: [u64; 2], destination: [u64; 2], ports: u64, generation: Generation) -> Self {
        let v6 = if A::V6 { Self::V6 } else { 0 };
        let nat = if generation.has_nat() { Self::NAT } else { 0 };
        let pool = if generation.has_pool() { Self::POOL } else { 0 };
        let bank = (generation.bank() as u64) << 41;
        Self { source, destination, word: ports | v6 | bank | nat | pool }
    }

    #[inline(always)]
    const fn bank(&self) -> usize {
        (self.word >> 41) as usize & 1
    }

    /// The third word of a key, but for group and protocol.
    #[inline(always)]
    const fn key_word(&self, kind: Kind) -> u64 {
        (if self.word & Self::V6 == 0 { 0 } else { V6 }) | (kind as u64) << KIND_SHIFT
    }

    #[inline(always)]
    const fn is(&self, flag: u64) -> bool {
        self.word & flag != 0
    }
}

/// The backend that a packet for no service is an answer of, to somebody who asked one: its id in the upper half, and in the
/// lower one of an answer to `snat` one more than its place. 0: it is none.
#[inline(always)]
pub fn find_answer<A: Address, T: Tables>(flow: &Flow<A>, generation: Generation, tables: &T) -> u64 {
    if !flow.may_answer() {
        return 0;
    }
    tables.answer(Asked::of(flow, generation))
}

/// [`find_answer`], of numbers.
#[inline(always)]
pub fn answer<T: Tables>(asked: Asked, tables: &T) -> u64 {
    let Asked { source, destination, word } = asked;
    let ports = word & 0xff_ffff_ffff;
    if asked.is(Asked::POOL)
        && usize::from((ports >> 16) as u16) < PLACES
        && let Some([pool, _]) =
            found([destination[0], destination[1], asked.key_word(Kind::Pool)], asked.bank(), tables)
    {
        let place = tables.answered(pool as u32, source, ports);
        if place != 0 {
            return place;
        }
    }
    let backend = nat_backend(asked, tables);
    // To this host itself, and to who never asked, a backend speaks for itself.
    if backend == 0 || tables.way_back(destination).is_none() { 0 } else { backend << 32 }
}

/// The id of the `nat` backend that the packet comes from; 0: it comes from none.
#[inline(always)]
pub fn nat_backend<T: Tables>(asked: Asked, tables: &T) -> u64 {
    let Asked { source, word, .. } = asked;
    if !asked.is(Asked::NAT) {
        return 0;
    }
    let ports = word & 0xff_ffff_ffff;
    let protocol = (ports >> 32) as u8;
    let Some(entry) = service_entry(protocol, ports as u16) else { return 0 };
    let group = u64::from(tables.group(asked.bank(), entry));
    let third = asked.key_word(Kind::Backend) | group | u64::from(protocol) << 16;
    found([source[0], source[1], third], asked.bank(), tables).map_or(0, |[backend, _]| backend)
}

/// Whether the packet comes from a balancer whose tunnels are taken off.
#[inline(always)]
pub fn is_balancers<A: Address, T: Tables>(flow: &Flow<A>, generation: Generation, tables: &T) -> bool {
    tables.is_balancers(Asked::of(flow, generation))
}

/// [`is_balancers`], of numbers.
#[inline(always)]
pub fn is_from_balancer<T: Tables>(asked: Asked, tables: &T) -> bool {
    let [high, low] = asked.source;
    found([high, low, asked.key_word(Kind::Balancer)], asked.bank(), tables).is_some()
}

/// What stands under a key.
#[inline(always)]
fn found<T: Tables>(key: ServiceKey, bank: usize, tables: &T) -> Option<[u64; 2]> {
    let [high, low, ports, first, second] = tables.service(bank, key)?;
    // Word by word: comparing arrays calls memcmp, which costs as much as all else here.
    let differs = (high ^ key[0]) | (low ^ key[1]) | (ports ^ key[2]);
    if differs == 0 { Some([first, second]) } else { None }
}
