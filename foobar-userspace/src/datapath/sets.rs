//! Named sets in the kernel: an array of lines for each set and family, and the elements that end.
//!
//! A set that is loaded anew is written into fresh arrays, and its record's word says where: a packet sees the old set or
//! the new one. The outer map keeps the arrays, so that they outlive this process; the next one loads its own.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, Map, MapData};
use aya_obj::{Object, generated::BPF_F_MMAPABLE};
use foobar_common::{
    layout::{FRONT_WORDS, MAX_FRONTS, MAX_SETS, SET_RECORD_WORDS, SET_SLOTS, map},
    sets::{
        ARRAY_LINES, Extent, LINE_WORDS, Line, Lines, STRIDES_WORD, TIMED_LENS, TIMED_WORD,
        contents::{Contents, Prefix},
        element, set_of,
        table::{Memory, Size, Table, arrays, bytes, marks, stride_words},
    },
};

use super::{
    Datapath,
    load::object,
    mapped::{Mapped, section},
    tables::Line as Words,
};

/// Words of one array.
const ARRAY_WORDS: usize = ARRAY_LINES as usize * LINE_WORDS;

/// The lines of one set and family, mapped, an array behind the other; and IPv4's front, in its region.
pub struct SetLines {
    arrays: Vec<Mapped>,
    fronts: Arc<Mapped>,
    region: u32,
}

impl Memory for SetLines {
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.arrays[index / ARRAY_WORDS].words()[index % ARRAY_WORDS]
    }

    fn front(&self, index: usize) -> &AtomicU64 {
        &self.fronts.words()[self.region as usize * FRONT_WORDS + index]
    }
}

/// One family of a set, as it was loaded by this process.
struct Loaded {
    slot: u32,
    table: Table<SetLines>,
}

impl Loaded {
    fn extent(&self) -> Extent {
        self.table.extent(self.slot, self.table.memory().region)
    }
}

/// What this process has loaded, by set and family.
pub struct Sets {
    loaded: Vec<[Option<Loaded>; 2]>,
    /// What an array of lines is made like.
    inner: aya_obj::Map,
    /// One array in the place of all that are gone: a slot cannot be emptied.
    empty: Option<Array<MapData, Words>>,
}

/// No element's length has room in the set's record.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("elements that end have {TIMED_LENS} different lengths already, and a set has room for no more")]
pub struct TooManyLengths;

impl Sets {
    pub fn new() -> Result<Self> {
        let object = Object::parse(object()).context("reading the built object")?;
        // aya gives arrays of a type no mapping: so one is declared as a table is.
        let table = object.maps.get(&section(map::SETS)).context("the object has no table SETS")?;
        let aya_obj::Map::Legacy(mut inner) = table.clone() else {
            bail!("a static's array is declared by its section")
        };
        inner.def.value_size = size_of::<Words>() as u32;
        inner.def.max_entries = ARRAY_LINES;
        inner.def.map_flags = BPF_F_MMAPABLE;
        inner.data = Vec::new();
        let inner = aya_obj::Map::Legacy(inner);
        Ok(Self { loaded: (0..MAX_SETS).map(|_| [None, None]).collect(), inner, empty: None })
    }

    /// New arrays for so many lines, all zero.
    fn make(&self, lines: u32) -> Result<Made> {
        let (mut mapped, mut made) = (Vec::new(), Vec::new());
        for _ in 0..arrays(lines) {
            let map = MapData::create(self.inner.clone(), "set_lines", None)
                .with_context(|| format!("making room for {} MB of prefixes", bytes(lines) / 1_000_000))?;
            mapped.push(Mapped::over(&map, ARRAY_WORDS * 8).context("mapping a set's lines")?);
            made.push(Array::try_from(Map::Array(map))?);
        }
        Ok((mapped, made))
    }

    /// The lines in a slot.
    pub fn at(&self, slot: u32) -> Option<ReadLines<'_>> {
        let mut all = self.loaded.iter().flatten().flatten();
        all.find_map(|loaded| {
            let arrays = &loaded.table.memory().arrays;
            arrays.get(slot.checked_sub(loaded.slot)? as usize..).filter(|rest| !rest.is_empty()).map(ReadLines)
        })
    }
}

/// New arrays, mapped, and as the map of maps takes them.
type Made = (Vec<Mapped>, Vec<Array<MapData, Words>>);

/// A set's lines from a slot on, for questions.
#[derive(Clone, Copy)]
pub struct ReadLines<'a>(&'a [Mapped]);

pub struct ReadLine<'a>(&'a [AtomicU64; LINE_WORDS]);

impl<'a> Lines for ReadLines<'a> {
    type Line = ReadLine<'a>;

    fn line(&self, index: u32) -> Option<ReadLine<'a>> {
        let array = self.0.get((index / ARRAY_LINES) as usize)?;
        array.words().as_chunks().0.get((index % ARRAY_LINES) as usize).map(ReadLine)
    }
}

impl Line for ReadLine<'_> {
    fn word(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }
}

impl Datapath {
    /// Puts a set's lasting prefixes, IPv4's and IPv6's, in the place of those that it had.
    pub fn load_set(&mut self, id: u32, families: [&Contents; 2]) -> Result<()> {
        for (v6, contents) in [false, true].into_iter().zip(families) {
            self.load_family(id, v6, contents)?;
        }
        Ok(())
    }

    fn load_family(&mut self, id: u32, v6: bool, contents: &Contents) -> Result<()> {
        let family = usize::from(v6);
        let fresh = if contents.is_empty() { None } else { Some(self.build(v6, contents)?) };
        let record = self.record(id)?;
        let old = Extent::from_word(record[family].load(Ordering::Relaxed));
        let strides = fresh.as_ref().map_or(&[][..], |fresh| fresh.table.strides());
        if v6 {
            // Whoever reads the old lines still asks for their strides, and whoever reads the new ones for theirs.
            let before = [0, 1].map(|index| record[STRIDES_WORD + index].load(Ordering::Relaxed));
            write(&record[STRIDES_WORD..], &stride_words(&union(&marks(before), strides)));
        }
        let extent = fresh.as_ref().map_or(Extent::default(), Loaded::extent);
        record[family].store(extent.word(), Ordering::Release);
        self.grace.begin();
        let words = stride_words(strides);
        if old != Extent::default() {
            // Packets may have read where the old lines are.
            self.wait_for_readers()?;
            self.free(v6, old)?;
        }
        if v6 {
            write(&self.record(id)?[STRIDES_WORD..], &words);
        }
        self.sets.loaded[id as usize][family] = fresh;
        Ok(())
    }

    /// Builds lines, and puts their arrays into slots that no record names.
    fn build(&mut self, v6: bool, contents: &Contents) -> Result<Loaded> {
        let mut made = Vec::new();
        let (region, fronts) = (if v6 { 0 } else { self.free_front()? }, &self.tables.set_fronts);
        let table = Table::build(contents, v6, chance, |lines| {
            let (arrays, maps) = self.sets.make(lines)?;
            made = maps;
            if !v6 {
                write(front(fronts, region), &[0; FRONT_WORDS]);
            }
            anyhow::Ok(SetLines { arrays, fronts: Arc::clone(fronts), region })
        })?;
        let slot = if made.is_empty() { 0 } else { self.free_slots(made.len())? };
        for (index, array) in (slot..).zip(&made) {
            self.maps.set_lines.set(index, array, 0).context("putting a set's lines in force")?;
        }
        Ok(Loaded { slot, table })
    }

    /// Where every family's lines are, by the records; and whether it is IPv6.
    fn extents(&self) -> impl Iterator<Item = (bool, Extent)> {
        let records = self.tables.sets.words().as_chunks::<SET_RECORD_WORDS>().0.iter();
        let of = |record: &[AtomicU64], v6| Extent::from_word(record[usize::from(v6)].load(Ordering::Relaxed));
        records.flat_map(move |record| [false, true].map(|v6| (v6, of(record, v6))))
    }

    /// A region of fronts that no record names.
    fn free_front(&self) -> Result<u32> {
        let taken: BTreeSet<_> = self.extents().map(|(_, extent)| extent.front).collect();
        let free = (1..MAX_FRONTS as u32).find(|region| !taken.contains(region));
        free.context("there is no room for the front of one more set")
    }

    /// The first of so many slots, one behind the other, that no record names.
    fn free_slots(&self, count: usize) -> Result<u32> {
        let mut taken = [false; SET_SLOTS];
        taken[0] = true;
        for (v6, extent) in self.extents() {
            let first = extent.slot as usize;
            let end = first + arrays_of(v6, extent) as usize;
            taken[first..end.min(SET_SLOTS)].fill(true);
        }
        let free = taken.windows(count).position(|slots| slots.iter().all(|taken| !taken));
        Ok(free.context("there is no room for so many lines of sets")? as u32)
    }

    /// Frees the slots of lines that no packet reads any more.
    fn free(&mut self, v6: bool, extent: Extent) -> Result<()> {
        let empty = match self.sets.empty.take() {
            Some(empty) => empty,
            None => self.sets.make(1)?.1.pop().context("no array was made")?,
        };
        for slot in extent.slot..extent.slot + arrays_of(v6, extent) {
            self.maps.set_lines.set(slot, &empty, 0).context("freeing a set's old lines")?;
        }
        self.sets.empty = Some(empty);
        Ok(())
    }

    /// Adds a prefix, which is in `contents` already, in place.
    pub fn add_to_set(&mut self, id: u32, v6: bool, prefix: Prefix, contents: &Contents) -> Result<()> {
        let family = usize::from(v6);
        let Some(loaded) = &mut self.sets.loaded[id as usize][family] else {
            return self.load_family(id, v6, contents);
        };
        if loaded.table.add(prefix).is_err() {
            return self.load_family(id, v6, contents);
        }
        let words = stride_words(loaded.table.strides());
        if v6 {
            write(&self.record(id)?[STRIDES_WORD..], &words);
        }
        Ok(())
    }

    /// Removes a prefix, which `contents` does not have any more, in place.
    pub fn remove_from_set(&mut self, id: u32, v6: bool, prefix: Prefix, contents: &Contents) {
        if let Some(loaded) = &mut self.sets.loaded[id as usize][usize::from(v6)] {
            loaded.table.remove(prefix, contents);
        }
    }

    /// Adds an element until a second of the monotonic clock. Its length is asked for from then on.
    pub fn add_until(&mut self, id: u32, v6: bool, prefix: Prefix, until: u64) -> Result<()> {
        let first = TIMED_WORD + 2 * usize::from(v6);
        let words = self.record(id)?;
        let lens: Vec<u8> =
            words[first..first + 2].iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let place = lens.iter().position(|len| [0, prefix.len].contains(len)).ok_or(TooManyLengths)?;
        let key = element(id as usize, v6, u64::from(prefix.len), prefix.halves());
        self.maps.timed.insert(key, until, 0).context("adding an element that ends")?;
        let bits = u64::from(prefix.len) << (place % 8 * 8);
        self.record(id)?[first + place / 8].fetch_or(bits, Ordering::Release);
        Ok(())
    }

    /// Removes an element that ends; one that is gone already is what was wanted.
    pub fn remove_until(&mut self, id: u32, v6: bool, prefix: Prefix) {
        let key = element(id as usize, v6, u64::from(prefix.len), prefix.halves());
        let _ = self.maps.timed.remove(&key);
    }

    /// Says which lengths the elements of a set and family that end have left.
    pub fn keep_lengths(&mut self, id: u32, v6: bool, left: &BTreeSet<u8>) -> Result<()> {
        let first = TIMED_WORD + 2 * usize::from(v6);
        let record = &self.record(id)?[first..first + 2];
        let lens: Vec<u8> = record.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let mut words = [0; 2];
        // In the order that they have: a length moves to the front alone, and is then asked for twice meanwhile, never not at all.
        for (place, len) in lens.iter().filter(|len| left.contains(len)).enumerate() {
            words[place / 8] |= u64::from(*len) << (place % 8 * 8);
        }
        write(record, &words);
        Ok(())
    }

    /// Empties the record of a set that no packet asks for any more, and takes out every element of it that ends.
    pub fn clear_set(&mut self, id: u32) -> Result<()> {
        let record = self.record(id)?;
        let old = [false, true].map(|v6| Extent::from_word(record[usize::from(v6)].load(Ordering::Relaxed)));
        write(record, &[0; SET_RECORD_WORDS]);
        self.sets.loaded[id as usize] = [None, None];
        self.free(false, old[0])?;
        self.free(true, old[1])?;
        self.drop_elements(|key| set_of(key) == id as usize)
    }

    /// Takes out every element that ends but for these.
    pub fn keep_elements(&mut self, known: &HashSet<[u64; 3]>) -> Result<()> {
        self.drop_elements(|key| !known.contains(key))
    }

    fn drop_elements(&mut self, goes: impl Fn(&[u64; 3]) -> bool) -> Result<()> {
        let keys: Vec<_> = self.maps.timed.keys().collect::<Result<_, _>>().context("reading the elements that end")?;
        for key in keys.into_iter().filter(goes) {
            // One that is gone already is what was wanted.
            let _ = self.maps.timed.remove(&key);
        }
        Ok(())
    }

    /// Ids of the sets that have lines or elements that end.
    pub fn sets_in_force(&self) -> Vec<u32> {
        let records = self.tables.sets.words().as_chunks::<SET_RECORD_WORDS>().0;
        let used = |record: &[AtomicU64; SET_RECORD_WORDS]| record.iter().any(|word| word.load(Ordering::Relaxed) != 0);
        (0..).zip(records).filter(|(_, record)| used(record)).map(|(id, _)| id).collect()
    }

    /// Bytes of kernel memory in a set's lines.
    pub fn set_bytes(&self, id: u32) -> u64 {
        let loaded = self.sets.loaded[id as usize].iter().flatten();
        loaded.map(|loaded| (loaded.table.memory().arrays.len() * ARRAY_WORDS * 8) as u64).sum()
    }

    fn record(&self, id: u32) -> Result<&[AtomicU64]> {
        ensure!((id as usize) < MAX_SETS, "there are {MAX_SETS} sets, and none is {id}");
        Ok(&self.tables.sets.words()[id as usize * SET_RECORD_WORDS..][..SET_RECORD_WORDS])
    }
}

/// A number that nobody foresees.
fn chance() -> u32 {
    RandomState::new().hash_one(()) as u32
}

/// How many arrays a set's lines of a family have.
fn arrays_of(v6: bool, extent: Extent) -> u32 {
    if extent.slot == 0 { 0 } else { arrays(Size::lines_of(v6, extent.buckets)) }
}

/// A region's words.
fn front(fronts: &Mapped, region: u32) -> &[AtomicU64] {
    &fronts.words()[region as usize * FRONT_WORDS..][..FRONT_WORDS]
}

fn write(words: &[AtomicU64], values: &[u64]) {
    for (word, value) in words.iter().zip(values) {
        word.store(*value, Ordering::Release);
    }
}

fn union(before: &[u64], more: &[u64]) -> Vec<u64> {
    let new = more.iter().filter(|mark| !before.contains(mark));
    before.iter().chain(new).copied().collect()
}
