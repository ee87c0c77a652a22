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
    shape::{ALL, ARRAY_LINES, Extent, Key, LINE_WORDS, Leaf, OVERFLOWS, PARTIAL, PROBES, SPREAD, Stride, state},
};

/// There is no room for one more block or leaf: the set has to be built anew in more lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// However often it was tried, too many of the prefixes came to lie in the same lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

impl std::fmt::Display for Crowded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many of its prefixes come to lie in the same lines")
    }
}

impl std::error::Error for Crowded {}

/// How many lines a set's prefixes need, with room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    v6: bool,
    buckets: u32,
}

impl Size {
    /// How often lines are made, each time a quarter more.
    const ATTEMPTS: u32 = 10;

    pub fn of(contents: &Contents, v6: bool) -> Self {
        let lines = if v6 { Self::for_blocks(contents) } else { Self::for_leaves(contents) };
        Self { v6, buckets: if lines == 0 { 0 } else { lines + 64 } }
    }

    /// Two in seven places are used, so that few searches go further.
    fn for_blocks(contents: &Contents) -> u32 {
        let (mut blocks, mut last) = (0, [None; 64]);
        for prefix in contents.iter() {
            let stride = Stride::of_len(prefix.len);
            let key = stride.key(prefix.halves());
            let last = &mut last[stride.mark as usize];
            blocks += u32::from(last.replace(key) != Some(key));
        }
        blocks.div_ceil(4) * 7
    }

    /// Three in five places are used; fewer where many leaves share their number, since these are in a row.
    fn for_leaves(contents: &Contents) -> u32 {
        let (mut leaves, mut squares, mut in_a_row) = (0u64, 0, 0);
        let (mut number, mut last) = (None, [None; 33]);
        for part in contents.iter().flat_map(Part::all) {
            let last = &mut last[usize::from(part.front.len)];
            if last.replace(part.front) == Some(part.front) {
                continue;
            }
            leaves += 1;
            in_a_row = if number.replace(part.number) == Some(part.number) { in_a_row + 1 } else { 1 };
            // The sum of the first odd numbers is a square.
            squares += 2 * in_a_row - 1;
        }
        let lines = (leaves * 5).div_ceil(3 * 16).max(squares / 96);
        if leaves == 0 { 0 } else { (lines as u32).max(Leaf::MIN_LINES) }
    }

    /// With more room; `None` after too many attempts.
    fn grown(self, attempt: u32) -> Option<Self> {
        (attempt < Self::ATTEMPTS).then_some(Self { buckets: self.buckets / 4 * 5, ..self })
    }

    pub fn lines(self) -> u32 {
        Self::lines_of(self.v6, self.buckets)
    }

    /// Lines of a family that has so many where searches begin.
    pub fn lines_of(v6: bool, buckets: u32) -> u32 {
        match (buckets, v6) {
            (0, _) => 0,
            (_, true) => buckets + PROBES,
            (_, false) => Leaf::filter_lines(buckets) + buckets + Leaf::PROBES,
        }
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
    size: Size,
    seed: u32,
    /// Strides of which there are blocks, in the order in which they came.
    strides: Vec<u64>,
}

impl<M: Memory> Table<M> {
    /// Builds lines that no packet reads yet. `make` gives as many lines as it is told, and a front, all zero; `chance` a
    /// number that nobody foresees.
    pub fn build<E: From<Crowded>>(
        contents: &Contents,
        v6: bool,
        mut chance: impl FnMut() -> u32,
        mut make: impl FnMut(u32) -> Result<M, E>,
    ) -> Result<Self, E> {
        let mut size = Size::of(contents, v6);
        for attempt in 1.. {
            if size.buckets >= Extent::MAX_BUCKETS {
                return Err(Crowded.into());
            }
            let seed = chance() % Extent::SEEDS;
            let mut table = Self { memory: make(size.lines())?, size, seed, strides: Vec::new() };
            if contents.iter().try_for_each(|prefix| table.add(prefix)).is_ok() {
                return Ok(table);
            }
            size = size.grown(attempt).ok_or(Crowded)?;
        }
        Err(Crowded.into())
    }

    /// Where the lines and the front are, once they stand in a slot and a region.
    pub fn extent(&self, slot: u32, front: u32) -> Extent {
        Extent { slot, front, buckets: self.size.buckets, seed: self.seed }
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
        if self.size.v6 { self.add_v6(prefix) } else { self.add_v4(prefix) }
    }

    /// Makes the lines say what is left in `contents`, which the prefix has gone from.
    pub fn remove(&mut self, prefix: Prefix, contents: &Contents) {
        if self.size.v6 { self.remove_v6(prefix, contents) } else { self.remove_v4(prefix, contents) }
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
        for part in Part::all(prefix) {
            let (word, shift) = self.leaf(&part).ok_or(Full)?;
            word.fetch_or(part.mask(prefix) << shift, Ordering::Release);
            let (line, tag) = self.extent(0, 0).leaves(part.number);
            self.memory.word(line as usize).fetch_or(1 << (tag & 63), Ordering::Release);
        }
        let first = firsts(prefix).start;
        let state = if prefix.len <= WIDEST { SPREAD } else { PARTIAL };
        raise(self.memory.front(first / 32), first, state);
        Ok(())
    }

    fn remove_v4(&mut self, prefix: Prefix, contents: &Contents) {
        for part in Part::all(prefix) {
            if let Some((word, shift)) = self.leaf(&part) {
                let others = word.load(Ordering::Relaxed) & !(ones(1 << Leaf::WIDTH) << shift);
                word.store(others | part.bits(contents) << shift, Ordering::Release);
            }
        }
        for first in firsts(prefix) {
            let around = Prefix::new((first as u128) << 112, FRONT_BITS);
            set_state(self.memory.front(first / 32), first, contents.state(around));
        }
    }

    /// The word that has the leaf with these bits, which is made if need be, and where in it. `None` where there is no room.
    fn leaf(&self, part: &Part) -> Option<(&AtomicU64, usize)> {
        if self.size.buckets == 0 {
            return None;
        }
        let (line, tag) = self.extent(0, 0).leaves(part.number);
        let empty = Leaf::empty(tag, part.neighbours);
        let first = (Leaf::filter_lines(self.size.buckets) + line) as usize * LINE_WORDS * 2;
        let mut places = (first..first + Leaf::PROBES as usize * LINE_WORDS * 2)
            .map(|half| (self.memory.word(half / 2), half % 2 * 32));
        let (word, shift) = places.find(|(word, shift)| {
            let leaf = word.load(Ordering::Relaxed) >> shift & 0xffff_ffff;
            leaf == 0 || (leaf ^ empty) >> Leaf::NEIGHBOURS_SHIFT == 0
        })?;
        word.fetch_or(empty << shift, Ordering::Release);
        Some((word, shift))
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

/// The marks that a record lists.
pub fn marks(words: [u64; 2]) -> Vec<u64> {
    let places = words.into_iter().flat_map(|word| (0..Stride::A_WORD).map(move |place| (word, place)));
    let marks = places.map(|(word, place)| word >> (place * Stride::BITS as usize) & ones(Stride::BITS));
    marks.filter(|mark| *mark != 0).collect()
}

/// The bits of one leaf: those of IPv4 prefixes of some lengths.
struct Part {
    number: u64,
    neighbours: u64,
    /// What its neighbours share.
    front: Prefix,
    lens: RangeInclusive<u8>,
}

impl Part {
    /// Those in which a prefix of more than 16 bits has bits.
    fn all(prefix: Prefix) -> impl Iterator<Item = Self> {
        let (start, lens): (u8, _) = match prefix.len {
            ..=WIDEST => (16, FRONT_BITS + 1..=WIDEST),
            20..=27 => (24, WIDEST + 1..=27),
            _ => (29, 28..=32),
        };
        let count = if prefix.len <= FRONT_BITS { 0 } else { 1u128 << start.saturating_sub(prefix.len) };
        (0..count).map(move |number| {
            let front = Prefix::new(prefix.bits | number << (128 - start), start);
            let half = front.halves()[0];
            let (number, neighbours) = match start {
                16 => (Leaf::wide(half), Leaf::WIDE),
                24 => (Leaf::narrow(half), Leaf::WHOLE),
                _ => (Leaf::narrow(half), (half >> 35 & 31) + 1),
            };
            Self { number, neighbours, front, lens: lens.clone() }
        })
    }

    /// The bits of a prefix.
    fn mask(&self, prefix: Prefix) -> u64 {
        mask_in(prefix, (self.front.len, Leaf::WIDTH))
    }

    /// The bits of these prefixes.
    fn bits(&self, contents: &Contents) -> u64 {
        contents.bits(self.front.bits, (self.front.len, Leaf::WIDTH), self.lens.clone())
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
pub(super) const FRONT_BITS: u8 = 16;
/// The longest prefixes that wide leaves know.
pub(super) const WIDEST: u8 = 19;
