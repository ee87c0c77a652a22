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
