//! The site's own networks: every machine reaches those that the ways of forwarding need it to reach.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
};

use foobar_tests::{
    frames::Family,
    site::{Layout, Mode, Net, Way},
};

#[test]
fn the_balancer_routes_between_clients_and_backends() {
    let site = reaches(Layout::Routed);
    let way = site.network.way("b1", Net::Clients.v4(1));
    assert!(way.contains(" via 10.78.0.2 "), "answers pass the balancer: {way}");
    assert!(site.outcome("default_pass") > 0, "foobar saw them");
}

#[test]
fn a_router_stands_before_the_backends() {
    let site = reaches(Layout::Across);
    let way = site.network.way("lb", site.network.layout.backend(Family::V4, 1));
    assert!(way.contains(" via 10.79.0.3 "), "{way}");
    let way = site.network.way("b1", Net::Clients.v4(1));
    assert!(way.contains(" via 10.78.0.3 "), "answers do not pass the balancer: {way}");
}

/// The client and the balancer are greeted by each backend, over both families.
fn reaches(layout: Layout) -> foobar_tests::site::Site {
    let way = |family| Way { mode: Mode { layout, ..Mode::DSR }, family };
    let (site, _servers) = way(Family::V4).site(2);
    for family in [Family::V4, Family::V6] {
        let sources = site.network.add_sources(family);
        let outsides = site.network.add_outsides(family);
        assert_eq!((sources.len(), outsides.len()), (8, 4));
        for (host, number) in ["client", "lb"].into_iter().flat_map(|host| [(host, 1), (host, 2)]) {
            let address = SocketAddr::new(layout.backend(family, number), way(family).target().address.port());
            let mut greeting = [0; 2];
            let read = || TcpStream::connect(address).and_then(|mut stream| stream.read_exact(&mut greeting));
            site.network.within(host, read).unwrap_or_else(|error| panic!("{host} to {address}: {error}"));
            assert_eq!(greeting, [b'b', b'0' + number], "{host} to {address}");
        }
    }
    site
}
