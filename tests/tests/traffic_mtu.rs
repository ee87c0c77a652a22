//! A hundred megabytes up and down through tunnels, where everything has an MTU of 1500 and nobody clamps what TCP sends:
//! the client hears that its packets are too big, and nothing is lost, changed or without its right checksum.

use foobar_tests::{
    frames::Family,
    site::{Checked, PATIENCE, StreamServer, Target, Way, download, upload},
};

const LEN: usize = 100_000_000;
const PORT: u16 = 5001;

foobar_tests::ways!(large: v4 TUNNEL V4, v6 TUNNEL V6);

fn large(way: Way) {
    let (site, _echo) = way.site(1);
    let _server = site.network.within("b1", || StreamServer::listen(PORT));
    way.add(&site, ("bulk", PORT), &[way.mode.layout.backend(way.family, 1)], &[]);
    let target = Target::new(way.service(), PORT).within(PATIENCE);
    let v6 = way.family == Family::V6;
    let (path, told, outer) = if v6 {
        ("mtu 1460", "icmpv6.type == 2", "ipv6.nxt == 41")
    } else {
        ("mtu 1480", "icmp.type == 3 && icmp.code == 4", "ip.proto == 4")
    };
    assert!(!site.network.way("client", way.service()).contains(path), "nobody has been told yet");
    let begin = |host, interface| Checked::begin(&site.network, host, interface);
    let (near, far) = (begin("client", "eth0"), begin("router", "eth1"));

    site.on_client(|| upload(target, LEN)).expect("what was sent arrived");
    let (near, far) = (near.end(&[told, "tcp.checksum.status == 1"]), far.end(&[outer]));
    let down = begin("client", "eth0");
    site.on_client(|| download(target, LEN)).expect("what was to come came");
    let down = down.end(&["tcp.checksum.status == 1"]);

    let learnt = site.network.way("client", way.service());
    assert!(learnt.contains(path), "the client knows the way's MTU: {learnt}");
    assert!(site.outcome("too_big") >= 1, "it was told");
    println!("{near:?} {far:?} {down:?} frames, {} too big", site.outcome("too_big"));
    assert!(near[0] >= 1 && near[1] >= 1000 && far[0] >= 1000 && down[0] >= 1000, "{near:?} {far:?} {down:?}");
    let packets = site.stats().services[0].backends[0].packets;
    assert!(packets >= (LEN / 1460) as u64, "all of it came by: {packets}");
}
