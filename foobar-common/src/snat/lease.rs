//! A flow's hold on its port: what each packet asks, in two words.

use super::{
    place::{Wanted, Whose},
    proof::{FIN, Proof, RST, Said},
};
use crate::flow::{Segment, TCP};

/// Words of a lease.
pub const LEASE_WORDS: usize = 2;

/// Seconds that a port rests after a connection has closed: Linux keeps one in TIME-WAIT for so long.
pub const REST_SECONDS: u32 = 60;
/// Seconds that a flow keeps its port whose client is not known to hear its backend: a handshake's retries take 127 s
/// with Linux's defaults.
pub const UNANSWERED_SECONDS: u32 = 130;
/// The same where others find no port.
pub const SCARCE_SECONDS: u32 = 3;

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
    pub(super) const NAME: u32 = 24;
    /// Of the second.
    const HELD: u64 = 1 << 31;

    #[inline(always)]
    pub(super) const fn suits(&self, name: u64, wanted: Wanted) -> bool {
        self.is_taken() && (self.name ^ name) | wanted.differs(self.backend) == 0
    }

    #[inline(always)]
    pub const fn new(whose: &Whose, backend: u32, said: Said, now: u32) -> Self {
        let is_tcp = (whose.ports >> 32) as u8 == TCP;
        let proof = Proof::begun_by(said);
        Self { name: whose.name, backend, seen: now, client: 0, server: 0, proof, is_tcp, is_held: true }
    }

    /// The same flow, that begins again.
    #[inline(always)]
    #[must_use]
    pub const fn begun(self, backend: u32, said: Said, now: u32) -> Self {
        Self { backend, seen: now, client: 0, server: 0, proof: Proof::begun_by(said), is_held: true, ..self }
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
        Self { client, server, proof, seen: now, is_held: true, ..self }
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
        } else if self.proof.is_none() && said.flags & Segment::RST == 0 {
            Proof::HEARD
        } else {
            self.proof
        };
        let (server, client) = (said.after(self.server), self.client & !said.takes_back());
        Self { client, server, proof, seen: now, is_held: true, ..self }
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        address::V6,
        flow::{UDP, port_word},
        next_hop::NextHop,
        snat::Mapping,
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
    fn a_server_in_the_midst_knows_its_client_whatever_number_stands_beside_it() {
        let ([first, _], [_, second]) = (begun_by(TCP, ACK).to_words(), answered().to_words());
        assert!(Lease::from_words([first, second]).heard_server(ACK, 100).is_proven());
    }

    #[test]
    fn who_speaks_holds_the_place_again() {
        let [first, _] = opened().to_words();
        let given_back = Lease::from_words([first, 0]);
        assert!(!given_back.is_taken());
        assert!(given_back.heard_client(ACK, 5).is_taken() && given_back.heard_server(ACK, 5).is_taken());
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
