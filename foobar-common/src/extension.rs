//! IPv6 extension headers: which numbers they are, how long, and how many are walked.

/// Extension headers that are walked before a packet is dropped. Linux itself sends at most four.
pub const MAX_EXTENSIONS: usize = 8;

pub const HOP_BY_HOP: u8 = 0;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const AUTHENTICATION: u8 = 51;
pub const DESTINATION_OPTIONS: u8 = 60;
pub const MOBILITY: u8 = 135;
pub const HIP: u8 = 139;
pub const SHIM6: u8 = 140;

/// What can stand before another header.
pub const KINDS: [u8; 8] = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY, HIP, SHIM6];

/// The bit of one of the [`KINDS`] in a mask of kinds: the last six bits of its number, which no two of them share.
#[inline(always)]
pub const fn bit(kind: u8) -> u64 {
    1 << (kind & 63)
}

/// Whether another header stands behind the one with this number (RFC 8200 §4, RFC 7045 §2).
///
/// ESP is not among them: what follows it cannot be read.
#[inline(always)]
pub const fn is_extension(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS | MOBILITY | HIP | SHIM6)
}

/// Bytes of the extension header `number` whose length field says `len`.
#[inline(always)]
pub const fn bytes(number: u8, len: u8) -> usize {
    match number {
        FRAGMENT => 8,
        // The one that counts in units of four (RFC 4302 §2.2).
        AUTHENTICATION => (len as usize + 2) * 4,
        _ => (len as usize + 1) * 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_bit_of_its_own() {
        for number in 0..=u8::MAX {
            assert_eq!(is_extension(number), KINDS.contains(&number), "{number}");
        }
        let mask = KINDS.into_iter().fold(0, |mask, kind| mask | bit(kind));
        assert_eq!(mask.count_ones() as usize, KINDS.len());
    }
}
