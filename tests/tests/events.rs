//! Packets that are shown: drops while somebody watches, one of 1,024 of all, and never more than the budget.

use foobar_common::{
    Action, Departure, Outcome,
    event::{Budget, Kind, ONE_OF},
    plane,
};
use foobar_tests::{
    frames::{Packet, icmp, tcp, udp},
    lab::{INGRESS, Lab, Way},
};
use foobar_userspace::{
    daemon::state::now,
    datapath::{Events, ShownPacket},
    domain::BackendState,
};

const CLIENT: &str = "192.0.2.7:4000";

fn lab() -> Lab {
    Lab::new()
        .drops()
        .rules(&["deny from 203.0.113.0/24 as scanner", "allow tcp/22"])
        .service("10.0.0.1", "tcp/82", &["10.1.0.5"])
        .service("10.0.0.1", "tcp/83", &["10.1.0.6"])
        .way("10.1.0.5", Way::Unresolved)
        .with("10.1.0.6", BackendState::Drain)
}

/// A packet for every outcome that drops without another's help.
fn drops() -> Vec<(Packet, Outcome)> {
    vec![
        (tcp("203.0.113.9:4000", "10.0.0.1:22").syn(), Outcome::Denied),
        (tcp(CLIENT, "10.0.0.1:23").syn(), Outcome::DefaultDrop),
        (tcp(CLIENT, "10.0.0.1:80").fragment(2, false), Outcome::FragmentUnknown),
        (tcp(CLIENT, "10.0.0.1:80").cut(40), Outcome::Truncated),
        (tcp(CLIENT, "10.0.0.1:80").ip_bytes(0, &[0x44]), Outcome::BadHeader),
        (tcp("224.0.0.5:1", "10.0.0.1:80"), Outcome::BadAddress),
        (tcp(CLIENT, "10.0.0.1:80").qinq(1, 2).vlan(3), Outcome::TooManyTags),
        (tcp(CLIENT, "10.0.0.1:83").syn(), Outcome::NoBackend),
        (tcp(CLIENT, "10.0.0.1:82").syn(), Outcome::Unresolved),
    ]
}

fn events(lab: &mut Lab) -> Events {
    lab.publish();
    lab.datapath().take_events().expect("nobody took them yet")
}

fn shown(events: &mut Events) -> Vec<ShownPacket> {
    std::iter::from_fn(|| events.take()).collect()
}

#[test]
fn a_drop_is_shown_with_its_reason_and_its_bytes_while_somebody_watches() {
    let mut lab = lab();
    let mut events = events(&mut lab);
    for (sent, outcome) in drops() {
        lab.datapath().watch_until(0);
        assert_eq!(lab.run(&sent).outcome, outcome);
        assert_eq!(shown(&mut events), [], "nobody watches {outcome:?}");

        lab.datapath().watch_until(now() + 60);
        let got = lab.run(&sent);
        assert_eq!((got.outcome, got.action), (outcome, Action::Drop));
        let [ShownPacket { head, front }] = &shown(&mut events)[..] else { panic!("one packet: {outcome:?}") };
        assert_eq!((head.outcome(), head.way, head.interface), (Some(outcome), plane::Way::In, INGRESS));
        assert!(head.is(Kind::Dropped) && !head.is(Kind::Sampled) && !head.is(Kind::Logged));
        let bytes = sent.bytes();
        assert_eq!((head.len as usize, front), (bytes.len(), &bytes[..bytes.len().min(128)].to_vec()), "{outcome:?}");
        assert_eq!(head.rule != 0, outcome == Outcome::Denied, "{outcome:?}");
    }
}

#[test]
fn a_drop_of_what_this_host_sends_is_shown_as_it_was_to_leave() {
    let mut lab = Lab::new().egress("deny tcp/25").drops_sent();
    let mut events = events(&mut lab);
    let denied = tcp("10.0.0.1:4000", "192.0.2.7:25").syn().payload(&[7; 300]);
    let dropped = udp("10.0.0.1:4000", "192.0.2.7:53").vlan(9);
    let cut = tcp("10.0.0.1:4000", "192.0.2.7:25").cut(40);
    for (sent, outcome) in [(denied, Outcome::Denied), (dropped, Outcome::DefaultDrop), (cut, Outcome::Truncated)] {
        lab.datapath().watch_until(0);
        lab.send(&sent);
        assert_eq!(shown(&mut events), [], "nobody watches {outcome:?}");

        lab.datapath().watch_until(now() + 60);
        assert!(lab.send(&sent).0 != Departure::Leaves);
        let [ShownPacket { head, front }] = &shown(&mut events)[..] else { panic!("one packet: {outcome:?}") };
        assert_eq!((head.outcome(), head.way, head.kinds), (Some(outcome), plane::Way::Out, Kind::Dropped.bit()));
        let bytes = sent.bytes();
        assert_eq!((head.len as usize, front), (bytes.len(), &bytes[..bytes.len().min(128)].to_vec()), "{outcome:?}");
        assert_eq!(head.rule != 0, outcome == Outcome::Denied, "{outcome:?}");
    }
    lab.send(&icmp("10.0.0.1", "192.0.2.7", 3, 3));
    assert_eq!(shown(&mut events), [], "what leaves is not");
}

#[test]
fn what_passes_is_not_shown_to_who_watches_but_for_one_of_many() {
    let mut lab = lab();
    let mut events = events(&mut lab);
    lab.datapath().watch_until(now() + 60);
    let sent = tcp(CLIENT, "10.0.0.1:22").syn().bytes();
    let counted = lab.repeat(&sent, 5 * ONE_OF as u32);
    assert_eq!(counted, Action::Pass);
    let shown = shown(&mut events);
    // On whichever CPUs they ran.
    assert!((4..=5).contains(&shown.len()), "{}", shown.len());
    for ShownPacket { head, front } in shown {
        assert_eq!((head.outcome(), head.kinds), (Some(Outcome::Allowed), Kind::Sampled.bit()));
        assert!(head.rule != 0, "the rule that allowed it");
        assert_eq!(front, sent);
    }
}

#[test]
fn a_watcher_that_is_dead_is_forgotten() {
    let mut lab = lab();
    let mut events = events(&mut lab);
    let sent = tcp(CLIENT, "10.0.0.1:23").syn();
    lab.datapath().watch_until(now().saturating_sub(1).max(1));
    lab.run(&sent);
    assert_eq!(shown(&mut events), []);
    assert!(!lab.datapath().is_watched(), "the next drop asks for no time");
}

#[test]
fn a_flood_of_drops_is_shown_in_part_and_the_rest_is_counted() {
    let mut lab = lab();
    let mut events = events(&mut lab);
    let sent = udp(CLIENT, "10.0.0.1:9").bytes();
    let before = events.lost().expect("the counters");
    lab.datapath().watch_until(now() + 60);
    let count = 60_000;
    lab.repeat(&sent, count);
    let after = events.lost().expect("the counters");
    let lost = after[Kind::Dropped as usize] - before[Kind::Dropped as usize];
    let dropped = shown(&mut events).iter().filter(|packet| packet.head.is(Kind::Dropped)).count() as u64;
    assert_eq!(dropped + lost, u64::from(count), "every drop is shown or counted");
    assert!(dropped >= Budget::MOST, "{dropped} were shown");
    assert!(lost > 0, "{lost} were not");
}

#[test]
fn frames_of_every_length_are_shown_whole_or_by_their_front() {
    let mut lab = lab();
    let mut events = events(&mut lab);
    lab.datapath().watch_until(now() + 60);
    for len in [14, 15, 21, 60, 127, 128, 129, 1500] {
        let mut frame = udp(CLIENT, "10.0.0.1:9").bytes();
        frame.resize(len, 7);
        lab.run_bytes(&frame);
        let [ShownPacket { head, front }] = &shown(&mut events)[..] else { panic!("one packet of {len} bytes") };
        assert_eq!((head.len as usize, head.kept as usize), (len, len.min(128)));
        assert_eq!(front, &frame[..len.min(128)]);
    }
}
