//! What `nat` and `snat` make of a frame, byte by byte, and how answers get back to the client. Every expected frame is
//! built from scratch, its checksums too.

use foobar_common::{Outcome, next_hop::NextHop};
use foobar_tests::{
    frames::{BALANCER, Packet, ROUTER, tcp, udp},
    lab::{Got, Lab},
};
use foobar_userspace::domain::Forward;

const CLIENT: &str = "192.0.2.7:4000";
const CLIENT6: &str = "[2001:db8::7]:4000";
const SERVICE: &str = "10.0.0.1:80";
const SERVICE6: &str = "[2001:db8:1::1]:80";

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
    host.routes.insert([0, 0xc000_0207], NextHop::UNRESOLVED);
    assert_eq!(host.run(&mut answer.bytes()), Outcome::Unresolved, "who gets it as it is ends the connection");
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
        let mut lab = Lab::new().drops().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).forward(forward);
        if forward == Forward::Snat {
            lab = lab.snat_each(&["10.1.0.1"], &["fd00:1::1"]);
        }
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
fn nat_rewrites_both_ends_for_clients_in_the_backends_network() {
    let mut lab = Lab::new()
        .drops()
        .network(24)
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .forward(Forward::Nat)
        .backends_port(8080)
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
        .forward(Forward::Nat);
    for (client, from) in [
        ("10.1.0.9:4000", "10.1.0.1"),
        ("10.1.0.2:4000", "10.1.0.1"),
        ("10.1.1.9:4000", "10.1.1.9:4000"),
        ("[2001:db8:2::2]:4000", "[fd00:1::1]"),
        ("[2001:db8:ff::2]:4000", "[fd00:1::1]"),
        ("[2001:eb8:2::2]:4000", "[2001:eb8:2::2]:4000"),
    ] {
        let is_v6 = client.starts_with('[');
        let (service, backend) = if is_v6 { (SERVICE6, "2001:db8:2::2") } else { (SERVICE, "10.1.0.2") };
        let to = if is_v6 { "[2001:db8:2::2]:80" } else { "10.1.0.2:8080" };
        let sent = tcp(client, service).syn();
        let got = lab.run(&sent);
        assert_eq!(got.outcome, Outcome::Forwarded, "{client}");
        let seen = source_of(&got);
        assert!(seen.starts_with(from), "{client}: {seen}");
        assert_eq!(got.frame, sent.clone().between(&seen, to).ttl(63).to(backend).bytes(), "{client}");
        let answer = sent.answering().between(to, &seen).from(backend);
        let got = lab.run(&answer);
        assert_eq!(got.outcome, Outcome::Forwarded, "{client}");
        assert_eq!(got.frame, answer.between(service, client).ttl(63).back().bytes(), "{client}");
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
