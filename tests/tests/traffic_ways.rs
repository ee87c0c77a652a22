//! The way to backends behind gateways changes while connections are made.

use std::time::{Duration, Instant};

use foobar_tests::{
    frames::Family,
    site::{Layout, Mode, Net, PATIENCE, Site, Target, Way, wait_until},
};

/// What is sent to nobody in particular is asked for again this often.
const SHORT: Duration = Duration::from_millis(250);
/// The balancer's number in each of its networks.
const BALANCER: u8 = 2;
/// Far above the second that it takes, for machines that are busy.
const LATE: Duration = Duration::from_secs(10);

foobar_tests::ways!(a_gateway_with_a_new_mac_is_found_again: new_mac_v4 TUNNEL V4, new_mac_v6 TUNNEL V6);

fn a_gateway_with_a_new_mac_is_found_again(way: Way) {
    let (site, _servers) = way.site(1);
    way.serve(&site, &[1], &[]);
    answered_again(&site, way);

    site.network.ip("router", "link set eth2 address 02:00:00:00:79:03\n");

    let took = answered_again(&site, way);
    assert_eq!(mac(&site), "02:00:00:00:79:03");
    assert!(took < LATE, "it announced itself, and that took {took:?}");
}

foobar_tests::ways!(a_route_that_moves_is_followed: moved_v4 TUNNEL V4, moved_v6 TUNNEL V6);

fn a_route_that_moves_is_followed(way: Way) {
    let (site, _servers) = way.site(1);
    let detour = site.network.add_detour();
    for (interface, address) in [("eth0", "02:00:00:00:77:04"), ("eth2", "02:00:00:00:79:04")] {
        site.network.ip("detour", &format!("link set {interface} address {address}\n"));
    }
    way.serve(&site, &[1], &[]);
    answered_again(&site, way);
    let route = |by: Net| {
        let to = Net::Backends.address(way.family, 0);
        let len = if way.family == Family::V4 { 24 } else { 64 };
        let via = by.address(way.family, detour);
        // Else IPv6 may come from the service's own address, from which no tunnel is known.
        let source = by.address(way.family, BALANCER);
        site.network.ip("lb", &format!("route replace {to}/{len} via {via} src {source}\n"));
    };

    // The first gateway is gone, so what arrives went by the other.
    site.network.ip("router", "link set eth2 down\n");
    for (by, mac_of, interface, outcome) in [
        (Net::Between, "02:00:00:00:79:04", "eth1", "redirected"),
        (Net::Clients, "02:00:00:00:77:04", "eth0", "forwarded"),
    ] {
        route(by);
        let took = wait_until("the new next hop", PATIENCE, || {
            let hop = site.status().services[0].backends[0].next_hop.clone();
            hop.is_some_and(|hop| hop.interface == interface && hop.mac == mac_of)
        });
        let before = site.outcome(outcome);
        answered_again(&site, way);
        assert!(site.outcome(outcome) > before, "packets leave by {interface}");
        assert!(took < LATE, "the route says it, and that took {took:?}");
    }
}

#[test]
fn an_interface_to_the_backends_that_flaps_is_used_again() {
    for mode in [Mode::NAT, Mode::SNAT] {
        let way = Way { mode, family: Family::V4 };
        assert_eq!(way.mode.layout, Layout::Routed);
        let (site, _servers) = way.site(1);
        way.serve(&site, &[1], &[]);
        answered_again(&site, way);

        site.network.ip("lb", "link set eth1 down\n");
        asked(&site, way).expect_err("there is no way");
        site.network.ip("lb", "link set eth1 up\n");

        assert!(answered_again(&site, way) < LATE, "{}", mode.name);
    }
}

fn mac(site: &Site) -> String {
    site.status().services[0].backends[0].next_hop.clone().expect("a next hop").mac
}

/// One connection that is greeted.
fn asked(site: &Site, way: Way) -> std::io::Result<()> {
    let target: Target = way.target().within(SHORT);
    site.on_client(|| target.greet()).map(drop)
}

/// How long it took until connections were greeted three times in a row.
fn answered_again(site: &Site, way: Way) -> Duration {
    let start = Instant::now();
    wait_until("connections to be greeted again", PATIENCE, || (0..3).all(|_| asked(site, way).is_ok()));
    start.elapsed()
}
