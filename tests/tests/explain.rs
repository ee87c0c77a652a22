//! What is explained is what happens: the answer from the live tables against the kernel's, frame by frame.

use std::net::Ipv4Addr;

use fastrand::Rng;
use foobar_common::{Action, Outcome, plane};
use foobar_tests::{
    frames::{tcp, udp},
    lab::{Lab, Way},
    random,
};
use foobar_userspace::domain::Forward;

const FRAMES: usize = 6_000;
const SEED: u64 = 0xe4b1_a100;
/// The interface that a test run's frames come in by: loopback.
const INGRESS: u32 = 1;

fn lab() -> Lab {
    Lab::new()
        .drops()
        .rules(&[
            "deny from 203.0.113.0/28 as scanner",
            "allow tcp/22 from 192.0.2.0/24",
            "deny tcp/80 from 192.0.2.0/26 to 10.0.0.9",
            "deny proto/60 from 2001:db8:7::/64",
            "allow udp to 2001:db8:1::9",
        ])
        .service("10.0.0.1", "tcp/80", &["10.1.0.2", "10.1.0.3", "10.1.0.4"])
        .service("2001:db8:1::1", "udp/53", &["2001:db8:2::2", "2001:db8:2::3"])
        .way("10.1.0.4", Way::Elsewhere)
}

#[test]
fn any_frame_fares_as_it_was_explained_also_while_backends_change() {
    let (mut lab, mut rng) = (lab(), Rng::with_seed(SEED));
    let mut served = 0;
    for change in [|_: &mut Lab| {}, |lab: &mut Lab| lab.drain("10.1.0.3"), |lab: &mut Lab| lab.kill("10.1.0.2")] {
        lab.publish();
        change(&mut lab);
        for _ in 0..FRAMES / 3 {
            let frame = random::frame(&mut rng);
            let said = lab.datapath().explain(frame.clone(), plane::Way::In, INGRESS);
            let got = lab.run_bytes(&frame);
            assert_eq!(said.outcome, got.outcome, "{frame:02x?}");
            assert_eq!(said.outcome.action(), got.action, "{frame:02x?}");
            assert_eq!(said.frame, got.frame, "{frame:02x?}");
            served += u32::from(matches!(got.action, Action::Tx | Action::Redirect));
        }
    }
    assert!(served > 300, "{served} frames reached a backend");
}

#[test]
fn what_leaves_early_names_neither_rule_nor_service_and_what_is_unresolved_names_its_backend() {
    let mut lab = lab();
    lab.publish();
    let mut frame = tcp("198.51.100.7:4000", "10.0.0.1:80").syn().bytes();
    let said = lab.datapath().explain(frame.clone(), plane::Way::In, INGRESS);
    assert!(said.judged && said.service.is_some() && said.backend.is_some(), "{said:?}");
    frame[0] |= 1;
    let said = lab.datapath().explain(frame.clone(), plane::Way::In, INGRESS);
    assert!(said.judged && said.service.is_none() && said.backend.is_none(), "for a group: {said:?}");
    frame.truncate(20);
    let said = lab.datapath().explain(frame, plane::Way::In, INGRESS);
    assert_eq!((said.outcome, said.judged, said.rule), (Outcome::Truncated, false, None));
    let mut lab = Lab::new().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).way("10.1.0.2", Way::Unresolved);
    lab.publish();
    let said = lab.datapath().explain(tcp("198.51.100.7:4000", "10.0.0.1:80").syn().bytes(), plane::Way::In, INGRESS);
    assert!(said.outcome == Outcome::Unresolved && said.backend.is_some(), "{said:?}");
}

#[test]
fn nothing_is_counted_or_noted_by_asking() {
    let mut lab = lab();
    lab.publish();
    lab.drain("10.1.0.3");
    let before = lab.counts();
    for port in 1..200 {
        let frame = tcp(&format!("198.51.100.7:{port}"), "10.0.0.1:80").syn().bytes();
        lab.datapath().explain(frame, plane::Way::In, INGRESS);
    }
    lab.datapath().explain(udp("203.0.113.1:1", "10.0.0.9:1").bytes(), plane::Way::In, INGRESS);
    assert_eq!(lab.counts(), before);
    assert_eq!(lab.datapath().notes().len(), 0);
}

#[test]
fn every_way_of_forwarding_is_explained_byte_by_byte() {
    for forward in [Forward::Tunnel, Forward::Nat, Forward::Snat] {
        let lab = Lab::new().service("10.0.0.1", "tcp/80", &["10.1.0.2", "10.1.0.3"]).forward(forward);
        let mut lab = if forward == Forward::Snat { lab.snat(&["10.1.0.5"]) } else { lab };
        for port in 4000..4040 {
            let sent = tcp(&format!("198.51.100.7:{port}"), "10.0.0.1:80").syn();
            // A port of `snat` is given to the packet itself: the one after it keeps it.
            let first = lab.run(&sent);
            let said = lab.datapath().explain(sent.bytes(), plane::Way::In, INGRESS);
            assert_eq!((said.outcome, &said.frame), (first.outcome, &first.frame), "{forward} {port}");
            assert!(said.service.is_some() && said.slot.is_some_and(|(_, slot)| !slot.is_tracked()), "{said:?}");
            assert_eq!(said.slot.map(|(_, slot)| slot.current()), said.backend, "{said:?}");
            if forward == Forward::Tunnel {
                continue;
            }
            let end = |ip: usize, port: usize| {
                let address = Ipv4Addr::from_bits(u32::from_be_bytes(first.frame[ip..ip + 4].try_into().expect("4")));
                format!("{address}:{}", u16::from_be_bytes([first.frame[port], first.frame[port + 1]]))
            };
            let answer = tcp(&end(30, 36), &end(26, 34)).from("10.1.0.2").bytes();
            let said = lab.datapath().explain(answer.clone(), plane::Way::In, INGRESS);
            let got = lab.run_bytes(&answer);
            assert_eq!((said.outcome, &said.frame), (got.outcome, &got.frame), "the answer, {forward} {port}");
            assert!(matches!(said.outcome, Outcome::Forwarded | Outcome::Redirected), "{said:?}");
            assert!(said.service.is_none(), "{said:?}");
        }
    }
}
