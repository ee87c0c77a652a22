//! What a service needs whose backends are named by QUIC connection ids, and no other has.

use std::collections::HashMap;

use foobar_common::quic::UNROUTABLE;

use super::{Affinity, Backend, Part, Service, ServiceFault, Transport, check::fault, server_id::ServerId};

impl Service {
    pub(super) fn check_connection_ids(&self) -> Result<(), ServiceFault> {
        if self.affinity != Affinity::Quic {
            return self.check_without();
        }
        if self.ports.transport() != Transport::Udp {
            let problem = format!("`affinity = \"quic\"` is for UDP, and this service is on {}", self.ports);
            return Err(fault(Part::Affinity, problem, "QUIC has ports of UDP: `ports = \"udp/443\"`"));
        }
        if self.quic_config >= UNROUTABLE {
            let problem = format!("{} is no config rotation codepoint of connection ids", self.quic_config);
            return Err(fault(
                Part::QuicConfig,
                problem,
                "it is a number from 0 to 6: 7 is of ids that name no server",
            ));
        }
        let mut seen = HashMap::new();
        let mut first: Option<ServerId> = None;
        for (index, backend) in self.backends.iter().enumerate() {
            let Backend { address, .. } = backend;
            let Some(id) = backend.server_id else {
                let problem = format!("backend `{address}` has no `server_id`, which `affinity = \"quic\"` needs");
                let hint = "give each backend what its server writes into connection ids: `server_id = \"0a01\"`";
                return Err(fault(Part::BackendAddress(index), problem, hint));
            };
            let at = Part::BackendServerId(index);
            let wanted = first.get_or_insert(id).bytes();
            if id.bytes() != wanted {
                let problem = format!(
                    "the server id `{id}` has {} bytes, and that of the first backend has {wanted}",
                    id.bytes()
                );
                return Err(fault(at, problem, "server ids of one service are of one length"));
            }
            if let Some(other) = seen.insert(id, address) {
                let problem = format!("the server id `{id}` is that of backend `{other}` already");
                return Err(fault(at, problem, "give each backend its own, and its server the same"));
            }
        }
        Ok(())
    }

    /// Nothing asks for connection ids.
    fn check_without(&self) -> Result<(), ServiceFault> {
        let hint = "leave it out, or write `affinity = \"quic\"`";
        if self.quic_config != 0 {
            let problem = format!("a service with `affinity = \"{}\"` reads no connection ids", self.affinity);
            return Err(fault(Part::QuicConfig, problem, hint));
        }
        match self.backends.iter().position(|backend| backend.server_id.is_some()) {
            Some(index) => {
                let problem = format!("nothing asks for a server id where `affinity` is `{}`", self.affinity);
                Err(fault(Part::BackendServerId(index), problem, hint))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As JSON has it: what is not valid is made from what is.
    fn service() -> Service {
        let backends = r#"[{"address":"10.0.0.11","server_id":"0a01"},{"address":"10.0.0.12","server_id":"0a02"}]"#;
        let head = r#""name":"web","address":"192.0.2.10","port":"udp/443","affinity":"quic","quic_config":6"#;
        serde_json::from_str(&format!("{{{head},\"backends\":{backends}}}")).expect("a service")
    }

    fn with(id: Option<&str>) -> Service {
        let mut service = service();
        service.backends[1].server_id = id.map(|id| id.parse().expect("an id"));
        service
    }

    #[test]
    fn what_is_wrong_with_connection_ids_is_placed() {
        let tcp = Service { ports: "tcp/443".parse().expect("ports"), ..service() };
        let plain = || Service { affinity: Affinity::Flow, quic_config: 0, ..service() };
        let mut bare = plain();
        bare.backends.iter_mut().for_each(|backend| backend.server_id = None);
        for (service, part, said) in [
            (tcp, Part::Affinity, "is for UDP"),
            (Service { quic_config: 7, ..service() }, Part::QuicConfig, "7 is no config rotation"),
            (with(None), Part::BackendAddress(1), "has no `server_id`"),
            (with(Some("0a")), Part::BackendServerId(1), "has 1 bytes"),
            (with(Some("0a01")), Part::BackendServerId(1), "`10.0.0.11` already"),
            (plain(), Part::BackendServerId(0), "nothing asks"),
            (Service { quic_config: 1, ..bare.clone() }, Part::QuicConfig, "reads no connection ids"),
        ] {
            let fault = service.check().expect_err(said);
            assert!(fault.part == part && fault.problem.contains(said) && fault.hint.is_some(), "{fault:?}");
        }
        assert_eq!((service().check(), bare.check()), (Ok(()), Ok(())));
    }
}
