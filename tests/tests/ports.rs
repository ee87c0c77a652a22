//! Services with lists of ports, ranges, or any port, through the loaded program: who gets which port, and nothing else.

use foobar_common::{Outcome, serve};
use foobar_tests::{
    frames::{Packet, mac, tcp, udp},
    lab::{Lab, Way},
};
use foobar_userspace::domain::Affinity;

const CLIENT: &str = "192.0.2.7:4000";
const CLIENT6: &str = "[2001:db8::7]:4000";
/// Both families have the same services: a list, ranges that are neighbours, and one address for every port.
const SERVICES: [(&str, &str, &str); 12] = [
    ("10.0.0.1", "tcp/443,80,8000-8099", "10.1.0.2"),
    ("10.0.0.1", "tcp/5000-5999", "10.1.0.3"),
    ("10.0.0.1", "tcp/6000-6999", "10.1.0.4"),
    ("10.0.0.1", "udp/5000-6999", "10.1.0.5"),
    ("10.0.0.2", "tcp/any", "10.1.0.6"),
    ("10.0.0.2", "udp/65535,1", "10.1.0.7"),
    ("2001:db8:1::1", "tcp/443,80,8000-8099", "2001:db8:2::2"),
    ("2001:db8:1::1", "tcp/5000-5999", "2001:db8:2::3"),
    ("2001:db8:1::1", "tcp/6000-6999", "2001:db8:2::4"),
    ("2001:db8:1::1", "udp/5000-6999", "2001:db8:2::5"),
    ("2001:db8:1::2", "udp/any", "2001:db8:2::6"),
    ("2001:db8:1::2", "tcp/65535,1", "2001:db8:2::7"),
];

fn lab() -> Lab {
    SERVICES.iter().fold(Lab::new().drops(), |lab, (address, ports, backend)| lab.service(address, ports, &[backend]))
}

/// The packet goes to this backend, or to none; the host's tables say the same.
fn goes_to(lab: &mut Lab, packet: &Packet, backend: Option<&str>) {
    let host = lab.host();
    let (got, mut frame) = (lab.run(packet), packet.bytes());
    assert_eq!(serve(frame.as_mut_slice(), &host), got.outcome, "{packet:?}: kernel and host");
    assert_eq!(frame, got.frame, "{packet:?}: kernel and host");
    match backend {
        Some(backend) => {
            assert_eq!(got.outcome, Outcome::Forwarded, "{packet:?}");
            assert_eq!(got.frame, packet.to(backend).bytes(), "{packet:?}");
            assert!(got.counted.contains(&format!("backend {backend}")), "{packet:?}: {:?}", got.counted);
        }
        None => assert_eq!((got.outcome, got.counted), (Outcome::DefaultDrop, vec!["default_drop".to_owned()])),
    }
}

/// Packets of both families to a port of the first and the second address of each.
fn sent(protocol: fn(&str, &str) -> Packet, host: u8, port: u16) -> [Packet; 2] {
    [protocol(CLIENT, &format!("10.0.0.{host}:{port}")), protocol(CLIENT6, &format!("[2001:db8:1::{host}]:{port}"))]
}

#[test]
fn lists_and_ranges_have_their_ports_and_no_others() {
    let mut lab = lab();
    for (port, backend) in [
        (79, None),
        (80, Some(2)),
        (81, None),
        (442, None),
        (443, Some(2)),
        (444, None),
        (4999, None),
        (5000, Some(3)),
        (5999, Some(3)),
        (6000, Some(4)),
        (6999, Some(4)),
        (7000, None),
        (7999, None),
        (8000, Some(2)),
        (8099, Some(2)),
        (8100, None),
    ] {
        let [v4, v6] = sent(tcp, 1, port);
        goes_to(&mut lab, &v4.syn(), backend.map(|n| format!("10.1.0.{n}")).as_deref());
        goes_to(&mut lab, &v6.syn(), backend.map(|n| format!("2001:db8:2::{n}")).as_deref());
    }
    for (port, backend) in
        [(4999, None), (5000, Some(5)), (5999, Some(5)), (6000, Some(5)), (6999, Some(5)), (80, None)]
    {
        let [v4, v6] = sent(udp, 1, port);
        goes_to(&mut lab, &v4, backend.map(|n| format!("10.1.0.{n}")).as_deref());
        goes_to(&mut lab, &v6, backend.map(|n| format!("2001:db8:2::{n}")).as_deref());
    }
}

#[test]
fn any_port_is_every_port_of_one_transport_at_one_address() {
    let mut lab = lab();
    for port in [1, 22, 80, 443, 5500, 8000, 40_000, 65_535] {
        let ([v4, v6], end) = (sent(tcp, 2, port), port == 1 || port == 65_535);
        goes_to(&mut lab, &v4.syn(), Some("10.1.0.6"));
        goes_to(&mut lab, &v6.syn(), end.then_some("2001:db8:2::7"));
        let [v4, v6] = sent(udp, 2, port);
        goes_to(&mut lab, &v4, end.then_some("10.1.0.7"));
        goes_to(&mut lab, &v6, Some("2001:db8:2::6"));
        goes_to(&mut lab, &sent(tcp, 3, port)[0].clone().syn(), None);
    }
    goes_to(&mut lab, &sent(tcp, 2, 0)[0].clone().syn(), None);
}

#[test]
fn what_a_rule_denies_inside_a_range_stays_denied() {
    let mut lab = lab().rules(&["deny tcp/5500 as hole", "deny udp/5001-6998 from 192.0.2.0/24 as most"]);
    let denied = |lab: &mut Lab, packet: &Packet, rule: &str| {
        assert_eq!(lab.run(packet).counted, ["denied".to_owned(), format!("rule {rule}")], "{packet:?}");
    };
    for packet in sent(tcp, 1, 5500).into_iter().chain(sent(tcp, 2, 5500)) {
        denied(&mut lab, &packet.syn(), "hole");
    }
    goes_to(&mut lab, &sent(tcp, 1, 5499)[0].clone().syn(), Some("10.1.0.3"));
    goes_to(&mut lab, &sent(tcp, 1, 5501)[1].clone().syn(), Some("2001:db8:2::3"));
    let [v4, v6] = sent(udp, 1, 6000);
    denied(&mut lab, &v4, "most");
    goes_to(&mut lab, &v6, Some("2001:db8:2::5"));
    goes_to(&mut lab, &sent(udp, 1, 6999)[0], Some("10.1.0.5"));
}

#[test]
fn queries_are_http_on_its_usual_ports_and_connections_on_the_others() {
    let mut lab = lab();
    for (port, asks, opens) in [(80, "query", false), (8000, "query", false), (443, "none", true), (8099, "none", true)]
    {
        let request = sent(tcp, 1, port)[0].clone().ack().payload(b"GET / HTTP/1.1\r\n\r\n");
        let asked = lab.run(&request).counted.iter().any(|counter| counter.starts_with("query"));
        assert_eq!(asked, asks == "query", "port {port}: a request");
        let opened = lab.run(&sent(tcp, 1, port)[0].clone().syn()).counted;
        assert_eq!(opened.iter().any(|counter| counter.starts_with("query")), opens, "port {port}: a SYN: {opened:?}");
    }
}

#[test]
fn a_source_has_one_backend_on_all_ports_of_a_service_and_a_flow_its_own() {
    let backends = ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5"];
    let backend = |lab: &mut Lab, source: u8, port: u16| {
        let got = lab.run(&tcp(&format!("192.0.2.{source}:4000"), &format!("10.0.0.1:{port}")).syn());
        let to: [u8; 6] = got.frame[..6].try_into().expect("a MAC");
        backends.iter().position(|at| mac(at.parse().expect("an address")) == to).expect("a backend")
    };
    let ports = [80, 443, 5000, 5001, 5999, 8000, 9000, 65_535];
    for (affinity, together) in [(Affinity::Source, true), (Affinity::Flow, false)] {
        let mut lab = Lab::new().service("10.0.0.1", "tcp/any", &backends).spread(1009, affinity);
        let sources: Vec<_> = (1..=40).map(|n| ports.map(|port| backend(&mut lab, n, port))).collect();
        let one = sources.iter().filter(|of| of.iter().all(|backend| *backend == of[0])).count();
        assert_eq!(one == sources.len(), together, "{affinity}: {one} of {} have one backend", sources.len());
        assert!((0..4).all(|n| sources.iter().flatten().any(|backend| *backend == n)), "all backends are used");
    }
}

#[test]
fn other_ports_come_and_go_and_flows_stay_on_their_backends() {
    let backends = ["10.1.0.2", "10.1.0.3", "10.1.0.4"];
    let mut lab = Lab::new().drops().service("10.0.0.1", "tcp/443", &backends);
    let flows: Vec<_> = (1..=60).map(|port| tcp(&format!("192.0.2.7:{port}"), "10.0.0.1:443").ack()).collect();
    let all = |lab: &mut Lab| flows.iter().map(|flow| lab.run(flow).frame).collect::<Vec<_>>();
    let before = all(&mut lab);
    for ports in ["tcp/443,80,5000-5999", "tcp/443,1-65535", "tcp/443,444", "tcp/443"] {
        lab.listen("10.0.0.1", ports);
        assert_eq!(all(&mut lab), before, "{ports}");
        let notes = lab.datapath().notes();
        assert!(notes.is_empty(), "{ports}: no slot changed: {notes:?}");
    }
    lab.listen("10.0.0.1", "tcp/443,80");
    assert_eq!(lab.run(&tcp(CLIENT, "10.0.0.1:80").syn()).outcome, Outcome::Forwarded);
    lab.listen("10.0.0.1", "tcp/443");
    assert_eq!(lab.run(&tcp(CLIENT, "10.0.0.1:80").syn()).outcome, Outcome::DefaultDrop);
}

#[test]
fn what_is_explained_of_a_range_is_what_happens() {
    let mut lab = lab().way("10.1.0.4", Way::Elsewhere);
    lab.publish();
    for (port, served) in [(80, true), (5999, true), (6000, true), (7000, false)] {
        let packet = sent(tcp, 1, port)[0].clone().syn();
        let said = lab.datapath().explain(packet.bytes(), foobar_common::plane::Way::In, 1);
        let got = lab.run(&packet);
        assert_eq!((said.outcome, &said.frame), (got.outcome, &got.frame));
        assert_eq!(said.service.map(|(_, port)| port), served.then_some(port));
    }
}
