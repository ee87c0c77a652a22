//! How flows are spread over backends, through the loaded program: by rings of every size, by flow and by source.

use std::collections::HashMap;

use foobar_common::{layout::RING_SIZES, serve};
use foobar_tests::{
    frames::{mac, tcp},
    lab::Lab,
};
use foobar_userspace::domain::Affinity;

const BACKENDS: [&str; 4] = ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5"];
const V6: [&str; 3] = ["2001:db8:2::2", "2001:db8:2::3", "2001:db8:2::4"];

/// How many of these flows' first packets go to each backend, by its MAC; the host's tables say the same.
fn shares(lab: &mut Lab, flows: impl Iterator<Item = (String, &'static str)>) -> HashMap<[u8; 6], usize> {
    let (host, mut shares) = (lab.host(), HashMap::new());
    for (source, destination) in flows {
        let packet = tcp(&source, destination).syn();
        let (got, mut frame) = (lab.run(&packet), packet.bytes());
        serve(frame.as_mut_slice(), &host);
        assert_eq!(got.frame, frame, "{source}: kernel and host");
        let to: [u8; 6] = got.frame[..6].try_into().expect("a MAC");
        *shares.entry(to).or_default() += 1;
    }
    shares
}

fn even(shares: &HashMap<[u8; 6], usize>, backends: &[&str], flows: usize) {
    let each = flows / backends.len();
    for backend in backends {
        let got = shares.get(&mac(backend.parse().expect("an address"))).copied().unwrap_or(0);
        assert!((each * 7 / 10..=each * 13 / 10).contains(&got), "{backend}: {got} of {flows}");
    }
    assert_eq!(shares.len(), backends.len());
}

#[test]
fn rings_of_every_size_spread_flows_evenly() {
    let mut lab = Lab::new();
    for (index, size) in RING_SIZES.iter().enumerate() {
        lab = lab.service(&format!("10.0.1.{index}"), "tcp/443", &BACKENDS).spread(*size, Affinity::Flow);
    }
    lab = lab.service("2001:db8:1::1", "tcp/443", &V6).spread(1009, Affinity::Flow);
    for index in 0..RING_SIZES.len() {
        let service: &'static str = format!("10.0.1.{index}:443").leak();
        let shares = shares(&mut lab, (1..=400).map(|port| (format!("192.0.2.7:{port}"), service)));
        even(&shares, &BACKENDS, 400);
    }
    let shares = shares(&mut lab, (1..=300).map(|port| (format!("[2001:db8::7]:{port}"), "[2001:db8:1::1]:443")));
    even(&shares, &V6, 300);
}

#[test]
fn by_source_all_flows_of_an_address_go_to_one_backend() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &BACKENDS).spread(65_537, Affinity::Source);
    lab = lab.service("2001:db8:1::1", "tcp/443", &V6).spread(4093, Affinity::Source);
    for host in 1..=20 {
        let of_one = shares(&mut lab, (1..=20).map(|port| (format!("192.0.2.{host}:{port}"), "10.0.0.1:443")));
        assert_eq!(of_one.len(), 1, "192.0.2.{host}: {of_one:?}");
        let of_one =
            shares(&mut lab, (1..=20).map(|port| (format!("[2001:db8::{host}]:{port}"), "[2001:db8:1::1]:443")));
        assert_eq!(of_one.len(), 1, "2001:db8::{host}: {of_one:?}");
    }
    let hosts = (0..400).map(|host| (format!("192.0.{}.{}:9", host / 200, host % 200 + 1), "10.0.0.1:443"));
    even(&shares(&mut lab, hosts), &BACKENDS, 400);
}

#[test]
fn a_source_stays_with_its_backend_when_another_comes() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &BACKENDS[..2]).spread(1009, Affinity::Source);
    let packet = |host: u8, port: u16| tcp(&format!("192.0.2.{host}:{port}"), "10.0.0.1:443");
    let before: Vec<_> = (1..=40).map(|host| lab.run(&packet(host, 1).ack()).frame[..6].to_vec()).collect();
    lab.add(BACKENDS[2]);
    let mut moved = 0;
    for host in 1..=40 {
        let was = &before[usize::from(host) - 1];
        let old = lab.run(&packet(host, 1).ack()).frame[..6].to_vec();
        assert_eq!(old, *was, "what is open stays");
        moved += usize::from(lab.run(&packet(host, 2).syn()).frame[..6] != was[..]);
    }
    assert!((4..=24).contains(&moved), "{moved} of 40 sources' new connections go to the new backend");
}
