//! Whose a port of the pool is: places and names of flows, and what answers need.

use super::lease::Lease;
use crate::{
    address::Address,
    hash::{fold, keyed},
    next_hop::NextHop,
};

/// Ports of an address that there is a place for: those below the ones that Linux gives its own connections
/// (`net.ipv4.ip_local_port_range`).
pub const PLACES: usize = 32_768;
/// The first port that is given.
pub const FIRST_PORT: usize = 1024;
/// Ports that an address gives.
pub const PORTS: usize = PLACES - FIRST_PORT;
/// Words of a mapping, five of which are used: a cache line.
pub const MAPPING_WORDS: usize = 8;
/// Words of all tags of an address: 16 bits a port.
pub const TAG_WORDS: usize = PLACES / 4;

/// The flow of a client to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// As [`Address::words`] has them.
    pub client: [u64; 2],
    /// Client's port, service's port and protocol, as [`crate::flow::port_word`] has them.
    pub ports: u64,
    /// 40 bits by which its lease is known, beside its bucket and tag: of a hash that nobody outside can reckon.
    pub name: u64,
}

impl Whose {
    /// `secret`: see [`crate::note::table::NoteTable::note_secret`].
    #[inline(always)]
    pub fn of<A: Address>(client: A, service: A, ports: u64, secret: [u64; 2]) -> Self {
        let name = fold(keyed(client, service, secret[0]) ^ ports ^ secret[1]) >> Lease::NAME;
        Self { client: client.words(), ports, name }
    }
}

/// Which backends a flow's place may have: one that its packet names, or any.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    backend: u32,
    /// Which bits of its id have to be so.
    mask: u32,
}

impl Wanted {
    pub const ANY: Self = Self::of(0, 0);

    /// `named`: all bits where it has to be this one, none where it is any.
    #[inline(always)]
    pub const fn of(backend: u32, named: u32) -> Self {
        Self { backend, mask: named }
    }

    /// The backend in the lower half, its bits in the upper.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.backend as u64 | (self.mask as u64) << 32
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { backend: word as u32, mask: (word >> 32) as u32 }
    }

    /// 0: it is this one. Without a branch: the compiler would make two searches of one.
    #[inline(always)]
    pub(super) const fn differs(self, backend: u32) -> u64 {
        ((self.backend ^ backend) & self.mask) as u64
    }
}

/// Who an answer to a port is for. It is written once for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub client: [u64; 2],
    /// As in [`Whose`].
    pub ports: u64,
    /// The way to the client.
    pub back: NextHop,
}

impl Mapping {
    #[inline(always)]
    pub const fn new(whose: &Whose, back: NextHop) -> Self {
        Self { client: whose.client, ports: whose.ports, back }
    }

    #[inline(always)]
    pub const fn client_port(&self) -> u16 {
        self.ports as u16
    }

    #[inline(always)]
    pub const fn service_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        (self.ports >> 32) as u8
    }

    /// | word | |
    /// |---|---|
    /// | 0, 1 | client |
    /// | 2 | ports |
    /// | 3, 4 | the way to the client |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; MAPPING_WORDS] {
        let ([high, low], [hop, hop_rest]) = (self.client, self.back.to_words());
        [high, low, self.ports, hop, hop_rest, 0, 0, 0]
    }

    #[inline(always)]
    pub const fn from_words([high, low, ports, hop, hop_rest, ..]: [u64; MAPPING_WORDS]) -> Self {
        Self { client: [high, low], ports, back: NextHop::from_raw([hop, hop_rest]) }
    }
}

/// The port of a place.
#[inline(always)]
pub const fn port_of(place: usize) -> u16 {
    (place % PLACES) as u16
}
