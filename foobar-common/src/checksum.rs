//! Checksums of RFC 1071: from scratch, and brought up to date where some words changed (RFC 1624).

use crate::header::{Be16, Be32, Ipv4, Ipv6, Start, Tcp, Wide};

/// What changed in the words that a checksum covers. Words are taken as they stand in memory, since the sum is the same in
/// every byte order.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Delta(u64);

impl Delta {
    /// A word of up to 32 bits became another. Each fits 2^30 times.
    #[inline(always)]
    pub const fn word(self, before: u32, after: u32) -> Self {
        Self(self.0 + !before as u64 + after as u64)
    }

    /// The same of a half-word, whose place within its word is even.
    #[inline(always)]
    pub const fn half(self, before: u16, after: u16) -> Self {
        Self(self.0 + (!before) as u64 + after as u64)
    }

    /// The same of eight bytes.
    #[inline(always)]
    pub const fn long(self, before: u64, after: u64) -> Self {
        self.word(before as u32, after as u32).word((before >> 32) as u32, (after >> 32) as u32)
    }

    /// The same of an IPv6 address.
    #[inline(always)]
    pub fn wide(self, before: Wide, after: Wide) -> Self {
        self.long({ before.high }.raw(), { after.high }.raw()).long({ before.low }.raw(), { after.low }.raw())
    }

    /// Both changes.
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// A checksum after the change.
    #[inline(always)]
    pub const fn adjust(self, checksum: Be16) -> Be16 {
        Be16::from_raw(!fold(self.0 + (!checksum.raw()) as u64))
    }
}

/// The sum of a number's 16-bit words, with their carries.
#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// An IPv4 header's checksum once its time to live, the upper half of its word, is one less (RFC 1141).
#[inline(always)]
pub const fn one_hop_less(checksum: Be16) -> Be16 {
    let sum = checksum.value() as u32 + 0x100;
    // 0xffff is what RFC 1624 §3 has come to 0.
    Be16::new((sum + (sum >= 0xffff) as u32) as u16)
}

/// A sum of words for the checksum of RFC 1071, which are folded at the end.
#[derive(Clone, Copy, Default)]
#[must_use]
pub struct Sum(u64);

impl Sum {
    #[inline(always)]
    pub const fn half(self, half: u16) -> Self {
        Self(self.0 + half as u64)
    }

    #[inline(always)]
    pub const fn word(self, word: Be32) -> Self {
        Self(self.0 + word.value() as u64)
    }

    #[inline(always)]
    const fn long(self, long: u64) -> Self {
        Self(self.0 + (long >> 32) + (long & 0xffff_ffff))
    }

    #[inline(always)]
    pub fn wide(self, wide: Wide) -> Self {
        self.long({ wide.high }.value()).long({ wide.low }.value())
    }

    #[inline(always)]
    pub fn start(self, start: Start) -> Self {
        self.long(u64::from_be(start.bytes))
    }

    /// Without its checksum.
    #[inline(always)]
    pub fn ipv4(self, ip: &Ipv4) -> Self {
        let counted = self.half(u16::from_be_bytes([ip.version_ihl, ip.service])).half({ ip.total_len }.value());
        let counted = counted.half({ ip.id }.value()).half({ ip.fragment }.value());
        counted.half(u16::from_be_bytes([ip.ttl, ip.protocol])).word(ip.source).word(ip.destination)
    }

    #[inline(always)]
    pub fn ipv6(self, ip: &Ipv6) -> Self {
        let counted = self.word(ip.version_class_flow).half({ ip.payload_len }.value());
        counted.half(u16::from_be_bytes([ip.next_header, ip.hop_limit])).wide(ip.source).wide(ip.destination)
    }

    /// Without its checksum.
    #[inline(always)]
    pub fn tcp(self, tcp: &Tcp) -> Self {
        let counted = self.half({ tcp.source }.value()).half({ tcp.destination }.value());
        let counted = counted.word(tcp.sequence).word(tcp.acknowledgement);
        counted.half(u16::from_be_bytes([tcp.data_offset, tcp.flags]))
    }

    #[inline(always)]
    pub const fn checksum(self) -> Be16 {
        Be16::new(!fold(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum_of(words: &[u32]) -> Be16 {
        words.iter().fold(Sum::default(), |sum, word| sum.word(Be32::new(*word))).checksum()
    }

    #[test]
    fn one_hop_less_is_as_if_the_word_had_changed() {
        for (checksum, ttl) in (0..=u16::MAX).flat_map(|checksum| [2, 3, 64, 255].map(|ttl| (checksum, ttl))) {
            let half = |ttl: u8| Be16::new(u16::from_be_bytes([ttl, 6])).raw();
            let changed = Delta::default().half(half(ttl), half(ttl - 1)).adjust(Be16::new(checksum));
            assert_eq!(one_hop_less(Be16::new(checksum)), changed, "{checksum:#x}, {ttl}");
        }
    }

    proptest! {
        #[test]
        fn a_checksum_that_is_brought_up_to_date_is_one_from_scratch(
            before in proptest::array::uniform4(any::<u32>()),
            after in proptest::array::uniform4(any::<u32>()),
            rest in 1u32..,
        ) {
            // Some word of a packet is never 0, so that its checksum is never 0xffff.
            let old = sum_of(&[&before[..], &[rest]].concat());
            let new = sum_of(&[&after[..], &[rest]].concat());
            let delta = before.iter().zip(&after).fold(Delta::default(), |delta, (before, after)| {
                delta.word(before.to_be(), after.to_be())
            });
            prop_assert_eq!(delta.adjust(old), new);
        }
    }
}
