//! Whose a port of the pool is: what each packet asks in two words, and what answers need in a cache line of their own.

use super::proof::{FIN, Proof, RST, Said};
use crate::{
    address::Address,
    flow::{Segment, TCP},
    hash::{fold, mix},
    next_hop::NextHop,
};

/// Ports of an address that there is a place for: those below the ones that Linux gives its own connections
/// (`net.ipv4.ip_local_port_range`).
pub const PLACES: usize = 32_768;
/// The first port that is given.
pub const FIRST_PORT: usize = 1024;
/// Ports that an address gives.
pub const PORTS: usize = PLACES - FIRST_PORT;
/// Words of a mapping, five of which are used: a cache line.
pub const MAPPING_WORDS: usize = 8;
/// Words of a lease.
pub const LEASE_WORDS: usize = 2;
/// Words of all tags of an address: 16 bits a port.
pub const TAG_WORDS: usize = PLACES / 4;

/// Seconds that a port rests after a connection has closed: Linux keeps one in TIME-WAIT for so long.
pub const REST_SECONDS: u32 = 60;
/// Seconds that a flow keeps its port whose client is not known to hear its backend: a handshake's retries take 127 s
/// with Linux's defaults.
pub const UNANSWERED_SECONDS: u32 = 130;
/// The same where others find no port.
pub const SCARCE_SECONDS: u32 = 3;

/// The flow of a client to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// As [`Address::words`] has them.
    pub client: [u64; 2],
    /// Client's port, service's port and protocol, as [`crate::flow::port_word`] has them.
    pub ports: u64,
    /// 40 bits by which its lease is known, beside its bucket and tag: of a hash that nobody outside can reckon.
    pub name: u64,
}

impl Whose {
    /// `secret`: see [`crate::note::table::NoteTable::note_secret`].
    #[inline(always)]
    pub fn of<A: Address>(client: A, service: A, ports: u64, secret: [u64; 2]) -> Self {
        let [high, low] = service.words();
        let client = client.words();
        // Of IPv4 both addresses are in one word.
        let mut hash = mix(client[1] ^ high.rotate_left(23) ^ low.rotate_left(32) ^ secret[0]);
        if A::V6 {
            hash = mix(hash ^ client[0]);
        }
        Self { client, ports, name: fold(hash ^ ports ^ secret[1]) >> Lease::NAME }
    }
}

/// Which backends a flow's place may have: one that its packet names, or any.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    backend: u32,
    /// Which bits of its id have to be so.
    mask: u32,
}

impl Wanted {
    pub const ANY: Self = Self::of(0, 0);

    /// `named`: all bits where it has to be this one, none where it is any.
    #[inline(always)]
    pub const fn of(backend: u32, named: u32) -> Self {
        Self { backend, mask: named }
    }

    /// The backend in the lower half, its bits in the upper.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.backend as u64 | (self.mask as u64) << 32
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { backend: word as u32, mask: (word >> 32) as u32 }
    }

    /// 0: it is this one. Without a branch: the compiler would make two searches of one.
    #[inline(always)]
    const fn differs(self, backend: u32) -> u64 {
        ((self.backend ^ backend) & self.mask) as u64
    }
}

/// Who an answer to a port is for. It is written once for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub client: [u64; 2],
    /// As in [`Whose`].
    pub ports: u64,
    /// The way to the client.
    pub back: NextHop,
}

impl Mapping {
    #[inline(always)]
    pub const fn new(whose: &Whose, back: NextHop) -> Self {
        Self { client: whose.client, ports: whose.ports, back }
    }

    #[inline(always)]
    pub const fn client_port(&self) -> u16 {
        self.ports as u16
    }

    #[inline(always)]
    pub const fn service_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        (self.ports >> 32) as u8
    }

    /// | word | |
    /// |---|---|
    /// | 0, 1 | client |
    /// | 2 | ports |
    /// | 3, 4 | the way to the client |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; MAPPING_WORDS] {
        let ([high, low], [hop, hop_rest]) = (self.client, self.back.to_words());
        [high, low, self.ports, hop, hop_rest, 0, 0, 0]
    }

    #[inline(always)]
    pub const fn from_words([high, low, ports, hop, hop_rest, ..]: [u64; MAPPING_WORDS]) -> Self {
        Self { client: [high, low], ports, back: NextHop::from_raw([hop, hop_rest]) }
    }
}

/// A flow's hold on its port, and what has been heard of it: all that a packet of the client's asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    name: u64,
    pub backend: u32,
    /// Second of its last packet, by the monotonic clock.
    pub seen: u32,
    client: u8,
    server: u8,
    proof: Proof,
    is_tcp: bool,
    /// Whether a flow has the place.
    is_held: bool,
}

impl Lease {
    /// Bits of the first word.
    const CLIENT: u32 = 16;
    const SERVER: u32 = 18;
    const PROOF: u32 = 20;
    const TCP: u32 = 23;
    const NAME: u32 = 24;
    /// Of the second.
    const HELD: u64 = 1 << 31;

    #[inline(always)]
    pub(super) const fn suits(&self, name: u64, wanted: Wanted) -> bool {
        self.is_taken() && (self.name ^ name) | wanted.differs(self.backend) == 0
    }

    #[inline(always)]
    pub const fn new(whose: &Whose, backend: u32, said: Said, now: u32) -> Self {
        let is_tcp = (whose.ports >> 32) as u8 == TCP;
        let proof = if said.opens() { Proof::OPENED } else { Proof::NONE };
        Self { name: whose.name, backend, seen: now, client: 0, server: 0, proof, is_tcp, is_held: true }
    }

    /// The same flow, that begins again.
    #[inline(always)]
    #[must_use]
    pub const fn begun(self, backend: u32, said: Said, now: u32) -> Self {
        let proof = if said.opens() { Proof::OPENED } else { Proof::NONE };
        Self { backend, seen: now, client: 0, server: 0, proof, is_held: true, ..self }
    }

    /// | bits of the first word | | bits of the second | |
    /// |---|---|---|---|
    /// | 0–15 | backend | 0–30 | seen: 68 years |
    /// | 16–17, 18–19 | what client and server said | 31 | 1: a flow has the place |
    /// | 20–22 | the server has begun, the client has heard it, a SYN began it | 32–63 | where the server begins |
    /// | 23 | TCP | | |
    /// | 24–63 | whose it is | | |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; LEASE_WORDS] {
        let proof = self.proof.word();
        let said = (self.client as u64) << Self::CLIENT | (self.server as u64) << Self::SERVER;
        let kind = (proof >> 32) << Self::PROOF | (self.is_tcp as u64) << Self::TCP;
        let held = if self.is_held { Self::HELD } else { 0 };
        let first = self.backend as u64 & 0xffff | said | kind | self.name << Self::NAME;
        [first, self.seen as u64 & (Self::HELD - 1) | held | proof << 32]
    }

    #[inline(always)]
    pub const fn from_words([first, second]: [u64; LEASE_WORDS]) -> Self {
        Self {
            name: first >> Self::NAME,
            backend: first as u32 & 0xffff,
            seen: (second & (Self::HELD - 1)) as u32,
            client: (first >> Self::CLIENT) as u8 & 3,
            server: (first >> Self::SERVER) as u8 & 3,
            proof: Proof::from_word(second >> 32 | (first >> Self::PROOF & 7) << 32),
            is_tcp: first >> Self::TCP & 1 != 0,
            is_held: second & Self::HELD != 0,
        }
    }

    #[inline(always)]
    pub const fn is_taken(&self) -> bool {
        self.is_held
    }

    /// Whether both sides have said that they are done, or one that there is no connection.
    #[inline(always)]
    pub const fn is_closing(&self) -> bool {
        self.client & self.server & FIN != 0 || (self.client | self.server) & RST != 0
    }

    /// Whether the client is known to hear the server.
    #[inline(always)]
    pub const fn is_proven(&self) -> bool {
        self.proof.is_heard()
    }

    /// After a packet of the client's.
    #[inline(always)]
    #[must_use]
    pub const fn heard_client(self, said: Said, now: u32) -> Self {
        let proves = said.flags & Segment::ACK != 0 && self.proof.is_by(said.number);
        let proof = if proves { Proof::HEARD } else { self.proof };
        let (client, server) = (said.after(self.client), self.server & !said.takes_back());
        Self { client, server, proof, seen: now, ..self }
    }

    /// The same of the backend's. One that answers in the midst of a connection, whose begin this host has not seen,
    /// knows its client.
    #[inline(always)]
    #[must_use]
    pub const fn heard_server(self, said: Said, now: u32) -> Self {
        let proof = if self.is_proven() {
            self.proof
        } else if said.flags & Segment::SYN != 0 {
            Proof::begins(said.number)
        } else if self.proof.word() == Proof::NONE.word() && said.flags & Segment::RST == 0 {
            Proof::HEARD
        } else {
            self.proof
        };
        let (server, client) = (said.after(self.server), self.client & !said.takes_back());
        Self { client, server, proof, seen: now, ..self }
    }

    /// Whether the port is free for others. `life`: seconds that a silent flow is kept; `scarce`: others find none.
    pub const fn is_over(&self, now: u32, life: u32, scarce: bool) -> bool {
        // A handshake is not silent for as long as a service's datagrams may be.
        let is_short = !self.is_tcp && life < UNANSWERED_SECONDS;
        let kept = if scarce && !self.is_proven() {
            SCARCE_SECONDS
        } else if self.is_closing() {
            REST_SECONDS
        } else if self.is_proven() || is_short {
            life
        } else {
            UNANSWERED_SECONDS
        };
        now.saturating_sub(self.seen) > kept
    }
}

/// The port of a place.
#[inline(always)]
pub const fn port_of(place: usize) -> u16 {
    (place % PLACES) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        address::V6,
        flow::{UDP, port_word},
    };

    const FIRST: u32 = u32::MAX;

    const SYN: Said = Said { flags: Segment::SYN, number: 0 };
    const ACK: Said = Said { flags: Segment::ACK, number: 9 };
    const RESET: Said = Said { flags: Segment::RST, number: 9 };

    fn whose(protocol: u8) -> Whose {
        Whose::of(V6([1, 2]), V6([3, 4]), port_word(protocol, 4000, 80), [5, 6])
    }

    fn begun_by(protocol: u8, said: Said) -> Lease {
        Lease::new(&whose(protocol), 7, said, 100)
    }

    fn opened() -> Lease {
        begun_by(TCP, SYN)
    }

    fn answered() -> Lease {
        opened().heard_server(Said { flags: Segment::SYN | Segment::ACK, number: FIRST }, 100)
    }

    fn acknowledging(number: u32) -> Lease {
        answered().heard_client(Said { flags: Segment::ACK, number }, 100)
    }

    #[test]
    fn words_come_back() {
        let closed = acknowledging(0).heard_client(Said { flags: Segment::FIN | Segment::ACK, number: 5 }, 101);
        for lease in [opened(), begun_by(UDP, ACK), answered(), acknowledging(0), closed] {
            assert_eq!(Lease::from_words(lease.to_words()), lease);
        }
        let mapping = Mapping::new(&whose(TCP), NextHop::UNRESOLVED);
        assert_eq!(Mapping::from_words(mapping.to_words()), mapping);
    }

    #[test]
    fn a_flow_is_known_by_all_that_makes_it_one() {
        let of = |client, service, port, secret| Whose::of(client, service, port_word(TCP, port, 80), secret).name;
        let names = [
            of(V6([1, 2]), V6([3, 4]), 5, [6, 7]),
            of(V6([2, 2]), V6([3, 4]), 5, [6, 7]),
            of(V6([1, 3]), V6([3, 4]), 5, [6, 7]),
            of(V6([1, 2]), V6([4, 4]), 5, [6, 7]),
            of(V6([1, 2]), V6([3, 5]), 5, [6, 7]),
            of(V6([1, 2]), V6([3, 4]), 6, [6, 7]),
            of(V6([1, 2]), V6([3, 4]), 5, [16, 7]),
            of(V6([1, 2]), V6([3, 4]), 5, [6, 8]),
        ];
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| name >> 40 == 0));
    }

    #[test]
    fn who_acknowledges_what_the_server_said_has_heard_it() {
        assert!(!opened().is_proven() && !answered().is_proven());
        assert!(acknowledging(FIRST.wrapping_add(1)).is_proven());
        assert!(acknowledging(FIRST.wrapping_add(1 << 20)).is_proven());
        assert!(!acknowledging(FIRST).is_proven());
        assert!(!acknowledging(FIRST.wrapping_add((1 << 20) + 1)).is_proven());
        assert!(!answered().heard_client(RESET, 100).is_proven(), "a reset acknowledges nothing");
    }

    #[test]
    fn who_has_heard_stays_so_whatever_number_stands_beside_it() {
        let ([first, _], [_, second]) = (acknowledging(0).to_words(), answered().to_words());
        assert!(Lease::from_words([first, second]).is_proven());
    }

    #[test]
    fn a_server_in_the_midst_of_a_connection_knows_its_client() {
        assert!(begun_by(TCP, ACK).heard_server(ACK, 100).is_proven());
        assert!(!begun_by(TCP, ACK).heard_server(RESET, 100).is_proven());
        assert!(!opened().heard_server(ACK, 100).is_proven(), "it answers so who comes after another, too");
        assert!(!answered().heard_server(ACK, 100).is_proven(), "and who guesses");
        assert!(!acknowledging(0).begun(8, SYN, 100).heard_server(ACK, 100).is_proven());
    }

    #[test]
    fn a_datagram_after_an_answer_has_heard_it() {
        let begun = begun_by(UDP, Said::CLIENTS_DATAGRAM);
        let answered = begun.heard_server(Said::SERVERS_DATAGRAM, 100);
        assert!(!answered.is_proven() && !begun.heard_client(Said::CLIENTS_DATAGRAM, 100).is_proven());
        assert!(answered.heard_client(Said::CLIENTS_DATAGRAM, 100).is_proven());
    }

    #[test]
    fn a_port_is_kept_as_long_as_its_flow_may_need_it() {
        let over = |lease: Lease, life, scarce| (0..20_000).find(|age| lease.is_over(100 + age, life, scarce));
        let (proven, datagram) = (acknowledging(0), begun_by(UDP, Said::CLIENTS_DATAGRAM));
        for (lease, life, kept) in [
            (opened(), 10_800, 130),
            (opened(), 5, 130),
            (answered(), 10_800, 130),
            (proven, 10_800, 10_800),
            (proven, 5, 5),
            (datagram, 120, 120),
            (datagram, 5, 5),
            (datagram, 10_800, 130),
            (proven.heard_client(RESET, 100), 10_800, 60),
            (opened().heard_client(RESET, 100), 10_800, 60),
        ] {
            assert_eq!(over(lease, life, false), Some(kept + 1), "{lease:?}, {life}");
        }
        for (lease, kept) in [
            (opened(), 3),
            (answered(), 3),
            (datagram, 3),
            (opened().heard_client(RESET, 100), 3),
            (proven.heard_client(RESET, 100), 60),
            (proven, 10_800),
        ] {
            assert_eq!(over(lease, 10_800, true), Some(kept + 1), "{lease:?}");
        }
    }
}
