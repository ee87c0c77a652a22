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
    shape::{ALL, ARRAY_LINES, Extent, Key, LINE_WORDS, NODE_LINES, OVERFLOWS, PARTIAL, PROBES, Stride, state},
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
        let mut last = [None; 64];
        for prefix in contents.iter() {
            if !v6 && prefix.len > FRONT_BITS {
                nodes = NODE_LINES;
            }
            for (stride, address) in blocks_of(prefix, v6) {
                let key = stride.key(address);
                if last[stride.mark as usize] != Some(key) {
                    last[stride.mark as usize] = Some(key);
                    blocks += 1;
                }
            }
        }
        Self { nodes, buckets: if blocks == 0 { 0 } else { (blocks + 64) / 4 * (4 + spare) } }
    }

    pub fn lines(self) -> u32 {
        self.nodes + if self.buckets == 0 { 0 } else { self.buckets + PROBES }
    }

    /// Lines of a family that has some, with so many of them for blocks.
    pub fn lines_of(v6: bool, buckets: u32) -> u32 {
        Self { nodes: if v6 { 0 } else { NODE_LINES }, buckets }.lines()
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

/// Where lines are written, and IPv4's front.
pub trait Memory {
    /// A word by its index over all lines.
    fn word(&self, index: usize) -> &AtomicU64;

    /// A word of the front.
    fn front(&self, index: usize) -> &AtomicU64;
}

/// One family's lines of a set.
#[derive(Debug)]
pub struct Table<M> {
    memory: M,
    v6: bool,
    size: Size,
    /// Strides of which there are blocks, in the order in which they came.
    strides: Vec<u64>,
}

impl<M: Memory> Table<M> {
    /// Builds lines that no packet reads yet. `make` gives as many lines as it is told, and a front, all zero.
    pub fn build<E>(contents: &Contents, v6: bool, mut make: impl FnMut(u32) -> Result<M, E>) -> Result<Self, E> {
        let mut spare = 0;
        loop {
            let size = Size::of(contents, v6, spare);
            let mut table = Self { memory: make(size.lines())?, v6, size, strides: Vec::new() };
            if contents.iter().try_for_each(|prefix| table.add(prefix)).is_ok() {
                return Ok(table);
            }
            spare += 1;
        }
    }

    /// Where the lines and the front are, once they stand in a slot and a region.
    pub fn extent(&self, slot: u32, front: u32) -> Extent {
        Extent { slot, front, buckets: self.size.buckets }
    }

    /// How many lines there are.
    pub fn lines(&self) -> u32 {
        self.size.lines()
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
        if prefix.len <= FRONT_BITS {
            firsts(prefix).for_each(|first| set_state(self.memory.front(first / 32), first, ALL));
            return Ok(());
        }
        if self.size.nodes == 0 {
            return Err(Full);
        }
        let (first, part) = ((prefix.bits >> 112) as usize, if prefix.len > 24 { PARTIAL } else { ALL });
        for third in thirds(prefix) {
            raise(self.node(first, third), third, part);
        }
        raise(self.memory.front(first / 32), first, PARTIAL);
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
        if prefix.len > FRONT_BITS && self.size.nodes != 0 {
            let first = (prefix.bits >> 112) as usize;
            for third in thirds(prefix) {
                let around = Prefix::new((first as u128) << 112 | (third as u128) << 104, 24);
                set_state(self.node(first, third), third, contents.state(around, FRONT_BITS + 1..=24));
            }
        }
        for first in firsts(prefix) {
            let around = Prefix::new((first as u128) << 112, FRONT_BITS);
            set_state(self.memory.front(first / 32), first, contents.state(around, 0..=FRONT_BITS));
        }
    }

    /// The word of a node with a third byte's state.
    fn node(&self, first: usize, third: usize) -> &AtomicU64 {
        self.memory.word(first * LINE_WORDS + third / 32)
    }

    /// The word with the bits of a block, which is made if need be; `None` where there is no room.
    fn block(&self, key: Key) -> Option<usize> {
        if self.size.buckets == 0 {
            return None;
        }
        let first = self.size.nodes + self.extent(0, 0).line(key);
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
    let stride = if v6 { Some(Stride::of_len(prefix.len)) } else { (prefix.len > 24).then_some(Stride::LEAF_V4) };
    // A prefix can be shorter than its stride's front: /25 in IPv4.
    stride.into_iter().flat_map(move |stride| {
        let start = stride.start();
        let count = 1u128 << start.saturating_sub(prefix.len);
        let address = move |number| Prefix { bits: prefix.bits | number << (128 - start.max(1)), ..prefix }.halves();
        (0..count).map(move |number| (stride, address(number)))
    })
}

/// The lengths of a stride's prefixes.
fn lens(stride: Stride, v6: bool) -> RangeInclusive<u8> {
    if !v6 {
        return 25..=32;
    }
    let first = (0..=128).find(|len| Stride::of_len(*len) == stride);
    let last = (0..=128).rfind(|len| Stride::of_len(*len) == stride);
    first.unwrap_or(0)..=last.unwrap_or(128)
}

/// The bits of a prefix in each of its blocks.
fn mask_in(stride: Stride, prefix: Prefix) -> u64 {
    match prefix.len.saturating_sub(stride.start()) {
        0 => u64::MAX,
        behind => ones(64 >> behind) << stride.bit(prefix.halves()),
    }
}

/// The first two bytes that a prefix covers, or lies within.
fn firsts(prefix: Prefix) -> std::ops::Range<usize> {
    let first = (prefix.bits >> 112) as usize;
    first..first + (1 << FRONT_BITS.saturating_sub(prefix.len))
}

/// The third bytes that a prefix of more than 16 bits covers.
fn thirds(prefix: Prefix) -> std::ops::Range<usize> {
    let first = (prefix.bits >> 104) as usize & 0xff;
    first..first + (1 << (24 - prefix.len.min(24)))
}

fn set_state(word: &AtomicU64, number: usize, state: u64) {
    let shift = number % 32 * 2;
    let others = word.load(Ordering::Relaxed) & !(3 << shift);
    word.store(others | state << shift, Ordering::Release);
}

/// Sets a state that says no less than there was: what is whole stays whole, and what is in part does not become none.
fn raise(word: &AtomicU64, number: usize, part: u64) {
    if state(word.load(Ordering::Relaxed), number) != ALL {
        set_state(word, number, part);
    }
}

/// Bits of an address that the front knows.
const FRONT_BITS: u8 = 16;
