//! The ports of a service as they are written everywhere: `tcp/443`, `tcp/80,443,5000-5999`, `tcp/any`.
//!
//! The port that is written first is more than a port: with the name and the address it is who a service is, and what its
//! flows are spread by. So the order in which the first one is written is kept, and no other.

use std::{
    borrow::Cow,
    fmt::{self, Display, Formatter},
    ops::RangeInclusive,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::Transport;
use crate::domain::{
    Matcher, Mistake, Ports,
    mistake::{Parsed, Word},
    rule::read_matcher,
};

const EXAMPLE: &str = "write it as in `tcp/443`, `tcp/80,443`, `udp/5000-5999` or `tcp/any`";
const EVERY_PORT: RangeInclusive<u16> = 1..=u16::MAX;

/// Ports of one transport.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePorts {
    transport: Transport,
    first: u16,
    /// Never empty, sorted and merged; every port is one range.
    ranges: Vec<RangeInclusive<u16>>,
}

impl ServicePorts {
    /// `first` and all of `more`. They are from 1 to 65535.
    pub fn new(transport: Transport, first: u16, more: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        Self { transport, first, ranges: Ports::new(more.into_iter().chain([first..=first])).0 }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The port that is written first.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// All ports, in order; no two ranges touch.
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.ranges
    }

    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&port))
    }

    /// The only port, where there is no other.
    pub fn only(&self) -> Option<u16> {
        (self.ranges == [self.first..=self.first]).then_some(self.first)
    }

    /// The ports that are also the other's, the lowest first.
    pub fn shared(&self, other: &Self) -> Option<Self> {
        let both = |range: &RangeInclusive<u16>, other: &RangeInclusive<u16>| {
            *range.start().max(other.start())..=*range.end().min(other.end())
        };
        let pairs = self.ranges.iter().flat_map(|range| other.ranges.iter().map(move |other| both(range, other)));
        let shared: Vec<_> = pairs.filter(|range| !range.is_empty()).collect();
        let first = shared.first().filter(|_| self.transport == other.transport)?;
        Some(Self::new(self.transport, *first.start(), shared.clone()))
    }

    /// The same ports, of which another one is written first. It is one of them.
    #[must_use]
    pub fn led_by(&self, first: u16) -> Self {
        Self::new(self.transport, first, self.ranges.clone())
    }

    /// Reads the items of a list, each as it would stand alone.
    pub fn of_items<'a>(items: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let read = |text: &'a str| service_ports(Word::whole(text)).ok();
        let all = items.into_iter().map(read).collect::<Option<Vec<_>>>()?;
        all.into_iter().map(Some).reduce(|all, item| all?.joined(&item?)).flatten()
    }

    /// The ports of both, this one's first first; `None` for two transports.
    pub(crate) fn joined(&self, other: &Self) -> Option<Self> {
        let ranges = self.ranges.iter().chain(&other.ranges).cloned();
        (self.transport == other.transport).then(|| Self::new(self.transport, self.first, ranges))
    }
}

/// The refusal of `tcp` and `udp` in one service.
pub(crate) const MIXED: (&str, &str) =
    ("a service is of one transport, and this one has ports of `tcp` and of `udp`", "write two services, one for each");

/// Reads `tcp/443`, `tcp/80,443,5000-5999` or `tcp/any`.
pub(crate) fn service_ports(word: Word<'_>) -> Parsed<ServicePorts> {
    refuse_another_transport(word)?;
    let (transport, ports) = match read_matcher(word)? {
        Matcher::Tcp(ports) => (Transport::Tcp, ports),
        Matcher::Udp(ports) => (Transport::Udp, ports),
        _ => return Err(word.fault(format!("`{}` is not the port of a service", word.text)).hint(EXAMPLE)),
    };
    let Some((_, written)) = word.text.split_once('/') else {
        let problem = format!("`{}` without a port is not the port of a service", word.text);
        return Err(word.fault(problem).hint(EXAMPLE));
    };
    if ports.is_any() {
        return Ok(ServicePorts::new(transport, *EVERY_PORT.start(), [EVERY_PORT]));
    }
    let first = written.split([',', '-']).next().and_then(|port| port.parse().ok()).unwrap_or(*ports.0[0].start());
    Ok(ServicePorts::new(transport, first, ports.0))
}

/// An item behind the first with a transport of its own would be taken for a port.
fn refuse_another_transport(word: Word<'_>) -> Parsed<()> {
    let Some((first, ports)) = word.split_once('/') else { return Ok(()) };
    for item in ports.items().unwrap_or_default() {
        match item.split_once('/') {
            Some((again, port)) if again.text == first.text => {
                let fault = item.fault(format!("`{}` stands once, before all ports", again.text));
                return Err(fault.hint(format!("write `{}` alone", port.text)));
            }
            Some((other, _)) if matches!(other.text, "tcp" | "udp") => return Err(item.fault(MIXED.0).hint(MIXED.1)),
            _ => {}
        }
    }
    Ok(())
}

impl FromStr for ServicePorts {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        service_ports(Word::whole(text)).map_err(|fault| fault.within(text))
    }
}

impl Display for Transport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl Display for ServicePorts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { transport, first, ranges } = self;
        if *first == *EVERY_PORT.start() && *ranges == [EVERY_PORT] {
            return write!(f, "{transport}/any");
        }
        let leading = ranges.iter().find(|range| range.start() == first).cloned().unwrap_or(*first..=*first);
        let others = ranges.iter().filter(|range| **range != leading).cloned();
        let ports = std::iter::once(leading.clone()).chain(others).map(|range| Ports(vec![range]).to_string());
        write!(f, "{transport}/{}", ports.collect::<Vec<_>>().join(","))
    }
}

impl Serialize for ServicePorts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServicePorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::service::arbitrary;

    fn read(text: &str) -> ServicePorts {
        text.parse().unwrap_or_else(|mistake| panic!("{text:?}: {mistake}"))
    }

    #[test]
    fn ports_are_read_and_shown() {
        for text in ["tcp/443", "udp/53", "tcp/65535", "tcp/80,443,5000-5999", "tcp/443,80", "udp/any", "tcp/9,1-65535"]
        {
            assert_eq!(read(text).to_string(), text);
        }
        for (text, canonical) in [
            ("tcp/80,81,443-445,440-444", "tcp/80-81,440-445"),
            ("tcp/443,80,443", "tcp/443,80"),
            ("tcp/90,80-99", "tcp/90,80-99"),
            ("udp/1-65535", "udp/any"),
        ] {
            assert_eq!(read(text).to_string(), canonical);
        }
    }

    #[test]
    fn the_first_port_is_the_one_that_is_written_first() {
        assert_eq!(
            ["tcp/443,80", "tcp/80,443", "tcp/90,80-99", "tcp/any"].map(|text| read(text).first()),
            [443, 80, 90, 1]
        );
        assert_eq!(read("tcp/443,80").ranges(), [80..=80, 443..=443]);
        assert_eq!(read("tcp/80,443").led_by(443), read("tcp/443,80"));
        assert_ne!(read("tcp/80,443"), read("tcp/443,80"));
        assert_eq!(["tcp/443", "tcp/80-81"].map(|text| read(text).only()), [Some(443), None]);
    }

    #[test]
    fn items_of_a_list_are_one_set_of_ports() {
        assert_eq!(ServicePorts::of_items(["tcp/443", "tcp/80,8000-8099"]), Some(read("tcp/443,80,8000-8099")));
        assert_eq!(ServicePorts::of_items(["tcp/443", "tcp/any"]), Some(read("tcp/443,1-65535")));
        for items in [&["tcp/443", "udp/443"][..], &["tcp/443", "web"], &[]] {
            assert_eq!(ServicePorts::of_items(items.iter().copied()), None);
        }
    }

    #[test]
    fn what_two_have_in_common_is_said() {
        let shared = |a: &str, b: &str| read(a).shared(&read(b)).map(|ports| ports.to_string());
        assert_eq!(shared("tcp/443,80", "tcp/80,443,9").as_deref(), Some("tcp/80,443"));
        assert_eq!(shared("tcp/any", "tcp/443").as_deref(), Some("tcp/443"));
        assert_eq!(shared("tcp/1-99,200-300", "tcp/90-250").as_deref(), Some("tcp/90-99,200-250"));
        assert_eq!(shared("tcp/5000-5999", "tcp/6000-6999"), None);
        assert_eq!(shared("tcp/any", "udp/any"), None);
    }

    #[test]
    fn other_ports_are_refused() {
        for (text, said) in [
            ("", "not a protocol"),
            ("443", "not a protocol"),
            ("tcp", "without a port"),
            ("tcp/", "missing"),
            ("tcp/0", "port 0"),
            ("tcp/0-9", "port 0"),
            ("tcp/9-1", "reversed"),
            ("tcp/80,", "is empty"),
            ("tcp/70000", "not a port"),
            ("tcp/80,any", "not a port"),
            ("icmp", "not the port of a service"),
            ("tcp/53,udp/53", "one transport"),
            ("tcp/53,tcp/54", "stands once"),
        ] {
            let mistake = text.parse::<ServicePorts>().expect_err(text);
            assert!(mistake.problem.contains(said), "{text:?}: {mistake}");
            assert!(mistake.hint.is_some(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_and_ports_are_inverse(ports in arbitrary::ports()) {
            prop_assert_eq!(ports.to_string().parse::<ServicePorts>().unwrap(), ports);
        }

        #[test]
        fn what_is_shared_is_what_both_contain(a in arbitrary::ports(), b in arbitrary::ports(), port in 1..=u16::MAX) {
            let both = a.transport() == b.transport() && a.contains(port) && b.contains(port);
            prop_assert_eq!(both, a.shared(&b).is_some_and(|shared| shared.contains(port)));
        }
    }
}
