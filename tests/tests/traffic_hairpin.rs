//! Clients among the backends of a `nat` service, whom these would answer past the balancer: a host beside them, and a
//! backend that asks its own service, which may send it to itself.

use std::collections::BTreeSet;

use foobar_tests::site::{Net, Way};

/// Beside the backends.
const NEIGHBOUR: u8 = 77;
/// The balancer's in each network.
const BALANCER: u8 = 2;
/// In which each backend is found.
const A_FEW: usize = 24;

foobar_tests::ways!(clients_among_the_backends_are_answered: nat_v4 NAT V4, nat_v6 NAT V6);

fn clients_among_the_backends_are_answered(way: Way) {
    let (site, _echo) = way.site(2);
    let network = &site.network;
    network.add_host("neighbour", Net::Backends, NEIGHBOUR);
    let by = Net::Backends.address(way.family, BALANCER);
    network.ip("neighbour", &format!("route add default via {by}\n"));
    way.serve(&site, &[1, 2], &[]);

    for host in ["neighbour", "b1", "b2", "client"] {
        let ask = || (0..A_FEW).map(|_| way.target().greet()).collect::<Result<BTreeSet<_>, _>>();
        let answers = network.within(host, ask).unwrap_or_else(|error| panic!("{host} asks: {error}"));
        assert_eq!(answers.len(), 2, "{host}: {answers:?}");
    }
    let status = site.tell(&["status"]);
    let ports = format!("ports of echo: {} of 31 744 at {by}", 3 * A_FEW);
    assert!(status.contains(&ports), "the client beyond keeps its own address and port: {status}");
}
