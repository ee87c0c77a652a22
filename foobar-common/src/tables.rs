//! What the data path asks of its tables: maps in the kernel, vectors on the host.
//!
//! A table that has no answer never opens anything: the defaults of a missing entry are "no rule" and "no service".

use crate::{
    address::Address,
    admit::walk,
    class::{Class, Port},
    decision::Decision,
    event::Told,
    find::{Asked, Bucket, Group, ServiceKey, answer, is_from_balancer},
    fragment::{First, Need, Part},
    generation::Generation,
    handoff::Handoff,
    next_hop::NextHop,
    note::{
        Sign,
        table::{Key, NoteTable},
    },
    outcome::Outcome,
    pick::choose,
    plane::{Plane, Way},
    sets::SetTables,
    slot::Slot,
    snat::{self, Lease, Mapping, Pool, Tags, Wanted, answered, gives_way, older, over_in, room_in},
    state::State,
    target::Target,
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

pub trait Tables: SetTables + NoteTable {
    /// The word as it was published.
    fn published(&self) -> Generation;

    /// What is in force for this packet, which asks once. The clock is read only while a change waits for confirmation.
    #[inline(always)]
    fn generation(&self) -> Generation {
        let word = self.published();
        word.at(if word.deadline() == 0 { 0 } else { self.now() })
    }

    fn port(&self, plane: Plane, entry: usize) -> Port;

    fn source(&self, plane: Plane, class: usize) -> Class;

    /// The part of an index into the narrowed classes that is an interface's; 0 where no rule names it.
    fn interface(&self, bank: usize, ifindex: u32) -> u32;

    /// The class of a port at an interface or destination that rules name.
    fn narrowed(&self, plane: Plane, index: u32) -> Class;

    /// What the rules that constrain both source and port say of a pair of classes, by the sum of their parts.
    fn pair(&self, plane: Plane, index: u32) -> Decision;

    /// What the rule at a place has to know of a packet.
    fn need(&self, plane: Plane, place: usize) -> Need;

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

    /// Remembers which rule decided, and whether it asks for the packet to be logged.
    fn remark(&self, rule: u32, logs: bool);

    /// Counts one packet of `len` bytes that is over its rule's limit.
    fn count_limited(&self, rule: u32, len: usize);

    /// What a trie has for an address, on the way out: in a function of its own, since there few hosts have rules.
    fn walk<A: Address>(&self, address: A, root: usize) -> u32
    where
        Self: Sized,
    {
        walk(address, root, self)
    }

    /// A word of a trie's root.
    fn root(&self, root: usize, prefix16: u16) -> u32;

    /// What a trie's node says of an address that has this value in the node's byte.
    fn node(&self, node: usize, value: u8) -> Node;

    /// The group of a port of TCP or UDP, by its [`crate::layout::service_entry`]; 0: nothing claims it.
    fn group(&self, bank: usize, entry: usize) -> Group;

    /// What stands in the key's bucket, whoever's it is.
    fn service(&self, bank: usize, key: ServiceKey) -> Option<Bucket>;

    /// A slot of the ring in a region.
    fn slot(&self, ring: u32, slot: u32) -> Option<Slot>;

    /// The way to a backend; `None` for a backend that is dead or was never there.
    fn next_hop(&self, backend: u32) -> Option<NextHop>;

    /// Whether one more packet of this kind may be sent by itself.
    fn may_tell(&self, told: Told) -> bool;

    /// Where a backend is; `None` for an id that none has.
    fn target(&self, backend: u32) -> Option<Target>;

    /// Remembers the way to a client.
    fn learn(&self, client: [u64; 2], way: NextHop);

    /// The way to a client that sent something to a `nat` service.
    fn way_back(&self, client: [u64; 2]) -> Option<NextHop>;

    /// The way to an address by the kernel's routes; unresolved where a neighbour is asked for, and `None` where it is
    /// this host, or nobody knows.
    fn route<A: Address>(&self, _source: A, _destination: A) -> Option<NextHop> {
        None
    }

    /// See [`answer`]. The kernel does this and the next in functions of their own.
    fn answer(&self, asked: Asked) -> u64
    where
        Self: Sized,
    {
        answer(asked, self)
    }

    /// See [`is_from_balancer`].
    fn is_balancers(&self, asked: Asked) -> bool
    where
        Self: Sized,
    {
        is_from_balancer(asked, self)
    }

    /// Has another program go on with the packet, when this one has come to its end: the outcome where it is not there.
    fn hand_over(&self, handoff: Handoff) -> Outcome;

    /// A word of the tags of `snat`'s places.
    fn tags(&self, word: usize) -> u64;

    /// Writes `after` where `before` still stands; false where it does not.
    fn swap_tags(&self, word: usize, before: u64, after: u64) -> bool;

    /// The second in which a bucket of such places was last looked through in vain.
    fn searched(&self, bucket: usize) -> u32;

    fn set_searched(&self, bucket: usize, second: u32);

    fn lease(&self, place: usize) -> Option<Lease>;

    /// Writes the lease of a place that has just been claimed.
    fn set_lease(&self, place: usize, lease: Lease);

    /// Writes what has become of a lease, if its flow still has the place.
    fn renew_lease(&self, place: usize, before: Lease, after: Lease);

    fn mapping(&self, place: usize) -> Option<Mapping>;

    /// Writes the mapping of a place, before its lease.
    fn set_mapping(&self, place: usize, mapping: Mapping);

    /// See [`snat::find`]. The kernel does this and the next ones in functions of their own.
    fn find_place(&self, tags: Tags, name: u64, wanted: Wanted, pool: Pool) -> u64
    where
        Self: Sized,
    {
        snat::find(tags, name, wanted, pool, self)
    }

    /// See [`room_in`].
    fn room_in(&self, bucket: usize) -> u64
    where
        Self: Sized,
    {
        room_in(bucket, self)
    }

    /// See [`older`].
    fn older(&self, tags: Tags, pool: Pool, after: u32) -> u64
    where
        Self: Sized,
    {
        older(tags, pool, after, self)
    }

    /// See [`gives_way`].
    fn gives_way(&self, place: usize, now: u32) -> bool
    where
        Self: Sized,
    {
        gives_way(place, now, self)
    }

    /// See [`over_in`].
    fn over_in(&self, bucket: usize, now: u32) -> u64
    where
        Self: Sized,
    {
        over_in(bucket, now, self)
    }

    /// An address that `snat` gives packets, by its place.
    fn pool_address(&self, place: usize) -> Option<[u64; 2]>;

    /// The place and backend that an answer to such an address is for: one more than the place in the lower half, the
    /// backend's id in the upper; 0: nobody's. See [`answered`] for the arguments.
    fn answered(&self, pool: u32, source: [u64; 2], ports: u64) -> u64
    where
        Self: Sized,
    {
        answered(pool, source, ports, self).map_or(0, |(place, backend)| (place as u64 + 1) | u64::from(backend) << 32)
    }

    /// See [`choose`]. The kernel does this in a function of its own; as [`Chosen`]'s word.
    ///
    /// [`Chosen`]: crate::pick::Chosen
    fn choose(&self, key: Key, slot: Slot, sign: Sign) -> u64
    where
        Self: Sized,
    {
        choose(key, slot, sign, self).word()
    }

    /// Remembers that a flow on this ring could not be noted at this second: its previous backend has to stand.
    fn refuse(&self, ring: u32);

    /// What was opened, by the way and the key of the answer.
    fn state<A: Address>(&self, way: Way, key: &A::FlowKey) -> Option<State>;

    /// Where there is no room, one that was not used for long gives way.
    fn set_state<A: Address>(&self, way: Way, key: &A::FlowKey, state: State);

    /// What became of a packet's first fragment.
    fn first<A: Address>(&self, key: &A::FlowKey) -> Option<First>;

    /// Where there is no room, one that was not used for long gives way.
    fn set_first<A: Address>(&self, key: &A::FlowKey, first: First);

    /// Remembers what became of a first fragment. The kernel does this and the next in functions of their own.
    fn remember<A: Address>(&self, source: A, destination: A, part: Part)
    where
        Self: Sized,
    {
        self.set_first::<A>(&part.key(source, destination), part.first(self.now()));
    }

    /// What the first fragment of a later one decides, as [`First`]'s first word; 0: nothing.
    fn recall<A: Address>(&self, source: A, destination: A, part: Part) -> u64
    where
        Self: Sized,
    {
        self.first::<A>(&part.key(source, destination)).map_or(0, |first| part.heeds(first, self.now()))
    }

    /// Seconds of the monotonic clock.
    fn now(&self) -> u32;

    /// Counts one packet of `len` bytes that this host sends.
    fn count_sent(&self, outcome: Outcome, len: usize);

    /// Counts one packet of `len` bytes.
    fn count_rule(&self, id: u32, len: usize);

    /// Counts one packet of `len` bytes.
    fn count_backend(&self, backend: u32, len: usize, connections: u64, queries: u64);

    /// Index of the interface that the frame came in by; of one that this host sends, that its answer will come in by.
    fn ingress(&self) -> u32;

    /// Remembers where a redirected frame goes.
    fn redirect(&self, interface: u32);
}
