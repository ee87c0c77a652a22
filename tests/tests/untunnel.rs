//! Tunnels that are taken off: whose, and what becomes of what is inside.

use foobar_common::Outcome;
use foobar_tests::{
    frames::{Packet, protocol, tcp, udp},
    lab::Lab,
};

const CLIENT: &str = "192.0.2.7:4000";
const SERVICE: &str = "10.0.0.1:80";
const IPIP: u8 = 4;

#[test]
fn a_tunnel_is_taken_off_if_a_known_balancer_put_it_on() {
    let inner = tcp(CLIENT, SERVICE).syn();
    for (lab, allowed) in [
        (Lab::new().drops().rule("allow tcp/80"), Outcome::Allowed),
        (Lab::new().drops(), Outcome::DefaultDrop),
        (Lab::new().rule("deny from 192.0.2.7"), Outcome::Denied),
    ] {
        let mut lab = lab.tunnels(&["10.9.0.1", "fd00:9::1"]);
        let gue = |source: &str, to: &str| {
            udp(&format!("{source}:50000"), &format!("{to}:6080"))
                .payload(&[&[0, 4, 0, 0], &inner.network()[..]].concat())
        };
        for sent in [
            protocol(IPIP, "10.9.0.1", "10.1.0.2").payload(&inner.network()),
            protocol(IPIP, "fd00:9::1", "2001:db8:2::2").payload(&inner.network()),
            protocol(IPIP, "10.9.0.1", "10.1.0.2").payload(&inner.network()).vlan(9),
            gue("10.9.0.1", "10.1.0.2"),
            gue("[fd00:9::1]", "[2001:db8:2::2]"),
        ] {
            let got = lab.run(&sent);
            assert_eq!(got.outcome, allowed, "{sent:?}");
            let frame = inner.clone();
            let frame = if sent.bytes()[12] == 0x81 { frame.vlan(9) } else { frame };
            assert_eq!(got.frame, frame.bytes(), "{sent:?}");
        }
        let stranger = lab.run(&protocol(IPIP, "10.9.0.2", "10.1.0.2").payload(&inner.network()));
        assert_ne!(stranger.outcome, Outcome::Allowed);
        assert_ne!(stranger.frame, inner.bytes(), "a stranger's tunnel stays on");
    }
}

#[test]
fn congestion_in_a_tunnel_is_told_to_the_inner_packet() {
    let mut lab = Lab::new().tunnels(&["10.9.0.1"]);
    let around = |inner: &Packet| protocol(IPIP, "10.9.0.1", "10.1.0.2").class(3).payload(&inner.network());
    let able = tcp(CLIENT, SERVICE).class(2);
    assert_eq!(lab.run(&around(&able)).frame, able.class(3).bytes());
    assert_eq!(lab.run(&around(&tcp(CLIENT, SERVICE))).outcome, Outcome::Congested);
}
