//! Tables whose memory packets and this process share: arrays, mapped (Linux 5.5); what packets read at a fixed address is the
//! one element of its array.
//!
//! aya makes the arrays of a program's statics without `BPF_F_MMAPABLE`, so they are made and pinned here, and the
//! loader finds them by their pins.
#![expect(unsafe_code, reason = "memory that is shared with the kernel is behind a raw pointer")]

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::MapData;
use aya_obj::{Map, Object, generated::BPF_F_MMAPABLE};
use memmap2::{MmapOptions, MmapRaw};

use super::pins::Pins;

/// A table of whole words.
pub struct Mapped {
    memory: MmapRaw,
    words: usize,
    /// It was made here: nothing is in it yet.
    pub is_new: bool,
}

/// The section of a table's static.
pub fn section(name: &str) -> String {
    format!(".bss.{name}")
}

impl Mapped {
    /// The pinned table, or a new one, pinned and all zero.
    pub fn open(object: &Object, pins: &Pins, name: &str) -> Result<Self> {
        let declared = object.maps.get(&section(name)).with_context(|| format!("the object has no table {name}"))?;
        let bytes = declared.value_size() as usize;
        let pin = pins.map(name);
        let is_new = !pin.exists();
        let map = if is_new {
            let map = MapData::create(mappable(declared)?, name, None).with_context(|| format!("making {name}"))?;
            map.pin(&pin).with_context(|| format!("pinning {}", pin.display()))?;
            map
        } else {
            MapData::from_pin(&pin).with_context(|| format!("opening {}", pin.display()))?
        };
        let info = map.info().with_context(|| format!("asking for the shape of {name}"))?;
        ensure!(info.value_size() as usize == bytes, "the pinned table {name} has another shape");
        Ok(Self { is_new, ..Self::over(&map, bytes).with_context(|| format!("mapping {name}"))? })
    }

    /// A pinned map that packets write, of so many words.
    pub fn pinned(pins: &Pins, name: &str, words: usize) -> Result<Self> {
        let map = MapData::from_pin(pins.map(name)).with_context(|| format!("opening {name}"))?;
        let info = map.info().with_context(|| format!("asking for the shape of {name}"))?;
        let bytes = info.value_size() as usize * info.max_entries() as usize;
        ensure!(bytes == words * 8, "the pinned map {name} has another shape");
        Ok(Self { is_new: false, ..Self::over(&map, bytes).with_context(|| format!("mapping {name}"))? })
    }

    /// The memory of a new array, which has this many bytes.
    pub fn over(map: &MapData, bytes: usize) -> Result<Self> {
        let memory = MmapOptions::new().len(bytes).map_raw(map.fd().as_fd().as_raw_fd())?;
        Ok(Self { memory, words: bytes / 8, is_new: true })
    }

    /// The table's words. Writes reach packets at once, each word whole.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has this many words, is aligned to a page, and lives as long as `self`; kernel and
        // processes read and write its words as atomics.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.words) }
    }

    /// The table's half-words, the lower half of each word first.
    pub fn halves(&self) -> &[AtomicU32] {
        // SAFETY: as for `words`; an address is of a word or of its half, never of both in one table but where the
        // layout says so.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.words * 2) }
    }

    pub fn contents(&self) -> Vec<u64> {
        self.words().iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }
}

/// Writes `values` from half-word `first` on.
pub fn store(halves: &[AtomicU32], first: usize, values: impl ExactSizeIterator<Item = u32>) {
    for (half, value) in halves[first..first + values.len()].iter().zip(values) {
        half.store(value, Ordering::Relaxed);
    }
}

/// Writes words from the front on.
pub fn store_words(words: &[AtomicU64], values: impl ExactSizeIterator<Item = u64>) {
    for (word, value) in words[..values.len()].iter().zip(values) {
        word.store(value, Ordering::Relaxed);
    }
}

/// The same array, which a process may map.
fn mappable(declared: &Map) -> Result<Map> {
    let Map::Legacy(mut map) = declared.clone() else { bail!("a static's array is declared by its section") };
    map.def.map_flags |= BPF_F_MMAPABLE;
    Ok(Map::Legacy(map))
}
