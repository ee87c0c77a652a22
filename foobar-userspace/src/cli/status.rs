//! `foobar status`, and `foobar` alone.

use std::{net::SocketAddr, time::Duration};

use comfy_table::Cell;

use super::{
    Global, output,
    set::megabytes,
    tables::{bad, lines, passing, table, titled},
    text::count,
};
use crate::{
    api::{
        client::path,
        types::{
            AttachedMode, BackendStatus, HopStatus, InterfaceStatus, LeftStatus, NotesStatus, PendingStatus, Refusal,
            ServiceStatus, SnatStatus, Status,
        },
    },
    config::Policy,
    domain::{BackendState, duration},
};

const NEXT: &str = "\
What to do next:
  foobar run                     start the daemon, in the foreground
  foobar attach eth0             then filter and balance what comes in on eth0
  foobar --help                  everything else";

/// `foobar status`
pub async fn run(global: &Global) -> Result<(), Refusal> {
    let status: Status = global.client().get(&path(&["status"])).await?;
    output::either(global.json, &status, || show(&status))
}

/// `foobar`
pub async fn welcome(global: &Global) -> Result<(), Refusal> {
    if global.client().is_answered().await {
        return run(global).await;
    }
    let place = global.socket.display();
    output::print(&format!("No daemon answers on {place}; what an earlier one attached keeps working.\n\n{NEXT}"))
}

fn show(status: &Status) -> String {
    let default = match status.default {
        Policy::Pass => "pass",
        Policy::Drop => "drop",
    };
    let head = format!(
        "foobar {}, program {} (id {}), generation {}, default {default}, rules: {}",
        status.version, status.program.name, status.program.id, status.generation, status.rules,
    );
    let mut parts = vec![format!("{head}\n{}\n", notes(status.notes))];
    if let Some(pending) = &status.pending {
        parts.push(unconfirmed(pending));
    }
    if status.interfaces.is_empty() {
        parts.push("attached to no interface; next: foobar attach IFACE\n".to_owned());
    } else {
        parts.push(titled("interfaces", &interfaces(&status.interfaces)));
    }
    if !status.services.is_empty() {
        parts.push(format!("services\n{}\n", services(&status.services)));
    }
    parts.extend(status.warnings.iter().map(|warning| format!("warning: {warning}\n")));
    parts.join("\n")
}

/// As in `notes: 12 of 1 048 576 (39.8 MB)`.
fn notes(NotesStatus { used, size, bytes }: NotesStatus) -> String {
    format!("notes: {} of {} ({})", count(used), count(size), megabytes(bytes))
}

fn unconfirmed(PendingStatus { seconds_left, changes }: &PendingStatus) -> String {
    let changes = changes.join("\n  ");
    format!("unconfirmed, undone in {seconds_left} s unless `foobar confirm` follows:\n  {changes}\n")
}

fn interfaces(interfaces: &[InterfaceStatus]) -> comfy_table::Table {
    let mut table = table(["NAME", "MODE", "INDEX", "PEER"], &[2]);
    for InterfaceStatus { name, mode, ifindex, peer } in interfaces {
        let mode = match mode {
            AttachedMode::Native => Cell::new("native"),
            AttachedMode::Generic => passing("generic"),
            AttachedMode::Absent => bad("absent"),
        };
        let peer = peer.as_deref().unwrap_or("-");
        table.add_row([Cell::new(name), mode, Cell::new(ifindex), Cell::new(peer)]);
    }
    table
}

/// A line for each backend, the service's own words on its first.
pub fn services(services: &[ServiceStatus]) -> String {
    let headings = ["SERVICE", "ADDRESS", "PORT", "FORWARD", "BACKEND", "WEIGHT", "STATE", "SLOTS", "NEXT HOP"];
    let mut table = table(headings, &[5, 7]);
    for service in services {
        let own =
            [service.name.clone(), service.address.to_string(), service.port.clone(), service.forward.to_string()];
        for (at, backend) in service.backends.iter().enumerate() {
            let own = own.iter().map(|word| Cell::new(if at == 0 { word } else { "" }));
            table.add_row(own.chain(cells(backend)));
        }
    }
    let ports = services.iter().filter(|service| !service.snat.is_empty()).map(ports);
    [lines(&table)].into_iter().chain(ports).collect::<Vec<_>>().join("\n")
}

/// As in `ports of web: 12 of 31 744 at 10.0.0.5, 3 still at 10.0.0.4`.
fn ports(service: &ServiceStatus) -> String {
    let each = service.snat.iter().map(|SnatStatus { address, ports_used, ports, leaves }| {
        let used = count(*ports_used);
        if *leaves { format!("{used} still at {address}") } else { format!("{used} of {} at {address}", count(*ports)) }
    });
    format!("ports of {}: {}", service.name, each.collect::<Vec<_>>().join(", "))
}

fn hop_text(hop: &HopStatus) -> String {
    match hop.gateway {
        _ if hop.here => "this host".to_owned(),
        Some(gateway) => format!("{} {} via {gateway}", hop.interface, hop.mac),
        None => format!("{} {}", hop.interface, hop.mac),
    }
}

fn cells(backend: &BackendStatus) -> [Cell; 5] {
    let next_hop = match (&backend.next_hop, &backend.problem) {
        (Some(hop), None) => Cell::new(hop_text(hop)),
        (Some(hop), Some(problem)) => bad(format!("{}: {problem}", hop_text(hop))),
        (None, Some(problem)) => bad(problem),
        (None, None) => passing("not known yet"),
    };
    [
        Cell::new(match backend.port {
            Some(port) => SocketAddr::new(backend.address, port).to_string(),
            None => backend.address.to_string(),
        }),
        Cell::new(backend.weight),
        match backend.left {
            Some(left) => passing(format!("{}, {}", backend.state, left_in_words(left))),
            None if backend.backup && backend.state == BackendState::Ready => passing("backup"),
            None => state(backend.state),
        },
        Cell::new(count(backend.slots.into())),
        next_hop,
    ]
}

/// As in `12 noted, certain in 2h51m`.
fn left_in_words(LeftStatus { noted, certain_in_seconds, ends_in_seconds }: LeftStatus) -> String {
    let noted = noted.map_or_else(|| "counting".to_owned(), |noted| format!("{} noted", count(noted)));
    let certain = (certain_in_seconds > 0).then(|| format!("certain in {}", about(certain_in_seconds)));
    let ends = ends_in_seconds.map(|seconds| format!("ends in {}", about(seconds)));
    [Some(noted), certain, ends].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Minutes say enough, but at the end.
fn about(seconds: u64) -> String {
    duration::write(Duration::from_secs(if seconds < 120 { seconds } else { seconds / 60 * 60 }))
}

/// A backend's state, in a word.
pub fn state(state: BackendState) -> Cell {
    match state {
        BackendState::Ready => Cell::new("ready"),
        other => passing(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::types::{HopStatus, ProgramStatus},
        domain::{Affinity, Encapsulation, Forward, Queries},
    };

    fn backend(address: &str, next_hop: Option<HopStatus>, problem: Option<&str>) -> BackendStatus {
        BackendStatus {
            port: None,
            address: address.parse().unwrap(),
            weight: 100,
            state: BackendState::Ready,
            backup: false,
            server_id: None,
            left: None,
            slots: 32_769,
            next_hop,
            problem: problem.map(Into::into),
        }
    }

    fn status() -> Status {
        let hop = HopStatus { interface: "eth0".into(), mac: "02:00:00:00:00:0b".into(), gateway: None, here: false };
        let lossy = HopStatus { interface: "eth1".into(), mac: "02:00:00:00:00:0c".into(), gateway: None, here: false };
        Status {
            version: "0.1.0".into(),
            default: Policy::Drop,
            generation: 7,
            pin_dir: "/sys/fs/bpf/foobar".into(),
            interfaces: vec![],
            program: ProgramStatus { id: 42, name: "foobar".into() },
            rules: 2,
            services: vec![ServiceStatus {
                name: "web".into(),
                address: "192.0.2.10".parse().unwrap(),
                port: "tcp/80".into(),
                forward: Forward::Dsr,
                encapsulation: Encapsulation::Ip,
                snat: vec![],
                queries: Queries::Auto,
                echo: true,
                affinity: Affinity::Flow,
                quic_config: None,
                ring: 65_537,
                idle_seconds: 10_800,
                backends: vec![
                    backend("10.0.0.11", Some(hop), None),
                    backend("10.0.0.12", None, Some("no route to 10.0.0.12")),
                    backend("10.0.0.13", Some(lossy), Some("eth1 has no foobar attached")),
                ],
            }],
            notes: NotesStatus { used: 1200, size: 1_048_576, bytes: 39_845_888 },
            pending: Some(PendingStatus { seconds_left: 42, changes: vec!["+ rule 1: deny tcp/22".into()] }),
            warnings: vec!["nobody answers for 192.0.2.10".into()],
        }
    }

    #[test]
    fn a_status_says_what_is_and_what_to_do() {
        let text = show(&status());

        for words in [
            "generation 7",
            "notes: 1 200 of 1 048 576 (39.8 MB)",
            "default drop",
            "next: foobar attach IFACE",
            "warning: nobody answers",
            "eth0 02:00:00:00:00:0b",
            "no route to 10.0.0.12",
            "eth1 02:00:00:00:00:0c: eth1 has no foobar attached",
            "32 769",
            "undone in 42 s",
            "  + rule 1: deny tcp/22",
        ] {
            assert!(text.contains(words), "{words} is missing in\n{text}");
        }
    }

    #[test]
    fn a_service_is_named_on_its_first_line_only() {
        assert_eq!(services(&status().services).matches("web").count(), 1);
    }
}
