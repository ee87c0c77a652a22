//! Names of IP protocols and ICMP types (IANA's registries), one per number.

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// Protocols that a rule names like `vrrp`; the four above have a syntax of their own.
const PROTOCOLS: [(&str, u8); 13] = [
    ("igmp", 2),
    ("ipip", 4),
    ("ip6ip", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
];

/// RFC 792 and its successors; deprecated types have numbers only.
const ICMP_TYPES: [(&str, u8); 9] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
];

/// RFC 4443, RFC 4861, RFC 2710, RFC 3810.
const ICMPV6_TYPES: [(&str, u8); 15] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-query", 130),
    ("mld-report", 131),
    ("mld-done", 132),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("neighbor-solicitation", 135),
    ("neighbor-advertisement", 136),
    ("redirect", 137),
    ("mldv2-report", 143),
];

/// Which ICMP a type belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    V4,
    V6,
}

impl Icmp {
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "icmp",
            Self::V6 => "icmpv6",
        }
    }

    fn table(self) -> &'static [(&'static str, u8)] {
        match self {
            Self::V4 => &ICMP_TYPES,
            Self::V6 => &ICMPV6_TYPES,
        }
    }

    pub fn type_of(self, name: &str) -> Option<u8> {
        number_in(self.table(), name)
    }

    pub fn name_of(self, number: u8) -> Option<&'static str> {
        name_in(self.table(), number)
    }

    pub fn type_names(self) -> impl Iterator<Item = &'static str> {
        self.table().iter().map(|(name, _)| *name)
    }
}

/// The number of a named protocol other than TCP, UDP and the ICMPs.
pub fn number_of(name: &str) -> Option<u8> {
    number_in(&PROTOCOLS, name)
}

/// The name of a protocol other than TCP, UDP and the ICMPs.
pub fn name_of(number: u8) -> Option<&'static str> {
    name_in(&PROTOCOLS, number)
}

/// Every word that may open a matcher.
pub fn names() -> impl Iterator<Item = &'static str> {
    ["tcp", "udp", "icmp", "icmpv6", "proto"].into_iter().chain(PROTOCOLS.iter().map(|(name, _)| *name))
}

fn number_in(table: &[(&str, u8)], wanted: &str) -> Option<u8> {
    table.iter().find(|(name, _)| *name == wanted).map(|(_, number)| *number)
}

fn name_in(table: &[(&'static str, u8)], wanted: u8) -> Option<&'static str> {
    table.iter().find(|(_, number)| *number == wanted).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_inverse() {
        for table in [&PROTOCOLS[..], &ICMP_TYPES, &ICMPV6_TYPES] {
            for (name, number) in table {
                assert_eq!(number_in(table, name), Some(*number));
                assert_eq!(name_in(table, *number), Some(*name));
            }
        }
    }
}
