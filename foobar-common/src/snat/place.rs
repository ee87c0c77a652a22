//! Whose a port of the pool is: a record of one cache line.

use crate::{address::Address, flow::Segment, next_hop::NextHop};

/// Ports of an address that there is a place for: those below the ones that Linux gives its own connections
/// (`net.ipv4.ip_local_port_range`).
pub const PLACES: usize = 32_768;
/// The first port that is given.
pub const FIRST_PORT: usize = 1024;
/// Ports that an address gives.
pub const PORTS: usize = PLACES - FIRST_PORT;
/// Addresses that packets can come from.
pub const MAX_POOL: usize = 16;
/// Words of a mapping.
pub const MAPPING_WORDS: usize = 8;
/// Words of all tags of an address: 16 bits a port.
pub const TAG_WORDS: usize = PLACES / 4;

/// Seconds that a port rests after a connection has closed: Linux keeps one in TIME-WAIT for so long.
pub const REST_SECONDS: u32 = 60;
/// Seconds that a flow keeps its port whose backend has not answered: a handshake's retries take 127 s with Linux's
/// defaults.
pub const UNANSWERED_SECONDS: u32 = 130;
/// The same where others find no port.
pub const SCARCE_SECONDS: u32 = 3;

/// Addresses that a service's packets come from, as places of the table of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    places: u64,
    pub count: u32,
}

impl Pool {
    /// Addresses that a service has at most.
    pub const MAX: usize = 8;

    /// At most [`Pool::MAX`]; the others are left out.
    pub fn new(addresses: &[u8]) -> Self {
        let addresses = &addresses[..addresses.len().min(Self::MAX)];
        let places = addresses.iter().enumerate().fold(0, |places, (at, place)| places | u64::from(*place) << (8 * at));
        Self { places, count: addresses.len() as u32 }
    }

    /// In the words of a target's source.
    pub const fn to_words(self) -> [u64; 2] {
        [self.places, self.count as u64]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self { places: words[0], count: words[1] as u32 }
    }

    #[inline(always)]
    pub const fn place(self, index: u32) -> usize {
        (self.places >> (8 * (index & 7))) as usize & (MAX_POOL - 1)
    }
}

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
}

impl Mapping {
    /// The word that says whose backend it is, and when it was heard of.
    pub const OWNER: usize = 4;
    /// The word with the ports, and what has been said.
    pub const SAID: usize = 2;

    /// Bits of what one side has said.
    const SPOKE: u8 = 1;
    const FIN: u8 = 2;
    const RST: u8 = 4;
    const SERVER_SHIFT: u32 = 41;
    const CLIENT_SHIFT: u32 = 44;
    const SIDE: u64 = 7;
    const PORTS: u64 = (1 << Self::SERVER_SHIFT) - 1;

    #[inline(always)]
    pub const fn new(whose: &Whose, backend: u32, back: NextHop, now: u32) -> Self {
        Self { whose: *whose, backend, seen: now, back, client: Self::SPOKE, server: 0 }
    }

    /// The same flow, that begins again.
    #[inline(always)]
    #[must_use]
    pub const fn begun(self, backend: u32, now: u32) -> Self {
        Self { backend, seen: now, client: Self::SPOKE, server: 0, ..self }
    }

    /// | word | |
    /// |---|---|
    /// | 0, 1 | client |
    /// | 2 | ports and family; from bit 41 on what the server said, from bit 44 on what the client did |
    /// | 3 | service |
    /// | 4 | 0–31 backend, 32–63 seen |
    /// | 5, 6 | the way to the client |
    /// | 7 | unused |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; MAPPING_WORDS] {
        let [client_high, client_low] = self.whose.client;
        let [hop, hop_rest] = self.back.to_words();
        let said = (self.server as u64) << Self::SERVER_SHIFT | (self.client as u64) << Self::CLIENT_SHIFT;
        let owner = self.backend as u64 | (self.seen as u64) << 32;
        [client_high, client_low, self.whose.ports | said, self.whose.service, owner, hop, hop_rest, 0]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; MAPPING_WORDS]) -> Self {
        let [high, low, ports, service, owner, hop, hop_rest, _] = words;
        Self {
            whose: Whose { client: [high, low], ports: ports & Self::PORTS, service },
            backend: owner as u32,
            seen: (owner >> 32) as u32,
            back: NextHop::from_raw([hop, hop_rest]),
            client: (ports >> Self::CLIENT_SHIFT & Self::SIDE) as u8,
            server: (ports >> Self::SERVER_SHIFT & Self::SIDE) as u8,
        }
    }

    /// The words that change while a flow lives: [`Mapping::SAID`] and [`Mapping::OWNER`].
    #[inline(always)]
    pub const fn living_words(self) -> [u64; 2] {
        let words = self.to_words();
        [words[Self::SAID], words[Self::OWNER]]
    }

    #[inline(always)]
    pub const fn is_taken(&self) -> bool {
        self.backend != 0
    }

    /// Whether both sides have said that they are done, or one that there is no connection.
    #[inline(always)]
    pub const fn is_closing(&self) -> bool {
        self.client & self.server & Self::FIN != 0 || (self.client | self.server) & Self::RST != 0
    }

    /// After a segment of the client's with these flags, or a datagram, which has [`Segment::ACK`].
    #[inline(always)]
    #[must_use]
    pub const fn heard_client(self, flags: u8, now: u32) -> Self {
        Self { client: said(self.client, flags), server: self.server & !reset_by(flags), seen: now, ..self }
    }

    /// The same of the backend's.
    #[inline(always)]
    #[must_use]
    pub const fn heard_server(self, flags: u8, now: u32) -> Self {
        Self { server: said(self.server, flags), client: self.client & !reset_by(flags), seen: now, ..self }
    }

    /// Whether the port is free for others. `life`: seconds that a silent flow is kept; `scarce`: others find none.
    pub const fn is_over(&self, now: u32, life: u32, scarce: bool) -> bool {
        let age = now.saturating_sub(self.seen);
        if self.is_closing() {
            age > REST_SECONDS
        } else if self.server & Self::SPOKE == 0 {
            age > if scarce { SCARCE_SECONDS } else { UNANSWERED_SECONDS }
        } else {
            age > life
        }
    }
}

/// What one side has said after a segment with these flags. Who goes on after a reset was not the one who sent it.
#[inline(always)]
const fn said(before: u8, flags: u8) -> u8 {
    let fin = if flags & Segment::FIN != 0 { Mapping::FIN } else { 0 };
    let reset = if flags & Segment::RST != 0 { Mapping::RST } else { 0 };
    before & !Mapping::RST | Mapping::SPOKE | fin | reset
}

/// What of the other side's word a segment takes back: its reset, where this side goes on.
#[inline(always)]
const fn reset_by(flags: u8) -> u8 {
    if flags & (Segment::RST | Segment::FIN) == 0 { Mapping::RST } else { 0 }
}

/// The port of a place.
#[inline(always)]
pub const fn port_of(place: usize) -> u16 {
    (place % PLACES) as u16
}
