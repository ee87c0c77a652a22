//! What a configuration would change, found out without changing anything.
//!
//! Frames that were seen lately and connections that are open are judged by the tables in force and by those that would
//! be. Who was silent lately is not among them: it is an estimate, and says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use foobar_common::{
    Action, Address, Outcome,
    flow::{Flow, ICMP, ICMPV6, TCP, UDP},
    image::HostTables,
    parse::{self, Network},
    plane::Way,
};

use super::{
    apply::ReadFile,
    engine::Engine,
    explain::{address, addresses},
    moved::{Known, moved},
    plan::{Forced, Plan, refuse_another_spread},
    state::State,
    ways::backends,
};
use crate::{
    api::types::{DryRun, MovedSlots, Refusal, WouldBeDropped},
    config::Difference,
    datapath::Open,
    domain::{Matcher, Transport, packet::SaidPacket},
};

/// A frame that came in lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFrame {
    /// The interface's index.
    pub interface: u32,
    pub frame: Vec<u8>,
    /// For how many it stands.
    pub weight: u64,
}

impl Engine {
    /// What this host has open.
    pub fn open_sockets(&self) -> Vec<Open> {
        self.datapath.open_sockets()
    }

    /// What applying the file would do. Of each socket the interface is given that its packets come in by, if known.
    pub fn dry_run(
        &mut self,
        file: &ReadFile,
        sockets: &[(Open, Option<u32>)],
        recent: &[SeenFrame],
    ) -> Result<DryRun, Refusal> {
        let next = file.config()?.draining(&self.state.config);
        refuse_another_spread(&self.state.config, &next)?;
        let mut wanted = State { config: next, ..self.state.clone() };
        self.refuse_services_merged(&wanted)?;
        let plan = self.plan(&mut wanted, &Forced::new())?;
        let difference = Difference::between(&self.state.config, &wanted.config);
        let sets = self.sets_for(&wanted, &ends(sockets, recent))?;
        let tables = HostTables { sets, ..self.planned_tables(&wanted, &plan) };
        let judge = Judge { tables, wanted: &wanted, plan: &plan };
        let mut connections = Vec::new();
        for (socket, interface) in sockets {
            let interface = interface.unwrap_or(0);
            if !self.sees(interface)? {
                continue;
            }
            let protocol = if socket.protocol == UDP { "udp" } else { "tcp" };
            let segment = |from: SocketAddr, to: SocketAddr| {
                let said: Result<SaidPacket, _> = format!("{protocol} {from} > {to}").parse();
                said.ok().map(|packet| packet.frame)
            };
            let (Some(sent), Some(received)) = (segment(socket.local, socket.peer), segment(socket.peer, socket.local))
            else {
                continue;
            };
            // What this host has open is noted when it next speaks.
            judge.tables.send(&sent);
            connections.push(SeenFrame { interface, frame: received, weight: 1 });
        }
        let mut present =
            |frame: &SeenFrame| self.datapath.explain(frame.frame.clone(), Way::In, frame.interface).outcome;
        Ok(DryRun {
            changes: difference.lines(),
            difference,
            slots: self.moved_slots(&plan)?,
            connections: would_be_dropped(&connections, &mut present, &judge),
            flows: would_be_dropped(recent, &mut present, &judge),
            frames: recent.len() as u64,
        })
    }

    fn moved_slots(&self, plan: &Plan) -> Result<Vec<MovedSlots>, Refusal> {
        let known = Known {
            connections: self.connections()?,
            noted: self.swept.as_ref().map(|swept| swept.by_backend.clone()),
        };
        let mut found = Vec::new();
        for service in &self.state.config.services {
            let (Some(old), Some(new)) = (self.rings.get(&service.name), plan.rings.get(&service.name)) else {
                continue;
            };
            let (moved, flows) = moved(&old.slots, &new.slots, &known);
            if moved > 0 {
                let flows = (service.ports.transport() == Transport::Tcp).then_some(flows);
                found.push(MovedSlots { service: service.name.clone(), moved, of: new.slots.len() as u32, flows });
            }
        }
        Ok(found)
    }

    /// Connections that each backend ever got, by its id.
    fn connections(&self) -> Result<BTreeMap<u32, u64>, Refusal> {
        let mut connections = BTreeMap::new();
        for (id, ..) in backends(&self.state) {
            connections.insert(id, self.datapath.backend(id)?.iter().map(|tally| tally.connections).sum());
        }
        Ok(connections)
    }
}

/// Every address that is judged.
fn ends(sockets: &[(Open, Option<u32>)], frames: &[SeenFrame]) -> BTreeSet<IpAddr> {
    let sockets = sockets.iter().flat_map(|(socket, _)| [socket.local.ip(), socket.peer.ip()]);
    sockets.chain(frames.iter().filter_map(|seen| addresses(&seen.frame)).flatten()).collect()
}

/// The tables that would be in force, and the names of what is in them.
struct Judge<'a> {
    tables: HostTables,
    wanted: &'a State,
    plan: &'a Plan,
}

impl Judge<'_> {
    fn outcome(&self, frame: &SeenFrame) -> (Outcome, Option<String>) {
        self.tables.rules.borrow_mut().clear();
        let outcome = self.tables.run(&mut frame.frame.clone());
        let matched = self.tables.rules.borrow().keys().next().copied();
        let place = matched.and_then(|id| self.plan.rule_ids.iter().position(|other| *other == id));
        (outcome, place.map(|place| self.wanted.config.firewall.rules[place].to_string()))
    }
}

/// What passes now and would not, by flow and by what decides, the heaviest first.
fn would_be_dropped(
    frames: &[SeenFrame],
    present: &mut impl FnMut(&SeenFrame) -> Outcome,
    judge: &Judge<'_>,
) -> Vec<WouldBeDropped> {
    let mut found = BTreeMap::<(String, String, Option<String>), u64>::new();
    for frame in frames {
        let (outcome, rule) = judge.outcome(frame);
        if outcome.action() != Action::Drop {
            continue;
        }
        let before = present(frame);
        // An answer to this host stays one, unless a rule denies it.
        let stays = before == Outcome::Reply && outcome == Outcome::DefaultDrop;
        if before.action() == Action::Drop || stays {
            continue;
        }
        *found.entry((flow_of(&frame.frame), outcome.name().to_owned(), rule)).or_default() += frame.weight;
    }
    let dropped = |((flow, outcome, rule), packets)| WouldBeDropped { flow, outcome, rule, packets };
    let mut dropped: Vec<_> = found.into_iter().map(dropped).collect();
    dropped.sort_by_key(|dropped| std::cmp::Reverse(dropped.packets));
    dropped
}

/// `tcp 192.0.2.7 > 10.0.0.1:22`: without the port that the other end chose.
fn flow_of(frame: &[u8]) -> String {
    let said = match parse::link(frame) {
        Ok(Network::V4(offset)) => parse::ipv4(frame, offset).map(|flow| flow_text(&flow)),
        Ok(Network::V6(offset)) => parse::ipv6(frame, offset).map(|flow| flow_text(&flow)),
        Err(outcome) => Err(outcome),
    };
    said.unwrap_or_else(|outcome| outcome.name().to_owned())
}

fn flow_text<A: Address>(flow: &Flow<A>) -> String {
    let (source, destination) = (address(flow.source), address(flow.destination));
    let protocol = match flow.protocol {
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        ICMP => "icmp".to_owned(),
        ICMPV6 => "icmpv6".to_owned(),
        number => Matcher::Protocol(number).to_string(),
    };
    match flow.ports() {
        Some((_, port)) => format!("{protocol} {source} > {}", SocketAddr::new(destination, port)),
        None => format!("{protocol} {source} > {destination}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Firewall, Policy},
        daemon::plan::{Rings, plan},
    };

    fn planned(default: Policy, rules: &[&str]) -> (State, Plan) {
        let rules = rules.iter().map(|text| text.parse().expect("a rule")).collect();
        let config = Config { firewall: Firewall { default, rules, ..Firewall::default() }, ..Config::default() };
        let mut state = State { config, ..State::default() };
        let plan = plan(&mut state, &Rings::new(), &Forced::new(), 1).expect("a plan");
        (state, plan)
    }

    fn seen(text: &str, weight: u64) -> SeenFrame {
        let frame = text.parse::<SaidPacket>().expect("a packet").frame;
        SeenFrame { interface: 0, frame, weight }
    }

    fn judge((wanted, plan): &(State, Plan)) -> Judge<'_> {
        Judge { tables: HostTables { image: plan.image.clone(), ..HostTables::default() }, wanted, plan }
    }

    #[test]
    fn what_passes_and_would_not_is_grouped_by_flow_and_rule() {
        let old = planned(Policy::Pass, &["deny udp/9"]);
        let new = planned(Policy::Drop, &["deny from 192.0.2.0/24 as net", "allow tcp/80,443"]);
        let (before, after) = (judge(&old), judge(&new));
        let frames = [
            seen("tcp 192.0.2.7:4000 > 10.0.0.1:80", 100),
            seen("tcp 192.0.2.7:4001 > 10.0.0.1:80", 100),
            seen("tcp 198.51.100.7:4001 > 10.0.0.1:80", 100),
            seen("udp 198.51.100.7:4001 > 10.0.0.1:9", 100),
            seen("udp [2001:db8::1]:1 > [2001:db8::2]:53", 300),
            seen("vrrp 198.51.100.7 > 10.0.0.1", 1),
        ];
        let found = would_be_dropped(&frames, &mut |frame| before.outcome(frame).0, &after);
        let lines: Vec<_> =
            found.iter().map(|one| format!("{} {} {:?} {}", one.flow, one.outcome, one.rule, one.packets)).collect();
        let wanted = [
            "udp 2001:db8::1 > [2001:db8::2]:53 default_drop None 300",
            "tcp 192.0.2.7 > 10.0.0.1:80 denied Some(\"deny from 192.0.2.0/24 as net\") 200",
            "vrrp 198.51.100.7 > 10.0.0.1 default_drop None 1",
        ];
        assert_eq!(lines, wanted);
        let none = would_be_dropped(&frames, &mut |_| Outcome::Reply, &after);
        assert!(none.iter().all(|one| one.outcome == "denied"), "answers stay: {none:?}");
    }
}
