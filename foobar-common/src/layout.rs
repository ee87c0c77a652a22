//! Names, sizes and indices of everything that is shared through maps. They stand here once.
//!
//! What is published together exists twice, as bank 0 and bank 1 (see [`crate::generation`]).

use crate::{
    address::Address,
    flow::{Flow, ICMP, TCP, Transport, UDP},
    fragment::Need,
    note::{
        Kind,
        table::{IN_A_LINE, LEVELS_COUNT, LINES, level_index},
    },
    plane::Plane,
};

/// Changes whenever a map's meaning or size does; pins of another layout are not adopted.
pub const LAYOUT: u32 = 15;

/// Names of the maps: of their pins and, but for the tables, as the kernel program declares them.
pub mod map {
    pub const GENERATION: &str = "GENERATION";
    pub const PORTS: &str = "PORTS";
    pub const ROOTS: &str = "ROOTS";
    pub const NODES: &str = "NODES";
    pub const SOURCES: &str = "SOURCES";
    pub const NARROWED: &str = "NARROWED";
    pub const INTERFACES: &str = "INTERFACES";
    pub const PAIRS: &str = "PAIRS";
    pub const NEEDS: &str = "NEEDS";
    pub const LINKS: &str = "LINKS";
    pub const TERMS: &str = "TERMS";
    pub const GROUPS: &str = "GROUPS";
    pub const SERVICES: &str = "SERVICES";
    pub const RINGS: &str = "RINGS";
    pub const NEXT_HOPS: &str = "NEXT_HOPS";
    pub const TARGETS: &str = "TARGETS";
    pub const CLIENTS: &str = "CLIENTS";
    pub const WANTED: &str = "WANTED";
    pub const HANDOFFS: &str = "HANDOFFS";
    pub const POOL: &str = "POOL";
    pub const TAGS: &str = "TAGS";
    pub const LEASES: &str = "LEASES";
    pub const MAPPINGS: &str = "MAPPINGS";
    pub const SEARCHED: &str = "SEARCHED";
    pub const STAGES: &str = "STAGES";
    pub const ROUTE: &str = "ROUTE";
    pub const ROOM: &str = "ROOM";
    pub const CLOCK: &str = "CLOCK";
    pub const SETS: &str = "SETS";
    pub const ASKED: &str = "ASKED";
    pub const SET_FRONTS: &str = "SET_FRONTS";
    pub const SET_LINES: &str = "SET_LINES";
    pub const TIMED: &str = "TIMED";
    pub const QUESTIONS: &str = "QUESTIONS";
    pub const NOTES: &str = "NOTES";
    pub const NOTED: &str = "NOTED";
    pub const STATES_V4: &str = "STATES_V4";
    pub const STATES_V6: &str = "STATES_V6";
    pub const HEARD_V4: &str = "HEARD_V4";
    pub const HEARD_V6: &str = "HEARD_V6";
    pub const FIRSTS_V4: &str = "FIRSTS_V4";
    pub const FIRSTS_V6: &str = "FIRSTS_V6";
    pub const OUTCOMES: &str = "OUTCOMES";
    pub const SENT: &str = "SENT";
    pub const RULES: &str = "RULES";
    pub const BACKENDS: &str = "BACKENDS";
    pub const WATCH: &str = "WATCH";
    pub const EVENTS: &str = "EVENTS";
    pub const BUDGETS: &str = "BUDGETS";
    pub const BUCKETS: &str = "BUCKETS";
    pub const LIMITED: &str = "LIMITED";

    /// What every packet reads at a fixed address: the statics of the program's `.bss.NAME` sections.
    pub const TABLES: &[&str] = &[
        GENERATION, PORTS, ROOTS, NODES, SOURCES, NARROWED, INTERFACES, PAIRS, NEEDS, LINKS, TERMS, GROUPS, SERVICES,
        RINGS, NEXT_HOPS, TARGETS, POOL, ROOM, WATCH, BUCKETS, SETS, ASKED, SET_FRONTS, QUESTIONS, CLOCK,
    ];
    /// What is looked up.
    pub const MAPS: &[&str] = &[
        NOTES, NOTED, STATES_V4, STATES_V6, HEARD_V4, HEARD_V6, FIRSTS_V4, FIRSTS_V6, OUTCOMES, SENT, RULES, BACKENDS,
        EVENTS, BUDGETS, LIMITED, SET_LINES, TIMED, STAGES, ROUTE, HANDOFFS, CLIENTS, WANTED, TAGS, LEASES, MAPPINGS,
        SEARCHED,
    ];
}

/// Names of the programs.
pub mod program {
    /// The firewall and balancer.
    pub const MAIN: &str = "foobar";
    /// Judges what this host sends, and notes what it opens.
    pub const EGRESS: &str = "foobar_egress";
    /// Passes everything; makes a veth's other end accept frames that the first one sends from XDP.
    pub const PASS: &str = "foobar_pass";

    /// Go on with packets that the first one hands over.
    pub const TUNNEL: &str = "foobar_tunnel";
    pub const NAT: &str = "foobar_nat";
    pub const SNAT: &str = "foobar_snat";
    pub const ANSWER: &str = "foobar_answer";
    pub const UNTUNNEL: &str = "foobar_untunnel";

    pub const QUOTED: &str = "foobar_quoted";
    pub const ASK: &str = "foobar_ask";
    pub const QUIC: &str = "foobar_quic";

    pub const ALL: &[&str] = &[MAIN, EGRESS, PASS, TUNNEL, NAT, SNAT, ANSWER, UNTUNNEL, QUOTED, ASK, QUIC];

    /// Which program a stage is.
    pub const STAGES: &[(crate::handoff::Stage, &str)] = &[
        (crate::handoff::Stage::TUNNEL, TUNNEL),
        (crate::handoff::Stage::NAT, NAT),
        (crate::handoff::Stage::SNAT, SNAT),
        (crate::handoff::Stage::ANSWER, ANSWER),
        (crate::handoff::Stage::UNTUNNEL, UNTUNNEL),
        (crate::handoff::Stage::QUOTED, QUOTED),
        (crate::handoff::Stage::ASK, ASK),
        (crate::handoff::Stage::MAIN, MAIN),
        (crate::handoff::Stage::QUIC, QUIC),
    ];
}

/// Rules that a configuration can have; a rule's id is below this.
pub const MAX_RULES: u32 = 16_384;
/// Services of both families together.
pub const MAX_SERVICES: u32 = 64;
/// Keys of services in one bank: each has one for every group of ports that it claims.
pub const MAX_SERVICE_KEYS: usize = 512;
/// Buckets of a bank's table of services: a power of two, so many that one in some 3,000 seeds fits a full table.
pub const SERVICE_BUCKETS: usize = 16_384;
/// Keys of backends whose answers are rewritten, in one bank: each has one for every group of its ports.
pub const MAX_ANSWER_KEYS: usize = 8192;
/// Seeds of a bank's keys that are not services', which find a bucket that is free beside the services': a power of two.
pub const SERVICE_DISPLACEMENTS: usize = 2048;
/// A bank's table of services in whole words: the services' seed, the buckets, the other keys' seeds.
pub const SERVICE_WORDS: usize = SERVICE_DISPLACED + SERVICE_DISPLACEMENTS;
/// Where the other keys' seeds begin.
pub const SERVICE_DISPLACED: usize = 1 + SERVICE_BUCKETS * crate::find::BUCKET_WORDS;
/// Backend ids, 0 excluded.
pub const MAX_BACKENDS: u32 = 4096;
/// Flows that can be noted while backends change: for so many there is room, and for some more.
pub const MAX_NOTES: u32 = 1_048_576;
/// Notes of one unproven kind: neither forged SYNs nor other forged segments fill the table.
pub const MAX_UNPROVEN: u32 = MAX_NOTES / 2;
/// Places of notes: a line is hardly ever full where half of them are taken.
pub const NOTE_PLACES: usize = LINES * IN_A_LINE;
/// What is known of all notes: how many there are of each unproven kind and in each level but the first; then, in a cache line
/// that nobody writes, the secret of their keys.
pub const NOTED_WORDS: usize = 16;
pub const NOTED_SECRET: usize = 8;
/// Things that this host opened that are remembered, per family; the one that was not used for longest gives way.
pub const MAX_STATES: u32 = 262_144;
/// Things that others opened to this host that are remembered under an egress default that drops; likewise.
pub const MAX_HEARD: u32 = 65_536;
/// First fragments that are remembered, per family; the one that was not used for longest gives way. Linux puts together
/// 4 MiB at a time (`net.ipv4.ipfrag_high_thresh`), which are fewer packets.
pub const MAX_FIRSTS: u32 = 65_536;
/// Trie nodes of both families in one bank.
pub const MAX_NODES: usize = 16_384;

/// Classes of sources in one bank, 0 excluded.
pub const MAX_SOURCES: usize = 32_768;
/// Classes of ports at the interfaces and destinations that rules name, in one bank: a row for each pair of their kinds.
pub const MAX_NARROWED: usize = 262_144;
/// Interfaces that rules name, by index.
pub const MAX_INTERFACES: usize = 64;
/// Buckets of a bank's table of interfaces: a power of two.
pub const INTERFACE_BUCKETS: usize = 512;
/// A bank's table of interfaces in whole words: the seed, then the buckets.
pub const INTERFACE_WORDS: usize = 1 + INTERFACE_BUCKETS;
/// Cells in one bank's table of pairs: a row for each class of sources that pairs are for, a column for each of ports.
pub const MAX_PAIRS: usize = 3_145_728;
/// Pairs in one bank that are hashed, where the dense table has no room: a third of its words, for a seed to be found.
pub const MAX_SPARSE: usize = 262_144;
/// Buckets of hashed pairs in one bank, and the words of a bucket: a cache line.
pub const SPARSE_BUCKETS: usize = 196_600;
pub const SPARSE_WORDS: usize = 8;
/// The word of a bank's pairs that holds the seed.
pub const SPARSE_SEED: usize = SPARSE_BUCKETS * SPARSE_WORDS;
/// Links of conditional decisions in one bank.
pub const MAX_LINKS: usize = 16_384;
/// Rules whose time is over that a packet can meet before the one that decides.
pub const MAX_HOPS: usize = 16;

/// The same for the rules about what this host sends.
pub const MAX_SENT_NODES: usize = 4096;
pub const MAX_SENT_SOURCES: usize = 8192;
pub const MAX_SENT_NARROWED: usize = 32_768;
pub const MAX_SENT_PAIRS: usize = 262_144;
/// Named sets of prefixes.
pub const MAX_NAMED_SETS: usize = 64;
/// Their records: a set that comes from elsewhere has another one, until what was before is let go.
pub const MAX_SETS: usize = 2 * MAX_NAMED_SETS;
/// Regions of the table of fronts, the empty region 0 included: more than sets, so that one that is loaded anew has both.
pub const MAX_FRONTS: usize = MAX_SETS + 8;
/// Slots for arrays of lines, slot 0 excluded.
pub const SET_SLOTS: usize = 4096;
/// Places for sets that the rules of a bank name in `to`, and for those in both together.
pub const MAX_ASKED_TO: usize = 8;
pub const MAX_ASKED: usize = 32;
/// Elements that end, of all sets.
pub const MAX_TIMED: u32 = 131_072;

/// How many slots a ring can have: primes (Maglev, NSDI 2016 §3.4).
pub const RING_SIZES: [u32; 8] = [1009, 2039, 4093, 8191, 16_381, 32_749, 65_537, 131_071];
/// Slots of a ring whose service says nothing else.
pub const RING_SLOTS: u32 = 65_537;
/// Rings begin at multiples of so many slots, which are their regions.
pub const RING_UNIT: u32 = 1024;
/// Room for two rings of the usual size a service: one is what replaces the other.
pub const RING_UNITS: u32 = 2 * MAX_SERVICES * RING_SLOTS.div_ceil(RING_UNIT);

/// Entries of a port table: every port of TCP and UDP, every type of ICMP and ICMPv6, every protocol whole, and every
/// protocol's later fragments.
pub const PORT_ENTRIES: usize = FRAGMENTS + 256;
/// Ports that services can claim: those of TCP and UDP, which stand first in a port table.
pub const SERVICE_PORTS: usize = ICMP_TYPES;
/// Groups in one word, the first port's lowest.
pub const GROUPS_IN_A_WORD: usize = 4;
/// A bank's groups of ports in whole words.
pub const GROUP_WORDS: usize = SERVICE_PORTS / GROUPS_IN_A_WORD;
/// A port table in whole words: one entry a word.
pub const PORT_WORDS: usize = PORT_ENTRIES;

/// Where TCP's ports begin in a port table; the others follow.
pub const TCP_PORTS: usize = 0;
pub const UDP_PORTS: usize = TCP_PORTS + 65_536;
pub const ICMP_TYPES: usize = UDP_PORTS + 65_536;
pub const ICMPV6_TYPES: usize = ICMP_TYPES + 256;
pub const PROTOCOLS: usize = ICMPV6_TYPES + 256;
pub const FRAGMENTS: usize = PROTOCOLS + 256;

/// Entries of a trie's root, by an address's first two bytes.
pub const ROOT_ENTRIES: usize = 65_536;
pub const ROOT_WORDS: usize = ROOT_ENTRIES / 2;
/// Entries of a trie's node, by one byte of an address.
pub const NODE_ENTRIES: usize = 256;
/// A node: its path, what else is decided, and the entries from half-word [`NODE_FIRST_ENTRY`] on.
pub const NODE_WORDS: usize = NODE_FIRST_ENTRY / 2 + NODE_ENTRIES / 2;
/// The half-word with the decision for what takes another path.
pub const NODE_OTHERWISE: usize = 2;
pub const NODE_FIRST_ENTRY: usize = 4;

/// Words of a counter of packets and bytes.
pub const TALLY_WORDS: usize = 2;
/// Words of a backend's counter: packets, bytes, connections, queries.
pub const BACKEND_TALLY_WORDS: usize = 4;

/// Words of a rule's terms, by the rule's id: what it demands and when it ends, then its limit and the whole rule's bucket.
pub const TERMS_OF_RULE: usize = 4;
pub const TERMS_LIMIT: usize = 1;
pub const TERMS_BUCKET: usize = 3;

/// Sets of buckets of sources, and the ways of each: 524,288 sources.
pub const LIMITED_SETS: usize = 32_768;
pub const LIMITED_WAYS: usize = 16;
/// A way's words: who it is of, and its bucket.
pub const WAY_WORDS: usize = 2;
pub const SET_WORDS: usize = LIMITED_WAYS * WAY_WORDS;
/// The sets begin here, behind two words that nobody outside knows.
pub const BUCKETS_FIRST: usize = 2;
pub const BUCKETS_WORDS: usize = BUCKETS_FIRST + LIMITED_SETS * SET_WORDS;

/// What the kernel's routes are asked with.
pub const ROUTE_WORDS: usize = 8;
/// A next hop's words.
pub const NEXT_HOP_WORDS: usize = 2;

/// The tables' words, everything in them included: what exists in both banks twice.
///
/// Here: the word that packets read, and the number of publications, which only the daemon reads.
pub const GENERATION_WORDS: usize = 2;
pub const PORTS_WORDS: usize = Plane::COUNT * PORT_WORDS;
pub const ROOTS_WORDS: usize = Plane::COUNT * ROOTS * ROOT_WORDS;
pub const NODES_WORDS: usize = 2 * (MAX_NODES + MAX_SENT_NODES) * NODE_WORDS;
pub const SOURCES_WORDS: usize = 2 * (MAX_SOURCES + MAX_SENT_SOURCES);
pub const NARROWED_WORDS: usize = 2 * (MAX_NARROWED + MAX_SENT_NARROWED);
pub const PAIRS_WORDS: usize = MAX_PAIRS + MAX_SENT_PAIRS;
pub const NEEDS_WORDS_EACH: usize = MAX_RULES as usize / Need::IN_A_WORD;
pub const NEEDS_WORDS: usize = Plane::COUNT * NEEDS_WORDS_EACH;
pub const INTERFACES_WORDS: usize = 2 * INTERFACE_WORDS;
pub const LINKS_WORDS: usize = 2 * MAX_LINKS;
/// Outside the banks: what changes in here holds at once.
pub const TERMS_WORDS: usize = MAX_RULES as usize * TERMS_OF_RULE;
pub const GROUPS_WORDS: usize = 2 * GROUP_WORDS;
pub const SERVICES_WORDS: usize = 2 * SERVICE_WORDS;
pub const RINGS_WORDS: usize = RING_UNITS as usize * RING_UNIT as usize / 2;
pub const NEXT_HOPS_WORDS: usize = MAX_BACKENDS as usize * NEXT_HOP_WORDS;
pub const TARGETS_WORDS: usize = MAX_BACKENDS as usize * crate::target::TARGET_WORDS;
/// Clients of `nat` services whose way is remembered, by their hash: the last one that had a place keeps it.
pub const MAX_CLIENTS: usize = 65_536;
/// A client's address and the way to it.
pub const CLIENT_WORDS: usize = 4;
/// Neighbours that the kernel is to be asked for, by their hash: an interface with an IPv6 address's [`WANTED_V6`], and
/// the address as it stands on the wire.
pub const MAX_WANTED: usize = 64;
pub const WANTED_WORDS: usize = 3;
pub const WANTED_V6: u64 = 1 << 32;
pub const POOL_WORDS: usize = crate::snat::MAX_POOL * 2;
pub const TAGS_WORDS: usize = crate::snat::MAX_POOL * crate::snat::TAG_WORDS;
pub const MAX_BUCKETS: usize = crate::snat::MAX_POOL * crate::snat::BUCKETS_EACH;
pub const MAX_MAPPINGS: usize = crate::snat::MAX_POOL * crate::snat::PLACES;
/// By a ring's region the second when a flow on it last found no room for its note.
pub const ROOM_WORDS: usize = RING_UNITS as usize;
/// The clock has a cache line of its own.
pub const CLOCK_WORDS: usize = 8;
/// A set's record: where each family's lines are, the strides of IPv6 (`sets::STRIDES_WORD`), the lengths of elements that
/// end (`sets::TIMED_WORD`).
pub const SET_RECORD_WORDS: usize = 8;
pub const SETS_WORDS: usize = MAX_SETS * SET_RECORD_WORDS;
/// A set of IPv4 by the first two bytes of an address, two bits each.
pub const FRONT_WORDS: usize = ROOT_ENTRIES / 32;
/// CPUs that have memory of their own there: as many as Linux has on x86 at most (`CONFIG_NR_CPUS`).
pub const MAX_CPUS: usize = 8192;
pub const QUESTIONS_WORDS: usize = MAX_CPUS * crate::sets::QUESTION_WORDS;
pub const SET_FRONTS_WORDS: usize = MAX_FRONTS * FRONT_WORDS;
/// A bank's list of the sets that its rules name, two words each, first those in `to`, then those in `from`.
pub const ASKED_BANK_WORDS: usize = 2 * MAX_ASKED;
pub const ASKED_WORDS: usize = 2 * ASKED_BANK_WORDS;

/// The second until which drops are shown to who watches; 0: nobody does.
pub const WATCH_WORDS: usize = 1;
/// Bytes of the ring of packets that are shown: a power of two, and whole pages.
pub const EVENTS_BYTES: u32 = 1 << 20;
/// A kind's budget on a CPU, and how many packets it could not show.
pub const BUDGET_WORDS: usize = 2;

/// The word that counts notes of an unproven kind. What deletes notes corrects it.
#[inline(always)]
pub const fn unproven_index(kind: Kind) -> usize {
    matches!(kind, Kind::Young) as usize
}

/// Which address of a packet a trie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source = 0,
    Destination = 1,
}

/// Roots in a plane.
pub const ROOTS: usize = 4;

/// The port table's entry that speaks of this flow.
#[inline(always)]
pub fn port_entry<A: Address>(flow: &Flow<A>) -> usize {
    match flow.transport {
        Transport::Tcp(segment) => TCP_PORTS + usize::from(segment.destination),
        Transport::Udp { destination, .. } => UDP_PORTS + usize::from(destination),
        Transport::Icmp { kind, .. } if flow.protocol == ICMP => ICMP_TYPES + usize::from(kind),
        Transport::Icmp { kind, .. } => ICMPV6_TYPES + usize::from(kind),
        Transport::Other => PROTOCOLS + usize::from(flow.protocol),
        Transport::LaterFragment => FRAGMENTS + usize::from(flow.protocol),
    }
}

/// The port table's entry of a service; `None` for protocols without ports.
pub const fn service_entry(protocol: u8, port: u16) -> Option<usize> {
    match protocol {
        TCP => Some(TCP_PORTS + port as usize),
        UDP => Some(UDP_PORTS + port as usize),
        _ => None,
    }
}

const _: () = assert!(SERVICE_BUCKETS.is_power_of_two() && SERVICE_DISPLACEMENTS.is_power_of_two());
const _: () = assert!(level_index(LEVELS_COUNT) <= NOTED_SECRET && NOTED_SECRET + 2 <= NOTED_WORDS);
const _: () = assert!(MAX_BACKENDS <= 1 << 16 && RING_SIZES[7] <= 1 << 17);
const _: () = assert!(SPARSE_SEED < MAX_PAIRS / 2);
const _: () = assert!(MAX_SOURCES <= 1 << 15);
const _: () = assert!(INTERFACE_BUCKETS.is_power_of_two());
const _: () = assert!(MAX_RULES <= crate::decision::Decision::MAX_IDS);
const _: () = assert!(MAX_LINKS <= crate::decision::Decision::MAX_IDS as usize);
const _: () = assert!(MAX_BACKENDS <= crate::slot::Slot::MAX_BACKENDS);
const _: () = assert!(2 * (MAX_NODES + MAX_SENT_NODES) <= crate::child::Child::MAX_NODES);
const _: () = assert!((MAX_RULES as usize).is_multiple_of(Need::IN_A_WORD));
