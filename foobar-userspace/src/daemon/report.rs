//! What the engine says of itself: rules, services, status, counters.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use foobar_common::{
    Outcome,
    layout::{MAX_NOTES, program},
    plane::Way,
    snat::{MAX_POOL, PORTS},
};

use super::{
    engine::Engine,
    interfaces::{find, lost_on},
    plan::shares,
    state::{State, now},
    ways::{given, obstacle},
};
use crate::{
    api::types::{
        AttachedMode, BackendCount, BackendStatus, BackendTally, HopStatus, InterfaceStatus, LeftStatus, NotesStatus,
        OutcomeCount, ProgramStatus, Refusal, RuleLine, ServiceCount, ServiceStatus, SnatStatus, Stats, Status, Tally,
    },
    domain::{Affinity, Backend, Forward, Service},
    nexthop::NextHop,
};

fn hop_status(hop: &NextHop) -> HopStatus {
    HopStatus {
        interface: hop.interface.clone(),
        mac: mac(hop.destination_mac),
        gateway: hop.gateway,
        here: hop.is_here(),
    }
}

impl Engine {
    /// The rules in order, with their counters; those for what this host sends behind the others.
    pub fn rules(&self) -> Result<Vec<RuleLine>, Refusal> {
        let list = |way| (0..self.ids(way).len()).map(move |index| (way, index));
        list(Way::In).chain(list(Way::Out)).map(|(way, index)| self.rule_line(way, index)).collect()
    }

    pub(super) fn rule_line(&self, way: Way, index: usize) -> Result<RuleLine, Refusal> {
        let id = self.ids(way)[index];
        let tally = self.datapath.rule(id)?;
        let rule = &self.state.config.firewall.rules(way)[index];
        let limited = rule.limit.is_some().then(|| self.datapath.limited(id)).transpose()?;
        Ok(RuleLine {
            id,
            rule: rule.to_string(),
            egress: way == Way::Out,
            packets: tally.packets,
            bytes: tally.bytes,
            left: (way == Way::In).then(|| self.seconds_left(index)).flatten(),
            limited: limited.map(|tally| tally.packets),
        })
    }

    pub fn services(&self) -> Vec<ServiceStatus> {
        let lossy = self.lossy();
        self.state.config.services.iter().map(|service| self.service_status(service, &lossy)).collect()
    }

    fn service_status(&self, service: &Service, lossy: &BTreeSet<String>) -> ServiceStatus {
        let shares = self.rings.get(&service.name).map(shares).unwrap_or_default();
        let backend = |backend: &Backend| {
            let id = self.state.ids.backend(service, backend);
            let hop = self.hops.get(&backend.address);
            BackendStatus {
                address: backend.address,
                port: backend.port,
                weight: backend.weight,
                state: backend.state,
                backup: backend.backup,
                server_id: backend.server_id,
                left: backend.state.drains().then(|| LeftStatus {
                    noted: self.swept.as_ref().map(|swept| id.map_or(0, |id| swept.flows_on(id))),
                    certain_in_seconds: self.certain_in(service).max(id.map_or(0, |id| self.silent_in(service, id))),
                    ends_in_seconds: backend.deadline.map(|deadline| deadline.saturating_sub(now())),
                }),
                slots: id.and_then(|id| shares.get(&id)).copied().unwrap_or(0),
                next_hop: hop.and_then(|hop| hop.as_ref().ok()).map(hop_status),
                problem: match hop {
                    Some(Ok(hop)) => obstacle(service, backend, hop)
                        .or_else(|| lossy.contains(&hop.interface).then(|| lost_on(&hop.interface))),
                    Some(Err(problem)) => Some(problem.clone()),
                    None => Some("its next hop is being looked up".to_owned()),
                },
            }
        };
        ServiceStatus {
            name: service.name.clone(),
            address: service.address,
            port: service.ports.to_string(),
            forward: service.forward,
            encapsulation: service.encapsulation,
            snat: self.snat_status(service),
            queries: service.queries,
            echo: service.echo,
            affinity: service.affinity,
            quic_config: (service.affinity == Affinity::Quic).then_some(service.quic_config),
            ring: service.ring,
            idle_seconds: service.idle.as_secs(),
            backends: service.backends.iter().map(backend).collect(),
        }
    }

    fn snat_status(&self, service: &Service) -> Vec<SnatStatus> {
        let (state, settled) = (&self.state, self.state.settled());
        let State { config, pool, .. } = state;
        let addresses = given(service, state, settled);
        if addresses.is_empty() {
            return Vec::new();
        }
        let its: BTreeSet<_> =
            service.backends.iter().filter_map(|backend| self.state.ids.backend(service, backend)).collect();
        let own = self.datapath.ports_taken_by(|backend| its.contains(&backend));
        // With `nat` few clients need one; an address of `snat` is all services' that have it.
        let used = if service.forward == Forward::Snat { &self.datapath.ports_taken() } else { &own };
        let status = |address: IpAddr, used: &[u64; MAX_POOL], leaves: bool| {
            let ports_used = pool.place(address).map_or(0, |place| used[place]);
            SnatStatus { address, ports_used, ports: PORTS as u64, leaves }
        };
        let is_in_use =
            |address: &IpAddr| config.services.iter().any(|other| given(other, state, settled).contains(address));
        let now = addresses.into_iter().map(|address| status(address, used, false));
        let older = pool.older(service).filter(|address| !is_in_use(address));
        let older = older.map(|address| status(address, &own, true)).filter(|status| status.ports_used > 0);
        now.filter(|status| service.forward == Forward::Snat || status.ports_used > 0).chain(older).collect()
    }

    pub fn status(&mut self) -> Result<Status, Refusal> {
        let program = ProgramStatus { id: self.datapath.program_id()?, name: program::MAIN.to_owned() };
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            default: self.state.config.firewall.default,
            generation: self.datapath.number(),
            pin_dir: self.datapath.pin_dir().to_owned(),
            interfaces: self.interfaces()?,
            program,
            rules: self.rule_ids.len() as u32,
            services: self.services(),
            notes: NotesStatus { used: self.noted, size: MAX_NOTES.into(), bytes: self.datapath.note_bytes() },
            pending: self.pending_status(),
            warnings: self.warnings()?,
        })
    }

    pub(super) fn interfaces(&self) -> Result<Vec<InterfaceStatus>, Refusal> {
        let attachments = self.datapath.attachments()?;
        let status = |interface: &crate::config::Interface| {
            let attachment = find(&attachments, &interface.name).filter(|found| found.called.is_some());
            InterfaceStatus {
                name: interface.name.clone(),
                mode: match attachment {
                    Some(attachment) if attachment.native => AttachedMode::Native,
                    Some(_) => AttachedMode::Generic,
                    None => AttachedMode::Absent,
                },
                ifindex: attachment.map_or(0, |attachment| attachment.ifindex),
                peer: self.peer_of(&interface.name),
            }
        };
        Ok(self.state.config.interfaces.iter().map(status).collect())
    }

    fn warnings(&self) -> Result<Vec<String>, Refusal> {
        let mut warnings = self.state.config.warnings();
        if self.state.config.interfaces.is_empty() {
            warnings.push("no interface is attached: no packet is seen (`foobar attach IFACE`)".to_owned());
        }
        warnings.extend(self.interface_warnings()?);
        warnings.extend(self.set_warnings());
        warnings.extend(self.port_warning());
        warnings.extend(self.unsaved.clone());
        Ok(warnings)
    }

    pub fn stats(&self) -> Result<Stats, Refusal> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let outcomes = self.datapath.outcomes()?.into_iter().map(outcome_count).collect();
        let sent = self.datapath.sent()?.into_iter().filter(|(outcome, _)| is_of_sent(*outcome)).map(outcome_count);
        let services = self.state.config.services.iter().map(|service| self.service_count(service));
        Ok(Stats {
            at_ms: at.as_millis() as u64,
            outcomes,
            sent: sent.collect(),
            rules: self.rules()?,
            services: services.collect::<Result<_, _>>()?,
        })
    }

    fn service_count(&self, service: &Service) -> Result<ServiceCount, Refusal> {
        let mut backends = Vec::new();
        for backend in &service.backends {
            let Some(id) = self.state.ids.backend(service, backend) else { continue };
            let per_cpu = self.datapath.backend(id)?;
            let sum = |of: fn(&BackendTally) -> u64| per_cpu.iter().map(of).sum();
            backends.push(BackendCount {
                address: backend.address,
                state: backend.state,
                weight: backend.weight,
                packets: sum(|tally| tally.packets),
                bytes: sum(|tally| tally.bytes),
                connections: sum(|tally| tally.connections),
                queries: sum(|tally| tally.queries),
                per_cpu,
            });
        }
        let port = service.ports.to_string();
        Ok(ServiceCount { name: service.name.clone(), address: service.address, port, backends })
    }
}

/// Nothing of what this host sends is for a service, or comes in a tunnel or goes on in another program.
fn is_of_sent(outcome: Outcome) -> bool {
    !outcome.is_of_service() && !matches!(outcome, Outcome::Congested | Outcome::NoStage)
}

fn outcome_count((outcome, cpus): (Outcome, Vec<Tally>)) -> OutcomeCount {
    OutcomeCount {
        outcome: outcome.name().to_owned(),
        action: outcome.action().name().to_owned(),
        packets: cpus.iter().map(|tally| tally.packets).sum(),
        bytes: cpus.iter().map(|tally| tally.bytes).sum(),
        per_cpu: cpus,
    }
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
