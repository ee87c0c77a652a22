//! A trie's entry that leads on: the node below, and the byte of the address that it branches on.

/// | bits | |
/// |---|---|
/// | 5–31 | the node's index |
/// | 4 | 1: the byte is in the address's lower half |
/// | 1–3 | bytes behind it in its half |
/// | 0 | 1 (in a decision: 0) |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child(u32);

impl Child {
    const MARK: u32 = 1;
    const LOWER: u32 = 1 << 4;
    const NODE_SHIFT: u32 = 5;
    /// Nodes, at most.
    pub const MAX_NODES: usize = 1 << (32 - Self::NODE_SHIFT);

    /// `node < MAX_NODES`, `byte < 16`, counted from the address's front.
    pub const fn new(node: usize, byte: usize) -> Self {
        let half = if byte < 8 { 0 } else { Self::LOWER };
        Self((node as u32) << Self::NODE_SHIFT | half | (7 - (byte as u32 & 7)) << 1 | Self::MARK)
    }

    /// `None` for a decision.
    #[inline(always)]
    pub const fn from_entry(entry: u32) -> Option<Self> {
        if entry & Self::MARK == 0 { None } else { Some(Self(entry)) }
    }

    pub const fn entry(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub const fn node(self) -> usize {
        (self.0 >> Self::NODE_SHIFT) as usize
    }

    /// The same branch of a trie whose nodes begin at index `first`.
    #[must_use]
    pub const fn moved(self, first: usize) -> Self {
        Self(self.0 + ((first as u32) << Self::NODE_SHIFT))
    }

    /// Which half of the address to look at.
    #[inline(always)]
    pub const fn lower(self) -> bool {
        self.0 & Self::LOWER != 0
    }

    /// By how many bits that half is shifted to have the byte at its end.
    #[inline(always)]
    pub const fn shift(self) -> u32 {
        (self.0 << 2) & 0x38
    }

    /// The byte's index in the address.
    pub const fn byte(self) -> usize {
        (if self.lower() { 15 } else { 7 }) - (self.shift() / 8) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_back_and_no_decision_is_a_child() {
        for byte in 0..16 {
            let child = Child::new(Child::MAX_NODES - 2, byte);
            assert_eq!(Child::from_entry(child.entry()), Some(child));
            assert_eq!((child.node(), child.byte(), child.lower()), (Child::MAX_NODES - 2, byte, byte >= 8));
            assert_eq!(Child::new(3, byte).moved(4), Child::new(7, byte));
        }
        assert_eq!(Child::from_entry(crate::decision::Decision::NONE.word()), None);
    }
}
