//! How numbers are spread: where nearby ones have to lie far apart.

use crate::address::Address;

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

/// What a pair of addresses comes to under a secret: to be mixed once more, with the ports and more of the secret. Of two
/// pairs nobody can say what they differ in then, and so not which ports make up for it.
#[inline(always)]
pub fn keyed<A: Address>(source: A, destination: A, secret: u64) -> u64 {
    if A::V6 {
        let ([high, low], [far_high, far_low]) = (source.words(), destination.words());
        mix(mix(mix(high ^ secret) ^ low) ^ far_high.rotate_left(23) ^ far_low.rotate_left(32))
    } else {
        let [both, _] = A::hash_words(source, destination);
        fold(both ^ secret)
    }
}

/// 32 bits that a seed below 2^32 makes of a key, each otherwise.
#[inline(always)]
pub const fn seeded(key: u32, seed: u64) -> u64 {
    // Keys lie close together: were the seed mixed into the same bits, many seeds would do the same.
    fold(key as u64 | seed << 32).wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 32
}
