//! ICMP errors go with the flow that they quote, in each way of forwarding and in both directions, and echo requests to a
//! service's address are answered. Every expected frame is built from scratch, its checksums too.

use foobar_common::{Action, Outcome};
use foobar_tests::{
    frames::{Packet, icmp, icmpv6, protocol, tcp, udp},
    lab::{Lab, run},
};
use foobar_userspace::domain::Forward;

const ROUTER: &str = "198.51.100.9";
const ROUTER6: &str = "2001:db8:9::9";

/// A client, a service, its backend and an address of this host.
struct Case {
    client: &'static str,
    service: &'static str,
    backend: &'static str,
    router: &'static str,
}

const V4: Case = Case { client: "192.0.2.7:4000", service: "10.0.0.1:80", backend: "10.1.0.2:8080", router: ROUTER };
const V6: Case = Case {
    client: "[2001:db8::7]:4000",
    service: "[2001:db8:1::1]:80",
    backend: "[2001:db8:2::2]:8080",
    router: ROUTER6,
};

/// The address of an end.
fn host(end: &str) -> &str {
    let (address, _) = end.rsplit_once(':').expect("a port");
    address.trim_matches(['[', ']'])
}

/// "Fragmentation needed" or "packet too big", of 1400 bytes, about a packet of which so many bytes are quoted.
fn error(from: &str, to: &str, about: &Packet, bytes: usize) -> Packet {
    let quoted = about.network();
    let error = if from.contains(':') { icmpv6(from, to, 2, 0) } else { icmp(from, to, 3, 4) };
    error.rest(1400).payload(&quoted[..bytes.min(quoted.len())])
}

/// Bytes of an IP header and so many behind it.
fn quoting(case: &Case, behind: usize) -> usize {
    behind + if case.client.starts_with('[') { 40 } else { 20 }
}

fn lab(forward: Forward) -> Lab {
    let mut lab = Lab::new().drops();
    for case in [&V4, &V6] {
        for port in ["tcp/80", "udp/80"] {
            lab = lab.service(host(case.service), port, &[host(case.backend)]).forward(forward);
            if matches!(forward, Forward::Nat | Forward::Snat) {
                lab = lab.backends_port(8080);
            }
        }
    }
    if forward == Forward::Snat { lab.snat_each(&["10.1.0.5"], &["fd00:1::5"]) } else { lab }
}

/// Both protocols between two ends, with more bytes behind the headers than are quoted.
fn both(from: &str, to: &str) -> [Packet; 2] {
    [tcp(from, to).payload(&[7; 40]), udp(from, to).payload(&[7; 40])]
}

#[test]
fn an_error_goes_to_the_backend_that_sent_what_it_quotes() {
    let mut direct = lab(Forward::Dsr);
    let mut tunnel = lab(Forward::Tunnel);
    for case in [&V4, &V6] {
        for about in both(case.service, case.client) {
            for behind in [8, 28] {
                let sent = error(case.router, host(case.service), &about, quoting(case, behind));
                let got = direct.run(&sent);
                let backend = host(case.backend);
                assert_eq!(got.counted, ["forwarded", &format!("backend {backend}")], "{sent:?}");
                assert_eq!(got.frame, sent.to(backend).bytes(), "{sent:?}");

                let got = tunnel.run(&sent);
                assert_eq!(got.counted, ["forwarded", &format!("backend {backend}")], "{sent:?}");
                let inner = sent.clone().ttl(63).network();
                let is_v4 = !backend.contains(':');
                let outer = if is_v4 {
                    protocol(4, "10.1.0.1", backend).identified(0).fragment(0x4000, false)
                } else {
                    protocol(41, "fd00:1::1", backend)
                };
                let mut frame = got.frame.clone();
                if !is_v4 {
                    frame[15] &= 0xf0;
                    frame[16..18].fill(0);
                }
                assert_eq!(frame, outer.payload(&inner).to(backend).bytes(), "{sent:?}");
            }
        }
    }
}

#[test]
fn nat_translates_an_error_and_what_it_quotes() {
    let mut lab = lab(Forward::Nat);
    for case in [&V4, &V6] {
        for (request, about) in both(case.client, case.service).iter().zip(both(case.service, case.client)) {
            assert_eq!(lab.run(request).outcome, Outcome::Forwarded);
            let backend = host(case.backend);
            for behind in [8, 28] {
                let bytes = quoting(case, behind);
                for sent in [
                    error(case.router, host(case.service), &about, bytes),
                    error(case.router, host(case.service), &about, bytes).vlan(9),
                ] {
                    let got = lab.run(&sent);
                    assert_eq!(got.counted, ["forwarded", &format!("backend {backend}")], "{sent:?}");
                    let translated = about.clone().between(case.backend, case.client);
                    let wanted = error(case.router, backend, &translated, bytes).ttl(63).to(backend);
                    let wanted = if sent.bytes()[12] == 0x81 { wanted.vlan(9) } else { wanted };
                    assert_eq!(got.frame, wanted.bytes(), "{sent:?}");
                }

                // And back: a router behind this host, or the backend itself, about what the client sent.
                let forwarded = about.clone().between(case.client, case.backend).ttl(63);
                for (reporter, shown) in [(case.router, case.router), (backend, host(case.service))] {
                    let sent = error(reporter, host(case.client), &forwarded, bytes).from(backend);
                    let got = lab.run(&sent);
                    assert_eq!(got.counted, ["forwarded"], "{sent:?}");
                    let said = about.clone().between(case.client, case.service).ttl(63);
                    let wanted = error(shown, host(case.client), &said, bytes).ttl(63).back();
                    assert_eq!(got.frame, wanted.bytes(), "{sent:?}");
                }
            }
        }
    }
}

#[test]
fn snat_translates_both_ends_of_what_an_error_quotes() {
    let mut lab = lab(Forward::Snat);
    for case in [&V4, &V6] {
        for (request, about) in both(case.client, case.service).iter().zip(both(case.service, case.client)) {
            let unknown = error(case.router, host(case.service), &about, quoting(case, 8));
            assert_eq!(lab.run(&unknown).counted, ["essential"], "no flow has a port yet: {unknown:?}");
            let got = lab.run(request);
            assert_eq!(got.outcome, Outcome::Forwarded);
            let pool = pool_end(&got.frame);
            let backend = host(case.backend);
            for behind in [8, 28] {
                let bytes = quoting(case, behind);
                let sent = error(case.router, host(case.service), &about, bytes);
                let got = lab.run(&sent);
                assert_eq!(got.counted, ["forwarded", &format!("backend {backend}")], "{sent:?}");
                let translated = about.clone().between(case.backend, &pool);
                let wanted = error(case.router, backend, &translated, bytes).ttl(63).to(backend);
                assert_eq!(got.frame, wanted.bytes(), "{sent:?}");

                let forwarded = about.clone().between(&pool, case.backend).ttl(63);
                for (reporter, shown) in [(case.router, case.router), (backend, host(case.service))] {
                    let sent = error(reporter, host(&pool), &forwarded, bytes).from(backend);
                    let got = lab.run(&sent);
                    assert_eq!(got.counted, ["forwarded"], "{sent:?}");
                    let said = about.clone().between(case.client, case.service).ttl(63);
                    let wanted = error(shown, host(case.client), &said, bytes).ttl(63).back();
                    assert_eq!(got.frame, wanted.bytes(), "{sent:?}");
                }
            }
        }
    }
}

/// The source of a forwarded packet without VLAN tags.
fn pool_end(frame: &[u8]) -> String {
    let is_v4 = frame[12..14] == [8, 0];
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    if is_v4 { format!("10.1.0.5:{}", port(34)) } else { format!("[fd00:1::5]:{}", port(54)) }
}

#[test]
fn what_cannot_be_read_or_is_about_nothing_here_stays_as_it_was() {
    for forward in [Forward::Dsr, Forward::Tunnel, Forward::Nat, Forward::Snat] {
        let mut lab = lab(forward);
        for case in [&V4, &V6] {
            let about = tcp(case.service, case.client);
            let to = host(case.service);
            let bytes = quoting(case, 8);
            let later = about.clone().fragment(3, false);
            let other_port = about.clone().between(&case.service.replace(":80", ":81"), case.client);
            for sent in [
                error(case.router, to, &about, bytes - 1),
                error(case.router, to, &later, 64),
                error(case.router, to, &other_port, bytes),
                // Somebody else's packet.
                error(case.router, to, &about.clone().between(case.client, case.service), bytes),
            ] {
                let got = lab.run(&sent);
                assert_eq!(
                    (got.counted, got.frame),
                    (vec!["essential".to_owned()], sent.bytes()),
                    "{forward} {sent:?}"
                );
            }
        }
        let about = tcp(V6.service, V6.client).extension(60);
        let hidden = error(V6.router, host(V6.service), &about, 64);
        assert_eq!(lab.run(&hidden).counted, ["essential"], "an extension header is quoted");
    }
}

#[test]
fn a_denied_error_goes_nowhere() {
    let mut lab = lab(Forward::Nat).rule("deny icmp").rule("deny icmpv6");
    for case in [&V4, &V6] {
        let sent = error(case.router, host(case.service), &tcp(case.service, case.client), quoting(case, 8));
        assert_eq!(lab.run(&sent).outcome, Outcome::Denied);
    }
}

#[test]
fn an_error_stays_with_its_flow_when_a_backend_leaves() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/80", &["10.1.0.2", "10.1.0.3"]);
    let owner = |lab: &mut Lab, port: u16| {
        let got = lab.run(&tcp(&format!("192.0.2.7:{port}"), "10.0.0.1:80"));
        got.frame[..6].to_vec()
    };
    let before: Vec<_> = (4000..4032).map(|port| owner(&mut lab, port)).collect();
    lab.drain("10.1.0.2");
    for (port, mac) in (4000..4032).zip(before) {
        let about = tcp("10.0.0.1:80", &format!("192.0.2.7:{port}"));
        let got = lab.run(&error(ROUTER, "10.0.0.1", &about, 28));
        assert_eq!(got.outcome, Outcome::Forwarded);
        assert_eq!(got.frame[..6], mac, "port {port}");
    }
}

fn ping(case: &Case) -> Packet {
    let (from, to) = (host(case.client), host(case.service));
    if from.contains(':') { icmpv6(from, to, 128, 0) } else { icmp(from, to, 8, 0) }
}

fn pong(case: &Case) -> Packet {
    let (from, to) = (host(case.service), host(case.client));
    if from.contains(':') { icmpv6(from, to, 129, 0) } else { icmp(from, to, 0, 0) }
}

#[test]
fn echo_requests_to_a_service_are_answered_unless_a_rule_denies() {
    for lab in [Lab::new(), Lab::new().drops(), Lab::new().drops().rule("allow icmp").rule("allow icmpv6")] {
        let mut lab = lab
            .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
            .without_echo()
            .service("10.0.0.1", "tcp/81", &["10.1.0.2"])
            .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"]);
        for case in [&V4, &V6] {
            let got = lab.run(&ping(case).ttl(3));
            assert_eq!((got.outcome, got.action), (Outcome::Echoed, Action::Tx));
            assert_eq!(got.frame, pong(case).back().bytes());
            assert_eq!(lab.run(&ping(case).vlan(5)).frame, pong(case).back().vlan(5).bytes());
            let other = lab.run(&ping(&Case { service: "10.0.0.9:1", ..V4 }));
            assert_ne!(other.outcome, Outcome::Echoed, "no service has this address");
        }
    }
    let mut denies = lab(Forward::Dsr).rule("deny icmp/echo-request").rule("deny icmpv6");
    let mut silent = Lab::new().drops().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).without_echo();
    assert_eq!(silent.run(&ping(&V4)).outcome, Outcome::DefaultDrop);
    let mut fragments = lab(Forward::Dsr);
    for case in [&V4, &V6] {
        assert_eq!(denies.run(&ping(case)).outcome, Outcome::Denied);
        assert_eq!(fragments.run(&ping(case).fragment(0, true)).outcome, Outcome::DefaultDrop, "a part of one");
    }
}

#[test]
fn echo_is_answered_so_often_and_no_more() {
    let mut lab = lab(Forward::Dsr);
    let sent = ping(&V4).bytes();
    let begun = std::time::Instant::now();
    let (mut answered, mut frame) = (0_u128, Vec::new());
    for _ in 0..3_000 {
        answered += u128::from(run(lab.program(), &sent, &mut frame) == Action::Tx);
    }
    let windows = begun.elapsed().as_millis() / 134 + 2;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u128;
    assert!(answered > 0);
    assert!(answered <= windows * cpus * 134, "{answered} in {windows} windows on {cpus} CPUs");
}

#[test]
fn who_sends_what_expires_here_is_told() {
    for forward in [Forward::Tunnel, Forward::Nat, Forward::Snat] {
        let mut lab = lab(forward);
        for case in [&V4, &V6] {
            let sent = tcp(case.client, case.service).ttl(1);
            let got = lab.run(&sent);
            assert_eq!((got.outcome, got.action), (Outcome::Expired, Action::Tx), "{forward} {sent:?}");
            let (from, to) = (host(case.service), host(case.client));
            let says = if from.contains(':') { icmpv6(from, to, 3, 0) } else { icmp(from, to, 11, 0).identified(0) };
            let wanted = says.rest(0).payload(&sent.network()[..quoting(case, 8)]).back();
            assert_eq!(got.frame, wanted.bytes(), "{forward} {sent:?}");

            let about = tcp(case.service, case.client);
            lab.run(&tcp(case.client, case.service));
            let error = error(case.router, from, &about, quoting(case, 8)).ttl(1);
            assert_eq!(lab.run(&error).outcome, Outcome::ExpiredUntold, "nobody is told of an error");
        }
    }
}
