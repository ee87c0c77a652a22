//! Writes a set's lines, of one family, while packets read them.
//!
//! What is added is written from the leaves up, what is removed is cleared in one word: a packet sees the old membership
//! of its address or the new one. A removed block keeps its place, so that none is ever read under another's key.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    contents::{Contents, Prefix, ones},
    shape::{ALL, ARRAY_LINES, Extent, Key, LINE_WORDS, NONE, OVERFLOWS, PARTIAL, PROBES, ROOT_LINES, Stride},
};

/// There is no room for one more block or node: the set has to be built anew in more lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How many lines a set's prefixes need, with room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    nodes: u32,
    buckets: u32,
}

impl Size {
    /// `spare`: how often room was wanting before.
    pub fn of(contents: &Contents, v6: bool, spare: u32) -> Self {
        let (mut nodes, mut blocks) = (0, 0);
        let (mut node, mut last) = (None, [None; 64]);
        for prefix in contents.iter() {
            if !v6 && prefix.len > 16 && node != Some(prefix.bits >> 112) {
                node = Some(prefix.bits >> 112);
                nodes += 1;
            }
            for (stride, address) in blocks_of(prefix, v6) {
                let key = stride.key(address);
                if last[stride.mark as usize] != Some(key) {
                    last[stride.mark as usize] = Some(key);
                    blocks += 1;
                }
            }
        }
        let nodes = if v6 { 0 } else { (nodes + nodes / 8 + 64).min(65_536) };
        Self { nodes, buckets: (blocks + 64) / 4 * (4 + spare) }
    }

    pub fn lines(self, v6: bool) -> u32 {
        self.first(v6) + self.buckets + PROBES
    }

    fn first(self, v6: bool) -> u32 {
        if v6 { 0 } else { ROOT_LINES + self.nodes }
    }
}

/// Arrays for so many lines.
pub const fn arrays(lines: u32) -> u32 {
    lines.div_ceil(ARRAY_LINES)
}

/// Bytes of the arrays for so many lines.
pub const fn bytes(lines: u32) -> u64 {
    arrays(lines) as u64 * ARRAY_LINES as u64 * LINE_WORDS as u64 * 8
}

/// Where lines are written.
pub trait Memory {
    /// A word by its index over all lines.
    fn word(&self, index: usize) -> &AtomicU64;
}

/// One family's lines of a set.
#[derive(Debug)]
pub struct Table<M> {
    memory: M,
    v6: bool,
    size: Size,
    /// By the first two bytes: the line of the node, 0 where there is none yet.
    nodes: Vec<u32>,
    next_node: u32,
    /// Strides of which there are blocks, in the order in which they came.
    strides: Vec<u64>,
}

impl<M: Memory> Table<M> {
    /// Builds lines that no packet reads yet. `make` gives as many lines as it is told, all zero.
    pub fn build<E>(contents: &Contents, v6: bool, mut make: impl FnMut(u32) -> Result<M, E>) -> Result<Self, E> {
        let mut spare = 0;
        loop {
            let size = Size::of(contents, v6, spare);
            let nodes = if v6 { Vec::new() } else { vec![0; 65_536] };
            let memory = make(size.lines(v6))?;
            let mut table = Self { memory, v6, size, nodes, next_node: ROOT_LINES, strides: Vec::new() };
            if contents.iter().try_for_each(|prefix| table.add(prefix)).is_ok() {
                return Ok(table);
            }
            spare += 1;
        }
    }

    /// Where the lines are, once they stand in a slot.
    pub fn extent(&self, slot: u32) -> Extent {
        Extent { slot, first: self.size.first(self.v6), buckets: self.size.buckets }
    }

    /// The strides of IPv6 of which there are blocks, by their marks.
    pub fn strides(&self) -> &[u64] {
        &self.strides
    }

    /// The words of a set's record that list them.
    pub fn stride_words(&self) -> [u64; 2] {
        stride_words(&self.strides)
    }

    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Makes an address's bits say that the prefix is there.
    pub fn add(&mut self, prefix: Prefix) -> Result<(), Full> {
        for (stride, address) in blocks_of(prefix, self.v6) {
            let word = self.block(stride.key(address)).ok_or(Full)?;
            let bits = self.memory.word(word).load(Ordering::Relaxed) | mask_in(stride, prefix);
            self.memory.word(word).store(bits, Ordering::Release);
            if self.v6 && !self.strides.contains(&stride.mark) {
                self.strides.push(stride.mark);
            }
        }
        if self.v6 {
            return Ok(());
        }
        if prefix.len <= 16 {
            roots(prefix).for_each(|root| self.set_root(root, ALL as u32));
            return Ok(());
        }
        let (root, state) = ((prefix.bits >> 112) as usize, if prefix.len > 24 { PARTIAL } else { ALL });
        let node = self.node(root).ok_or(Full)?;
        for third in thirds(prefix) {
            if self.state(node, third) != ALL {
                self.set_state(node, third, state);
            }
        }
        if self.root(root) == NONE as u32 {
            self.set_root(root, node);
        }
        Ok(())
    }

    /// Makes the lines say what is left in `contents`, which the prefix has gone from.
    pub fn remove(&mut self, prefix: Prefix, contents: &Contents) {
        for (stride, address) in blocks_of(prefix, self.v6) {
            if let Some(word) = self.block(stride.key(address)) {
                let bits = contents.block(address, stride, lens(stride, self.v6));
                self.memory.word(word).store(bits, Ordering::Release);
            }
        }
        if self.v6 {
            return;
        }
        if prefix.len <= 16 {
            for root in roots(prefix) {
                let covered = contents.covering((root as u128) << 112, 0..=16).is_some();
                self.set_root(root, if covered { ALL as u32 } else { self.nodes[root] });
            }
            return;
        }
        let root = (prefix.bits >> 112) as usize;
        let node = self.nodes[root];
        for third in thirds(prefix).filter(|_| node != 0) {
            let around = Prefix::new(prefix.bits >> 112 << 112 | (third as u128) << 104, 24);
            let state = if contents.covering(around.bits, 17..=24).is_some() {
                ALL
            } else if contents.has_within(around) {
                PARTIAL
            } else {
                NONE
            };
            self.set_state(node, third, state);
        }
    }

    fn root(&self, root: usize) -> u32 {
        (self.memory.word(root / 2).load(Ordering::Relaxed) >> (root % 2 * 32)) as u32
    }

    fn set_root(&self, root: usize, entry: u32) {
        let shift = root % 2 * 32;
        let other = self.memory.word(root / 2).load(Ordering::Relaxed) & !(0xffff_ffff << shift);
        self.memory.word(root / 2).store(other | u64::from(entry) << shift, Ordering::Release);
    }

    /// The line of the root entry's node, which is made if need be.
    fn node(&mut self, root: usize) -> Option<u32> {
        if self.nodes[root] == 0 {
            if self.next_node == self.size.first(self.v6) {
                return None;
            }
            self.nodes[root] = self.next_node;
            self.next_node += 1;
        }
        Some(self.nodes[root])
    }

    fn state(&self, node: u32, third: usize) -> u64 {
        self.memory.word(node as usize * LINE_WORDS + third / 32).load(Ordering::Relaxed) >> (third % 32 * 2) & 3
    }

    fn set_state(&self, node: u32, third: usize, state: u64) {
        let (word, shift) = (self.memory.word(node as usize * LINE_WORDS + third / 32), third % 32 * 2);
        let others = word.load(Ordering::Relaxed) & !(3 << shift);
        word.store(others | state << shift, Ordering::Release);
    }

    /// The word with the bits of a block, which is made if need be; `None` where there is no room.
    fn block(&self, key: Key) -> Option<usize> {
        let first = self.extent(0).line(key);
        let lines = (first..first + PROBES).map(|line| line as usize * LINE_WORDS);
        for line in lines {
            for place in [line, line + 3] {
                let [high, low] = [place, place + 1].map(|word| self.memory.word(word).load(Ordering::Relaxed));
                if [high, low] == key {
                    return Some(place + 2);
                }
                if low == 0 {
                    // Its bits are zero. The word that makes the key whole is the last.
                    self.memory.word(place).store(key[0], Ordering::Release);
                    self.memory.word(place + 1).store(key[1], Ordering::Release);
                    return Some(place + 2);
                }
            }
            self.memory.word(line + OVERFLOWS).store(1, Ordering::Release);
        }
        None
    }
}

/// Strides by their marks, as a set's record lists them.
pub fn stride_words(strides: &[u64]) -> [u64; 2] {
    let mut words = [0; 2];
    for (place, mark) in strides.iter().enumerate() {
        words[place / Stride::A_WORD] |= mark << (place % Stride::A_WORD * Stride::BITS as usize);
    }
    words
}

/// The blocks in which a prefix has bits, each by its stride and an address.
fn blocks_of(prefix: Prefix, v6: bool) -> impl Iterator<Item = (Stride, [u64; 2])> {
    let stride = if v6 {
        Some(Stride::v6((u64::from(prefix.len).max(1) - 1) / Stride::WIDTH + 1))
    } else {
        (prefix.len > 24).then_some(Stride::LEAF_V4)
    };
    // A prefix can be shorter than its stride's front: /25 in IPv4.
    stride.into_iter().flat_map(move |stride| {
        let start = stride.start as u8;
        let count = 1u128 << start.saturating_sub(prefix.len);
        let address = move |number| Prefix { bits: prefix.bits | number << (128 - start.max(1)), ..prefix }.halves();
        (0..count).map(move |number| (stride, address(number)))
    })
}

/// The lengths of a stride's prefixes.
fn lens(stride: Stride, v6: bool) -> RangeInclusive<u8> {
    match (v6, stride.start as u8) {
        (false, _) => 25..=32,
        (true, 0) => 0..=6,
        (true, 122) => 127..=128,
        (true, start) => start + 1..=start + Stride::WIDTH as u8,
    }
}

/// The bits of a prefix in each of its blocks.
fn mask_in(stride: Stride, prefix: Prefix) -> u64 {
    match u64::from(prefix.len).saturating_sub(stride.start) {
        0 => u64::MAX,
        behind => ones(64 >> behind) << stride.bit(prefix.halves()),
    }
}

/// The root's entries that a prefix of 16 bits or less covers.
fn roots(prefix: Prefix) -> std::ops::Range<usize> {
    let first = (prefix.bits >> 112) as usize;
    first..first + (1 << (16 - prefix.len))
}

/// The third bytes that a prefix of more than 16 bits covers.
fn thirds(prefix: Prefix) -> std::ops::Range<usize> {
    let first = (prefix.bits >> 104) as usize & 0xff;
    first..first + (1 << (24 - prefix.len.min(24)))
}
