//! Is this (address, port, protocol) a service?

use crate::{address::Address, flow::Flow, tables::Tables};

/// A service as the tables hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The ring's region.
    pub ring: u32,
    /// Mixed into each flow's hash; fixed for a service's life.
    pub seed: u32,
    /// Whether request starts of HTTP/1 are the queries; else connections are.
    pub http: bool,
}

impl ServiceEntry {
    const HTTP: u64 = 1;

    pub const fn to_words(self) -> [u64; 2] {
        [self.ring as u64 | (self.seed as u64) << 32, if self.http { Self::HTTP } else { 0 }]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self { ring: words[0] as u32, seed: (words[0] >> 32) as u32, http: words[1] & Self::HTTP != 0 }
    }
}

/// The low word of a service's key.
#[inline(always)]
pub const fn service_key_low(port: u16, protocol: u8, bank: u32) -> u32 {
    port as u32 | (protocol as u32) << 16 | bank << 24
}

/// The service that this flow is for. A later fragment is for none, since its port is unknown.
#[inline(always)]
pub fn find<A: Address, T: Tables>(flow: &Flow<A>, bank: u32, tables: &T) -> Option<ServiceEntry> {
    let (_, port) = flow.ports()?;
    tables.service::<A>(&flow.destination.service_key(service_key_low(port, flow.protocol, bank)))
}
