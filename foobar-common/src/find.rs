//! Is this (address, port, protocol) a service? One read of a perfect hash table, since a hash map costs 20 ns.
//!
//! Userspace looks for a seed under which no two services of a bank share a bucket.

use crate::{
    address::Address,
    flow::Flow,
    layout::SERVICE_BUCKETS,
    pick::{flow_hash, slot_index},
    tables::Tables,
};

/// What a packet is looked up by: the address in two words; port, protocol and family in the third.
///
/// | bits of the third | |
/// |---|---|
/// | 0–15 | port |
/// | 16–23 | protocol |
/// | 24 | 1: IPv6 |
pub type ServiceKey = [u64; 3];

/// A key and its service's words; all zero where there is none.
pub type Bucket = [u64; BUCKET_WORDS];
pub const BUCKET_WORDS: usize = 5;

const V6: u64 = 1 << 24;

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
}

impl ServiceEntry {
    const HTTP: u64 = 1;
    const BY_SOURCE: u64 = 1 << 1;
    const SLOTS_SHIFT: u32 = 32;

    /// | bits of the first word | | bits of the second | |
    /// |---|---|---|---|
    /// | 0–31 | ring | 0 | queries are HTTP's |
    /// | 32–63 | seed | 1 | affinity of sources |
    /// | | | 32–63 | slots |
    pub const fn to_words(self) -> [u64; 2] {
        let http = if self.http { Self::HTTP } else { 0 };
        let by_source = if self.by_source { Self::BY_SOURCE } else { 0 };
        [self.ring as u64 | (self.seed as u64) << 32, http | by_source | (self.slots as u64) << Self::SLOTS_SHIFT]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self {
            ring: words[0] as u32,
            slots: (words[1] >> Self::SLOTS_SHIFT) as u32,
            seed: (words[0] >> 32) as u32,
            by_source: words[1] & Self::BY_SOURCE != 0,
            http: words[1] & Self::HTTP != 0,
        }
    }

    /// The slot of a flow: of its source alone, where the service wants that.
    #[inline(always)]
    pub fn slot_of<A: Address>(&self, source: A, destination: A, ports: u64) -> u32 {
        let ports = if self.by_source { 0 } else { ports };
        slot_index(flow_hash(source, destination, ports, self.seed), self.slots)
    }
}

#[inline(always)]
pub fn service_key<A: Address>(address: A, port: u16, protocol: u8) -> ServiceKey {
    let [high, low] = address.words();
    [high, low, u64::from(port) | u64::from(protocol) << 16 | if A::V6 { V6 } else { 0 }]
}

/// Where a key stands in the table that was built with `seed`.
#[inline(always)]
pub const fn bucket_index(key: ServiceKey, seed: u64) -> usize {
    let [high, low, port] = key;
    let mut hash = (low ^ port.rotate_left(32) ^ seed).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 32;
    if port & V6 != 0 {
        hash = (hash ^ high).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 29;
    }
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SERVICE_BUCKETS.ilog2())) as usize
}

/// The service that this flow is for. A later fragment is for none, since its port is unknown.
#[inline(always)]
pub fn find<A: Address, T: Tables>(flow: &Flow<A>, bank: usize, tables: &T) -> Option<ServiceEntry> {
    let (_, port) = flow.ports()?;
    let key = service_key(flow.destination, port, flow.protocol);
    let [high, low, ports, first, second] = tables.service(bank, key)?;
    // Word by word: comparing arrays calls memcmp, which costs as much as all else here.
    let differs = (high ^ key[0]) | (low ^ key[1]) | (ports ^ key[2]);
    if differs == 0 { Some(ServiceEntry::from_words([first, second])) } else { None }
}
