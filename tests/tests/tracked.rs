//! Slots whose backend changed, through the loaded program: old flows stay, new ones move, and nobody can talk a flow
//! off its backend.

use foobar_common::{
    Outcome,
    layout::{MAX_UNPROVEN, NOTED_SECRET, RING_UNITS, unproven_index},
    note::{Kind, Note},
};
use foobar_tests::{
    frames::{Packet, mac, tcp, udp},
    lab::{Got, Lab},
};

const OLD: &str = "10.1.0.2";
const NEW: &str = "10.1.0.3";

/// A service whose every slot went from OLD to NEW.
fn lab() -> Lab {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &[OLD]).service("10.0.0.1", "udp/53", &[OLD]).service(
        "2001:db8:1::1",
        "tcp/443",
        &["2001:db8:2::2"],
    );
    lab.add(NEW);
    lab.drain(OLD);
    lab.add("2001:db8:2::3");
    lab.drain("2001:db8:2::2");
    lab
}

fn flow(port: u16) -> Packet {
    tcp(&format!("192.0.2.7:{port}"), "10.0.0.1:443").sequence(5000)
}

fn went_to(got: &Got, backend: &str) -> bool {
    got.outcome == Outcome::Forwarded && got.frame[..6] == mac(backend.parse().expect("an address"))
}

fn notes(lab: &mut Lab) -> Vec<Note> {
    lab.datapath().notes().into_iter().map(|flow| flow.note).collect()
}

#[test]
fn an_old_connection_stays_and_a_new_one_goes_to_the_new_backend() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(1).ack()), OLD));
    assert!(went_to(&lab.run(&flow(2).syn()), NEW));
    assert!(went_to(&lab.run(&flow(2).ack().sequence(5001)), NEW));
    assert!(went_to(&lab.run(&flow(2).ack().sequence(900_000)), NEW));
    assert!(went_to(&lab.run(&flow(1).ack().sequence(77)), OLD));
    let mut kinds: Vec<_> = notes(&mut lab).iter().map(|note| note.kind).collect();
    kinds.sort_by_key(|kind| *kind as u8);
    assert_eq!(kinds, [Kind::Young, Kind::Lasting]);
}

#[test]
fn the_same_holds_in_ipv6() {
    let mut lab = lab();
    let flow = |port: u16| tcp(&format!("[2001:db8::7]:{port}"), "[2001:db8:1::1]:443").sequence(5000);
    assert!(went_to(&lab.run(&flow(1).ack()), "2001:db8:2::2"));
    assert!(went_to(&lab.run(&flow(2).syn()), "2001:db8:2::3"));
    assert!(went_to(&lab.run(&flow(2).ack().sequence(5001)), "2001:db8:2::3"));
    assert!(went_to(&lab.run(&flow(1).ack()), "2001:db8:2::2"));
    assert_eq!(notes(&mut lab).len(), 2);
}

#[test]
fn a_repeated_syn_goes_where_the_first_one_went() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(1).syn()), NEW));
    assert!(went_to(&lab.run(&flow(1).syn()), NEW));
    assert_eq!(notes(&mut lab)[0].kind, Kind::Provisional);
}

#[test]
fn a_forged_syn_moves_nobody() {
    let mut lab = lab();
    // Somebody sends a SYN in the name of a connection that is on the old backend and was silent.
    assert!(went_to(&lab.run(&flow(1).syn().sequence(123_456)), NEW));
    assert!(went_to(&lab.run(&flow(1).ack().sequence(4_000_000_000)), OLD));
    assert!(went_to(&lab.run(&flow(1).ack().sequence(123_457)), OLD), "the note says so");
    assert!(went_to(&lab.run(&flow(1).syn().sequence(9)), OLD), "a SYN on a note changes nothing");
}

#[test]
fn a_syn_forged_before_a_connection_does_not_break_it() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(1).syn().sequence(123_456)), NEW));
    let opened = lab.run(&flow(1).syn());
    assert!(went_to(&opened, OLD), "one of the two is forged");
    assert!(went_to(&lab.run(&flow(1).ack().sequence(5001)), OLD));
    assert!(went_to(&lab.run(&flow(1).ack().sequence(2_000_000)), OLD));
}

#[test]
fn a_flow_whose_backend_died_starts_anew() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(1).ack()), OLD));
    assert!(went_to(&lab.run(&flow(2).syn()), NEW));
    lab.kill(OLD);
    assert!(went_to(&lab.run(&flow(1).ack()), NEW), "its note went with the backend");
    assert!(went_to(&lab.run(&flow(2).ack().sequence(5001)), NEW));
    assert!(went_to(&lab.run(&flow(3).ack()), NEW), "previous is never a dead backend");
}

#[test]
fn a_closed_connections_ports_can_be_used_again() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(1).ack()), OLD));
    assert!(went_to(&lab.run(&flow(1).fin()), OLD));
    assert_eq!(notes(&mut lab)[0].kind, Kind::Closing);
    assert!(went_to(&lab.run(&flow(1).ack()), OLD), "the last acknowledgements arrive");
    assert!(went_to(&lab.run(&flow(1).syn().sequence(42)), NEW), "and then it is another connection");
    assert_eq!((notes(&mut lab)[0].kind, notes(&mut lab)[0].sequence), (Kind::Provisional, 42));
}

#[test]
fn a_closing_segment_of_an_unknown_flow_is_not_noted() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(1).fin()), OLD));
    assert!(went_to(&lab.run(&flow(2).rst()), OLD));
    assert!(notes(&mut lab).is_empty());
}

#[test]
fn a_datagram_goes_to_the_previous_backend_and_is_noted() {
    let mut lab = lab();
    let sent = udp("192.0.2.7:4000", "10.0.0.1:53");
    assert!(went_to(&lab.run(&sent), OLD));
    assert!(went_to(&lab.run(&sent), OLD));
    assert_eq!(notes(&mut lab).len(), 1);
}

#[test]
fn a_service_that_drains_whole_keeps_its_flows_and_takes_no_new_ones() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &[OLD]);
    assert!(went_to(&lab.run(&flow(1).syn()), OLD));
    lab.drain(OLD);
    assert!(went_to(&lab.run(&flow(1).ack().sequence(5001)), OLD));
    assert_eq!(lab.run(&flow(2).syn()).counted, ["no_backend"]);
    lab.ready(OLD);
    assert!(went_to(&lab.run(&flow(2).syn()), OLD));
}

#[test]
fn a_calm_slot_remembers_nothing() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &[OLD, NEW]);
    for port in 1..50 {
        lab.run(&flow(port).syn());
    }
    assert!(notes(&mut lab).is_empty());
}

#[test]
fn a_close_that_is_not_where_the_client_is_closes_nothing() {
    for close in [Packet::rst, Packet::fin] {
        let mut lab = lab();
        assert!(went_to(&lab.run(&flow(1).syn()), NEW));
        assert!(went_to(&lab.run(&flow(1).ack().sequence(5001)), NEW));
        assert!(went_to(&lab.run(&close(flow(1)).sequence(3_000_000_000)), NEW));
        assert!(went_to(&lab.run(&flow(1).syn().sequence(77)), NEW), "a SYN on the note of a connection that lives");
        assert!(went_to(&lab.run(&flow(1).ack().sequence(5001)), NEW));
        assert_eq!((notes(&mut lab)[0].kind, notes(&mut lab)[0].doubted), (Kind::Lasting, true));
    }
}

#[test]
fn where_previous_is_given_up_nothing_new_is_noted() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(1).ack()), OLD));
    lab.kill(OLD);
    assert!(went_to(&lab.run(&flow(2).syn()), NEW));
    assert!(went_to(&lab.run(&flow(3).ack()), NEW));
    assert!(went_to(&lab.run(&udp("192.0.2.7:4000", "10.0.0.1:53")), NEW));
    assert_eq!(notes(&mut lab).len(), 1);
}

#[test]
fn without_room_for_a_note_a_flow_stays_on_the_previous_backend() {
    let mut lab = lab();
    assert!(went_to(&lab.run(&flow(9).syn()), NEW));
    let mut count = [0; NOTED_SECRET];
    count[unproven_index(Kind::Provisional)] = 1;
    assert_eq!(lab.datapath().note_table().counted(), count, "a SYN's note is counted");
    fill(&mut lab, Kind::Provisional);

    assert!(went_to(&lab.run(&flow(1).syn()), OLD));
    assert!(went_to(&lab.run(&flow(1).ack().sequence(5001)), OLD), "the whole connection does");
    assert!(went_to(&lab.run(&flow(9).ack().sequence(5001)), NEW), "notes that are there go on");
    let mut kinds: Vec<_> = notes(&mut lab).iter().map(|note| note.kind).collect();
    kinds.sort_by_key(|kind| *kind as u8);
    assert_eq!(kinds, [Kind::Young, Kind::Lasting], "and change; forged SYNs leave room for others");
    assert!(refused(&mut lab) > 0, "previous stands for the flow");
}

#[test]
fn forged_segments_leave_room_for_new_connections() {
    let mut lab = lab();
    fill(&mut lab, Kind::Young);

    assert!(went_to(&lab.run(&flow(1).ack()), OLD));
    assert!(notes(&mut lab).is_empty());
    assert!(refused(&mut lab) > 0, "previous stands for the flow");
    assert!(went_to(&lab.run(&flow(2).syn()), NEW));
    assert!(went_to(&lab.run(&flow(2).ack().sequence(5001)), NEW));
}

/// As many notes of a kind were counted as there may be.
fn fill(lab: &mut Lab, kind: Kind) {
    let before = lab.datapath().note_table().counted();
    let mut full = before;
    full[unproven_index(kind)] = u64::from(MAX_UNPROVEN);
    lab.datapath().note_table().correct(before, full);
}

/// The second when a flow last found no room, on any ring.
fn refused(lab: &mut Lab) -> u64 {
    (0..RING_UNITS).map(|ring| lab.datapath().refused(ring)).max().unwrap_or(0)
}
