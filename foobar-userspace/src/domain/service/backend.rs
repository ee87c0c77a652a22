//! A backend as it is written: `10.0.0.11`, `10.0.0.11:8443`, `[2001:db8::1]:8443=50`, `10.0.0.11=50@0a01`.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::{Backend, DEFAULT_WEIGHT, Forward, MAX_WEIGHT, ServerId, Service, ServicePorts, server_id::server_id};
use crate::domain::{
    Mistake,
    mistake::{Fault, Parsed, Word},
    prefix,
    rule::read_port,
};

/// A backend's address, with a port where one is written: `10.0.0.11`, `10.0.0.11:8443`, `[2001:db8::1]:8443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendAddress {
    pub address: IpAddr,
    pub port: Option<u16>,
}

/// A backend as an argument: `ADDRESS[:PORT][=WEIGHT][@SERVER_ID]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendArg {
    pub at: BackendAddress,
    /// 0..=1000; 100 where none is written.
    pub weight: u16,
    pub server_id: Option<ServerId>,
}

impl BackendAddress {
    /// The address, and the port where it is not the service's own, which `dsr` and `tunnel` cannot give, nor any way of
    /// forwarding where the service has several.
    pub fn for_service(self, service: &ServicePorts, forward: Forward) -> Result<(IpAddr, Option<u16>), Mistake> {
        match self.port.filter(|port| service.only() != Some(*port)) {
            Some(port) if !forward.gives_ports(service) => {
                let text = self.to_string();
                let start = text.len() - port.to_string().len();
                Err(other_port(start..text.len(), port, service, forward).within(&text))
            }
            port => Ok((self.address, port)),
        }
    }
}

impl Forward {
    /// Whether a backend of a service on these ports can have a port of its own.
    pub fn gives_ports(self, service: &ServicePorts) -> bool {
        self.has_ports() && service.only().is_some()
    }
}

impl Backend {
    /// The ports that packets of the service reach it at.
    pub fn ports(&self, service: &Service) -> ServicePorts {
        let own = |port| ServicePorts::new(service.ports.transport(), port, []);
        self.port.map_or_else(|| service.ports.clone(), own)
    }
}

/// The refusal of a backend's own port where packets keep theirs.
pub(crate) fn other_port(span: std::ops::Range<usize>, port: u16, service: &ServicePorts, forward: Forward) -> Fault {
    let problem = match service.only() {
        Some(own) => {
            format!("a backend of a `{forward}` service has the service's own port, {own}, and cannot have {port}")
        }
        None => {
            format!("{port} alone cannot be the `port` of a backend: that needs a service with one port, not {service}")
        }
    };
    let hint = if forward.has_ports() {
        "leave the port out: packets keep theirs; or write a service for each port"
    } else {
        "leave the port out; with `forward = \"nat\"` or `\"snat\"` a backend of a service with one port has a port of its own"
    };
    Fault::new(span, problem).hint(hint)
}

impl BackendArg {
    /// A ready backend of a service on these ports.
    pub fn into_backend(self, service: &ServicePorts, forward: Forward) -> Result<Backend, Mistake> {
        let (address, port) = self.at.for_service(service, forward)?;
        Ok(Backend { port, server_id: self.server_id, ..Backend::new(address, self.weight) })
    }
}

/// Reads `ADDRESS` or `ADDRESS:PORT`.
pub(crate) fn backend_address(word: Word<'_>) -> Parsed<BackendAddress> {
    if let Ok(at) = word.text.parse::<SocketAddr>() {
        let port_at = word.text.rfind(':').map_or(0, |colon| colon + 1);
        let port = read_port(word.after(port_at))?;
        let address = prefix::address(Word { text: &at.ip().to_string(), start: word.start })
            .map_err(|fault| Fault { span: word.span(), ..fault })?;
        return Ok(BackendAddress { address, port: Some(port) });
    }
    match prefix::address(word) {
        Ok(address) => Ok(BackendAddress { address, port: None }),
        Err(fault) => Err(match bad_port(word).filter(|_| word.text.parse::<IpAddr>().is_err()) {
            Some(port) => read_port(port).err().unwrap_or(fault),
            None => fault,
        }),
    }
}

/// The part after an address and a colon, where it is not a port.
fn bad_port(word: Word<'_>) -> Option<Word<'_>> {
    let colon = word.text.rfind(':')?;
    let address = word.text[..colon].trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().ok().map(|_| word.after(colon + 1))
}

fn weight(word: Word<'_>) -> Parsed<u16> {
    let digits = word.text.bytes().all(|b| b.is_ascii_digit());
    word.text.parse().ok().filter(|weight| digits && *weight <= MAX_WEIGHT).ok_or_else(|| {
        word.fault(format!("`{}` is not a weight", word.text))
            .hint(format!("a weight is a number from 0 to {MAX_WEIGHT}"))
    })
}

impl FromStr for BackendAddress {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        backend_address(Word::whole(text)).map_err(|fault| fault.within(text))
    }
}

impl FromStr for BackendArg {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let word = Word::whole(text);
        let (word, id) = word.split_once('@').map_or((word, None), |(word, id)| (word, Some(id)));
        let (at, share) = word.split_once('=').map_or((word, None), |(at, share)| (at, Some(share)));
        let read = || {
            let (at, weight) = (backend_address(at)?, share.map_or(Ok(DEFAULT_WEIGHT), weight)?);
            Ok(Self { at, weight, server_id: id.map(server_id).transpose()? })
        };
        read().map_err(|fault: Fault| fault.within(text))
    }
}

impl Display for BackendAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.address, port)),
            None => write!(f, "{}", self.address),
        }
    }
}

impl Display for BackendArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.at, self.weight)?;
        self.server_id.map_or(Ok(()), |id| write!(f, "@{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Transport;

    fn https() -> ServicePorts {
        ServicePorts::new(Transport::Tcp, 443, [])
    }

    #[test]
    fn backends_are_read_and_shown() {
        for (text, canonical) in [
            ("10.0.0.11", "10.0.0.11=100"),
            ("10.0.0.11=0", "10.0.0.11=0"),
            ("10.0.0.11:8443=50", "10.0.0.11:8443=50"),
            ("2001:db8::1", "2001:db8::1=100"),
            ("[2001:db8::1]:8443=1000", "[2001:db8::1]:8443=1000"),
            ("10.0.0.11@0A01", "10.0.0.11=100@0a01"),
            ("[2001:db8::1]:8443=5@00", "[2001:db8::1]:8443=5@00"),
        ] {
            assert_eq!(text.parse::<BackendArg>().expect(text).to_string(), canonical);
        }
    }

    #[test]
    fn other_backends_are_refused() {
        for (text, words, said) in [
            ("", "", "not an address"),
            ("server1", "server1", "not an address"),
            ("10.0.0.0/24", "10.0.0.0/24", "prefix"),
            ("10.0.0.11:0", "0", "port 0"),
            ("10.0.0.11:70000", "70000", "not a port"),
            ("10.0.0.11:https=5", "https", "not a port"),
            ("[2001:db8::1]:", "", "port is missing"),
            ("[2001:db8::1]", "[2001:db8::1]", "not an address"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1", "IPv4 address inside IPv6"),
            ("[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80", "IPv4 address inside IPv6"),
            ("10.0.0.11=", "", "not a weight"),
            ("10.0.0.11=1001", "1001", "not a weight"),
            ("10.0.0.11@0a1", "0a1", "not a server id"),
            ("10.0.0.11@0a=5", "0a=5", "not a server id"),
            ("10.0.0.11=-1", "-1", "not a weight"),
        ] {
            let mistake = text.parse::<BackendArg>().expect_err(text);
            assert_eq!(mistake.words(), words, "{mistake}");
            assert!(mistake.problem.contains(said), "{text:?}: {mistake}");
        }
    }

    #[test]
    fn another_port_needs_another_mode() {
        let same: BackendArg = "10.0.0.11:443=7".parse().unwrap();
        assert_eq!(same.into_backend(&https(), Forward::Dsr), Ok(Backend::new("10.0.0.11".parse().unwrap(), 7)));
        let other: BackendArg = "[2001:db8::1]:8443".parse().unwrap();
        for forward in [Forward::Dsr, Forward::Tunnel] {
            let mistake = other.into_backend(&https(), forward).unwrap_err();
            assert_eq!(mistake.words(), "8443");
            assert!(mistake.hint.unwrap().contains("with `forward = \"nat\"`"));
        }
        for forward in [Forward::Nat, Forward::Snat] {
            assert_eq!(other.into_backend(&https(), forward).unwrap().port, Some(8443));
            assert_eq!(same.into_backend(&https(), forward).unwrap().port, None);
        }
        let several = ServicePorts::new(Transport::Tcp, 443, [80..=80]);
        for forward in [Forward::Dsr, Forward::Tunnel, Forward::Nat, Forward::Snat] {
            let mistake = same.into_backend(&several, forward).unwrap_err();
            assert!(mistake.problem.contains("needs a service with one port, not tcp/443,80"), "{mistake}");
        }
    }
}
