//! Where a backend is, for the modes that write its address into packets, and what of theirs is written back.

use crate::{
    hash::mix,
    header::{Be32, Wide},
    layout::MAX_CLIENTS,
    snat::Pool,
};

/// How a packet reaches its backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Direct server return: new Ethernet addresses, and nothing else.
    #[default]
    Dsr = 0,
    /// Inside another IP packet.
    Tunnel = 1,
    /// With the backend's address and port as its destination.
    Nat = 2,
    /// The same, and with an address and port of this host as its source.
    Snat = 3,
}

impl Mode {
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Dsr,
            1 => Self::Tunnel,
            2 => Self::Nat,
            _ => Self::Snat,
        }
    }
}

/// Words of a target: a cache line.
pub const TARGET_WORDS: usize = 8;

/// A backend as the modes know it. Addresses are as [`crate::Address::words`] has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub address: [u64; 2],
    /// What packets to the backend come from: of a tunnel this host's address, else the pool's places.
    pub source: [u64; 2],
    pub service: [u64; 2],
    /// In host byte order; 0: the packet's own.
    pub port: u16,
    /// Bytes that an IP packet to the backend may have.
    pub mtu: u16,
    pub mode: Mode,
    /// Whether the backend has an IPv6 address.
    pub v6: bool,
    /// Whether the tunnel is one of UDP (GUE).
    pub gue: bool,
    /// In host byte order; 0: the packet's own.
    pub service_port: u16,
    /// How many of an address's last bits tell the hosts of the backend's network apart, below 128; 0: it is alone there.
    pub host_bits: u8,
}

impl Target {
    const MODE_SHIFT: u32 = 32;
    const V6: u64 = 1 << 34;
    const GUE: u64 = 1 << 35;

    /// | word | | bits of word 6 | |
    /// |---|---|---|---|
    /// | 0, 1 | address | 0–15 | port |
    /// | 2, 3 | source | 16–31 | MTU |
    /// | 4, 5 | service | 32–33 | mode |
    /// | 6 | the rest | 34 | IPv6 |
    /// | 7 | host bits | 35 | GUE |
    /// | | | 48–63 | service's port |
    pub const fn to_words(self) -> [u64; TARGET_WORDS] {
        let v6 = if self.v6 { Self::V6 } else { 0 };
        let gue = if self.gue { Self::GUE } else { 0 };
        let rest = self.port as u64
            | (self.mtu as u64) << 16
            | (self.mode as u64) << Self::MODE_SHIFT
            | v6
            | gue
            | (self.service_port as u64) << 48;
        let ([high, low], [from_high, from_low]) = (self.address, self.source);
        let [service_high, service_low] = self.service;
        [high, low, from_high, from_low, service_high, service_low, rest, self.host_bits as u64]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; TARGET_WORDS]) -> Self {
        let [high, low, from_high, from_low, service_high, service_low, rest, host_bits] = words;
        Self {
            address: [high, low],
            source: [from_high, from_low],
            service: [service_high, service_low],
            port: rest as u16,
            mtu: (rest >> 16) as u16,
            mode: Mode::from_bits(rest >> Self::MODE_SHIFT),
            v6: rest & Self::V6 != 0,
            gue: rest & Self::GUE != 0,
            service_port: (rest >> 48) as u16,
            host_bits: host_bits as u8 & 127,
        }
    }

    /// Whether a `nat` client's packets get an address of this host: it would be answered past this host, and there is one.
    #[inline(always)]
    pub const fn comes_from_here(&self, client: [u64; 2]) -> bool {
        self.is_near(client) && Pool::from_words(self.source).count() > 0
    }

    /// Whether a client is the backend itself, or in its network.
    #[inline(always)]
    const fn is_near(&self, client: [u64; 2]) -> bool {
        let (high, low) = (self.address[0] ^ client[0], self.address[1] ^ client[1]);
        let bits = self.host_bits & 63;
        if self.host_bits < 64 { high | low >> bits == 0 } else { high >> bits == 0 }
    }

    /// The backend's port for a packet to this port of the service.
    #[inline(always)]
    pub const fn port_for(&self, service_port: u16) -> u16 {
        if self.port == 0 { service_port } else { self.port }
    }
}

/// Where a client's way stands, among [`MAX_CLIENTS`].
#[inline(always)]
pub const fn client_index([high, low]: [u64; 2]) -> u32 {
    mix(high.rotate_left(29) ^ low) as u32 & (MAX_CLIENTS as u32 - 1)
}

/// An address of either family as it stands in an IPv4 header.
#[inline(always)]
pub const fn wire_v4(words: [u64; 2]) -> Be32 {
    Be32::new(words[1] as u32)
}

/// The same for IPv6.
#[inline(always)]
pub const fn wire_v6(words: [u64; 2]) -> Wide {
    Wide::new(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for mode in [Mode::Dsr, Mode::Tunnel, Mode::Nat, Mode::Snat] {
            let target = Target {
                address: [1, 2],
                source: [3, 4],
                service: [5, 6],
                port: 8443,
                mtu: 1500,
                mode,
                v6: true,
                gue: mode == Mode::Tunnel,
                service_port: 443,
                host_bits: 104,
            };
            assert_eq!(Target::from_words(target.to_words()), target);
        }
        assert_eq!(Target::from_words([0; TARGET_WORDS]), Target::default());
    }

    #[test]
    fn who_is_near_shares_all_but_the_host_bits() {
        let is_near =
            |host_bits, client| Target { address: [1 << 20, 9], host_bits, ..Target::default() }.is_near(client);
        assert!(is_near(0, [1 << 20, 9]) && !is_near(0, [1 << 20, 8]) && !is_near(0, [0, 9]));
        assert!(is_near(8, [1 << 20, 255]) && !is_near(8, [1 << 20, 256]) && !is_near(8, [0, 9]));
        assert!(is_near(63, [1 << 20, u64::MAX >> 1]) && !is_near(63, [1 << 20, u64::MAX]));
        assert!(is_near(64, [1 << 20, u64::MAX]) && !is_near(64, [1 << 20 | 1, 9]));
        assert!(is_near(84, [0xf_ffff | 1 << 20, 0]) && !is_near(84, [0, 9]));
    }
}
