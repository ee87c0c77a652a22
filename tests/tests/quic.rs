//! Services whose backends are named by QUIC connection ids, frame by frame: in every mode, while backends change, and
//! with everything that only looks like a connection id.

use fastrand::Rng;
use foobar_common::{
    Outcome,
    flow::Flow,
    parse::{self, Network},
    plane,
};
use foobar_tests::{
    frames::{Packet, mac, protocol, udp},
    lab::{Got, INGRESS, Lab},
};
use foobar_userspace::domain::Forward;

const CLIENT: &str = "192.0.2.7:4000";
const CLIENT6: &str = "[2001:db8::7]:4000";
const SERVICE: &str = "10.0.0.1:443";
const SERVICE6: &str = "[2001:db8:1::1]:443";
const BACKENDS: [&str; 3] = ["10.1.0.2", "10.1.0.3", "10.1.0.4"];
const BACKENDS6: [&str; 3] = ["2001:db8:2::2", "2001:db8:2::3", "2001:db8:2::4"];
const IDS: [&str; 3] = ["0a01", "0a02", "0a03"];
const CONFIG: u8 = 2;
const SEED: u64 = 0x0a1c_0ffe;
const FRAMES: usize = 3_000;

/// A service of each family.
fn lab(forward: Forward) -> Lab {
    let lab = Lab::new().service("10.0.0.1", "udp/443", &BACKENDS).named(CONFIG, &IDS).forward(forward);
    let lab = lab.service("2001:db8:1::1", "udp/443", &BACKENDS6).named(CONFIG, &IDS).forward(forward);
    if forward == Forward::Snat { lab.snat_each(&["10.1.0.1"], &["fd00:1::1"]) } else { lab }
}

/// A connection id of a backend, by its place.
fn id(backend: usize) -> Vec<u8> {
    vec![CONFIG << 5 | 0x0b, 0x0a, 1 + backend as u8, 5, 6, 7, 8, 9]
}

fn short(id: &[u8]) -> Vec<u8> {
    [&[0x43], id, &[7; 24]].concat()
}

fn long(id: &[u8]) -> Vec<u8> {
    [&[0xe1, 0, 0, 0, 1, id.len() as u8], id, &[8; 40]].concat()
}

fn went_to(got: &Got, backend: &str) -> bool {
    got.outcome == Outcome::Forwarded && got.frame[..6] == mac(backend.parse().expect("an address"))
}

/// Who got it, by its place.
fn backend_of(got: &Got, backends: &[&str]) -> usize {
    let found = backends.iter().position(|backend| went_to(got, backend));
    found.unwrap_or_else(|| panic!("no backend got {got:?}"))
}

fn source_of(frame: &[u8]) -> String {
    fn port<A: foobar_common::Address>(flow: &Flow<A>) -> u16 {
        flow.ports().expect("ports").0
    }
    match parse::link(frame).expect("an IP packet") {
        Network::V4(ip) => {
            let flow = parse::ipv4(frame, ip).expect("a packet");
            format!("{}:{}", std::net::Ipv4Addr::from_bits(flow.source.0), port(&flow))
        }
        Network::V6(ip) => {
            let flow = parse::ipv6(frame, ip).expect("a packet");
            let [high, low] = flow.source.0;
            format!("[{}]:{}", std::net::Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)), port(&flow))
        }
    }
}

fn at(backend: &str) -> String {
    if backend.contains(':') { format!("[{backend}]:443") } else { format!("{backend}:443") }
}

#[test]
fn a_connection_id_chooses_the_backend_in_every_mode() {
    for forward in [Forward::Dsr, Forward::Tunnel, Forward::Nat, Forward::Snat] {
        let mut lab = lab(forward);
        for (client, service, backends) in [(CLIENT, SERVICE, BACKENDS), (CLIENT6, SERVICE6, BACKENDS6)] {
            for (number, backend) in backends.into_iter().enumerate() {
                for sent in [
                    udp(client, service).payload(&short(&id(number))),
                    udp(client, service).payload(&long(&id(number))).vlan(7),
                ] {
                    let got = lab.run(&sent);
                    assert!(went_to(&got, backend), "{forward} {sent:?}: {got:?}");
                    assert_eq!(got.counted, ["forwarded", &format!("backend {backend}")], "{forward}");
                    let routed = sent.clone().ttl(63);
                    let wanted = match forward {
                        Forward::Dsr => sent.to(backend).bytes(),
                        Forward::Nat => routed.between(client, &at(backend)).to(backend).bytes(),
                        Forward::Snat => routed.between(&source_of(&got.frame), &at(backend)).to(backend).bytes(),
                        Forward::Tunnel => {
                            assert!(got.frame.ends_with(&routed.network()), "{sent:?}");
                            continue;
                        }
                    };
                    assert_eq!(got.frame, wanted, "{forward} {sent:?}");
                }
            }
        }
        assert_eq!(lab.datapath().notes().len(), 0);
    }
}

#[test]
fn a_tunnel_is_as_of_any_other_flow() {
    let mut lab = lab(Forward::Tunnel);
    let sent = udp(CLIENT, SERVICE).payload(&short(&id(2)));
    let inner = sent.clone().ttl(63);
    let wanted = protocol(4, "10.1.0.1", BACKENDS[2]).identified(0).fragment(0x4000, false).payload(&inner.network());
    assert_eq!(lab.run(&sent).frame, wanted.to(BACKENDS[2]).bytes());
}

#[test]
fn answers_of_two_backends_to_one_clients_port_are_told_apart() {
    for forward in [Forward::Nat, Forward::Snat] {
        let mut lab = lab(forward).drops();
        for (client, service, backends) in [(CLIENT, SERVICE, BACKENDS), (CLIENT6, SERVICE6, BACKENDS6)] {
            let first = lab.run(&udp(client, service).payload(&long(&[9; 8])));
            let home = backend_of(&first, &backends);
            for number in [0, 1, 2, 1, 0] {
                let sent = udp(client, service).payload(&short(&id(number)));
                let got = lab.run(&sent);
                assert!(went_to(&got, backends[number]), "{forward}: {got:?}");
                let from = source_of(&got.frame);
                assert_eq!(from == source_of(&first.frame), forward == Forward::Nat || number == home, "{forward}");
                let answer = udp(&at(backends[number]), &from).from(backends[number]);
                let got = lab.run(&answer);
                assert_eq!(got.outcome, Outcome::Forwarded, "{forward}");
                assert_eq!(got.frame, answer.between(service, client).ttl(63).back().bytes(), "{forward}");
            }
        }
    }
}

#[test]
fn whoever_speaks_from_wherever_stays_while_backends_change() {
    let mut lab = lab(Forward::Dsr);
    let from = |port: u16| udp(&format!("198.51.100.9:{port}"), SERVICE).payload(&short(&id(1)));
    let speak = |lab: &mut Lab, wanted: &str| {
        for port in 1000..1040 {
            assert!(went_to(&lab.run(&from(port)), wanted), "{port}");
        }
    };
    speak(&mut lab, BACKENDS[1]);
    lab.drain(BACKENDS[1]);
    speak(&mut lab, BACKENDS[1]);
    assert_eq!(lab.datapath().notes().len(), 0, "nobody who is named is noted");
    lab.kill(BACKENDS[0]);
    speak(&mut lab, BACKENDS[1]);
    lab.kill(BACKENDS[1]);
    lab.kill(BACKENDS6[1]);
    speak(&mut lab, BACKENDS[2]);
}

#[test]
fn a_handshake_goes_by_its_addresses_and_never_moves_a_named_connection() {
    let mut lab = lab(Forward::Dsr);
    let initial = |port: u16| udp(&format!("198.51.100.9:{port}"), SERVICE).payload(&long(&[0xf1; 8]));
    let homes: Vec<_> = (1000..1040).map(|port| backend_of(&lab.run(&initial(port)), &BACKENDS)).collect();
    assert!((0..3).all(|backend| homes.contains(&backend)), "{homes:?}");
    lab.drain(BACKENDS[0]);
    let after: Vec<_> = (1000..1040).map(|port| backend_of(&lab.run(&initial(port)), &BACKENDS)).collect();
    assert_eq!(after, homes, "a handshake amid the change ends where it began");
    let noted = lab.datapath().notes().len();
    assert!(noted > 0, "slots of the drained backend are tracked");
    for port in 1000..1040 {
        let named = udp(&format!("198.51.100.9:{port}"), SERVICE).payload(&short(&id(2)));
        assert!(went_to(&lab.run(&named), BACKENDS[2]));
    }
    assert_eq!(lab.datapath().notes().len(), noted);
}

#[test]
fn what_only_looks_like_an_id_fares_as_any_datagram_and_a_denial_holds() {
    let plain = |lab: &mut Lab, packet: &Packet| backend_of(&lab.run(packet), &BACKENDS);
    let mut lab = lab(Forward::Dsr).rule("deny from 203.0.113.0/24");
    let sent = |payload: &[u8]| udp(CLIENT, SERVICE).payload(payload);
    let home = plain(&mut lab, &sent(b"no QUIC at all"));
    let other = (home + 1) % 3;
    assert_eq!(plain(&mut lab, &sent(&short(&id(other)))), other);
    let wrong = |at: usize, byte: u8| {
        let mut id = id(other);
        id[at] = byte;
        id
    };
    for payload in [
        short(&wrong(0, 0xe0)),
        short(&wrong(0, 3 << 5)),
        short(&wrong(1, 0xbb)),
        short(&id(other))[..9].to_vec(),
        long(&id(other)[..6]),
        [&[0xc0, 0, 0, 0, 1, 21], id(other).as_slice(), &[0; 40]].concat(),
        long(&id(other))[..13].to_vec(),
    ] {
        assert_eq!(plain(&mut lab, &sent(&payload)), home, "{payload:02x?}");
    }
    let whole = sent(&short(&id(other)));
    assert_eq!(plain(&mut lab, &whole.clone().fragment(0, true)), home, "a first fragment");
    // The datagram says that it ends amid its id, and the frame goes on.
    assert_eq!(plain(&mut lab, &whole.transport_bytes(4, &[0, 14])), home);
    let denied = lab.run(&udp("203.0.113.9:4000", SERVICE).payload(&short(&id(other))));
    assert_eq!((denied.outcome, denied.counted.len()), (Outcome::Denied, 2));
}

#[test]
fn a_service_without_names_reads_no_connection_id() {
    let mut lab = Lab::new().service("10.0.0.1", "udp/443", &BACKENDS);
    let homes: Vec<_> = (0..3)
        .map(|number| backend_of(&lab.run(&udp(CLIENT, SERVICE).payload(&short(&id(number)))), &BACKENDS))
        .collect();
    assert!(homes.iter().all(|home| *home == homes[0]), "{homes:?}");
}

#[test]
fn any_datagram_fares_as_it_was_explained() {
    let (mut lab, mut rng) = (lab(Forward::Dsr).rule("deny from 203.0.113.0/28"), Rng::with_seed(SEED));
    let (mut named, mut others) = (0, 0);
    for change in [|_: &mut Lab| {}, |lab: &mut Lab| lab.drain(BACKENDS[0]), |lab: &mut Lab| lab.kill(BACKENDS[1])] {
        lab.publish();
        change(&mut lab);
        for _ in 0..FRAMES / 3 {
            let frame = datagram(&mut rng);
            let said = lab.datapath().explain(frame.clone(), plane::Way::In, INGRESS);
            let got = lab.run_bytes(&frame);
            assert_eq!((said.outcome, said.outcome.action()), (got.outcome, got.action), "{frame:02x?}");
            assert_eq!(said.frame, got.frame, "{frame:02x?}");
            let is_served = got.outcome == Outcome::Forwarded;
            *if said.named && is_served { &mut named } else { &mut others } += 1;
            assert!(!is_served || said.named != said.slot.is_some(), "one of both chose: {said:?}");
        }
    }
    assert!(named > FRAMES / 8 && others > FRAMES / 8, "{named} named, {others} others");
}

/// To one of the services, with an id or with something near one.
fn datagram(rng: &mut Rng) -> Vec<u8> {
    let mut payload = {
        let id = id(rng.usize(..4));
        if rng.bool() { short(&id) } else { long(&id) }
    };
    if rng.bool() {
        let at = rng.usize(..payload.len().min(16));
        payload[at] = rng.u8(..);
    }
    if rng.u8(..4) == 0 {
        payload.truncate(rng.usize(..=payload.len()));
    }
    let host = rng.u8(1..);
    let (client, service) = if rng.bool() {
        (format!("203.0.113.{host}:{}", rng.u16(1..)), SERVICE)
    } else {
        (format!("[2001:db8::{host:x}]:{}", rng.u16(1..)), SERVICE6)
    };
    let packet = udp(&client, service).payload(&payload);
    let packet = match rng.u8(..8) {
        0 => packet.fragment(0, true).identified(rng.u32(..)),
        1 => packet.vlan(7),
        2 => packet.transport_bytes(4, &rng.u16(..64).to_be_bytes()),
        _ => packet,
    };
    let len = packet.len();
    if rng.u8(..8) == 0 { packet.cut(rng.usize(14..=len)).bytes() } else { packet.bytes() }
}
