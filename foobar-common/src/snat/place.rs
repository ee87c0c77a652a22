//! Whose a port of the pool is: a record of one cache line.

use super::proof::{FIN, Proof, RST, Said};
use crate::{
    address::Address,
    flow::{Segment, TCP},
    next_hop::NextHop,
};

/// Ports of an address that there is a place for: those below the ones that Linux gives its own connections
/// (`net.ipv4.ip_local_port_range`).
pub const PLACES: usize = 32_768;
/// The first port that is given.
pub const FIRST_PORT: usize = 1024;
/// Ports that an address gives.
pub const PORTS: usize = PLACES - FIRST_PORT;
/// Words of a mapping.
pub const MAPPING_WORDS: usize = 8;
/// Words of all tags of an address: 16 bits a port.
pub const TAG_WORDS: usize = PLACES / 4;

/// Seconds that a port rests after a connection has closed: Linux keeps one in TIME-WAIT for so long.
pub const REST_SECONDS: u32 = 60;
/// Seconds that a flow keeps its port whose client is not known to hear its backend: a handshake's retries take 127 s with
/// Linux's defaults.
pub const UNANSWERED_SECONDS: u32 = 130;
/// The same where others find no port.
pub const SCARCE_SECONDS: u32 = 3;

/// The flow of a client to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// As [`Address::words`] has them.
    pub client: [u64; 2],
    /// Client's port, service's port and protocol, as [`crate::flow::port_word`] has them; and the family.
    pub ports: u64,
    /// Of the service's address, 64 bits.
    pub service: u64,
}

impl Whose {
    const V6: u64 = 1 << 40;

    #[inline(always)]
    pub fn of<A: Address>(client: A, service: A, ports: u64) -> Self {
        let [high, low] = service.words();
        let v6 = if A::V6 { Self::V6 } else { 0 };
        Self { client: client.words(), ports: ports | v6, service: high.rotate_left(23) ^ low }
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

    /// Word by word: comparing arrays calls `memcmp`.
    #[inline(always)]
    pub const fn is(&self, other: &Self) -> bool {
        let client = (self.client[0] ^ other.client[0]) | (self.client[1] ^ other.client[1]);
        client | (self.ports ^ other.ports) | (self.service ^ other.service) == 0
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

    /// Without a branch: the compiler would make two searches of one.
    #[inline(always)]
    const fn is(self, backend: u32) -> bool {
        (self.backend ^ backend) & self.mask == 0
    }
}

/// A flow's port, and what has been heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub whose: Whose,
    /// The id of its backend; 0: the place is free.
    pub backend: u32,
    /// Second of its last packet, by the monotonic clock.
    pub seen: u32,
    /// The way to the client.
    pub back: NextHop,
    client: u8,
    server: u8,
    proof: Proof,
}

impl Mapping {
    /// The word that says whose backend it is, and when it was heard of.
    pub const OWNER: usize = 4;
    /// The word with the ports, and what has been said.
    pub const SAID: usize = 2;
    /// The word that says whether the client has heard the server.
    pub const PROOF: usize = 7;

    const SERVER_SHIFT: u32 = 41;
    const CLIENT_SHIFT: u32 = 43;
    const SIDE: u64 = 3;
    const PORTS: u64 = (1 << Self::SERVER_SHIFT) - 1;

    #[inline(always)]
    pub(super) const fn suits(&self, whose: &Whose, wanted: Wanted) -> bool {
        self.whose.is(whose) & wanted.is(self.backend)
    }

    #[inline(always)]
    pub const fn new(whose: &Whose, backend: u32, back: NextHop, said: Said, now: u32) -> Self {
        let proof = if said.opens() { Proof::OPENED } else { Proof::NONE };
        Self { whose: *whose, backend, seen: now, back, client: 0, server: 0, proof }
    }

    /// The same flow, that begins again.
    #[inline(always)]
    #[must_use]
    pub const fn begun(self, backend: u32, said: Said, now: u32) -> Self {
        Self::new(&self.whose, backend, self.back, said, now)
    }

    /// | word | |
    /// |---|---|
    /// | 0, 1 | client |
    /// | 2 | ports and family; from bit 41 on what the server said, from 43 on what the client did |
    /// | 3 | service |
    /// | 4 | 0–31 backend, 32–63 seen |
    /// | 5, 6 | the way to the client |
    /// | 7 | 0–31 where the server begins, 32: it has begun, 33: the client has heard it, 34: a SYN began it |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; MAPPING_WORDS] {
        let [client_high, client_low] = self.whose.client;
        let [hop, hop_rest] = self.back.to_words();
        let said = (self.server as u64) << Self::SERVER_SHIFT | (self.client as u64) << Self::CLIENT_SHIFT;
        let owner = self.backend as u64 | (self.seen as u64) << 32;
        [client_high, client_low, self.whose.ports | said, self.whose.service, owner, hop, hop_rest, self.proof.word()]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; MAPPING_WORDS]) -> Self {
        let [high, low, ports, service, owner, hop, hop_rest, proof] = words;
        Self {
            whose: Whose { client: [high, low], ports: ports & Self::PORTS, service },
            backend: owner as u32,
            seen: (owner >> 32) as u32,
            back: NextHop::from_raw([hop, hop_rest]),
            client: (ports >> Self::CLIENT_SHIFT & Self::SIDE) as u8,
            server: (ports >> Self::SERVER_SHIFT & Self::SIDE) as u8,
            proof: Proof::from_word(proof),
        }
    }

    /// The words that change while a flow lives: [`Mapping::SAID`], [`Mapping::OWNER`] and [`Mapping::PROOF`].
    #[inline(always)]
    pub const fn living_words(self) -> [u64; 3] {
        let words = self.to_words();
        [words[Self::SAID], words[Self::OWNER], words[Self::PROOF]]
    }

    #[inline(always)]
    pub const fn is_taken(&self) -> bool {
        self.backend != 0
    }

    /// Whether both sides have said that they are done, or one that there is no connection.
    #[inline(always)]
    pub const fn is_closing(&self) -> bool {
        self.client & self.server & FIN != 0 || (self.client | self.server) & RST != 0
    }

    /// Whether the client is known to hear the server.
    #[inline(always)]
    pub const fn is_proven(&self) -> bool {
        self.proof.word() == Proof::HEARD.word()
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

    /// The same of the backend's. One that answers in the midst of a connection, whose begin this host has not seen, knows
    /// its client.
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
        let is_short = self.whose.protocol() != TCP && life < UNANSWERED_SECONDS;
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
    use super::*;
    use crate::flow::{UDP, port_word};

    const FIRST: u32 = u32::MAX;

    const SYN: Said = Said { flags: Segment::SYN, number: 0 };
    const ACK: Said = Said { flags: Segment::ACK, number: 9 };
    const RESET: Said = Said { flags: Segment::RST, number: 9 };

    fn begun_by(protocol: u8, said: Said) -> Mapping {
        let whose = Whose { client: [1, 2], ports: port_word(protocol, 4000, 80), service: 4 };
        Mapping::new(&whose, 7, NextHop::UNRESOLVED, said, 100)
    }

    fn opened() -> Mapping {
        begun_by(TCP, SYN)
    }

    fn answered() -> Mapping {
        opened().heard_server(Said { flags: Segment::SYN | Segment::ACK, number: FIRST }, 100)
    }

    fn acknowledging(number: u32) -> Mapping {
        answered().heard_client(Said { flags: Segment::ACK, number }, 100)
    }

    #[test]
    fn words_come_back() {
        let closed = acknowledging(0).heard_client(Said { flags: Segment::FIN | Segment::ACK, number: 5 }, 101);
        for mapping in [opened(), begun_by(TCP, ACK), answered(), acknowledging(0), closed] {
            assert_eq!(Mapping::from_words(mapping.to_words()), mapping);
        }
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
        let over = |mapping: Mapping, life, scarce| (0..20_000).find(|age| mapping.is_over(100 + age, life, scarce));
        let (proven, datagram) = (acknowledging(0), begun_by(UDP, Said::CLIENTS_DATAGRAM));
        for (mapping, life, kept) in [
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
            assert_eq!(over(mapping, life, false), Some(kept + 1), "{mapping:?}, {life}");
        }
        for (mapping, kept) in [
            (opened(), 3),
            (answered(), 3),
            (datagram, 3),
            (opened().heard_client(RESET, 100), 3),
            (proven.heard_client(RESET, 100), 60),
            (proven, 10_800),
        ] {
            assert_eq!(over(mapping, 10_800, true), Some(kept + 1), "{mapping:?}");
        }
    }
}
