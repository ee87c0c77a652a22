//! What a packet's first program knows that the one which goes on with it has to: words of this CPU's own.

use crate::{address::Address, target::Mode};

/// Who goes on with a packet: the index of a program, where the first one cannot do all by itself.
///
/// A number and not an enumeration: the verifier would look at all that follows once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stage(pub u32);

impl Stage {
    /// Asks a packet that is for nobody here whether it is an answer, a tunnel's, or about a flow.
    pub const ASK: Self = Self(0);
    /// Puts it into another IP packet, to its backend.
    pub const TUNNEL: Self = Self(Mode::Tunnel as u32);
    /// Rewrites its destination to its backend.
    pub const NAT: Self = Self(Mode::Nat as u32);
    /// Rewrites both ends.
    pub const SNAT: Self = Self(Mode::Snat as u32);
    /// Gives an answer of a backend the service's address back.
    pub const ANSWER: Self = Self(4);
    /// Takes the outer IP packet off.
    pub const UNTUNNEL: Self = Self(5);
    /// The first program, once more.
    pub const MAIN: Self = Self(6);
    /// Sends an ICMP error on with the flow that it quotes, or answers an echo request.
    pub const QUOTED: Self = Self(7);
    /// Finds the backend that a connection id names.
    pub const QUIC: Self = Self(8);
    pub const COUNT: usize = 9;

    const MASK: u32 = 0xf;

    /// Who goes on with packets of a mode. With those of `dsr` nobody has to.
    #[inline(always)]
    pub const fn of(mode: Mode) -> Self {
        Self(mode as u32)
    }
}

/// What a packet to a backend begins there, as a handoff's detail: connections in bit 0, queries behind it. Bit 63: the
/// packet names the backend itself, so that nothing remembered of its flow says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begins(pub u64);

impl Begins {
    pub const NOTHING: Self = Self(0);
    /// Nothing, and the packet names its backend.
    pub const NAMED: Self = Self(1 << 63);

    #[inline(always)]
    pub const fn new(opens: bool, queries: u64) -> Self {
        Self(opens as u64 | queries << 1)
    }

    #[inline(always)]
    pub const fn connections(self) -> u64 {
        self.0 & 1
    }

    #[inline(always)]
    pub const fn queries(self) -> u64 {
        (self.0 & !Self::NAMED.0) >> 1
    }

    /// All bits where the packet names its backend; else none.
    #[inline(always)]
    pub const fn named(self) -> u32 {
        (self.0.cast_signed() >> 63).cast_unsigned() as u32
    }
}

/// Words of a handoff.
pub const HANDOFF_WORDS: usize = 4;

/// A packet that another program goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff {
    pub stage: Stage,
    /// Offset of the IP header from the frame's start, in bytes.
    pub ip: u16,
    pub v6: bool,
    /// The id of the backend that it goes to, or comes from.
    pub backend: u16,
    /// Of its flow: the same for each packet.
    pub hash: u32,
    /// The frame's length as it came in, in bytes.
    pub len: u32,
    /// What rules said of the packet, for who is shown it.
    pub remark: u64,
    /// What the stage is told beside, see there.
    pub detail: u64,
}

impl Handoff {
    const V6: u64 = 1 << 16;
    const STAGE_SHIFT: u32 = 48;

    /// A packet of which nothing is known but what the stage is told.
    #[inline(always)]
    pub const fn told(stage: Stage, len: usize, detail: u64) -> Self {
        Self { stage, ip: 0, v6: false, backend: 0, hash: 0, len: len as u32, remark: 0, detail }
    }

    /// A packet to or from a backend. `ip`: offset of the IP header; `len`: the frame's length.
    #[inline(always)]
    pub const fn of<A: Address>(stage: Stage, ip: usize, backend: u32, hash: u32, len: usize) -> Self {
        Self { stage, ip: ip as u16, v6: A::V6, backend: backend as u16, hash, len: len as u32, remark: 0, detail: 0 }
    }

    /// As the parser has it: no header stands further behind.
    const MAX_OFFSET: u16 = 0x7fff;

    /// | bits of the first word | | word | |
    /// |---|---|---|---|
    /// | 0–15 | IP header | 1 | 0–31 hash, 32–63 length |
    /// | 16 | IPv6 | 2 | remark |
    /// | 32–47 | backend | 3 | detail |
    /// | 48–51 | stage | | |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; HANDOFF_WORDS] {
        let v6 = if self.v6 { Self::V6 } else { 0 };
        let stage = (self.stage.0 as u64) << Self::STAGE_SHIFT;
        let first = self.ip as u64 | v6 | (self.backend as u64) << 32 | stage;
        [first, self.hash as u64 | (self.len as u64) << 32, self.remark, self.detail]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; HANDOFF_WORDS]) -> Self {
        let [first, second, remark, detail] = words;
        Self {
            stage: Stage((first >> Self::STAGE_SHIFT) as u32 & Stage::MASK),
            ip: first as u16 & Self::MAX_OFFSET,
            v6: first & Self::V6 != 0,
            backend: (first >> 32) as u16,
            hash: second as u32,
            len: (second >> 32) as u32,
            remark,
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_comes_back() {
        for (opens, queries) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
            let begins = Begins::new(opens, queries);
            assert_eq!((begins.connections(), begins.queries()), (u64::from(opens), queries));
        }
        assert_eq!(Begins::NOTHING, Begins::new(false, 0));
        let named = Begins::NAMED;
        assert_eq!((named.named(), named.connections(), named.queries()), (u32::MAX, 0, 0));
        assert_eq!(Begins::new(true, 3).named(), 0);
    }

    #[test]
    fn words_come_back() {
        let handoff = Handoff {
            stage: Stage::QUIC,
            ip: 18,
            v6: true,
            backend: 4095,
            hash: 0xdead_beef,
            len: 9014,
            remark: 1 << 63 | 7,
            detail: 9,
        };
        assert_eq!(Handoff::from_words(handoff.to_words()), handoff);
    }
}
