//! What `foobar stats` counts is what the client sent, packet for packet and backend for backend.

use std::collections::BTreeMap;

use foobar_tests::site::{Answer, Capture, Nginx, SERVICE, SERVICE_6, Sent, Server, Site, Target, backend, backend_6};
use foobar_userspace::api::types::BackendCount;

/// Packets, bytes, connections and queries.
type Counts = [u64; 4];

#[test]
fn a_connection_per_request_is_counted_exactly() {
    let site = Site::with_web(3);
    let target = Target::new(SERVICE, 80);

    let asked = counted(&site, target, || (0..200).map(|_| target.ask().expect("an answer")).collect());

    assert_eq!(asked, site.servers.iter().map(Server::asked).collect::<Vec<_>>(), "the servers' own count");
}

#[test]
fn kept_connections_are_counted_exactly() {
    let site = Site::with_web(3);
    let target = Target::new(SERVICE, 80);

    let asked = counted(&site, target, || kept(&target));

    assert_eq!(asked, site.servers.iter().map(Server::asked).collect::<Vec<_>>(), "the servers' own count");
}

#[test]
fn ipv6_is_counted_exactly() {
    let site = Site::new(2);
    site.add_service("web", SERVICE_6, &[1, 2].map(backend_6));
    let target = Target::new(SERVICE_6, 80);

    let asked = counted(&site, target, || kept(&target));

    assert_eq!(asked, site.servers.iter().map(Server::asked).collect::<Vec<_>>(), "the servers' own count");
}

#[test]
fn queries_are_what_nginx_logged() {
    let mut site = Site::quiet(0);
    site.foobar.start();
    site.attach();
    let servers: Vec<_> = (1..=2).map(|number| site.network.add_backend(number)).collect();
    let servers: Vec<_> = servers.iter().map(|host| Nginx::start(&site.network, host)).collect();
    site.add_service("web", SERVICE, &[1, 2].map(backend));
    let target = Target::new(SERVICE, 80);

    let asked = counted(&site, target, || {
        let mut answers = kept(&target);
        answers.extend((0..100).map(|_| target.ask().expect("an answer")));
        answers
    });

    assert_eq!(asked, servers.iter().map(Nginx::logged).collect::<Vec<_>>(), "nginx's access logs");
}

/// 20 connections with 15 requests each.
fn kept(target: &Target) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..20 {
        let mut connection = target.connect().expect("a connection");
        answers.extend((0..14).map(|_| connection.ask().expect("an answer")));
        answers.push(connection.ask_and_close().expect("the last answer"));
    }
    answers
}

/// Captures what `traffic` sends, compares it with the counters, and returns the queries per backend.
fn counted(site: &Site, target: Target, traffic: impl FnOnce() -> Vec<Answer> + Send) -> Vec<u64> {
    let capture = Capture::begin(&site.network, target.address.ip());
    let answers = site.on_client(traffic);
    site.settle();
    let sent = capture.end();
    let seen = by_backend(&sent, &answers);

    let stats = site.stats();
    let backends = &stats.services[0].backends;
    for (number, count) in (1..).zip(backends) {
        let seen = seen.get(&format!("b{number}")).copied().unwrap_or_default();
        assert_eq!(counts(count), seen, "b{number}: packets, bytes, connections, queries");
        assert!(seen[3] > 0, "b{number} was asked");
    }
    let all = |index: usize| seen.values().map(|counts| counts[index]).sum::<u64>();
    assert_eq!(site.outcome("forwarded"), all(0), "packets, by outcome");
    assert_eq!(sent.len() as u64, all(0), "every captured packet belongs to a connection that was answered");
    backends.iter().map(|backend| backend.queries).collect()
}

/// What was captured, by who answered on that connection.
fn by_backend(sent: &[Sent], answers: &[Answer]) -> BTreeMap<String, Counts> {
    let mut backends = BTreeMap::new();
    for Answer { backend, port } in answers {
        let before = backends.insert(*port, backend.clone());
        assert!(before.is_none_or(|before| before == *backend), "port {port} has one backend");
    }
    let mut seen = BTreeMap::<String, Counts>::new();
    for Sent { port, len, opens, asks } in sent {
        let counts = seen.entry(backends[port].clone()).or_default();
        for (count, more) in counts.iter_mut().zip([1, *len, u64::from(*opens), u64::from(*asks)]) {
            *count += more;
        }
    }
    seen
}

fn counts(count: &BackendCount) -> Counts {
    [count.packets, count.bytes, count.connections, count.queries]
}
