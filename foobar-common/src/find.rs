//! Is this (address, port, protocol) a service? Two reads, of a port's group and of a perfect hash, since a hash map costs
//! 20 ns.
//!
//! Ports that the same services claim, whatever their addresses, are a group, so that a range of ports is one key and not
//! thousands. Userspace looks for a seed under which no two keys of a bank share a bucket.

use crate::{
    address::Address,
    flow::Flow,
    layout::{GROUPS_IN_A_WORD, SERVICE_BUCKETS, service_entry},
    pick::{flow_hash, slot_index},
    tables::Tables,
};

/// What a packet is looked up by: the address in two words; the port's group, protocol and family in the third.
///
/// | bits of the third | |
/// |---|---|
/// | 0–15 | the group of the port, 1 or more |
/// | 16–23 | protocol |
/// | 24 | 1: IPv6 |
pub type ServiceKey = [u64; 3];

/// A key and its service's words; all zero where there is none.
pub type Bucket = [u64; BUCKET_WORDS];
pub const BUCKET_WORDS: usize = 5;

const V6: u64 = 1 << 24;

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

/// The service that this flow is for. A later fragment is for none, since its port is unknown.
#[inline(always)]
pub fn find<A: Address, T: Tables>(flow: &Flow<A>, bank: usize, tables: &T) -> Option<ServiceEntry> {
    let (_, port) = flow.ports()?;
    let group = tables.group(bank, service_entry(flow.protocol, port)?);
    let key = service_key(flow.destination, group, flow.protocol);
    let [high, low, third, first, second] = tables.service(bank, key)?;
    // Word by word: comparing arrays calls memcmp, which costs as much as all else here.
    let differs = (high ^ key[0]) | (low ^ key[1]) | (third ^ key[2]);
    if differs == 0 { Some(ServiceEntry::from_words([first, second])) } else { None }
}
