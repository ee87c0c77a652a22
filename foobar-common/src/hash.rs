//! How numbers are spread: where nearby ones have to lie far apart.

/// A bijection that spreads each bit over all (the finaliser of `SplitMix64`, Steele and others, OOPSLA 2014).
#[inline(always)]
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// A bijection that spreads each bit over the upper half: for what is mixed once more, or read from above.
#[inline(always)]
pub const fn fold(word: u64) -> u64 {
    let word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^ word >> 32
}

/// 32 bits that a seed below 2^32 makes of a key, each otherwise.
#[inline(always)]
pub const fn seeded(key: u32, seed: u64) -> u64 {
    // Keys lie close together: were the seed mixed into the same bits, many seeds would do the same.
    fold(key as u64 | seed << 32).wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 32
}
