//! Slots whose backend changed, through the loaded program: old flows stay, new ones move, and nobody can talk a flow
//! off its backend.

use foobar_common::{
    Outcome,
    layout::MAX_NOTES,
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
    lab.datapath().notes().expect("the notes can be read").into_iter().map(|flow| flow.note).collect()
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
    assert_eq!(kinds, [Kind::Lasting, Kind::Lasting]);
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
    assert!(went_to(&lab.run(&flow(1).ack().sequence(123_457)), OLD), "the note is lasting");
    assert!(went_to(&lab.run(&flow(1).syn().sequence(9)), OLD), "a SYN on a lasting note changes nothing");
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
    assert_eq!((notes(&mut lab)[0].kind, notes(&mut lab)[0].isn), (Kind::Provisional, 42));
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
fn without_room_for_a_note_a_flow_stays_on_the_previous_backend() {
    let mut lab = lab();
    let mut after = Vec::new();
    let program = lab.program();
    for number in 0..MAX_NOTES {
        let [_, a, b, c] = number.to_be_bytes();
        let flood = tcp(&format!("198.{}.{b}.{c}:9", 18 + a), "10.0.0.1:443").syn();
        foobar_tests::lab::run(program, &flood.bytes(), &mut after);
    }
    lab.refresh();
    assert!(went_to(&lab.run(&flow(1).syn()), OLD));
    assert!(went_to(&lab.run(&flow(1).ack().sequence(5001)), OLD), "the whole connection does");
    assert!(went_to(&lab.run(&flow(2).ack()), OLD));
    let noted = tcp("198.18.0.5:9", "10.0.0.1:443").ack().sequence(1001);
    assert!(went_to(&lab.run(&noted), NEW), "notes that are there go on");
    assert_eq!(notes(&mut lab).iter().filter(|note| note.kind == Kind::Lasting).count(), 1, "and change");
    assert_eq!(notes(&mut lab).len(), MAX_NOTES as usize);
}
