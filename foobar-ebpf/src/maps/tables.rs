//! What a packet asks of its tables, of the maps that have it.

use super::{
    Address, Asked, BUCKET_WORDS, Bucket, Candidates, Class, Context, Decision, First, GROUP_WORDS, GROUPS,
    GROUPS_IN_A_WORD, Generation, Group, Handoff, INTERFACE_WORDS, INTERFACES, Key, LINKS, Lease, Link, MAX_LINKS,
    Mapping, Maps, NARROWED, NEEDS, NEXT_HOP_WORDS, NEXT_HOPS, NODE_FIRST_ENTRY, NODE_OTHERWISE, NODE_WORDS, NODES,
    Named, Need, NextHop, Node, Outcome, PAIRS, PORTS, Part, Plane, Pool, Port, RING_UNIT, RINGS, ROOM, ROOT_ENTRIES,
    ROOTS, Record, Remark, SERVICE_WORDS, SERVICES, SOURCES, ServiceKey, Settled, Sign, Slot, State, TERMS,
    TERMS_OF_RULE, Tables, Tags, Target, Terms, Told, Wanted, Way, answer_apart, answered_apart,
    bpf_ktime_get_coarse_ns, bpf_redirect, bucket_index, choose_apart, counts, displaced_seed, find_place_apart, flows,
    gives_way_apart, group_in, interface, is_balancers_apart, limits, now, older_apart, over_in_apart, recall_v4,
    recall_v6, remember_v4, remember_v6, room_in_apart, settle_apart, sparse, sparse_pair, stages, walk_v4, walk_v6,
    within_budget,
};

impl<C: Context> Tables for Maps<'_, C> {
    #[inline(always)]
    fn published(&self) -> Generation {
        self.generation
    }

    #[inline(always)]
    fn generation(&self) -> Generation {
        self.generation
    }

    #[inline(always)]
    fn port(&self, plane: Plane, entry: usize) -> Port {
        Port::from_word(PORTS.word(plane.port(entry)).unwrap_or(Port::NONE.word()))
    }

    #[inline(always)]
    fn source(&self, plane: Plane, class: usize) -> Class {
        Class::from_word(SOURCES.word(plane.source(class)).unwrap_or(Class::NONE.word()))
    }

    #[inline(always)]
    fn interface(&self, bank: usize, ifindex: u32) -> u32 {
        let Some(seed) = INTERFACES.word(bank * INTERFACE_WORDS) else { return 0 };
        let bucket = 1 + interface::bucket_index(ifindex, seed);
        Named::from_word(INTERFACES.word(bank * INTERFACE_WORDS + bucket).unwrap_or_default()).offset_of(ifindex)
    }

    #[inline(always)]
    fn narrowed(&self, plane: Plane, index: u32) -> Class {
        Class::from_word(NARROWED.word(plane.narrowed(index as usize)).unwrap_or(Class::NONE.word()))
    }

    #[inline(always)]
    fn pair(&self, plane: Plane, index: u32) -> Decision {
        if matches!(plane.way, Way::In) && sparse::is_key(index) {
            return Decision::from_word(sparse_pair(plane.bank as u64, index));
        }
        Decision::from_word(PAIRS.half(plane.pair(index as usize)).unwrap_or(Decision::NONE.word()))
    }

    #[inline(always)]
    fn need(&self, plane: Plane, rule: usize) -> Need {
        NEEDS.word(plane.need(rule)).map_or(Need::Port, |word| Need::from_word(word, rule))
    }

    #[inline(always)]
    fn link(&self, bank: usize, index: u32) -> Link {
        Link::from_word(LINKS.word(bank * MAX_LINKS + index as usize).unwrap_or(Link::NONE.word()))
    }

    #[inline(always)]
    fn terms(&self, rule: u32) -> Terms {
        Terms::from_word(TERMS.word(rule as usize * TERMS_OF_RULE).unwrap_or_default())
    }

    #[inline(always)]
    fn settle(&self, bank: usize, candidates: Candidates) -> Settled {
        let Candidates { source, target, pair } = candidates;
        Settled::from_word(settle_apart(bank as u64, source.word(), target.word(), pair.word()))
    }

    #[inline(always)]
    fn within_limit(&self, rule: u32, source: u64) -> bool {
        limits::within_limit_apart(rule, source) != 0
    }

    #[inline(always)]
    fn remark(&self, rule: u32, logs: bool) {
        self.remark.set(Remark::NONE.by(rule).logged(logs));
    }

    #[inline(always)]
    fn count_limited(&self, rule: u32, len: usize) {
        limits::count_limited(rule, len);
    }

    #[inline(always)]
    fn walk<A: Address>(&self, address: A, root: usize) -> u32 {
        let [high, low] = address.words();
        if A::V6 { walk_v6(root as u64, high, low) } else { walk_v4(root as u64, low as u32) }
    }

    #[inline(always)]
    fn root(&self, root: usize, prefix16: u16) -> u32 {
        ROOTS.half(root * ROOT_ENTRIES + usize::from(prefix16)).unwrap_or_default()
    }

    #[inline(always)]
    fn node(&self, node: usize, value: u8) -> Node {
        let Some(record) = NODES.record::<NODE_WORDS>(node * NODE_WORDS) else {
            return Node { path: 0, otherwise: 0, entry: 0 };
        };
        Node {
            path: record.word::<0>(),
            otherwise: record.half::<NODE_OTHERWISE>(),
            entry: record.half_behind::<NODE_FIRST_ENTRY, 0xff>(usize::from(value)),
        }
    }

    #[inline(always)]
    fn group(&self, bank: usize, entry: usize) -> Group {
        group_in(GROUPS.word(bank * GROUP_WORDS + entry / GROUPS_IN_A_WORD).unwrap_or_default(), entry)
    }

    #[inline(always)]
    fn service(&self, bank: usize, key: ServiceKey) -> Option<Bucket> {
        let services = SERVICES.record::<SERVICE_WORDS>(bank * SERVICE_WORDS)?;
        let mut seed = services.word::<0>();
        if let Some(displaced) = displaced_seed(key, seed) {
            seed = SERVICES.word(bank * SERVICE_WORDS + displaced)?;
        }
        let bucket = 1 + bucket_index(key, seed) * BUCKET_WORDS;
        SERVICES.record(bank * SERVICE_WORDS + bucket).map(Record::words)
    }

    #[inline(always)]
    fn slot(&self, ring: u32, slot: u32) -> Option<Slot> {
        RINGS.half(ring as usize * RING_UNIT as usize + slot as usize).map(Slot::from_word)
    }

    #[inline(always)]
    fn next_hop(&self, backend: u32) -> Option<NextHop> {
        let record = NEXT_HOPS.record::<NEXT_HOP_WORDS>(backend as usize * NEXT_HOP_WORDS)?;
        let (second, first) = (record.word::<1>(), record.word::<0>());
        // Userspace empties the second word while it changes both.
        if record.word::<1>() == second { NextHop::from_words([first, second]) } else { Some(NextHop::UNRESOLVED) }
    }

    #[inline(always)]
    fn may_tell(&self, told: Told) -> bool {
        // SAFETY: a helper without arguments.
        within_budget(told as u32, unsafe { bpf_ktime_get_coarse_ns() })
    }

    #[inline(always)]
    fn target(&self, backend: u32) -> Option<Target> {
        stages::target(backend)
    }

    #[inline(always)]
    fn learn(&self, client: [u64; 2], way: NextHop) {
        stages::learn(client, way);
    }

    #[inline(always)]
    fn way_back(&self, client: [u64; 2]) -> Option<NextHop> {
        stages::way_back(client)
    }

    #[inline(always)]
    fn answer(&self, asked: Asked) -> u64 {
        let Asked { source: [high, low], destination: [far_high, far_low], word } = asked;
        answer_apart(high, low, far_high, far_low, word)
    }

    #[inline(always)]
    fn is_balancers(&self, asked: Asked) -> bool {
        let Asked { source: [high, low], word, .. } = asked;
        is_balancers_apart(high, low, word) != 0
    }

    #[inline(always)]
    fn route<A: Address>(&self, source: A, destination: A) -> Option<NextHop> {
        self.context.route(source, destination)
    }

    #[inline(always)]
    fn hand_over(&self, handoff: Handoff) -> Outcome {
        stages::hand_over(Handoff { remark: self.remark.get().word(), ..handoff });
        Outcome::NoStage
    }

    #[inline(always)]
    fn tags(&self, word: usize) -> u64 {
        stages::tags(word)
    }

    #[inline(always)]
    fn swap_tags(&self, word: usize, before: u64, after: u64) -> bool {
        stages::swap_tags(word, before, after)
    }

    #[inline(always)]
    fn searched(&self, bucket: usize) -> u32 {
        stages::searched(bucket)
    }

    #[inline(always)]
    fn set_searched(&self, bucket: usize, second: u32) {
        stages::set_searched(bucket, second);
    }

    #[inline(always)]
    fn mapping(&self, place: usize) -> Option<Mapping> {
        stages::mapping(place)
    }

    #[inline(always)]
    fn set_mapping(&self, place: usize, mapping: Mapping) {
        stages::set_mapping(place, mapping);
    }

    #[inline(always)]
    fn lease(&self, place: usize) -> Option<Lease> {
        stages::lease(place)
    }

    #[inline(always)]
    fn set_lease(&self, place: usize, lease: Lease) {
        stages::set_lease(place, lease);
    }

    #[inline(always)]
    fn renew_lease(&self, place: usize, before: Lease, after: Lease) {
        stages::renew_lease(place, before, after);
    }

    #[inline(always)]
    fn pool_address(&self, place: usize) -> Option<[u64; 2]> {
        stages::pool_address(place)
    }

    #[inline(always)]
    fn find_place(&self, tags: Tags, name: u64, wanted: Wanted, pool: Pool) -> u64 {
        let [pool, _] = pool.to_words();
        find_place_apart(tags.word(), name, wanted.word(), pool)
    }

    #[inline(always)]
    fn room_in(&self, bucket: usize) -> u64 {
        room_in_apart(bucket as u64)
    }

    #[inline(always)]
    fn older(&self, Tags { buckets: [first, second], tag }: Tags, pool: Pool, after: u32) -> u64 {
        let [pool, _] = pool.to_words();
        older_apart(first as u64, second as u64, tag, pool, after)
    }

    #[inline(always)]
    fn gives_way(&self, place: usize, now: u32) -> bool {
        gives_way_apart(place as u64, now) != 0
    }

    #[inline(always)]
    fn over_in(&self, bucket: usize, now: u32) -> u64 {
        over_in_apart(bucket as u64, now)
    }

    #[inline(always)]
    fn answered(&self, pool: u32, source: [u64; 2], ports: u64) -> u64 {
        let [high, low] = source;
        answered_apart(pool, high, low, ports)
    }

    #[inline(always)]
    fn choose(&self, Key { spread, mark }: Key, slot: Slot, sign: Sign) -> u64 {
        let (sign, end) = sign.to_words();
        choose_apart(spread, mark, slot.word(), sign, end)
    }

    #[inline(always)]
    fn refuse(&self, ring: u32) {
        ROOM.set(ring as usize, u64::from(self.now()));
    }

    #[inline(always)]
    fn state<A: Address>(&self, way: Way, key: &A::FlowKey) -> Option<State> {
        flows::state::<A>(way, key)
    }

    #[inline(always)]
    fn set_state<A: Address>(&self, way: Way, key: &A::FlowKey, state: State) {
        flows::set_state::<A>(way, key, state);
    }

    #[inline(always)]
    fn first<A: Address>(&self, key: &A::FlowKey) -> Option<First> {
        flows::first::<A>(key)
    }

    #[inline(always)]
    fn set_first<A: Address>(&self, key: &A::FlowKey, first: First) {
        flows::set_first::<A>(key, first);
    }

    #[inline(always)]
    fn remember<A: Address>(&self, source: A, destination: A, part: Part) {
        let ([high, low], [far_high, far_low]) = (source.words(), destination.words());
        if A::V6 {
            remember_v6(high, low, far_high, far_low, part.word());
        } else {
            remember_v4(low as u32, far_low as u32, part.word());
        }
    }

    #[inline(always)]
    fn recall<A: Address>(&self, source: A, destination: A, part: Part) -> u64 {
        let ([high, low], [far_high, far_low]) = (source.words(), destination.words());
        if A::V6 {
            recall_v6(high, low, far_high, far_low, part.word())
        } else {
            recall_v4(low as u32, far_low as u32, part.word())
        }
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        now()
    }

    #[inline(always)]
    fn count_sent(&self, outcome: Outcome, len: usize) {
        counts::count_sent(outcome, len);
        self.context.consider_sent(outcome, self.remark.get(), len);
    }

    #[inline(always)]
    fn count_rule(&self, id: u32, len: usize) {
        counts::count_rule(id, len);
    }

    #[inline(always)]
    fn count_backend(&self, backend: u32, len: usize, connections: u64, queries: u64) {
        counts::count_backend(backend, [1, len as u64, connections, queries]);
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.context.ingress()
    }

    #[inline(always)]
    fn redirect(&self, interface: u32) {
        // SAFETY: takes numbers alone; the program returns XDP_REDIRECT next.
        unsafe { bpf_redirect(interface, 0) };
    }
}
