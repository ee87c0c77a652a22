//! The port of a service as it is written everywhere: `tcp/443`.

use std::{
    borrow::Cow,
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Service, Transport};
use crate::domain::{
    Matcher, Mistake, Ports, Rule, Verdict,
    mistake::{Parsed, Word},
    rule::read_matcher,
};

/// The port of a service: `tcp/443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    pub transport: Transport,
    /// 1..=65535
    pub port: u16,
}

impl Service {
    /// Its port as an operator writes it.
    pub fn notation(&self) -> ServicePort {
        ServicePort { transport: self.transport, port: self.port }
    }
}

impl ServicePort {
    /// The matcher of a rule for exactly this port.
    pub fn matcher(self) -> Matcher {
        let ports = Ports::new([self.port..=self.port]);
        match self.transport {
            Transport::Tcp => Matcher::Tcp(ports),
            Transport::Udp => Matcher::Udp(ports),
        }
    }

    /// The rule that would allow this port.
    pub fn allow(self) -> Rule {
        Rule::new(Verdict::Allow, self.matcher())
    }
}

/// Reads `tcp/443`; lists, ranges and `any` are refused by a sentence of their own.
pub(crate) fn service_port(word: Word<'_>) -> Parsed<ServicePort> {
    let example = "write it as in `tcp/443` or `udp/53`";
    let (transport, ports) = match read_matcher(word) {
        Ok(Matcher::Tcp(ports)) => (Transport::Tcp, ports),
        Ok(Matcher::Udp(ports)) => (Transport::Udp, ports),
        Ok(_) => return Err(word.fault(format!("`{}` is not the port of a service", word.text)).hint(example)),
        Err(fault) => return Err(fault),
    };
    match one(&ports) {
        Some(port) => Ok(ServicePort { transport, port }),
        None if !word.text.contains('/') => {
            Err(word.fault(format!("`{}` without a port is not the port of a service", word.text)).hint(example))
        }
        None => Err(word
            .fault("a service has one port in this version: lists, ranges and `any` are refused")
            .hint("write a service for each port, as in `tcp/443`")),
    }
}

fn one(ports: &Ports) -> Option<u16> {
    match &ports.0[..] {
        [range] if range.start() == range.end() => Some(*range.start()),
        _ => None,
    }
}

impl FromStr for ServicePort {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        service_port(Word::whole(text)).map_err(|fault| fault.within(text))
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

impl Display for ServicePort {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.transport, self.port)
    }
}

impl Serialize for ServicePort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServicePort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: ServicePort = ServicePort { transport: Transport::Tcp, port: 443 };

    #[test]
    fn ports_are_read_and_shown() {
        for text in ["tcp/443", "udp/53", "tcp/65535"] {
            assert_eq!(text.parse::<ServicePort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_ports_are_refused() {
        for (text, said) in [
            ("", "not a protocol"),
            ("443", "not a protocol"),
            ("tcp", "without a port"),
            ("tcp/", "missing"),
            ("tcp/0", "port 0"),
            ("tcp/70000", "not a port"),
            ("icmp", "not the port of a service"),
            ("tcp/80,443", "one port in this version"),
            ("tcp/80-90", "one port in this version"),
            ("tcp/any", "one port in this version"),
        ] {
            let mistake = text.parse::<ServicePort>().expect_err(text);
            assert!(mistake.problem.contains(said), "{text:?}: {mistake}");
            assert!(mistake.hint.is_some(), "{text:?}");
        }
    }

    #[test]
    fn a_port_is_also_a_matcher() {
        assert_eq!(HTTPS.allow().to_string(), "allow tcp/443");
    }
}
