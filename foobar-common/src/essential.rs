//! What is never dropped by default, only by a rule, since a network does not work without it.

use crate::{
    address::Address,
    flow::{Flow, ICMP, Transport},
    plane::Way,
};

/// Hop limit that proves a neighbour-discovery packet to be from this link (RFC 4861 §6.1).
const ON_LINK: u8 = 255;

/// Neighbour discovery, multicast listener discovery, the ICMP errors that connections depend on (RFC 4890), and
/// answers to this host's DHCP client, and on the way out its questions.
#[inline(always)]
pub fn is_essential<A: Address>(flow: &Flow<A>, way: Way) -> bool {
    match flow.transport {
        // Destination unreachable (path-MTU discovery is among them), time exceeded, parameter problem.
        Transport::Icmp { kind: 3 | 11 | 12, .. } if flow.protocol == ICMP => true,
        Transport::Icmp { .. } if flow.protocol == ICMP => false,
        // The four errors of RFC 4443, and multicast listeners (RFC 2710, RFC 3810).
        Transport::Icmp { kind: 1..=4 | 130..=132 | 143, .. } => true,
        // Router and neighbour discovery, redirect.
        Transport::Icmp { kind: 133..=137, .. } => flow.hops == ON_LINK,
        Transport::Udp { source, destination, .. } => {
            let (server, client) = match way {
                Way::In => (source, destination),
                Way::Out => (destination, source),
            };
            if A::V6 { server == 547 && client == 546 } else { server == 67 && client == 68 }
        }
        _ => false,
    }
}
