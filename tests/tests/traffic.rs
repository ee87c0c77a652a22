//! Requests through a service: every backend answers, by itself, and each connection stays with one.

use foobar_tests::site::{SERVICE, SERVICE_6, Site, Target, backend_6};

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
