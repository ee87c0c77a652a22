//! Which addresses of this host a service's packets come from.

/// Addresses that packets can come from.
pub const MAX_POOL: usize = 16;

/// Addresses that a service's packets come from, as places of the table of them: a word, so that a change of them is seen
/// whole.
///
/// | bits | |
/// |---|---|
/// | 0–31 | places, four bits each |
/// | 32–35 | how many |
/// | 48–63 | a bit for each place at which older flows of the service may be |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool(u64);

impl Pool {
    /// Addresses that a service has at most.
    pub const MAX: usize = 8;

    const COUNT_SHIFT: u32 = 32;
    const OLDER_SHIFT: u32 = 48;

    /// At most [`Pool::MAX`]; the others are left out. `older`: places that flows may have from when the addresses were
    /// others.
    pub fn new(places: &[u8], older: &[u8]) -> Self {
        let places = &places[..places.len().min(Self::MAX)];
        let word = places.iter().enumerate().fold(0, |word, (at, place)| word | u64::from(place & 15) << (4 * at));
        let older = older.iter().fold(0, |bits, place| bits | 1 << (place & 15));
        Self(word | (places.len() as u64) << Self::COUNT_SHIFT | older << Self::OLDER_SHIFT)
    }

    /// In the words of a target's source.
    pub const fn to_words(self) -> [u64; 2] {
        [self.0, 0]
    }

    #[inline(always)]
    pub const fn from_words([word, _]: [u64; 2]) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub const fn count(self) -> u32 {
        (self.0 >> Self::COUNT_SHIFT) as u32 & 15
    }

    #[inline(always)]
    pub const fn place(self, index: u32) -> usize {
        (self.0 >> (4 * (index & 7))) as usize & (MAX_POOL - 1)
    }

    /// Whether older flows may be anywhere.
    #[inline(always)]
    pub const fn has_older(self) -> bool {
        self.0 >> Self::OLDER_SHIFT != 0
    }

    /// Whether older flows may be at a place.
    #[inline(always)]
    pub const fn had(self, place: usize) -> bool {
        self.0 >> Self::OLDER_SHIFT >> place & 1 != 0
    }
}

const _: () = assert!(MAX_POOL == 16 && Pool::MAX * 4 <= Pool::COUNT_SHIFT as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let pool = Pool::from_words(Pool::new(&[15, 0, 7], &[3, 15]).to_words());
        assert_eq!((pool.count(), [0, 1, 2].map(|index| pool.place(index))), (3, [15, 0, 7]));
        assert_eq!((0..MAX_POOL).filter(|place| pool.had(*place)).collect::<Vec<_>>(), [3, 15]);
        assert!(pool.has_older() && !Pool::new(&[15], &[]).has_older());
        assert_eq!(Pool::new(&[1; 9], &[]).count(), 8, "there is room for no more");
    }
}
