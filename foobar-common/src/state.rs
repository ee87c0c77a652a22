//! What this host opened: noted as it leaves, so that the answer passes a default that drops. Likewise, under a default
//! that drops what this host sends, what others opened to it.
//!
//! A state stands under the flow key of the *answer*, as that will come or go, and holds the second when the one who
//! opened last sent something. Answers do not refresh it: nobody else can keep one alive. What a rule decides needs none,
//! so that a flood of allowed packets, which this host answers, evicts no state of another.

use crate::{
    address::Address,
    admit::decide,
    flow::{Flow, ICMP, Segment, Transport, port_word},
    fragment::Fragment,
    frame::Frame,
    generation::Generation,
    header::Icmp,
    plane::Way,
    tables::Tables,
};

/// A connection may be silent for as long as a service's `idle` is by default: longer than Linux waits before it asks
/// whether the other end lives (`net.ipv4.tcp_keepalive_time`, 2 h, and 11 min of probes).
pub const TCP_SECONDS: u32 = 3 * 60 * 60;
/// Above the two minutes that RFC 4787 §4.3 demands of whoever remembers UDP, and what Linux's conntrack long gave a
/// stream.
pub const UDP_SECONDS: u32 = 180;
/// As in Linux's conntrack: an echo that takes longer is of no use to who asked.
pub const ECHO_SECONDS: u32 = 30;
/// As for UDP: nothing is known of them but their addresses.
pub const OTHER_SECONDS: u32 = 180;
/// It comes at once.
pub const REFUSED_SECONDS: u32 = 1;

/// One thing that this host opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Second of the last packet of the one who opened it, by the monotonic clock.
    pub seen: u32,
    /// It never left: nothing passes but the reset that its sender is told by.
    pub refused: bool,
}

impl State {
    const REFUSED: u64 = 1 << 32;

    pub const fn new(seen: u32) -> Self {
        Self { seen, refused: false }
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.seen as u64 | if self.refused { Self::REFUSED } else { 0 }
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { seen: word as u32, refused: word & Self::REFUSED != 0 }
    }

    /// Whether an answer may still come. `life`: seconds that silence may last.
    #[inline(always)]
    const fn is_fresh(self, now: u32, life: u32) -> bool {
        now.saturating_sub(self.seen) <= life
    }
}

/// Whether a packet answers what this host opened, or on the way out what others did.
///
/// One that opens a connection never does: else who was connected once could come again, and be answered, for ever. Of
/// two hosts that open the same connection at once, one gives way to rules.
#[inline(always)]
pub fn is_reply<F: Frame + ?Sized, A: Address, T: Tables>(frame: &F, flow: &Flow<A>, way: Way, tables: &T) -> bool {
    if flow.segment().is_some_and(|segment| segment.opens()) {
        return false;
    }
    let Some(key) = key(frame, flow) else { return false };
    let Some(state) = tables.state::<A>(way, &key) else { return false };
    let life = if state.refused { if is_reset(flow) { REFUSED_SECONDS } else { return false } } else { life(flow) };
    state.is_fresh(tables.now(), life)
}

#[inline(always)]
fn is_reset<A: Address>(flow: &Flow<A>) -> bool {
    matches!(flow.transport, Transport::Tcp(segment) if segment.flags & Segment::RST != 0)
}

/// Whether a rule decides about an answer, so that no state is asked. `way`: the answer's.
#[inline(always)]
pub fn is_decided<A: Address, T: Tables>(answer: &Flow<A>, generation: Generation, way: Way, tables: &T) -> bool {
    !decide(answer, generation, way, tables).0.decision.is_none()
}

/// What became of a packet that this host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Left,
    /// Its sender is told, of a TCP segment by a reset: where XDP is generic, that comes by and has to be let in.
    Refused,
}

/// Notes what this host opens by a packet, or the reset that tells it of one that may not leave, where no rule decides
/// about the answer anyway: else whoever rules let in could have a state noted for each address that he forges.
#[inline(always)]
pub fn note_opened<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    fate: Fate,
    generation: Generation,
    tables: &T,
) {
    let Some(answer) = answer_to(flow) else { return };
    if matches!(fate, Fate::Refused) && !matches!(flow.transport, Transport::Tcp(_)) {
        return;
    }
    if !is_decided(&answer, generation, Way::In, tables) {
        note(frame, &answer, Way::In, fate, tables);
    }
}

/// Notes what others open to this host. The rules for the answer are not asked: they name ports of who asked, which are
/// nobody's in particular.
#[inline(always)]
pub fn note_heard<F: Frame + ?Sized, A: Address, T: Tables>(frame: &F, flow: &Flow<A>, tables: &T) {
    if let Some(answer) = answer_to(flow) {
        note(frame, &answer, Way::Out, Fate::Left, tables);
    }
}

/// At most one write a second for each state.
#[inline(always)]
fn note<F: Frame + ?Sized, A: Address, T: Tables>(frame: &F, answer: &Flow<A>, way: Way, fate: Fate, tables: &T) {
    let Some(key) = key(frame, answer) else { return };
    let state = State { seen: tables.now(), refused: matches!(fate, Fate::Refused) };
    if tables.state::<A>(way, &key) != Some(state) {
        tables.set_state::<A>(way, &key, state);
    }
}

/// What would come back: from where this went, to where it came from. `None` where nothing does.
#[inline(always)]
fn answer_to<A: Address>(flow: &Flow<A>) -> Option<Flow<A>> {
    let transport = match flow.transport {
        Transport::Tcp(segment) if segment.flags & Segment::RST != 0 => return None,
        Transport::Tcp(Segment { source, destination, .. }) => {
            Transport::Tcp(Segment { source: destination, destination: source, flags: Segment::ACK, ..flow.segment()? })
        }
        Transport::Udp { source, destination, header } => {
            Transport::Udp { source: destination, destination: source, header }
        }
        Transport::Icmp { kind, header, .. } if kind == echo(flow.protocol).request => {
            Transport::Icmp { kind: echo(flow.protocol).reply, header }
        }
        Transport::Other => Transport::Other,
        Transport::Icmp { .. } | Transport::LaterFragment => return None,
    };
    // To a group: whoever answers has another address.
    (!flow.destination.is_bad_source()).then_some(Flow {
        source: flow.destination,
        destination: flow.source,
        extensions: 0,
        fragment: Fragment::WHOLE,
        transport,
        ..*flow
    })
}

/// The key of the state that lets this packet in; `None` where none ever does.
#[inline(always)]
fn key<F: Frame + ?Sized, A: Address>(frame: &F, flow: &Flow<A>) -> Option<A::FlowKey> {
    let (source, destination) = match flow.transport {
        Transport::Tcp(Segment { source, destination, .. }) | Transport::Udp { source, destination, .. } => {
            (source, destination)
        }
        // The identifier is the first half of what follows the checksum (RFC 792, RFC 4443 §4.2).
        Transport::Icmp { kind, header, .. } if kind == echo(flow.protocol).reply => {
            ((frame.read::<Icmp>(header)?.rest.value() >> 16) as u16, 0)
        }
        Transport::Other => (0, 0),
        Transport::Icmp { .. } | Transport::LaterFragment => return None,
    };
    // Else the verifier looks at what follows once for each kind of packet.
    let ports = frame.forget(port_word(flow.protocol, source, destination) as usize) as u64;
    Some(A::flow_key(flow.source, flow.destination, ports))
}

#[inline(always)]
fn life<A: Address>(flow: &Flow<A>) -> u32 {
    match flow.transport {
        Transport::Tcp(_) => TCP_SECONDS,
        Transport::Udp { .. } => UDP_SECONDS,
        Transport::Icmp { .. } => ECHO_SECONDS,
        Transport::Other | Transport::LaterFragment => OTHER_SECONDS,
    }
}

/// Types of the messages of a ping.
struct Echo {
    request: u8,
    reply: u8,
}

/// Of ICMP or `ICMPv6`.
#[inline(always)]
const fn echo(protocol: u8) -> Echo {
    match protocol {
        ICMP => Echo { request: 8, reply: 0 },
        _ => Echo { request: 128, reply: 129 },
    }
}

#[cfg(test)]
mod tests;
