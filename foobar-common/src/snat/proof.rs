//! What packets say of a flow of `snat`, and whether that proves that its client hears its backend.

use crate::flow::Segment;

/// Bits of what one side has said.
pub(super) const FIN: u8 = 1;
pub(super) const RST: u8 = 2;

/// Whether the client has heard the server, which who forges its address has not; a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof(u64);

impl Proof {
    /// In the midst of a flow: the server has not been heard yet.
    pub(super) const NONE: Self = Self(0);
    /// It began with a SYN, and the server has not said where it begins.
    pub(super) const OPENED: Self = Self(1 << 34);
    /// The client has acknowledged what the server said.
    pub(super) const HEARD: Self = Self(1 << 33);
    const BEGINS: u64 = 1 << 32;

    /// Of a flow whose first packet says this.
    #[inline(always)]
    pub(super) const fn begun_by(said: Said) -> Self {
        if said.opens() { Self::OPENED } else { Self::NONE }
    }

    /// The server begins at this sequence number.
    #[inline(always)]
    pub(super) const fn begins(at: u32) -> Self {
        Self(Self::BEGINS | at as u64)
    }

    /// Whatever sequence number stands beside it, here and below: both are written apart.
    #[inline(always)]
    pub(super) const fn is_none(self) -> bool {
        self.0 >> 32 == 0
    }

    #[inline(always)]
    pub(super) const fn is_heard(self) -> bool {
        self.0 & Self::HEARD.0 != 0
    }

    /// Whether who acknowledges this has heard a server that began: as far behind it as a note's ([`crate::note`]).
    #[inline(always)]
    pub(super) const fn is_by(self, acknowledged: u32) -> bool {
        self.0 & Self::BEGINS != 0 && acknowledged.wrapping_sub(self.0 as u32).wrapping_sub(1) < 1 << 20
    }

    #[inline(always)]
    pub(super) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(super) const fn word(self) -> u64 {
        self.0
    }
}

/// What a packet says of its flow.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// TCP's.
    pub flags: u8,
    /// Of the client's: what it acknowledges; of the server's: where it begins.
    pub number: u32,
}

impl Said {
    /// A datagram of the client's proves what a datagram of the server's begins.
    pub const CLIENTS_DATAGRAM: Self = Self { flags: Segment::ACK, number: 1 };
    pub const SERVERS_DATAGRAM: Self = Self { flags: Segment::SYN, number: 0 };

    /// Whether it is the first segment of a connection.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.flags & (Segment::SYN | Segment::ACK | Segment::RST | Segment::FIN) == Segment::SYN
    }

    /// What a side has said after this. Who goes on after a reset was not the one who sent it.
    #[inline(always)]
    pub(super) const fn after(self, before: u8) -> u8 {
        let fin = if self.flags & Segment::FIN != 0 { FIN } else { 0 };
        let reset = if self.flags & Segment::RST != 0 { RST } else { 0 };
        before & !RST | fin | reset
    }

    /// What of the other side's this takes back: its reset, where this side goes on.
    #[inline(always)]
    pub(super) const fn takes_back(self) -> u8 {
        if self.flags & (Segment::RST | Segment::FIN) == 0 { RST } else { 0 }
    }
}
