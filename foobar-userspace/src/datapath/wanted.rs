//! Neighbours that packets wanted, and whom the kernel does not know.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::Ordering,
};

use anyhow::Result;
use foobar_common::layout::{MAX_WANTED, WANTED_V6, WANTED_WORDS, map};

use super::{Datapath, mapped::Mapped, pins::Pins};

/// The memory of the table, which packets write.
pub struct Wanted(Mapped);

impl Wanted {
    pub fn open(pins: &Pins) -> Result<Self> {
        Mapped::pinned(pins, map::WANTED, MAX_WANTED * WANTED_WORDS).map(Self)
    }
}

impl Datapath {
    /// Neighbours by interface, since this was asked last.
    pub fn take_wanted(&self) -> Vec<(u32, IpAddr)> {
        let places = self.wanted.0.words().as_chunks::<WANTED_WORDS>().0;
        let wanted = places.iter().filter_map(|[interface, first, second]| {
            if interface.load(Ordering::Relaxed) == 0 {
                return None;
            }
            let interface = interface.swap(0, Ordering::AcqRel);
            let [first, second] = [first, second].map(|word| word.load(Ordering::Relaxed));
            (interface != 0).then(|| (interface as u32, address(interface & WANTED_V6 != 0, first, second)))
        });
        wanted.collect()
    }
}

fn address(is_v6: bool, first: u64, second: u64) -> IpAddr {
    if is_v6 {
        let bits = u128::from(u64::from_be(first)) << 64 | u128::from(u64::from_be(second));
        return Ipv6Addr::from_bits(bits).into();
    }
    Ipv4Addr::from_bits(u32::from_be(first as u32)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_stands_on_the_wire() {
        let v4 = u64::from(u32::from_ne_bytes([10, 0, 0, 1]));
        assert_eq!(address(false, v4, 0).to_string(), "10.0.0.1");
        let first = u64::from_ne_bytes([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]);
        let second = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(address(true, first, second).to_string(), "2001:db8::7");
    }
}
