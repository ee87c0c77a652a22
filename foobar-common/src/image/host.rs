//! The host's [`Tables`] over an image: what tests and explanations of what is not published yet run on.
//!
//! What the kernel counts, notes and remembers is here too, in maps by the words of its keys.

mod notes;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
};

use super::{HandedOver, Image, ReceivedFrame, serve_whole};
use crate::{
    address::Address,
    child::Child,
    class::{Class, Port},
    decision::Decision,
    depart::{Departure, depart},
    event::Told,
    find::{Bucket, Group, Kind as KeyKind, ServiceKey},
    fragment::{First, Need},
    frame::{Frame, FrameMut, Header, Resize},
    generation::Generation,
    handoff::Handoff,
    layout::{ROOTS, Side},
    next_hop::NextHop,
    outcome::Outcome,
    plane::{Plane, Way},
    sets::{QUESTION_WORDS, host::HostSets},
    slot::Slot,
    snat::{Lease, Mapping},
    sparse,
    state::State,
    tables::{Node, Tables},
    target::Target,
    terms::{Link, Terms},
};

/// Packets and bytes.
pub type Tally = [u64; 2];

/// The host's tables: one image, in bank 0, and what it counts.
#[derive(Debug, Default)]
pub struct HostTables {
    pub image: Image,
    /// By a rule's id.
    pub terms: HashMap<u32, Terms>,
    /// Rules whose limit is used up.
    pub over: HashSet<u32>,
    pub rings: Vec<Vec<Slot>>,
    pub next_hops: HashMap<u32, NextHop>,
    pub targets: HashMap<u32, Target>,
    /// By the words of a client's address, the way to it.
    pub clients: RefCell<HashMap<[u64; 2], NextHop>>,
    /// By the words of an address, what the kernel's routes would say.
    pub routes: HashMap<[u64; 2], NextHop>,
    /// Addresses that `snat` gives packets.
    pub pool: Vec<[u64; 2]>,
    pub tags: RefCell<HashMap<usize, u64>>,
    pub searched: RefCell<HashMap<usize, u32>>,
    pub mappings: RefCell<HashMap<usize, Mapping>>,
    pub leases: RefCell<HashMap<usize, [u64; 2]>>,
    /// What the next program goes on with.
    pub handed_over: Cell<Option<Handoff>>,
    /// The words of notes, by their places.
    pub notes: RefCell<HashMap<usize, [u64; 2]>>,
    /// How many there are of what is counted.
    pub noted: RefCell<HashMap<usize, u64>>,
    pub note_secret: [u64; 2],
    /// By the words of an answer's key, what this host opened.
    pub states: RefCell<HashMap<Vec<u64>, State>>,
    /// The same for what others opened.
    pub heard: RefCell<HashMap<Vec<u64>, State>>,
    /// By the words of a fragment's key.
    pub firsts: RefCell<HashMap<Vec<u64>, First>>,
    /// Notes, at most.
    pub room: usize,
    /// By ring, when a flow last found no room.
    pub refused: RefCell<HashMap<u32, u32>>,
    /// What may not be sent by itself: its budget is used up.
    pub silent: HashSet<Told>,
    pub sets: HostSets,
    /// What was asked beyond the classes.
    pub question: Cell<[u64; QUESTION_WORDS]>,
    pub now: u32,
    pub ingress: u32,
    /// Where the last redirected frame went.
    pub redirected: Cell<Option<u32>>,
    pub rules: RefCell<HashMap<u32, Tally>>,
    /// Packets, bytes, connections, queries.
    pub backends: RefCell<HashMap<u32, [u64; 4]>>,
    pub outcomes: RefCell<HashMap<Outcome, Tally>>,
    pub sent: RefCell<HashMap<Outcome, Tally>>,
}

/// A frame that this host sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFrame(pub Vec<u8>);

impl Frame for SentFrame {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn reaches(&self, end: usize) -> bool {
        end <= self.0.len()
    }

    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        self.0.as_slice().read(offset)
    }

    fn bytes_of(&self, said: usize, offset: usize) -> usize {
        if said == 0 { (self.0.len() - offset).min(usize::from(u16::MAX)) } else { said }
    }
}

impl FrameMut for SentFrame {
    fn write<H: Header>(&mut self, offset: usize, header: H) -> Option<()> {
        self.0.as_mut_slice().write(offset, header)
    }
}

impl Resize for SentFrame {
    fn resize(&mut self, len: usize) -> Option<()> {
        self.0.resize(len, 0);
        Some(())
    }
}

impl HostTables {
    /// Sends a frame as the kernel does: what becomes of it, and the frame as it is then.
    pub fn send(&self, frame: &[u8]) -> (Departure, Vec<u8>) {
        let mut frame = SentFrame(frame.to_vec());
        (depart(&mut frame, self), frame.0)
    }

    fn plane(&self, plane: Plane) -> &Image {
        match plane.way {
            Way::In => &self.image,
            Way::Out => self.image.sent.as_deref().unwrap_or(&self.image),
        }
    }

    fn opened(&self, way: Way) -> &RefCell<HashMap<Vec<u64>, State>> {
        match way {
            Way::In => &self.states,
            Way::Out => &self.heard,
        }
    }

    /// Serves a frame as the kernel does, the outcome's counter included.
    pub fn run(&self, frame: &mut Vec<u8>) -> Outcome {
        let len = frame.len();
        let mut received = ReceivedFrame(std::mem::take(frame));
        let outcome = serve_whole(&mut received, self);
        *frame = received.0;
        add(self.outcomes.borrow_mut().entry(outcome).or_default(), [1, len as u64]);
        outcome
    }
}

fn add<const N: usize>(total: &mut [u64; N], amounts: [u64; N]) {
    for (total, amount) in total.iter_mut().zip(amounts) {
        *total += amount;
    }
}

impl HandedOver for HostTables {
    fn handed_over(&self) -> Option<Handoff> {
        self.handed_over.take()
    }
}

impl Tables for HostTables {
    fn published(&self) -> Generation {
        let Image { drops, sent, narrowed, .. } = &self.image;
        let sent_drops = sent.as_ref().is_some_and(|sent| sent.drops);
        let inward = Generation::new(0, *drops, !narrowed.is_empty()).asking_sets(self.image.asks_sets());
        let inward = inward.answering(self.image.has(KeyKind::Backend), self.image.has(KeyKind::Pool));
        let inward = inward.serving(!self.image.services.is_empty());
        let inward = inward.untunnelling(self.image.has(KeyKind::Balancer));
        inward.sending(sent.is_some(), sent_drops).noting(*drops, sent_drops)
    }

    fn port(&self, plane: Plane, entry: usize) -> Port {
        self.plane(plane).ports[entry]
    }

    fn source(&self, plane: Plane, class: usize) -> Class {
        self.plane(plane).sources[class]
    }

    fn interface(&self, _: usize, ifindex: u32) -> u32 {
        self.image.interfaces.get(&ifindex).copied().unwrap_or(0)
    }

    fn narrowed(&self, plane: Plane, index: u32) -> Class {
        self.plane(plane).narrowed[index as usize]
    }

    fn pair(&self, plane: Plane, index: u32) -> Decision {
        let image = self.plane(plane);
        if sparse::is_key(index) {
            return image.sparse.get(&index).map_or(Decision::NONE, |word| Decision::from_word(*word));
        }
        Decision::from_word(image.pairs[index as usize])
    }

    fn need(&self, plane: Plane, rule: usize) -> Need {
        self.plane(plane).needs.get(rule).copied().unwrap_or_default()
    }

    fn link(&self, _: usize, index: u32) -> Link {
        self.image.links[index as usize]
    }

    fn terms(&self, rule: u32) -> Terms {
        self.terms.get(&rule).copied().unwrap_or_default()
    }

    fn within_limit(&self, rule: u32, _: u64) -> bool {
        !self.over.contains(&rule)
    }

    fn remark(&self, _: u32, _: bool) {}

    fn count_limited(&self, _: u32, _: usize) {}

    fn root(&self, root: usize, prefix16: u16) -> u32 {
        let first = Plane { bank: 0, way: Way::Out }.root(Side::Source, false);
        let way = if root < first { Way::In } else { Way::Out };
        let plane = Plane { bank: 0, way };
        let entry = self.plane(plane).roots[root % ROOTS].0[usize::from(prefix16)];
        Child::from_entry(entry).map_or(entry, |child| child.moved(plane.node()).entry())
    }

    fn node(&self, node: usize, value: u8) -> Node {
        let first = Plane { bank: 0, way: Way::Out }.node();
        let (image, first) = match node.checked_sub(first) {
            Some(_) => (self.image.sent.as_deref().unwrap_or(&self.image), first),
            None => (&self.image, 0),
        };
        let node = &image.nodes.0[node - first];
        let moved = |entry: u32| Child::from_entry(entry).map_or(entry, |child| child.moved(first).entry());
        Node { path: node.path, otherwise: node.otherwise, entry: moved(node.entries[usize::from(value)]) }
    }

    fn group(&self, _: usize, entry: usize) -> Group {
        self.image.groups[entry]
    }

    fn service(&self, _: usize, key: ServiceKey) -> Option<Bucket> {
        let [high, low, third] = key;
        let [first, second] = match self.image.services.get(&key) {
            Some(service) => *service,
            None => [*self.image.others.get(&key)?, 0],
        };
        Some([high, low, third, first, second])
    }

    fn slot(&self, ring: u32, slot: u32) -> Option<Slot> {
        self.rings.get(ring as usize)?.get(slot as usize).copied()
    }

    fn next_hop(&self, backend: u32) -> Option<NextHop> {
        self.next_hops.get(&backend).copied()
    }

    fn target(&self, backend: u32) -> Option<Target> {
        self.targets.get(&backend).copied()
    }

    fn may_tell(&self, told: Told) -> bool {
        !self.silent.contains(&told)
    }

    fn learn(&self, client: [u64; 2], way: NextHop) {
        self.clients.borrow_mut().insert(client, way);
    }

    fn way_back(&self, client: [u64; 2]) -> Option<NextHop> {
        self.clients.borrow().get(&client).copied()
    }

    fn route<A: Address>(&self, _: A, destination: A) -> Option<NextHop> {
        self.routes.get(&destination.words()).copied()
    }

    fn hand_over(&self, handoff: Handoff) -> Outcome {
        self.handed_over.set(Some(handoff));
        Outcome::NoStage
    }

    fn tags(&self, word: usize) -> u64 {
        self.tags.borrow().get(&word).copied().unwrap_or(0)
    }

    fn searched(&self, bucket: usize) -> u32 {
        self.searched.borrow().get(&bucket).copied().unwrap_or(0)
    }

    fn set_searched(&self, bucket: usize, second: u32) {
        self.searched.borrow_mut().insert(bucket, second);
    }

    fn swap_tags(&self, word: usize, before: u64, after: u64) -> bool {
        let stands = self.tags(word) == before;
        if stands {
            self.tags.borrow_mut().insert(word, after);
        }
        stands
    }

    fn mapping(&self, place: usize) -> Option<Mapping> {
        self.mappings.borrow().get(&place).copied()
    }

    fn set_mapping(&self, place: usize, mapping: Mapping) {
        self.mappings.borrow_mut().insert(place, mapping);
    }

    fn lease(&self, place: usize) -> Option<Lease> {
        Some(Lease::from_words(self.leases.borrow().get(&place).copied().unwrap_or_default()))
    }

    fn set_lease(&self, place: usize, lease: Lease) {
        self.leases.borrow_mut().insert(place, lease.to_words());
    }

    fn renew_lease(&self, place: usize, before: Lease, after: Lease) {
        if self.lease(place).is_some_and(|lease| lease.to_words()[0] == before.to_words()[0]) {
            self.set_lease(place, after);
        }
    }

    fn pool_address(&self, place: usize) -> Option<[u64; 2]> {
        self.pool.get(place).copied()
    }

    fn refuse(&self, ring: u32) {
        self.refused.borrow_mut().insert(ring, self.now);
    }

    fn state<A: Address>(&self, way: Way, key: &A::FlowKey) -> Option<State> {
        self.opened(way).borrow().get(key.as_ref()).copied()
    }

    fn set_state<A: Address>(&self, way: Way, key: &A::FlowKey, state: State) {
        self.opened(way).borrow_mut().insert(key.as_ref().to_vec(), state);
    }

    fn first<A: Address>(&self, key: &A::FlowKey) -> Option<First> {
        self.firsts.borrow().get(key.as_ref()).copied()
    }

    fn set_first<A: Address>(&self, key: &A::FlowKey, first: First) {
        self.firsts.borrow_mut().insert(key.as_ref().to_vec(), first);
    }

    fn now(&self) -> u32 {
        self.now
    }

    fn count_sent(&self, outcome: Outcome, len: usize) {
        add(self.sent.borrow_mut().entry(outcome).or_default(), [1, len as u64]);
    }

    fn count_rule(&self, id: u32, len: usize) {
        add(self.rules.borrow_mut().entry(id).or_default(), [1, len as u64]);
    }

    fn count_backend(&self, backend: u32, len: usize, connections: u64, queries: u64) {
        add(self.backends.borrow_mut().entry(backend).or_default(), [1, len as u64, connections, queries]);
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn redirect(&self, interface: u32) {
        self.redirected.set(Some(interface));
    }
}
