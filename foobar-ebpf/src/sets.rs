//! The maps of named sets, and the functions that ask them: global ones of numbers alone, as in [`crate::apart`].

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, ArrayOfMaps},
    helpers::generated::bpf_get_smp_processor_id,
    macros::{btf_map, map},
    maps::HashMap,
};
use foobar_common::{
    address::{Address, V4, V6},
    class::Class,
    layout::{
        ASKED_BANK_WORDS, ASKED_WORDS, FRONT_WORDS, MAX_CPUS, MAX_TIMED, QUESTIONS_WORDS, SET_FRONTS_WORDS,
        SET_RECORD_WORDS, SET_SLOTS, SETS_WORDS,
    },
    sets::{self, ARRAY_LINES, Asked, Extent, Key, Line, Lines, Members, QUESTION_WORDS, SetTables, halves},
    terms::Settled,
};

use crate::{
    hide::hide,
    maps::{Context, Maps},
    table::{Record, Table},
};

type Words = [u64; 8];
/// All of one size: the kernel reads such arrays without a call.
type Inner = Array<Words, { ARRAY_LINES as usize }, { BPF_F_MMAPABLE as usize }>;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SETS")]
static SETS: Table<SETS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ASKED")]
static ASKED: Table<ASKED_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SET_FRONTS")]
static SET_FRONTS: Table<SET_FRONTS_WORDS> = Table::new();
#[btf_map]
static SET_LINES: ArrayOfMaps<Inner, SET_SLOTS> = ArrayOfMaps::new();
#[map]
static TIMED: HashMap<[u64; 3], u64> = HashMap::with_max_entries(MAX_TIMED, BPF_F_NO_PREALLOC);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.QUESTIONS")]
static QUESTIONS: Table<QUESTIONS_WORDS> = Table::new();

/// One set's lines of one family, by the slot of their first array.
pub struct SetLines(u32);

pub struct SetLine(*const u64);

impl Line for SetLine {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        // SAFETY: the line has eight words.
        unsafe { self.0.add(index & 7).read_volatile() }
    }
}

/// A question as it was put.
pub struct PutWords(Record<QUESTION_WORDS>);

impl Line for PutWords {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.0.at(index)
    }
}

/// The first word of this CPU's question: no other packet comes between while the program runs.
#[inline(always)]
fn place() -> usize {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() } as usize;
    (cpu & (MAX_CPUS - 1)) * QUESTION_WORDS
}

impl Lines for SetLines {
    type Line = SetLine;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<SetLine> {
        let array = SET_LINES.get(self.0 + index / ARRAY_LINES)?;
        array.get_ptr(index % ARRAY_LINES).map(|line| SetLine(line.cast()))
    }
}

impl<C: Context> SetTables for Maps<'_, C> {
    type Lines = SetLines;
    type Put = PutWords;

    #[inline(always)]
    fn put(&self, question: [u64; QUESTION_WORDS]) {
        let Some(record) = QUESTIONS.record::<QUESTION_WORDS>(place()) else { return };
        for (index, word) in question.into_iter().enumerate() {
            record.put(index, word);
        }
    }

    #[inline(always)]
    fn question(&self) -> Option<PutWords> {
        QUESTIONS.record(place()).map(PutWords)
    }

    #[inline(always)]
    fn asked(&self, bank: usize, place: usize) -> u64 {
        ASKED.word_or(bank * ASKED_BANK_WORDS + place * 2, 0)
    }

    #[inline(always)]
    fn asked_of(&self, bank: usize, place: usize) -> u64 {
        ASKED.word_or(bank * ASKED_BANK_WORDS + place * 2 + 1, 0)
    }

    #[inline(always)]
    fn set_word(&self, set: usize, word: usize) -> u64 {
        SETS.word_or(set * SET_RECORD_WORDS + word, 0)
    }

    #[inline(always)]
    fn front(&self, region: u32, word: usize) -> u64 {
        SET_FRONTS.word_or(region as usize * FRONT_WORDS + word, 0)
    }

    #[inline(always)]
    fn lines(&self, slot: u32) -> Option<SetLines> {
        if slot == 0 { None } else { Some(SetLines(slot)) }
    }

    #[inline(always)]
    fn until(&self, element: &[u64; 3]) -> Option<u64> {
        // SAFETY: the word is copied while the program holds RCU's read lock.
        unsafe { TIMED.get(element) }.copied()
    }

    #[inline(always)]
    fn members<A: Address>(&self, bank: usize, source: A, destination: A) -> Members {
        let (bank, [high, low], [to_high, to_low]) = (bank as u64, halves(source), halves(destination));
        Members::from_word(if A::V6 {
            members_v6(bank, high, low, to_high, to_low)
        } else {
            members_v4(bank, high, to_high)
        })
    }

    #[inline(always)]
    fn unrelated(&self, word: u64) -> u64 {
        hide(word as usize) as u64
    }

    #[inline(always)]
    fn lasts_v6(&self, [high, low]: [u64; 2], set: usize) -> bool {
        lasts_v6(high, low, set as u64) != 0
    }

    #[inline(always)]
    fn is_in_leaves(&self, extent: Extent, number: u64, asked: Asked) -> u64 {
        is_in_leaves(extent.word(), number, asked.word())
    }

    #[inline(always)]
    fn is_in_block(&self, extent: Extent, [high, low]: Key, bit: u64) -> bool {
        is_in_block(extent.word(), high, low, bit) != 0
    }

    #[inline(always)]
    fn is_timed<A: Address>(&self, address: [u64; 2], set: usize) -> bool {
        let ([high, low], set) = (address, set as u64);
        (if A::V6 { is_timed_v6(high, low, set) } else { is_timed_v4(high, set) }) != 0
    }

    #[inline(always)]
    fn weigh_sources(&self, sources: u64, target: Class) -> Settled {
        Settled::from_word(weigh_sources_apart(sources, target.word()))
    }

    #[inline(always)]
    fn weigh(&self, members: Members) -> Settled {
        Settled::from_word(weigh_apart(members.word()))
    }
}

/// [`sets::members`], where rules name sets.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn members_v4(bank: u64, source: u64, destination: u64) -> u64 {
    sets::members::<V4, _>(bank_of(bank), [source, 0], [destination, 0], &Maps::apart()).word()
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn members_v6(bank: u64, high: u64, low: u64, to_high: u64, to_low: u64) -> u64 {
    sets::members::<V6, _>(bank_of(bank), [high, low], [to_high, to_low], &Maps::apart()).word()
}

/// One of two, so that the verifier sees that what stands in them is within their tables.
#[inline(always)]
const fn bank_of(bank: u64) -> usize {
    (bank & 1) as usize
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lasts_v6(high: u64, low: u64, set: u64) -> u64 {
    u64::from(sets::lasts_v6([high, low], set as usize, &Maps::apart()))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_in_leaves(extent: u64, number: u64, asked: u64) -> u64 {
    sets::is_in_leaves(Extent::from_word(extent), number, Asked::from_word(asked), &Maps::apart())
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_in_block(extent: u64, high: u64, low: u64, bit: u64) -> u64 {
    u64::from(sets::is_in_block(Extent::from_word(extent), [high, low], bit, &Maps::apart()))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_timed_v4(address: u64, set: u64) -> u64 {
    u64::from(sets::is_timed::<V4, _>([address, 0], set as usize, &Maps::apart()))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_timed_v6(high: u64, low: u64, set: u64) -> u64 {
    u64::from(sets::is_timed::<V6, _>([high, low], set as usize, &Maps::apart()))
}

/// [`sets::weigh_sources`], for packets that are in a set or have extension headers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn weigh_sources_apart(sources: u64, target: u64) -> u64 {
    sets::weigh_sources(sources, Class::from_word(target), &Maps::apart()).word()
}

/// [`sets::weigh`], for packets to a set or with extension headers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn weigh_apart(members: u64) -> u64 {
    sets::weigh(Members::from_word(members), &Maps::apart()).word()
}
