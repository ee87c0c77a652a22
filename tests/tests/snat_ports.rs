//! Ports that `snat` gives come back when their flows are over, and not before.

use aya::maps::{Array, Map, MapData};
use foobar_common::{
    layout::{LAYOUT, map},
    snat::LEASE_WORDS,
};
use foobar_tests::{
    frames::{Packet, tcp},
    lab::{Got, Lab},
};
use foobar_userspace::{daemon::state::now, domain::Forward};

const SERVICE: &str = "10.0.0.1:80";
const BACKEND: &str = "10.1.0.2:80";
/// Where the backend's connections begin.
const FIRST: u32 = 77_000;
/// Seconds that a silent flow is kept.
const LIFE: u32 = 600;

fn lab() -> Lab {
    Lab::new().service("10.0.0.1", "tcp/80", &["10.1.0.2"]).forward(Forward::Snat).snat(&["10.1.0.5"])
}

fn from(client: u16) -> Packet {
    tcp(&format!("192.0.2.7:{client}"), SERVICE)
}

/// The address and port that the backend sees.
fn seen(got: &Got) -> String {
    let port = u16::from_be_bytes([got.frame[34], got.frame[35]]);
    format!("10.1.0.5:{port}")
}

/// Begins a flow, whose SYN the backend answers, which the client has heard.
fn open(lab: &mut Lab, client: u16) -> String {
    let seen = half_open(lab, client);
    lab.run(&from(client).acknowledging(FIRST + 1));
    seen
}

/// The same without the client, who may not be where the SYN says.
fn half_open(lab: &mut Lab, client: u16) -> String {
    let seen = seen(&lab.run(&from(client).syn()));
    lab.run(&answer(&seen).syn().answering().sequence(FIRST));
    seen
}

fn answer(seen: &str) -> Packet {
    tcp(BACKEND, seen).from("10.1.0.2")
}

/// Ports that are given, after a sweep so many seconds from here.
fn left(lab: &mut Lab, seconds: u32, life: Option<u32>) -> u64 {
    let now = u32::try_from(now()).expect("seconds since the start");
    lab.datapath().sweep_places(now + seconds, |_| life).expect("the ports can be swept");
    lab.datapath().ports_taken()[0]
}

#[test]
fn a_port_that_a_dying_daemon_gave_back_by_half_comes_back() {
    let mut lab = lab();
    open(&mut lab, 4000);
    let pin = lab.datapath().pin_dir().join(format!("layout-{LAYOUT}/maps/{}", map::LEASES));
    let pinned = MapData::from_pin(pin).expect("the leases are pinned");
    let mut leases = Array::<_, [u64; LEASE_WORDS]>::try_from(Map::Array(pinned)).expect("an array");
    let held = |(place, lease): (u32, [u64; LEASE_WORDS])| (lease[1] != 0).then_some((place, lease[0]));
    let all: Vec<_> = leases.iter().map(|lease| lease.expect("a lease")).collect();
    let (place, first) = (0..).zip(all).find_map(held).expect("the flow has a lease");
    leases.set(place, [first, 0], 0).expect("a lease can be written");
    assert_eq!(lab.datapath().ports_taken()[0], 1);

    assert_eq!(left(&mut lab, 0, Some(LIFE)), 0);
}

#[test]
fn an_open_flow_keeps_its_port_and_one_that_nobody_answered_gives_it_back() {
    let mut lab = lab();
    let open = open(&mut lab, 4000);
    lab.run(&from(4001).syn());
    assert_eq!(left(&mut lab, 100, Some(LIFE)), 2, "a handshake may take long");
    assert_eq!(left(&mut lab, 140, Some(LIFE)), 1);
    assert_eq!(seen(&lab.run(&from(4000))), open);
    assert_eq!(left(&mut lab, LIFE + 5, Some(LIFE)), 0, "it was silent for longer than its service keeps it");
}

#[test]
fn a_flow_whose_client_has_not_heard_its_backend_gives_its_port_back() {
    let mut lab = lab();
    half_open(&mut lab, 4000);
    let guessed = half_open(&mut lab, 4001);
    lab.run(&from(4001).acknowledging(FIRST + (1 << 20) + 1));
    lab.run(&answer(&guessed));
    open(&mut lab, 4002);
    assert_eq!(left(&mut lab, 100, Some(LIFE)), 3, "a handshake may take long");
    assert_eq!(left(&mut lab, 140, Some(LIFE)), 1, "one that guesses is not one that has heard");
}

#[test]
fn a_connection_that_is_older_than_its_port_is_its_backends_to_know() {
    let mut lab = lab();
    let seen = seen(&lab.run(&from(4000)));
    lab.run(&answer(&seen));
    assert_eq!(left(&mut lab, 140, Some(LIFE)), 1);
}

#[test]
fn a_closed_flow_gives_its_port_back_after_a_rest() {
    let mut lab = lab();
    let open = open(&mut lab, 4000);
    lab.run(&from(4000).fin());
    lab.run(&answer(&open).fin());
    assert_eq!(left(&mut lab, 30, Some(LIFE)), 1);
    assert_eq!(left(&mut lab, 70, Some(LIFE)), 0);
}

#[test]
fn a_reset_that_its_sender_takes_back_closes_nothing() {
    let mut lab = lab();
    open(&mut lab, 4000);
    lab.run(&from(4000).rst());
    lab.run(&from(4000).payload(b"goes on"));
    assert_eq!(left(&mut lab, 70, Some(LIFE)), 1);
    lab.run(&from(4000).rst());
    assert_eq!(left(&mut lab, 70, Some(LIFE)), 0);
}

#[test]
fn the_port_of_a_dead_backend_is_free_soon() {
    let mut lab = lab();
    open(&mut lab, 4000);
    assert_eq!(left(&mut lab, 5, None), 0);
}
