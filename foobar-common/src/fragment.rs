//! Fragments: a packet is judged once, by its first fragment, and the later ones follow it.
//!
//! Only the first has ports. What becomes of it is remembered by what puts the packet together again: the addresses, the
//! identification and, in IPv4, the protocol (RFC 791 §3.2, RFC 8200 §4.5). A later fragment is decided by the first
//! rule that may match it where that needs to know no port; else its first decides, and where nobody saw that, it is
//! dropped. Those that are overtaken by a later one are dropped with it: Linux sends them in order.

use crate::{
    address::Address,
    admit::admit,
    decision::Decision,
    extension::{KINDS, is_extension},
    flow::Flow,
    forward::forward,
    frame::{Frame, FrameMut},
    generation::Generation,
    handoff::Begins,
    layout::MAX_BACKENDS,
    outcome::{Outcome, Step},
    pick::Picked,
    plane::{Plane, Way},
    tables::Tables,
    target::Mode,
    terms::Settled,
};

/// Seconds for which a first fragment is remembered: what Linux waits for the others (`net.ipv4.ipfrag_time`), within
/// what RFC 791 and RFC 8200 have (15 to 60).
pub const SECONDS: u32 = 30;

/// Which part of a packet this is.
///
/// | bits | |
/// |---|---|
/// | 34 | 1: a later one, which begins eight bytes into the packet |
/// | 2–33 | identification; 0 of a whole packet |
/// | 1 | 1: a later fragment |
/// | 0 | 1: the first of several |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment(u64);

impl Fragment {
    /// All of it: an atomic fragment (RFC 6946) too.
    pub const WHOLE: Self = Self(0);

    const FIRST: u64 = 1;
    const LATER: u64 = 2;
    const ID_SHIFT: u32 = 2;
    const EIGHT_IN: u64 = 1 << 34;

    /// The part that begins at `offset`, in units of 8 bytes. `more`: others follow it.
    #[inline(always)]
    pub const fn at(offset: u16, more: bool, id: u32) -> Self {
        match (offset, more) {
            (0, false) => Self::WHOLE,
            (0, true) => Self::first(id),
            (1, _) => Self(Self::later(id).0 | Self::EIGHT_IN),
            _ => Self::later(id),
        }
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub const fn first(id: u32) -> Self {
        Self((id as u64) << Self::ID_SHIFT | Self::FIRST)
    }

    #[inline(always)]
    pub const fn later(id: u32) -> Self {
        Self((id as u64) << Self::ID_SHIFT | Self::LATER)
    }

    #[inline(always)]
    pub const fn is_first(self) -> bool {
        self.0 & Self::FIRST != 0
    }

    #[inline(always)]
    pub const fn is_later(self) -> bool {
        self.0 & Self::LATER != 0
    }

    /// Eight bytes into TCP are its flags: such a fragment exists to change what the first one showed (RFC 3128).
    #[inline(always)]
    pub const fn begins_at_tcp_flags(self) -> bool {
        self.0 & Self::EIGHT_IN != 0
    }

    #[inline(always)]
    const fn id(self) -> u32 {
        (self.0 >> Self::ID_SHIFT) as u32
    }
}

/// What a rule has to know of a packet beside its addresses, and a later fragment may not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    #[default]
    Nothing = 0,
    /// Which protocol it is of: an extension header can hide it.
    Protocol = 1,
    /// A port or type.
    Port = 2,
}

impl Need {
    /// Rules whose needs stand in one word, two bits each.
    pub const IN_A_WORD: usize = 32;

    /// The need of the rule at `place` from its word.
    #[inline(always)]
    pub const fn from_word(word: u64, place: usize) -> Self {
        match (word >> (place % Self::IN_A_WORD * 2)) & 3 {
            0 => Self::Nothing,
            1 => Self::Protocol,
            _ => Self::Port,
        }
    }

    /// The words of needs by place.
    #[cfg(any(test, feature = "std"))]
    pub fn words(needs: &[Self]) -> impl ExactSizeIterator<Item = u64> {
        needs
            .chunks(Self::IN_A_WORD)
            .map(|part| part.iter().enumerate().fold(0, |word, (place, need)| word | (*need as u64) << (place * 2)))
    }
}

/// What became of a first fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// The backend that it went to; 0: it passed.
    pub backend: u32,
    pub passed: Passed,
    /// Second in which it came, by the monotonic clock.
    pub seen: u32,
    /// Which of [`KINDS`] of extension headers it had: it was judged by them, and a later fragment with others was not.
    pub extensions: u64,
}

/// By what a first fragment passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    Rule = 0,
    Reply = 1,
    Essential = 2,
    Default = 3,
}

impl Passed {
    /// `None`: it was sent on, or dropped.
    #[inline(always)]
    const fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Allowed => Some(Self::Rule),
            Outcome::Reply => Some(Self::Reply),
            Outcome::Essential => Some(Self::Essential),
            Outcome::DefaultPass => Some(Self::Default),
            _ => None,
        }
    }

    #[inline(always)]
    const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Rule,
            1 => Self::Reply,
            2 => Self::Essential,
            _ => Self::Default,
        }
    }

    #[inline(always)]
    const fn outcome(self) -> Outcome {
        match self {
            Self::Rule => Outcome::Allowed,
            Self::Reply => Outcome::Reply,
            Self::Essential => Outcome::Essential,
            Self::Default => Outcome::DefaultPass,
        }
    }
}

impl First {
    /// | bits of the first word | | bits of the second | |
    /// |---|---|---|---|
    /// | 0–31 | seen | 0–63 | extensions |
    /// | 32–39 | passed | | |
    /// | 40–63 | backend | | |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; 2] {
        [self.seen as u64 | (self.passed as u64) << 32 | (self.backend as u64) << 40, self.extensions]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        let passed = Passed::from_bits(words[0] >> 32);
        Self { backend: (words[0] >> 40) as u32, passed, seen: words[0] as u32, extensions: words[1] }
    }
}

/// What is said of a part of a packet, but for its addresses: for functions of their own, which take few numbers.
///
/// | bits | |
/// |---|---|
/// | 0–31 | identification |
/// | 32–39 | protocol; 0 in IPv6, where each part may name another one |
/// | 40 | way |
/// | 41–42 | of a first one, by what it passed |
/// | 43–50 | which of [`KINDS`] of extension headers it has |
/// | 51–63 | of a first one, the backend that it went to; 0: none |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(u64);

const _: () = assert!(MAX_BACKENDS <= 1 << 13);

impl Part {
    const PLACE: u64 = (1 << 41) - 1;

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn of<A: Address>(flow: &Flow<A>, way: Way) -> Self {
        let protocol = if A::V6 { 0 } else { flow.protocol };
        let mut kinds = 0;
        if A::V6 {
            for (place, kind) in KINDS.into_iter().enumerate() {
                kinds |= (flow.extensions >> (kind & 63) & 1) << place;
            }
        }
        Self(u64::from(flow.fragment.id()) | u64::from(protocol) << 32 | (way as u64) << 40 | kinds << 43)
    }

    #[inline(always)]
    const fn went(self, passed: Passed, backend: u32) -> Self {
        Self(self.0 | (passed as u64) << 41 | (backend as u64) << 51)
    }

    /// The key under which the parts of one packet meet.
    #[inline(always)]
    pub fn key<A: Address>(self, source: A, destination: A) -> A::FlowKey {
        A::flow_key(source, destination, self.0 & Self::PLACE)
    }

    /// Of a first one, what is remembered.
    #[inline(always)]
    pub const fn first(self, seen: u32) -> First {
        let passed = Passed::from_bits(self.0 >> 41);
        First { backend: (self.0 >> 51) as u32, passed, seen, extensions: self.0 >> 43 & 0xff }
    }

    /// Of a later one, what its first decides, as a word; 0 where that says nothing any more.
    #[inline(always)]
    pub const fn heeds(self, first: First, now: u32) -> u64 {
        let is_fresh = now.saturating_sub(first.seen) <= SECONDS;
        let is_known = (self.0 >> 43 & 0xff) & !first.extensions == 0;
        if is_fresh && is_known { First { seen: 1, ..first }.to_words()[0] } else { 0 }
    }
}

/// Remembers what became of a packet's first fragment, where that went anywhere. `backend`: 0 where it passed.
#[inline(always)]
pub fn remember<A: Address, T: Tables>(flow: &Flow<A>, way: Way, outcome: Outcome, backend: u32, tables: &T) {
    if !flow.fragment.is_first() {
        return;
    }
    let passed = match Passed::of(outcome) {
        Some(passed) => passed,
        None if backend != 0 => Passed::Default,
        None => return,
    };
    tables.remember(flow.source, flow.destination, Part::of(flow, way).went(passed, backend));
}

/// Whether a later fragment may be of a packet that the rule does not match: its first fragment knows.
#[inline(always)]
fn is_open<A: Address, T: Tables>(decision: Decision, flow: &Flow<A>, plane: Plane, tables: &T) -> bool {
    match tables.need(plane, decision.place()) {
        Need::Nothing => false,
        Need::Protocol => is_extension(flow.protocol),
        Need::Port => true,
    }
}

/// What became of the first fragment of the packet that this later one is of.
#[inline(always)]
fn first_of<A: Address, T: Tables>(flow: &Flow<A>, way: Way, tables: &T) -> Option<First> {
    match tables.recall(flow.source, flow.destination, Part::of(flow, way)) {
        0 => None,
        word => Some(First::from_words([word, 0])),
    }
}

/// What the rules say of a later fragment that they do not deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A rule allowed it, by name.
    Allowed,
    /// No rule matches it.
    Undecided,
    /// The first rule that may match it has to know more of it.
    Open,
}

/// [`admit`], for later fragments.
#[inline(always)]
pub fn admit_later<A: Address, T: Tables>(
    flow: &Flow<A>,
    settled: Settled,
    plane: Plane,
    tables: &T,
    frame_len: usize,
) -> Step<Admission> {
    if settled.decision.is_none() {
        return Ok(Admission::Undecided);
    }
    if is_open(settled.decision, flow, plane, tables) {
        return Ok(Admission::Open);
    }
    admit(flow, settled, tables, frame_len)?;
    Ok(Admission::Allowed)
}

/// What becomes of a later fragment, by the rules and by its first. `ip`: offset of its IP header.
#[inline(always)]
pub fn follow<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    flow: &Flow<A>,
    settled: Settled,
    (generation, ip): (Generation, usize),
    tables: &T,
) -> Step<Outcome> {
    let admission = admit_later(flow, settled, generation.plane(Way::In), tables, frame.len())?;
    let first = first_of(flow, Way::In, tables);
    if let Some(First { backend: backend @ 1.., .. }) = first {
        if crate::serve::is_for_a_group(frame) {
            return Err(Outcome::FragmentUnknown);
        }
        let next_hop = tables.next_hop(backend).ok_or(Outcome::NoBackend)?;
        let mode = tables.target(backend).map_or(Mode::Dsr, |target| target.mode);
        let picked = Picked { backend, next_hop, hash: 0 };
        return forward::<F, A, T>(frame, ip, mode, &picked, Begins::NOTHING, tables);
    }
    unforwarded(first, admission, generation.drops())
}

/// The same for one that this host sends.
#[inline(always)]
pub fn follow_sent<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    settled: Settled,
    generation: Generation,
    tables: &T,
) -> Step<Outcome> {
    let admission = admit_later(flow, settled, generation.plane(Way::Out), tables, frame.len())?;
    unforwarded(first_of(flow, Way::Out, tables), admission, generation.drops_sent())
}

/// `drops`: what nothing decides is dropped.
#[inline(always)]
fn unforwarded(first: Option<First>, admission: Admission, drops: bool) -> Step<Outcome> {
    match first {
        _ if matches!(admission, Admission::Allowed) => Ok(Outcome::Allowed),
        Some(first) => Ok(first.passed.outcome()),
        None if drops || matches!(admission, Admission::Open) => Err(Outcome::FragmentUnknown),
        None => Ok(Outcome::DefaultPass),
    }
}
