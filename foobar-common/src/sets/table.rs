//! Writes a set's lines, of one family, while packets read them.
//!
//! What is added is written from the leaves up, what is removed is cleared in one word: a packet sees the old membership
//! of its address or the new one. A removed block keeps its place, so that none is ever read under another's key.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    contents::{Contents, Prefix, ones},
    shape::{
        ALL, ARRAY_LINES, Extent, Key, LINE_WORDS, Leaf, NODE_LINES, OVERFLOWS, PARTIAL, PROBES, SPREAD, Stride, state,
    },
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
        let (mut nodes, mut parts) = (0, 0);
        let mut last = [None; 64];
        for prefix in contents.iter() {
            if !v6 && prefix.len > FRONT_BITS {
                nodes = NODE_LINES;
            }
            if let Some((mark, front)) = part_of(prefix, v6)
                && last[mark] != Some(front)
            {
                last[mark] = Some(front);
                parts += 1;
            }
        }
        // Three in five words of leaves are used, or two in seven places of blocks, so that few searches go further.
        let lines: u32 = if v6 { parts / 4 * 7 } else { (parts * 5).div_ceil(3 * LINE_WORDS as u32) };
        Self { nodes, buckets: if parts == 0 { 0 } else { (lines + 64) / 16 * (16 + spare) } }
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
        if self.v6 { self.add_v6(prefix) } else { self.add_v4(prefix) }
    }

    /// Makes the lines say what is left in `contents`, which the prefix has gone from.
    pub fn remove(&mut self, prefix: Prefix, contents: &Contents) {
        if self.v6 { self.remove_v6(prefix, contents) } else { self.remove_v4(prefix, contents) }
    }

    fn add_v6(&mut self, prefix: Prefix) -> Result<(), Full> {
        let stride = Stride::of_len(prefix.len);
        let word = self.block(stride.key(prefix.halves())).ok_or(Full)?;
        let bits = mask_in(prefix, (stride.start(), Stride::WIDTH as u8));
        self.memory.word(word).fetch_or(bits, Ordering::Release);
        if !self.strides.contains(&stride.mark) {
            self.strides.push(stride.mark);
        }
        Ok(())
    }

    fn remove_v6(&mut self, prefix: Prefix, contents: &Contents) {
        let stride = Stride::of_len(prefix.len);
        let [high, low] = stride.front(prefix.halves());
        if let Some(word) = self.block(stride.key(prefix.halves())) {
            let lens = (0..=128).filter(|len| Stride::of_len(*len) == stride);
            let (first, last) = lens.fold((128, 0), |(first, last), len| (len.min(first), len.max(last)));
            let front = u128::from(high) << 64 | u128::from(low);
            let bits = contents.bits(front, (stride.start(), Stride::WIDTH as u8), first..=last);
            self.memory.word(word).store(bits, Ordering::Release);
        }
    }

    fn add_v4(&mut self, prefix: Prefix) -> Result<(), Full> {
        if prefix.len <= FRONT_BITS {
            firsts(prefix).for_each(|first| set_state(self.memory.front(first / 32), first, ALL));
            return Ok(());
        }
        if self.size.nodes == 0 {
            return Err(Full);
        }
        let mut part = ALL;
        if let Some(leaf) = leaf_of(prefix) {
            let word = self.leaf(leaf.key(prefix.halves()[0])).ok_or(Full)?;
            self.memory.word(word).fetch_or(mask_in(prefix, (leaf.start, Leaf::WIDTH)), Ordering::Release);
            part = if leaf == Leaf::UPPER { SPREAD } else { PARTIAL };
        }
        let first = (prefix.bits >> 112) as usize;
        for third in thirds(prefix) {
            raise(self.node(first, third), third, part);
        }
        raise(self.memory.front(first / 32), first, PARTIAL);
        Ok(())
    }

    fn remove_v4(&mut self, prefix: Prefix, contents: &Contents) {
        if let Some(leaf) = leaf_of(prefix) {
            let key = leaf.key(prefix.halves()[0]);
            if let Some(word) = self.leaf(key) {
                let front = Prefix::new(prefix.bits, leaf.start).bits;
                let bits = contents.bits(front, (leaf.start, Leaf::WIDTH), leaf.start + 1..=leaf.start + Leaf::WIDTH);
                self.memory.word(word).store(key | bits, Ordering::Release);
            }
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

    /// The word of a leaf, which is made if need be; `None` where there is no room.
    fn leaf(&self, key: u64) -> Option<usize> {
        if self.size.buckets == 0 {
            return None;
        }
        let line = (self.size.nodes + self.extent(0, 0).leaf_line(key)) as usize;
        let mut words = line * LINE_WORDS..(line + PROBES as usize) * LINE_WORDS;
        let found = |index: &usize| {
            let word = self.memory.word(*index).load(Ordering::Relaxed);
            word == 0 || Leaf::is(word, key)
        };
        let index = words.find(found)?;
        self.memory.word(index).fetch_or(key, Ordering::Release);
        Some(index)
    }

    /// The word with the bits of a block, which is made if need be; `None` where there is no room.
    fn block(&self, key: Key) -> Option<usize> {
        if self.size.buckets == 0 {
            return None;
        }
        let first = self.extent(0, 0).line(key);
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

/// The block or leaf in which a prefix has bits, by a mark of its kind and its front.
fn part_of(prefix: Prefix, v6: bool) -> Option<(usize, [u64; 2])> {
    if v6 {
        let stride = Stride::of_len(prefix.len);
        return Some((stride.mark as usize, stride.front(prefix.halves())));
    }
    leaf_of(prefix).map(|leaf| (leaf.start.into(), [leaf.key(prefix.halves()[0]), 0]))
}

fn leaf_of(prefix: Prefix) -> Option<Leaf> {
    match prefix.len {
        0..=24 => None,
        25..=28 => Some(Leaf::UPPER),
        _ => Some(Leaf::LOWER),
    }
}

/// The bits of a prefix among the `2^width` neighbours behind `start` bits.
fn mask_in(prefix: Prefix, (start, width): (u8, u8)) -> u64 {
    let behind = prefix.len.saturating_sub(start);
    let number = prefix.bits << start >> (128 - width);
    ones(1 << (width - behind)) << number as u64
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

/// Sets a state that says no less than there was: what is whole stays whole, and what is in part does not become less.
fn raise(word: &AtomicU64, number: usize, part: u64) {
    let before = state(word.load(Ordering::Relaxed), number);
    if before != ALL {
        set_state(word, number, if part == ALL { ALL } else { before.max(part) });
    }
}

/// Bits of an address that the front knows.
const FRONT_BITS: u8 = 16;
