//! Addresses that `snat` sends from: known while a change waits, and nobody else's while a flow lives.

use std::{fmt::Write as _, fs, net::IpAddr, thread};

use foobar_tests::{
    frames::Family,
    site::{Held, Mode, Net, Nginx, PATIENCE, Site, StreamServer, Target, Way, upload, wait_until},
};

const WAY: Way = Way { mode: Mode::SNAT, family: Family::V4 };
/// Of the balancer's addresses that packets are sent from.
const FIRST: u8 = 101;
const STREAM: u16 = 5001;

/// A file with the interfaces as they are attached.
fn write(site: &Site, services: &str) -> String {
    let path = site.foobar.directory.join("site.toml");
    let switch = site.network.names.namespace("sw");
    let interface = |(name, port): &(&str, &str)| format!("{{ name = \"{name}\", peer = \"{switch}:{port}\" }}");
    let interfaces: Vec<_> = WAY.mode.layout.balancer_interfaces().iter().map(interface).collect();
    let policy = "[firewall]\ndefault = \"pass\"\n";
    let text = format!("interfaces = [{}]\n{policy}{services}", interfaces.join(", "));
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// A service on a port, from addresses of the balancer.
fn service(name: &str, port: u16, snat: &[IpAddr]) -> String {
    let mut text = format!(
        "[[service]]\nname = \"{name}\"\naddress = \"{}\"\nports = \"tcp/{port}\"\nforward = \"snat\"\n",
        WAY.service()
    );
    if !snat.is_empty() {
        let snat: Vec<_> = snat.iter().map(|address| format!("\"{address}\"")).collect();
        writeln!(text, "snat = [{}]", snat.join(", ")).expect("written");
    }
    writeln!(text, "backends = [{{ address = \"{}\" }}]", WAY.backend(1)).expect("written");
    text
}

fn address(number: u8) -> IpAddr {
    Net::Backends.v4(number)
}

#[test]
fn the_address_of_the_route_is_known_while_a_change_waits() {
    let (site, _echo) = WAY.site(1);
    let nginx = Nginx::start(&site.network, "b1");
    let web = Target::new(WAY.service(), 80);
    let file = write(&site, &service("web", 80, &[]));

    site.tell(&["apply", &file, "--confirm-within", "10min"]);
    site.wait_for_next_hops();
    site.ask(web).expect("an answer before the change is confirmed");
    site.tell(&["confirm"]);
    site.ask(web).expect("an answer behind it");

    assert_eq!(nginx.clients().into_iter().collect::<Vec<_>>(), [address(2)]);
}

#[test]
fn connections_stay_while_addresses_come_and_go() {
    let (site, _echo) = WAY.site(1);
    let _web = site.serve("b1", 80);
    let numbers: Vec<_> = (FIRST..FIRST + 5).map(address).collect();
    for address in &numbers {
        site.network.ip("lb", &format!("address add {address}/32 dev eth1\n"));
    }
    let apply = |from: &[IpAddr]| {
        site.tell(&["apply", &write(&site, &service("web", 80, from))]);
        site.wait_for_next_hops();
    };
    apply(&numbers[..2]);
    let web = Target::new(WAY.service(), 80);
    let mut held = vec![site.hold(web, 40)];

    for (change, from) in [
        ("more of them", &numbers[..4]),
        ("another order", &[numbers[2], numbers[0], numbers[1], numbers[3]]),
        ("fewer", &numbers[1..2]),
        ("others", &numbers[4..]),
    ] {
        apply(from);
        for fate in held.iter().flat_map(|held| held.wait_for(2)) {
            assert!(fate.broken.is_none(), "{change}: {fate:?}");
        }
        held.push(site.hold(web, 40));
    }
    let status = site.tell(&["status"]);
    assert!(status.contains(&format!(": 40 of 31 744 at {}, ", numbers[4])), "{status}");
    assert!(numbers[..4].iter().all(|address| status.contains(&format!(" still at {address}"))), "{status}");
}

#[test]
fn connections_stay_when_new_addresses_come_back_off() {
    let (site, _echo) = WAY.site(1);
    let _web = site.serve("b1", 80);
    let [first, second] = [FIRST, FIRST + 1].map(address);
    for address in [first, second] {
        site.network.ip("lb", &format!("address add {address}/32 dev eth1\n"));
    }
    site.tell(&["apply", &write(&site, &service("web", 80, &[first]))]);
    site.wait_for_next_hops();
    let web = Target::new(WAY.service(), 80);
    let mut held = vec![site.hold(web, 20)];
    let unbroken = |held: &[Held], when: &str| {
        for fate in held.iter().flat_map(|held| held.wait_for(2)) {
            assert!(fate.broken.is_none(), "{when}: {fate:?}");
        }
    };

    let waiting = write(&site, &service("web", 80, &[second]));
    site.tell(&["apply", &waiting, "--confirm-within", "10min"]);
    held.push(site.hold(web, 20));
    site.tell(&["rollback"]);
    unbroken(&held, "it was rolled back");
    held.push(site.hold(web, 20));
    site.tell(&["apply", &waiting, "--confirm-within", "10min"]);
    site.tell(&["confirm"]);
    held.push(site.hold(web, 20));
    unbroken(&held, "it is confirmed");
    let used: Vec<_> = site.status().services[0].snat.iter().map(|snat| (snat.address, snat.ports_used)).collect();
    assert_eq!(used, [(second, 20), (first, 60)], "new connections have it from then on");
}

#[test]
fn no_flow_is_sent_from_an_address_that_takes_the_place_of_its_own() {
    let (site, _echo) = WAY.site(1);
    let _stream = site.network.within("b1", || StreamServer::listen(STREAM));
    let numbers: Vec<_> = (FIRST..=FIRST + 16).map(address).collect();
    for address in &numbers {
        site.network.ip("lb", &format!("address add {address}/32 dev eth1\n"));
    }
    let [first, others @ .., new] = numbers.as_slice() else { unreachable!("17 addresses") };
    // All places are taken, and the first one's alone is nobody's once its service is gone.
    let others = service("one", 81, &others[..8]) + &service("two", 82, &others[8..]);
    site.tell(&["apply", &write(&site, &(service("bulk", STREAM, &[*first]) + &others))]);
    site.wait_for_next_hops();
    let target = Target::new(WAY.service(), STREAM);

    thread::scope(|scope| {
        let streams: Vec<_> = (0..4).map(|_| scope.spawn(|| site.on_client(|| upload(target, usize::MAX)))).collect();
        wait_until("the streams to flow", PATIENCE, || site.stats().services[0].backends[0].packets > 1_000);
        site.tell(&["apply", &write(&site, &(others + &service("late", 83, &[*new])))]);
        let broken = streams.into_iter().map(|stream| stream.join().expect("its end"));
        assert!(broken.into_iter().all(|end| end.is_err()), "their service is gone");
    });

    site.wait_for_next_hops();
    let late = site.status().services.into_iter().find(|service| service.name == "late").expect("it is there");
    assert_eq!((late.snat[0].address, late.snat[0].ports_used), (*new, 0), "nobody has asked it");
    let _server = site.serve("b1", 83);
    site.ask(Target::new(WAY.service(), 83)).expect("an answer to the address that is new");
}
