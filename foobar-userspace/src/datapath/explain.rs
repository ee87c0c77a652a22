//! The tables in force as a packet would see them, for questions: the same code as in the kernel runs on the same memory,
//! and nothing is counted, noted or sent.

mod notes;
mod sets;

use std::{
    cell::{Cell, RefCell},
    sync::atomic::Ordering,
};

use foobar_common::{
    Address, Outcome, Tables as Seen,
    class::{Class, Port},
    decision::Decision,
    depart::judge_sent,
    event::Told,
    find::{BUCKET_WORDS, Bucket, Group, Kind as KeyKind, ServiceKey, bucket_index, displaced_seed, with_group},
    fragment::{First, Need},
    generation::Generation,
    handoff::Handoff,
    image::{HandedOver, ReceivedFrame, serve_whole},
    interface::{self, Named},
    layout::{
        INTERFACE_WORDS, MAX_LINKS, MAX_PAIRS, NODE_FIRST_ENTRY, NODE_OTHERWISE, NODE_WORDS, NODES_WORDS, RING_UNIT,
        ROOT_ENTRIES, SERVICE_WORDS, SPARSE_SEED, SPARSE_WORDS,
    },
    next_hop::NextHop,
    note::Note,
    plane::{Plane, Way},
    sets::QUESTION_WORDS,
    slot::Slot,
    snat::{Lease, Mapping},
    sparse,
    state::State,
    tables::Node,
    target::{Target, client_index},
    terms::{Link, Terms},
};

use super::{Datapath, tables::Tables};

/// What became of a frame, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub outcome: Outcome,
    /// Whether the rules were asked.
    pub judged: bool,
    /// The id of the rule that was the first to match.
    pub rule: Option<u32>,
    /// Ids of rules before it that match, and whose time is over.
    pub over: Vec<u32>,
    /// Whether the packet would be within the rule's limit; `None` where it is not counted by one.
    pub within_limit: Option<bool>,
    /// The service's key without a group, and the port that was asked for.
    pub service: Option<(ServiceKey, u16)>,
    /// The backend's id, and whether a note said so. Also where the way to it is not known.
    pub backend: Option<u32>,
    pub noted: bool,
    /// Whether its connection id names the backend.
    pub named: bool,
    /// The slot of the service's ring that the flow has, by its place.
    pub slot: Option<(u32, Slot)>,
    /// Out of which interface it would be redirected.
    pub redirected: Option<u32>,
    /// The frame as rewritten.
    pub frame: Vec<u8>,
}

/// The tables, and what was read of them.
pub(super) struct Reading<'a> {
    datapath: &'a Datapath,
    generation: Generation,
    ingress: u32,
    judged: Cell<bool>,
    rule: Cell<Option<u32>>,
    over: RefCell<Vec<u32>>,
    within_limit: Cell<Option<bool>>,
    /// The port whose group was asked for last.
    port: Cell<u16>,
    service: Cell<Option<(ServiceKey, u16)>>,
    backend: Cell<Option<u32>>,
    note: Cell<Option<Note>>,
    slot: Cell<Option<(u32, Slot)>>,
    named: Cell<bool>,
    redirected: Cell<Option<u32>>,
    question: Cell<[u64; QUESTION_WORDS]>,
    handed_over: Cell<Option<Handoff>>,
}

impl HandedOver for Reading<'_> {
    fn handed_over(&self) -> Option<Handoff> {
        self.handed_over.take()
    }
}

impl Datapath {
    /// What would become of a frame that comes in by an interface's index, or that this host sends. Changes nothing.
    pub fn explain(&self, mut frame: Vec<u8>, way: Way, ingress: u32) -> Explanation {
        let reading = Reading::new(self, ingress);
        let outcome = match way {
            Way::In => {
                let mut received = ReceivedFrame(frame);
                let outcome = serve_whole(&mut received, &reading);
                frame = received.0;
                outcome
            }
            Way::Out => judge_sent(frame.as_slice(), &reading),
        };
        let served = outcome.is_of_service();
        let backend = reading.backend.get().filter(|_| served && outcome != Outcome::NoBackend);
        Explanation {
            outcome,
            judged: reading.judged.get(),
            rule: reading.rule.get(),
            over: reading.over.take(),
            within_limit: reading.within_limit.get(),
            service: reading.service.get().filter(|_| served),
            backend,
            slot: reading.slot.get().filter(|_| served),
            named: reading.named.get(),
            noted: reading.note.get().is_some_and(|note| Some(note.backend) == backend),
            redirected: reading.redirected.get(),
            frame,
        }
    }
}

impl<'a> Reading<'a> {
    /// Of the generation in force.
    pub(super) fn new(datapath: &'a Datapath, ingress: u32) -> Self {
        Self {
            datapath,
            generation: datapath.tables.published(),
            ingress,
            judged: Cell::default(),
            rule: Cell::default(),
            over: RefCell::default(),
            within_limit: Cell::default(),
            port: Cell::default(),
            service: Cell::default(),
            backend: Cell::default(),
            note: Cell::default(),
            slot: Cell::default(),
            named: Cell::default(),
            redirected: Cell::default(),
            question: Cell::default(),
            handed_over: Cell::default(),
        }
    }

    fn tables(&self) -> &Tables {
        &self.datapath.tables
    }
}

impl Seen for Reading<'_> {
    fn published(&self) -> Generation {
        self.generation
    }

    fn port(&self, plane: Plane, entry: usize) -> Port {
        self.judged.set(true);
        Port::from_word(self.tables().ports.words()[plane.port(entry)].load(Ordering::Relaxed))
    }

    fn source(&self, plane: Plane, class: usize) -> Class {
        Class::from_word(self.tables().sources.words()[plane.source(class)].load(Ordering::Relaxed))
    }

    fn interface(&self, bank: usize, ifindex: u32) -> u32 {
        let words = &self.tables().interfaces.words()[bank * INTERFACE_WORDS..][..INTERFACE_WORDS];
        let bucket = 1 + interface::bucket_index(ifindex, words[0].load(Ordering::Relaxed));
        Named::from_word(words[bucket].load(Ordering::Relaxed)).offset_of(ifindex)
    }

    fn narrowed(&self, plane: Plane, index: u32) -> Class {
        Class::from_word(self.tables().narrowed.words()[plane.narrowed(index as usize)].load(Ordering::Relaxed))
    }

    fn pair(&self, plane: Plane, index: u32) -> Decision {
        if sparse::is_key(index) {
            let words = &self.tables().pairs.words()[plane.bank * (MAX_PAIRS / 2)..];
            let bucket = sparse::bucket(index, words[SPARSE_SEED].load(Ordering::Relaxed));
            let words = words[bucket..bucket + SPARSE_WORDS].iter().map(|word| word.load(Ordering::Relaxed));
            let found = words.into_iter().find(|word| (word >> 32) as u32 == index);
            return found.map_or(Decision::NONE, |word| Decision::from_word(word as u32));
        }
        Decision::from_word(self.tables().pairs.halves()[plane.pair(index as usize)].load(Ordering::Relaxed))
    }

    fn need(&self, plane: Plane, rule: usize) -> Need {
        Need::from_word(self.tables().needs.words()[plane.need(rule)].load(Ordering::Relaxed), rule)
    }

    fn link(&self, bank: usize, index: u32) -> Link {
        Link::from_word(self.tables().links.words()[bank * MAX_LINKS + index as usize].load(Ordering::Relaxed))
    }

    fn terms(&self, rule: u32) -> Terms {
        let word = self.tables().terms(rule).map_or(0, |word| word.load(Ordering::Relaxed));
        let terms = Terms::from_word(word);
        if !terms.holds(self.now()) {
            self.over.borrow_mut().push(rule);
        }
        terms
    }

    fn within_limit(&self, rule: u32, source: u64) -> bool {
        let is_within = self.tables().would_be_within(rule, source).unwrap_or(false);
        self.within_limit.set(Some(is_within));
        is_within
    }

    fn remark(&self, rule: u32, _: bool) {
        self.rule.set(Some(rule));
    }

    fn count_limited(&self, _: u32, _: usize) {}

    fn root(&self, root: usize, prefix16: u16) -> u32 {
        self.tables().roots.halves()[root * ROOT_ENTRIES + usize::from(prefix16)].load(Ordering::Relaxed)
    }

    fn node(&self, node: usize, value: u8) -> Node {
        let node = node.min(NODES_WORDS / NODE_WORDS - 1);
        let half = |index: usize| self.tables().nodes.halves()[node * NODE_WORDS * 2 + index].load(Ordering::Relaxed);
        Node {
            path: self.tables().nodes.words()[node * NODE_WORDS].load(Ordering::Relaxed),
            otherwise: half(NODE_OTHERWISE),
            entry: half(NODE_FIRST_ENTRY + usize::from(value)),
        }
    }

    fn group(&self, bank: usize, entry: usize) -> Group {
        self.port.set(entry as u16);
        self.tables().group(bank, entry)
    }

    fn service(&self, bank: usize, key: ServiceKey) -> Option<Bucket> {
        let words = &self.tables().services.words()[bank * SERVICE_WORDS..][..SERVICE_WORDS];
        let seed = words[0].load(Ordering::Relaxed);
        let seed = displaced_seed(key, seed).map_or(seed, |word| words[word].load(Ordering::Relaxed));
        let first = 1 + bucket_index(key, seed) * BUCKET_WORDS;
        let bucket: Bucket = std::array::from_fn(|index| words[first + index].load(Ordering::Relaxed));
        if bucket[..3] == key && KeyKind::of(&key) == KeyKind::Service {
            self.service.set(Some((with_group(key, 0), self.port.get())));
        }
        if bucket[..3] == key && KeyKind::of(&key) == KeyKind::Server {
            self.named.set(true);
        }
        Some(bucket)
    }

    fn slot(&self, ring: u32, slot: u32) -> Option<Slot> {
        let half = self.tables().rings.halves().get((ring * RING_UNIT + slot) as usize)?;
        let found = Slot::from_word(half.load(Ordering::Relaxed));
        self.slot.set(Some((slot, found)));
        // Whoever the packet named is dead.
        self.named.set(false);
        Some(found)
    }

    fn next_hop(&self, backend: u32) -> Option<NextHop> {
        // Whose is asked for last is where the packet would go.
        self.backend.set(Some(backend));
        self.tables().next_hop(backend).ok().flatten()
    }

    fn target(&self, backend: u32) -> Option<Target> {
        self.tables().target(backend).ok()
    }

    fn may_tell(&self, _: Told) -> bool {
        true
    }

    fn learn(&self, _: [u64; 2], _: NextHop) {}

    fn way_back(&self, client: [u64; 2]) -> Option<NextHop> {
        let words = self.datapath.maps.clients.get(&client_index(client), 0).ok()?;
        (words[..2] == client).then(|| NextHop::from_raw([words[2], words[3]]))
    }

    fn hand_over(&self, handoff: Handoff) -> Outcome {
        self.handed_over.set(Some(handoff));
        Outcome::NoStage
    }

    fn tags(&self, word: usize) -> u64 {
        self.datapath.places.tags(word)
    }

    fn swap_tags(&self, _: usize, _: u64, _: u64) -> bool {
        true
    }

    fn searched(&self, _: usize) -> u32 {
        0
    }

    fn set_searched(&self, _: usize, _: u32) {}

    fn mapping(&self, place: usize) -> Option<Mapping> {
        self.datapath.places.mapping(place)
    }

    fn set_mapping(&self, _: usize, _: Mapping) {}

    fn lease(&self, place: usize) -> Option<Lease> {
        self.datapath.places.lease(place)
    }

    fn set_lease(&self, _: usize, _: Lease) {}

    fn renew_lease(&self, _: usize, _: Lease, _: Lease) {}

    fn pool_address(&self, place: usize) -> Option<[u64; 2]> {
        self.datapath.pool_addresses().get(place).copied()
    }

    fn refuse(&self, _: u32) {}

    fn state<A: Address>(&self, way: Way, key: &A::FlowKey) -> Option<State> {
        let (v4, v6) = self.datapath.maps.opened(way);
        let word = match key.as_ref() {
            [pair, ports] => v4.get(&[*pair, *ports], 0).ok(),
            [a, b, c, d, ports] => v6.get(&[*a, *b, *c, *d, *ports], 0).ok(),
            _ => None,
        };
        word.map(State::from_word)
    }

    fn set_state<A: Address>(&self, _: Way, _: &A::FlowKey, _: State) {}

    fn first<A: Address>(&self, key: &A::FlowKey) -> Option<First> {
        let maps = &self.datapath.maps;
        let words = match key.as_ref() {
            [pair, ports] => maps.firsts_v4.get(&[*pair, *ports], 0).ok(),
            [a, b, c, d, ports] => maps.firsts_v6.get(&[*a, *b, *c, *d, *ports], 0).ok(),
            _ => None,
        };
        words.map(First::from_words)
    }

    fn set_first<A: Address>(&self, _: &A::FlowKey, _: First) {}

    fn now(&self) -> u32 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        u32::try_from(time.tv_sec).unwrap_or(u32::MAX)
    }

    fn count_sent(&self, _: Outcome, _: usize) {}

    fn count_rule(&self, id: u32, _: usize) {
        self.rule.set(Some(id));
    }

    fn count_backend(&self, _: u32, _: usize, _: u64, _: u64) {}

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn redirect(&self, interface: u32) {
        self.redirected.set(Some(interface));
    }
}
