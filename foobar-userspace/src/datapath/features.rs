//! What a network device does to frames before a program sees them, by the names that `ethtool` has for its features.
//!
//! Asked live, each time: drivers and operators change features whenever they like.
#![expect(unsafe_code, reason = "no crate sets a device's features")]

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use rustix::{
    io::{self, Errno},
    ioctl::{Updater, ioctl},
    net::{AddressFamily, SocketType, socket},
};

/// `SIOCETHTOOL`, of `linux/sockios.h`; the others are of `linux/ethtool.h`.
const ETHTOOL: u32 = 0x8946;
const GET_STRINGS: u32 = 0x1b;
const GET_SET_INFO: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
/// The set of strings that names features.
const FEATURE_NAMES: u32 = 4;
/// Words of a name.
const NAME_WORDS: usize = 8;
/// Bytes of an interface's name, with the zero behind it.
const INTERFACE_BYTES: usize = 16;
/// Words that the kernel says of 32 features: which can be changed, are asked for, are on, never change.
const BLOCK_WORDS: usize = 4;
const ON: usize = 2;

/// A feature of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Segments of a connection are merged into one packet.
    Gro,
    Lro,
    GroHw,
    /// The tag of a VLAN is taken off, and stands beside the frame.
    VlanTags,
    ServiceTags,
}

impl Feature {
    /// Those that make packets larger than any that came in.
    pub const MERGING: [Self; 3] = [Self::Gro, Self::Lro, Self::GroHw];
    /// Those that hide tags.
    pub const STRIPPING: [Self; 2] = [Self::VlanTags, Self::ServiceTags];

    /// The kernel's name for it.
    fn kernel_name(self) -> &'static str {
        match self {
            Self::Gro => "rx-gro",
            Self::Lro => "rx-lro",
            Self::GroHw => "rx-gro-hw",
            Self::VlanTags => "rx-vlan-hw-parse",
            Self::ServiceTags => "rx-vlan-stag-hw-parse",
        }
    }

    /// What `ethtool -K` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gro => "gro",
            Self::Lro => "lro",
            Self::GroHw => "rx-gro-hw",
            Self::VlanTags => "rxvlan",
            Self::ServiceTags => "rx-vlan-stag-hw-parse",
        }
    }

    /// What `ethtool -k` shows it as.
    pub fn long_name(self) -> &'static str {
        match self {
            Self::Gro => "generic-receive-offload",
            Self::Lro => "large-receive-offload",
            Self::GroHw => "rx-gro-hw",
            Self::VlanTags => "rx-vlan-offload",
            Self::ServiceTags => "rx-vlan-stag-hw-parse",
        }
    }
}

/// Those of `features` that are on at an interface of this thread's network namespace. A device without features has none
/// on.
pub fn on(interface: &str, features: &[Feature]) -> Result<Vec<Feature>> {
    let asking = || format!("asking for the features of {interface}");
    let device = Device::of(interface).with_context(asking)?;
    let Some(places) = device.names().with_context(asking)? else { return Ok(Vec::new()) };
    let blocks = device.blocks(places.len()).with_context(asking)?;
    let is_on = |feature: &Feature| {
        let place = places.iter().position(|name| name == feature.kernel_name());
        place.is_some_and(|place| blocks[place / 32][ON] >> (place % 32) & 1 != 0)
    };
    Ok(features.iter().copied().filter(is_on).collect())
}

/// Turns a feature on or off, as `wanted` says, and looks whether it is.
pub fn set(interface: &str, feature: Feature, wanted: Switch) -> Result<()> {
    let (name, word) = (feature.name(), wanted.word());
    let setting = || format!("turning {name} of {interface} {word}");
    let device = Device::of(interface).with_context(setting)?;
    let places = device.names().with_context(setting)?.unwrap_or_default();
    let Some(place) = places.iter().position(|name| name == feature.kernel_name()) else {
        bail!("{interface} has no feature {name}")
    };
    device.write(places.len(), place, wanted).with_context(setting)?;
    let is_on = on(interface, &[feature])?.contains(&feature);
    if is_on != (wanted == Switch::On) {
        bail!("the driver of {interface} does not turn {name} {word}");
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// The kernel's `ifreq`, with a pointer in it.
#[repr(C)]
struct Request {
    interface: [u8; INTERFACE_BYTES],
    words: *mut u32,
    rest: [u64; 2],
}

struct Device {
    socket: OwnedFd,
    interface: [u8; INTERFACE_BYTES],
}

impl Device {
    fn of(interface: &str) -> io::Result<Self> {
        let mut bytes = [0; INTERFACE_BYTES];
        let name = interface.as_bytes();
        bytes[..INTERFACE_BYTES - 1].get_mut(..name.len()).ok_or(Errno::NODEV)?.copy_from_slice(name);
        Ok(Self { socket: socket(AddressFamily::INET, SocketType::DGRAM, None)?, interface: bytes })
    }

    /// What the kernel makes of the words of a command.
    fn ask(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = Request { interface: self.interface, words: words.as_mut_ptr(), rest: [0; 2] };
        // SAFETY: the request is an `ifreq` in layout and size. Every caller makes as many words as its command has the
        // kernel read and write, and they are borrowed for as long as that takes.
        unsafe { ioctl(&self.socket, Updater::<ETHTOOL, Request>::new(&mut request)) }
    }

    /// Features by their place; `None` where the device has none.
    fn names(&self) -> io::Result<Option<Vec<String>>> {
        // The command, a word that is reserved, the sets that are asked for in 64 bits, and the length of the one there is.
        let mut info = [GET_SET_INFO, 0, 1 << FEATURE_NAMES, 0, 0];
        match self.ask(&mut info) {
            Err(Errno::OPNOTSUPP) => return Ok(None),
            done => done?,
        }
        let mut words = vec![0; 3 + info[4] as usize * NAME_WORDS];
        words[..3].copy_from_slice(&[GET_STRINGS, FEATURE_NAMES, info[4]]);
        self.ask(&mut words)?;
        Ok(Some(words[3..].as_chunks::<NAME_WORDS>().0.iter().map(text).collect()))
    }

    fn blocks(&self, features: usize) -> io::Result<Vec<[u32; BLOCK_WORDS]>> {
        let count = features.div_ceil(32);
        let mut words = vec![0; 2 + count * BLOCK_WORDS];
        words[..2].copy_from_slice(&[GET_FEATURES, count as u32]);
        self.ask(&mut words)?;
        Ok(words[2..].as_chunks().0.to_vec())
    }

    fn write(&self, features: usize, place: usize, wanted: Switch) -> io::Result<()> {
        let count = features.div_ceil(32);
        // Of 32 features each: which are meant, and which of them are to be on.
        let mut words = vec![0; 2 + count * 2];
        words[..2].copy_from_slice(&[SET_FEATURES, count as u32]);
        let (block, bit) = (2 + place / 32 * 2, 1 << (place % 32));
        words[block] = bit;
        words[block + 1] = if wanted == Switch::On { bit } else { 0 };
        self.ask(&mut words)
    }
}

/// A name up to the zero behind it.
fn text(words: &[u32; NAME_WORDS]) -> String {
    let bytes: Vec<_> = words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_says_what_it_does() {
        let found = on("lo", &Feature::MERGING).expect("every namespace has one");
        assert!(found.iter().all(|feature| *feature == Feature::Gro), "{found:?}");
        assert_eq!(on("lo", &Feature::STRIPPING).expect("an answer"), []);
        on("no-such-name0", &Feature::MERGING).expect_err("nobody has this name");
        on("a-name-that-is-too-long", &Feature::MERGING).expect_err("nobody can have this name");
    }
}
