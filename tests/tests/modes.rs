//! What each way of forwarding makes of a frame, byte by byte, and what of an answer. Every expected frame is built from
//! scratch, its checksums too.

use foobar_common::{Outcome, next_hop::NextHop};
use foobar_tests::{
    frames::{BALANCER, Packet, ROUTER, protocol, tcp, udp},
    lab::{Got, Lab, Way},
};
use foobar_userspace::domain::{Encapsulation, Forward};

const CLIENT: &str = "192.0.2.7:4000";
const CLIENT6: &str = "[2001:db8::7]:4000";
const SERVICE: &str = "10.0.0.1:80";
const SERVICE6: &str = "[2001:db8:1::1]:80";
const IPIP: u8 = 4;
const IPV6: u8 = 41;
const DONT_FRAGMENT: u16 = 0x4000;

/// Services with one backend each, of every pair of families that a mode has.
fn lab(forward: Forward) -> Lab {
    Lab::new()
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .forward(forward)
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
        .forward(forward)
}

/// The outer packet around one, as the lab's balancer makes it.
fn outer(number: u8, inner: &Packet, backend: &str) -> Packet {
    let packet = if backend.contains(':') {
        protocol(number, "fd00:1::1", backend)
    } else {
        protocol(number, "10.1.0.1", backend).identified(0).fragment(DONT_FRAGMENT, false)
    };
    packet.payload(&inner.network()).to(backend)
}

/// An IPv6 frame with the label of its flow taken out.
fn without_label(frame: &[u8], ip: usize) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[ip + 1] &= 0xf0;
    frame[ip + 2..ip + 4].fill(0);
    frame
}

#[test]
fn a_tunnel_puts_a_packet_into_another_of_either_family() {
    let mut lab = lab(Forward::Tunnel)
        .service("10.0.0.2", "tcp/80", &["2001:db8:2::3"])
        .forward(Forward::Tunnel)
        .service("2001:db8:1::2", "tcp/80", &["10.1.0.3"])
        .forward(Forward::Tunnel);
    for (sent, number, backend) in [
        (tcp(CLIENT, SERVICE).syn(), IPIP, "10.1.0.2"),
        (tcp(CLIENT6, SERVICE6).syn(), IPV6, "2001:db8:2::2"),
        (tcp(CLIENT, "10.0.0.2:80").syn(), IPIP, "2001:db8:2::3"),
        (tcp(CLIENT6, "[2001:db8:1::2]:80").syn(), IPV6, "10.1.0.3"),
    ] {
        for (sent, tags) in [(sent.clone(), 0), (sent.clone().vlan(100), 1), (sent.clone().qinq(7, 100), 2)] {
            let got = lab.run(&sent);

            assert_eq!(got.outcome, Outcome::Forwarded, "{sent:?}");
            let inner = sent.clone().ttl(63);
            let mut wanted = outer(number, &inner, backend);
            wanted = match tags {
                0 => wanted,
                1 => wanted.vlan(100),
                _ => wanted.qinq(7, 100),
            };
            let ip = 14 + 4 * tags;
            let frame = if backend.contains(':') { without_label(&got.frame, ip) } else { got.frame.clone() };
            assert_eq!(frame, wanted.bytes(), "{sent:?}");
            let connection = format!("connection {backend}");
            assert_eq!(got.counted, ["forwarded", &format!("backend {backend}"), connection.as_str()], "{sent:?}");
        }
    }
}

#[test]
fn flows_have_labels_of_their_own_in_a_tunnel_over_ipv6() {
    let mut lab = lab(Forward::Tunnel);
    let mut label = |port: u16| {
        let got = lab.run(&tcp(&format!("[2001:db8::7]:{port}"), SERVICE6));
        u32::from_be_bytes(got.frame[14..18].try_into().expect("four bytes")) & 0xf_ffff
    };
    let labels: std::collections::HashSet<_> = (4000..4032).map(&mut label).collect();
    assert!(labels.len() > 28, "{labels:?}");
    assert_eq!(label(4000), label(4000), "the packets of one flow have one label");
}

#[test]
fn gue_has_a_source_port_for_each_flow() {
    let mut lab = lab(Forward::Tunnel).encapsulation(Encapsulation::Gue);
    let mut ports = std::collections::HashSet::new();
    for port in 4000..4032 {
        let sent = tcp(&format!("[2001:db8::7]:{port}"), SERVICE6);
        let got = lab.run(&sent);
        let source = u16::from_be_bytes([got.frame[54], got.frame[55]]);
        assert!(source >= 0xc000, "{source}");
        ports.insert(source);
        let inner = sent.ttl(63).network();
        let header = [0, IPV6, 0, 0];
        let wanted = udp(&format!("[fd00:1::1]:{source}"), "[2001:db8:2::2]:6080")
            .payload(&[&header, inner.as_slice()].concat())
            .transport_bytes(6, &[0, 0])
            .to("2001:db8:2::2");
        assert_eq!(without_label(&got.frame, 14), wanted.bytes());
    }
    assert!(ports.len() > 28, "{ports:?}");
}

#[test]
fn a_tunnel_carries_the_class_and_what_met_congestion() {
    let mut lab = lab(Forward::Tunnel);
    let sent = tcp(CLIENT, SERVICE).class(0xb9);
    let got = lab.run(&sent);
    assert_eq!(got.frame, outer(IPIP, &sent.ttl(63), "10.1.0.2").class(0xb9).bytes());
}

#[test]
fn what_does_not_fit_a_tunnel_is_told_and_dropped_by_nobody_in_silence() {
    let mut lab = lab(Forward::Tunnel).mtu(1400);
    let fits = tcp(CLIENT, SERVICE).payload(&[7; 1400 - 60]);
    assert_eq!(lab.run(&fits).outcome, Outcome::Forwarded, "20 + 20 + 1340 + 20");
    for (sent, mtu, kind) in [
        (tcp(CLIENT, SERVICE).payload(&[7; 1341]), 1380_u16, [3, 4]),
        (tcp(CLIENT6, SERVICE6).payload(&[7; 1301]), 1360, [2, 0]),
    ] {
        let got = lab.run(&sent);
        assert_eq!(got.outcome, Outcome::TooBig);
        let is_v6 = kind[0] == 2;
        let quoted = &sent.network()[..if is_v6 { 48 } else { 28 }];
        let error = if is_v6 {
            foobar_tests::frames::icmpv6("2001:db8:1::1", "2001:db8::7", 2, 0)
        } else {
            foobar_tests::frames::icmp("10.0.0.1", "192.0.2.7", 3, 4).identified(0)
        };
        let wanted = error.rest(u32::from(mtu)).payload(quoted).back();
        assert_eq!(got.frame, wanted.bytes(), "{kind:?}");
    }
    let later = tcp(CLIENT, SERVICE).payload(&[7; 1400]).fragment(0, true);
    assert_eq!(lab.run(&later).outcome, Outcome::TooBig, "a first fragment is told, too");
}

#[test]
fn a_packet_whose_time_is_over_goes_no_further() {
    for forward in [Forward::Tunnel, Forward::Nat, Forward::Snat] {
        let mut lab = with_pool(lab(forward), forward);
        for sent in [tcp(CLIENT, SERVICE), tcp(CLIENT6, SERVICE6)] {
            assert_eq!(lab.run(&sent.clone().ttl(1)).outcome, Outcome::Expired, "{forward} {sent:?}");
            assert_eq!(lab.run(&sent.ttl(2)).outcome, Outcome::Forwarded, "{forward}");
        }
    }
}

fn with_pool(lab: Lab, forward: Forward) -> Lab {
    if forward == Forward::Snat { lab.snat_each(&["10.1.0.1"], &["fd00:1::1"]) } else { lab }
}

#[test]
fn nat_rewrites_the_destination_and_answers_are_restored() {
    let mut lab = Lab::new()
        .drops()
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .forward(Forward::Nat)
        .backends_port(8080)
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
        .forward(Forward::Nat)
        .service("10.0.0.1", "udp/53", &["10.1.0.2"])
        .forward(Forward::Nat);
    for (sent, backend, to) in [
        (tcp(CLIENT, SERVICE).syn(), "10.1.0.2", "10.1.0.2:8080"),
        (tcp(CLIENT, SERVICE).payload(b"odd"), "10.1.0.2", "10.1.0.2:8080"),
        (tcp(CLIENT6, SERVICE6).payload(b"data"), "2001:db8:2::2", "[2001:db8:2::2]:80"),
        (udp(CLIENT, "10.0.0.1:53"), "10.1.0.2", "10.1.0.2:53"),
        (tcp(CLIENT, SERVICE).vlan(7).options(&[1, 1, 1]), "10.1.0.2", "10.1.0.2:8080"),
    ] {
        let got = lab.run(&sent);
        assert_eq!(got.outcome, Outcome::Forwarded, "{sent:?}");
        let (client, service) = (ends(&sent).0, ends(&sent).1);
        assert_eq!(got.frame, sent.clone().between(&client, to).ttl(63).to(backend).bytes(), "{sent:?}");

        let answer = sent.clone().answering().between(to, &client).from(backend);
        let got = lab.run(&answer);
        assert_eq!(got.outcome, Outcome::Forwarded, "{answer:?}");
        assert_eq!(got.frame, answer.between(&service, &client).ttl(63).back().bytes(), "{sent:?}");
    }
}

#[test]
fn nat_over_ranges_and_any_port_restores_answers_by_the_packets_own_port() {
    let mut lab = Lab::new()
        .drops()
        .service("10.0.0.1", "tcp/80,5000-5999", &["10.1.0.2"])
        .forward(Forward::Nat)
        .service("10.0.0.2", "udp/any", &["10.1.0.2"])
        .forward(Forward::Nat)
        .service("2001:db8:1::1", "tcp/any", &["2001:db8:2::2"])
        .forward(Forward::Nat);
    for (client, address, backend, port) in [
        (CLIENT, "10.0.0.1", "10.1.0.2", 80),
        (CLIENT, "10.0.0.1", "10.1.0.2", 5000),
        (CLIENT, "10.0.0.1", "10.1.0.2", 5999),
        (CLIENT6, "[2001:db8:1::1]", "2001:db8:2::2", 5500),
        (CLIENT6, "[2001:db8:1::1]", "2001:db8:2::2", 65535),
    ] {
        let service = format!("{address}:{port}");
        let to = if backend.contains(':') { format!("[{backend}]:{port}") } else { format!("{backend}:{port}") };
        let sent = tcp(client, &service).syn();
        let got = lab.run(&sent);
        assert_eq!(got.outcome, Outcome::Forwarded, "{service}");
        assert_eq!(got.frame, sent.clone().between(client, &to).ttl(63).to(backend).bytes(), "{service}");
        let answer = sent.answering().between(&to, client).from(backend);
        let got = lab.run(&answer);
        assert_eq!(got.outcome, Outcome::Forwarded, "{service}");
        assert_eq!(got.frame, answer.between(&service, client).ttl(63).back().bytes(), "{service}");
    }
    for port in [1, 53, 5500, 65535] {
        let (service, to) = (format!("10.0.0.2:{port}"), format!("10.1.0.2:{port}"));
        assert_eq!(lab.run(&udp(CLIENT, &service)).outcome, Outcome::Forwarded);
        let answer = udp(&to, CLIENT).from("10.1.0.2");
        assert_eq!(lab.run(&answer).frame, answer.between(&service, CLIENT).ttl(63).back().bytes(), "{service}");
    }
    for port in [79, 81, 4999, 6000] {
        let answer = tcp(&format!("10.1.0.2:{port}"), CLIENT).from("10.1.0.2");
        assert_eq!(lab.run(&answer).outcome, Outcome::DefaultDrop, "{port} is not the service's");
    }
}

#[test]
fn snat_over_a_list_keeps_the_packets_own_port() {
    let mut lab = Lab::new()
        .drops()
        .service("10.0.0.1", "tcp/80,443,5000-5999", &["10.1.0.2"])
        .forward(Forward::Snat)
        .snat(&["10.1.0.5"]);
    let mut seen = std::collections::HashSet::new();
    for port in [80, 443, 5000, 5999] {
        let (service, to) = (format!("10.0.0.1:{port}"), format!("10.1.0.2:{port}"));
        let sent = tcp(CLIENT, &service).syn();
        let got = lab.run(&sent);
        assert_eq!(got.outcome, Outcome::Forwarded, "{service}");
        let from = source_of(&got);
        assert_eq!(got.frame, sent.clone().between(&from, &to).ttl(63).to("10.1.0.2").bytes(), "{service}");
        let answer = sent.answering().between(&to, &from).from("10.1.0.2");
        assert_eq!(lab.run(&answer).frame, answer.between(&service, CLIENT).ttl(63).back().bytes(), "{service}");
        seen.insert((from, port));
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn udp_without_a_checksum_stays_without_one() {
    let mut lab = Lab::new().service("10.0.0.1", "udp/53", &["10.1.0.2"]).forward(Forward::Nat);
    let sent = udp(CLIENT, "10.0.0.1:53").transport_bytes(6, &[0, 0]);
    let got = lab.run(&sent);
    assert_eq!(got.frame, sent.between(CLIENT, "10.1.0.2:53").ttl(63).to("10.1.0.2").bytes());
}

#[test]
fn an_answer_to_nobody_who_asked_stays_as_it_is() {
    let mut lab = Lab::new().drops().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).forward(Forward::Nat);
    let answer = tcp("10.1.0.2:80", CLIENT).from("10.1.0.2");
    assert_eq!(lab.run(&answer).outcome, Outcome::DefaultDrop, "nobody asked, and no rule lets it in");
    lab.run(&tcp(CLIENT, SERVICE));
    assert_eq!(lab.run(&answer).outcome, Outcome::Forwarded);
    let other_port = tcp("10.1.0.2:81", CLIENT).from("10.1.0.2");
    assert_eq!(lab.run(&other_port).outcome, Outcome::DefaultDrop, "another port's");
}

#[test]
fn an_answer_to_a_client_whose_way_is_forgotten_goes_by_the_routes() {
    let mut lab = Lab::new().drops().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).forward(Forward::Nat);
    let answer = tcp("10.1.0.2:80", CLIENT).from("10.1.0.2");
    let mut host = lab.host();
    assert_eq!(host.run(&mut answer.bytes()), Outcome::DefaultDrop, "for this host itself, or for nobody");
    host.routes.insert([0, 0xc000_0207], NextHop::new(ROUTER, BALANCER, host.ingress));
    let mut frame = answer.bytes();
    assert_eq!(host.run(&mut frame), Outcome::Forwarded);
    assert_eq!(frame, answer.between(SERVICE, CLIENT).ttl(63).back().bytes());
    let stranger = tcp("10.1.0.2:81", CLIENT).from("10.1.0.2");
    assert_eq!(host.run(&mut stranger.bytes()), Outcome::DefaultDrop, "another port is no backend's");
}

#[test]
fn what_a_backend_opens_is_no_answer_and_is_judged_by_the_rules() {
    for forward in [Forward::Nat, Forward::Snat] {
        let lab = Lab::new().drops().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).forward(forward);
        let mut lab = with_pool(lab, forward);
        let asked = lab.run(&tcp(CLIENT, SERVICE).syn());
        let to = source_of(&asked);
        let opens = tcp("10.1.0.2:80", &to).from("10.1.0.2").syn();
        assert_eq!(lab.run(&opens).outcome, Outcome::DefaultDrop, "{forward:?}");
        let mut host = lab.host();
        host.routes.insert([0, 0xc000_0207], NextHop::new(ROUTER, BALANCER, host.ingress));
        assert_eq!(host.run(&mut opens.bytes()), Outcome::DefaultDrop, "{forward:?}");
    }
}

#[test]
fn an_answer_to_every_host_of_the_segment_is_not_sent_on() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).forward(Forward::Nat);
    lab.run(&tcp(CLIENT, SERVICE));
    let mut frame = tcp("10.1.0.2:80", CLIENT).from("10.1.0.2").bytes();
    assert_eq!(lab.run_bytes(&frame).outcome, Outcome::Forwarded);
    frame[..6].fill(0xff);
    assert_eq!(lab.run_bytes(&frame).outcome, Outcome::DefaultPass);
}

#[test]
fn a_denied_answer_does_not_pass() {
    let mut lab =
        Lab::new().rule("deny from 10.1.0.2").service("10.0.0.1", "tcp/80", &["10.1.0.2"]).forward(Forward::Nat);
    lab.run(&tcp(CLIENT, SERVICE));
    assert_eq!(lab.run(&tcp("10.1.0.2:80", CLIENT).from("10.1.0.2")).outcome, Outcome::Denied);
}

#[test]
fn snat_rewrites_both_ends_and_answers_are_restored() {
    for drops in [true, false] {
        let lab = Lab::new()
            .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
            .forward(Forward::Snat)
            .backends_port(8080)
            .snat(&["10.1.0.5", "10.1.0.6"])
            .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
            .forward(Forward::Snat)
            .snat(&["fd00:1::5"]);
        let mut lab = if drops { lab.drops() } else { lab };
        for (sent, backend, to) in [
            (tcp(CLIENT, SERVICE).syn(), "10.1.0.2", "10.1.0.2:8080"),
            (tcp(CLIENT6, SERVICE6).syn(), "2001:db8:2::2", "[2001:db8:2::2]:80"),
        ] {
            let (client, service) = ends(&sent);
            let from = source_of(&lab.run(&sent));
            for sent in [sent.clone(), sent.clone().ack().payload(b"data")] {
                let got = lab.run(&sent);
                assert_eq!(source_of(&got), from, "a flow keeps its port");
                let is_pools = ["10.1.0.5", "10.1.0.6", "[fd00:1::5]"].iter().any(|address| from.starts_with(address));
                assert!(is_pools, "{from}");
                assert_eq!(got.frame, sent.clone().between(&from, to).ttl(63).to(backend).bytes(), "{sent:?}");
                let answer = sent.clone().answering().between(to, &from).from(backend);
                let got = lab.run(&answer);
                assert_eq!(got.outcome, Outcome::Forwarded, "{answer:?}");
                assert_eq!(got.frame, answer.between(&service, &client).ttl(63).back().bytes());
            }
        }
    }
}

#[test]
fn flows_of_snat_have_ports_of_their_own_and_none_of_the_hosts() {
    let mut lab = Lab::new()
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .forward(Forward::Snat)
        .snat(&["10.1.0.5", "10.1.0.6", "10.1.0.7", "10.1.0.8"]);
    let mut seen = std::collections::HashSet::new();
    for client in 0..2_000_u32 {
        let sent = tcp(&format!("192.0.{}.{}:4000", client / 250, client % 250 + 1), SERVICE).syn();
        let from = source_of(&lab.run(&sent));
        let port: u16 = from.rsplit_once(':').expect("a port").1.parse().expect("a number");
        assert!((1024..32_768).contains(&port), "{from}");
        assert!(seen.insert(from.clone()), "{from} is another flow's");
    }
}

#[test]
fn what_comes_to_a_pool_and_is_no_answer_is_judged_by_the_rules() {
    let mut lab = Lab::new()
        .drops()
        .rule("allow tcp/22")
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .forward(Forward::Snat)
        .snat(&["10.1.0.5"]);
    assert_eq!(lab.run(&tcp(CLIENT, "10.1.0.5:22").syn()).outcome, Outcome::Allowed);
    assert_eq!(lab.run(&tcp(CLIENT, "10.1.0.5:2222").syn()).outcome, Outcome::DefaultDrop);
    let from = source_of(&lab.run(&tcp(CLIENT, SERVICE).syn()));
    assert_eq!(lab.run(&tcp("10.1.0.2:80", &from).from("10.1.0.2")).outcome, Outcome::Forwarded);
    assert_eq!(lab.run(&tcp("10.1.0.2:81", &from).from("10.1.0.2")).outcome, Outcome::DefaultDrop, "another port");
    assert_eq!(lab.run(&tcp("10.1.0.3:80", &from).from("10.1.0.3")).outcome, Outcome::DefaultDrop, "another host");
}

#[test]
fn a_backend_here_gets_the_packet_as_it_came() {
    for forward in [Forward::Dsr, Forward::Tunnel] {
        let mut lab = lab(forward).way("10.1.0.2", Way::ThisHost);
        let sent = tcp(CLIENT, SERVICE).syn();
        let got = lab.run(&sent);
        assert_eq!((got.outcome, got.frame), (Outcome::Here, sent.bytes()), "{forward}");
    }
}

/// Source and destination of a packet, as `ADDRESS:PORT`.
fn ends(packet: &Packet) -> (String, String) {
    read_ends(&packet.bytes())
}

fn source_of(got: &Got) -> String {
    assert_eq!(got.outcome, Outcome::Forwarded, "{:?}", got.counted);
    read_ends(&got.frame).0
}

fn read_ends(frame: &[u8]) -> (String, String) {
    use foobar_common::parse::{self, Network};
    let link = parse::link(frame).expect("an IP packet");
    let (source, destination, ports) = match link {
        Network::V4(offset) => {
            let flow = parse::ipv4(frame, offset).expect("a packet");
            let text = |address: u32| std::net::Ipv4Addr::from_bits(address).to_string();
            (text(flow.source.0), text(flow.destination.0), flow.ports())
        }
        Network::V6(offset) => {
            let flow = parse::ipv6(frame, offset).expect("a packet");
            let text = |[high, low]: [u64; 2]| {
                format!("[{}]", std::net::Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
            };
            (text(flow.source.0), text(flow.destination.0), flow.ports())
        }
    };
    let (from, to) = ports.expect("ports");
    (format!("{source}:{from}"), format!("{destination}:{to}"))
}
