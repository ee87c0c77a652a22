//! Requests through a service: every backend answers, by itself, and each connection stays with one.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use foobar_tests::site::{SERVICE, SERVICE_6, Site, Target, backend, backend_6};

#[test]
fn requests_over_ipv4_reach_every_backend() {
    let site = Site::with_web(3);

    spread(&site, Target::new(SERVICE, 80));
}

#[test]
fn requests_over_ipv6_reach_every_backend() {
    let site = Site::new(3);
    site.add_service("web", SERVICE_6, &[1, 2, 3].map(backend_6));

    spread(&site, Target::new(SERVICE_6, 80));
}

/// 300 connections: each backend has about a third, and what one has counted is what one has answered.
fn spread(site: &Site, target: Target) {
    let answers = site.on_client(|| (0..300).map(|_| target.ask()).collect::<Result<Vec<_>, _>>()).expect("answers");
    let passed_by = site.outcome("default_pass");

    for (number, server) in (1..).zip(&site.servers) {
        let answered = answers.iter().filter(|answer| answer.backend == format!("b{number}")).count() as u64;
        assert_eq!(server.asked(), answered, "b{number} answered the client directly");
        assert!((50..=150).contains(&answered), "b{number} has its share of 300: {answered}");
    }
    site.settle();
    let stats = site.stats();
    let connections: u64 = stats.services[0].backends.iter().map(|backend| backend.connections).sum();
    assert!(connections >= 300, "every connection came by: {connections}");
    assert!(passed_by < 100, "answers do not come back through the balancer: {passed_by} packets passed");
}

#[test]
fn datagrams_reach_every_backend_and_are_counted() {
    let site = Site::new(3);
    let names = ["b1", "b2", "b3"];
    let bound = names.map(|host| site.network.within(host, || UdpSocket::bind((SERVICE, 53)).expect("a socket")));
    let backends = [1, 2, 3].map(|number| backend(number).to_string());
    let mut args = vec!["service".to_owned(), "add".into(), "dns".into(), SERVICE.to_string(), "udp/53".into()];
    args.extend(backends.into_iter().flat_map(|backend| ["--backend".to_owned(), backend]));
    site.tell(&args.iter().map(String::as_str).collect::<Vec<_>>());
    site.wait_for_next_hops();
    let open = || (0..60).map(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket")).collect::<Vec<_>>();
    let clients = site.on_client(open);

    for client in &clients {
        for _ in 0..3 {
            client.send_to(b"who?", (SERVICE, 53)).expect("sent");
        }
    }

    let counts = &site.stats().services[0].backends;
    for (socket, count) in bound.iter().zip(counts) {
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let asked: Vec<_> = std::iter::from_fn(|| Some(socket.recv_from(&mut [0; 16]).ok()?.1)).collect();
        assert_eq!(asked.len() as u64, count.packets, "{} got what was counted", count.address);
        assert!(asked.len() >= 3 && asked.len().is_multiple_of(3), "a client stays with its backend: {asked:?}");
        socket.send_to(b"me", asked[0]).expect("an answer");
        let client = clients.iter().find(|client| client.local_addr().is_ok_and(|at| at.port() == asked[0].port()));
        let (_, from) = client.expect("a client").recv_from(&mut [0; 16]).expect("the answer");
        assert_eq!(from.ip(), SERVICE, "the answer comes from the service's address");
    }
    assert_eq!(counts.iter().map(|count| count.packets).sum::<u64>(), 180);
}
