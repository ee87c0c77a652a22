//! What the data path asks of its tables: maps in the kernel, vectors on the host.
//!
//! A table that has no answer never opens anything: the defaults of a missing entry are "no rule" and "no service".

use crate::{
    address::Address,
    admit::against_extensions,
    class::{Class, Port},
    decision::Decision,
    find::{Bucket, ServiceKey},
    generation::Generation,
    next_hop::NextHop,
    note::{Kind, Note},
    sets::{self, Asking, Extent, Key},
    slot::Slot,
    state::State,
    terms::{Candidates, Link, Settled, Terms, settle},
};

/// A trie's node, as one address sees it.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The front of the addresses that it is for: their half, without the node's byte and what is behind.
    pub path: u64,
    /// The word for an address with another front.
    pub otherwise: u32,
    /// The word for the value.
    pub entry: u32,
}

/// One line of a set.
pub trait Line {
    /// `index` is below 8.
    fn word(&self, index: usize) -> u64;

    /// `index` is below 16; the lower half of each word first.
    #[inline(always)]
    fn half(&self, index: usize) -> u32 {
        (self.word(index >> 1) >> ((index & 1) * 32)) as u32
    }
}

/// The lines of one set and family.
pub trait Lines {
    type Line: Line;

    fn line(&self, index: u32) -> Option<Self::Line>;
}

pub trait Tables {
    type Lines: Lines;

    /// The word as it was published.
    fn published(&self) -> Generation;

    /// What is in force for this packet, which asks once. The clock is read only while a change waits for confirmation.
    #[inline(always)]
    fn generation(&self) -> Generation {
        let word = self.published();
        word.at(if word.deadline() == 0 { 0 } else { self.now() })
    }

    fn port(&self, bank: usize, entry: usize) -> Port;

    fn source(&self, bank: usize, class: usize) -> Class;

    /// The part of an index into the narrowed classes that is an interface's; 0 where no rule names it.
    fn interface(&self, bank: usize, ifindex: u32) -> u32;

    /// The class of a port at an interface or destination that rules name.
    fn narrowed(&self, bank: usize, index: u32) -> Class;

    /// What the rules that constrain both source and port say of a pair of classes, by the sum of their parts.
    fn pair(&self, bank: usize, index: u32) -> Decision;

    /// What stands at a place in the list of sets that the bank's rules name: one more than the set's id, 0 behind the last;
    /// and its row or class.
    fn asked(&self, bank: usize, place: usize) -> [u64; 2];

    /// A word of a set's record.
    fn set_word(&self, set: usize, word: usize) -> u64;

    /// The lines that stand in a slot; none in slot 0.
    fn lines(&self, slot: u32) -> Option<Self::Lines>;

    /// The second of the monotonic clock at which an element ends.
    fn until(&self, element: &[u64; 3]) -> Option<u64>;

    /// A bit for each set that has part in a packet. The kernel does this, and each of the next ones up to `weigh`, in a
    /// function of its own.
    fn members<A: Address>(&self, bank: usize, source: A, destination: A) -> u64
    where
        Self: Sized,
    {
        sets::members::<A, _>(bank, sets::halves(source), sets::halves(destination), self)
    }

    /// Whether a lasting prefix of IPv6 has this address.
    fn lasts_v6(&self, address: [u64; 2], set: usize) -> bool
    where
        Self: Sized,
    {
        sets::lasts_v6(address, set, self)
    }

    /// Whether a block has this bit.
    fn is_in_block(&self, extent: Extent, key: Key, bit: u64) -> bool
    where
        Self: Sized,
    {
        sets::is_in_block(extent, key, bit, self)
    }

    /// Whether a prefix that ends has this address.
    fn is_timed<A: Address>(&self, address: [u64; 2], set: usize) -> bool
    where
        Self: Sized,
    {
        sets::is_timed::<A, _>(address, set, self)
    }

    /// The first rule that matches a target by the source's own class, or by those of the sets that it is in.
    fn weigh_sources(&self, bank: usize, members: u64, own: Class, target: Class) -> Settled
    where
        Self: Sized,
    {
        sets::weigh_sources(bank, members, own, target, self)
    }

    /// The same word. The compiler of the kernel's programs does not see that, and keeps nothing that it made of the word.
    fn unrelated(&self, word: u64) -> u64 {
        word
    }

    /// The first rule that matches a packet by some set that it is in.
    fn weigh(&self, asking: Asking, members: u64, own: Class, target: Class, extensions: u64) -> Settled
    where
        Self: Sized,
    {
        sets::weigh(asking, members, own, target, extensions, self)
    }

    /// What a conditional decision stands for.
    fn link(&self, bank: usize, index: u32) -> Link;

    /// What a rule asks beyond its match, by its id.
    fn terms(&self, rule: u32) -> Terms;

    /// The first candidate that holds. The kernel does this in a function of its own, for the verifier to look at once.
    fn settle(&self, bank: usize, candidates: Candidates) -> Settled
    where
        Self: Sized,
    {
        settle(bank, candidates, self)
    }

    /// Takes a packet of this source (see [`crate::limit::source_word`]) from the bucket of a rule that has a limit; false
    /// where it is over the limit.
    fn within_limit(&self, rule: u32, source: u64) -> bool;

    /// Remembers which rule with terms decided, and whether it asks for the packet to be logged.
    fn remark(&self, rule: u32, logs: bool);

    /// Counts one packet of `len` bytes that is over its rule's limit.
    fn count_limited(&self, rule: u32, len: usize);

    /// The first denial of a kind of extension header in the mask. In a function of its own too, since few packets have
    /// any.
    fn against_extensions(&self, bank: usize, extensions: u64, source: Class, narrowed: u32) -> Settled
    where
        Self: Sized,
    {
        against_extensions(bank, extensions, source, narrowed, self)
    }

    /// A word of a trie's root.
    fn root(&self, root: usize, prefix16: u16) -> u32;

    /// What a trie's node says of an address that has this value in the node's byte.
    fn node(&self, node: usize, value: u8) -> Node;

    /// What stands in the key's bucket, whoever's it is.
    fn service(&self, bank: usize, key: ServiceKey) -> Option<Bucket>;

    /// `slot < RING_SLOTS`.
    fn slot(&self, ring: u32, slot: u32) -> Option<Slot>;

    /// The way to a backend; `None` for a backend that is dead or was never there.
    fn next_hop(&self, backend: u32) -> Option<NextHop>;

    fn note<A: Address>(&self, key: &A::FlowKey) -> Option<Note>;

    /// False where there is no room.
    fn set_note<A: Address>(&self, key: &A::FlowKey, note: Note) -> bool;

    /// Whether one more note of an unproven kind may be made.
    fn has_room<A: Address>(&self, kind: Kind) -> bool;

    /// Counts one more note of an unproven kind.
    fn count_unproven<A: Address>(&self, kind: Kind);

    /// Remembers that a flow on this ring could not be noted at this second: its previous backend has to stand.
    fn refuse(&self, ring: u32);

    fn delete_note<A: Address>(&self, key: &A::FlowKey);

    /// What this host opened, by the key of the answer.
    fn state<A: Address>(&self, key: &A::FlowKey) -> Option<State>;

    /// Where there is no room, one that was not used for long gives way.
    fn set_state<A: Address>(&self, key: &A::FlowKey, state: State);

    /// Seconds of the monotonic clock.
    fn now(&self) -> u32;

    /// Counts one packet of `len` bytes.
    fn count_rule(&self, id: u32, len: usize);

    /// Counts one packet of `len` bytes.
    fn count_backend(&self, backend: u32, len: usize, connections: u64, queries: u64);

    /// Index of the interface that the frame came in by; of one that this host sends, that its answer will come in by.
    fn ingress(&self) -> u32;

    /// Remembers where a redirected frame goes.
    fn redirect(&self, interface: u32);
}
