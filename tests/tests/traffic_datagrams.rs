//! Flows of UDP when backends drain: new ones leave after a minute, those that talk stay.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use foobar_tests::site::{PATIENCE, SERVICE, Site, backend, wait_until};

const DNS: SocketAddr = SocketAddr::new(SERVICE, 53);

#[test]
fn new_flows_leave_a_draining_backend_after_a_minute_and_those_that_talk_stay() {
    let site = Site::new(2);
    for host in ["b1", "b2"] {
        site.network.within(host, || server(host));
    }
    let [first, second] = [1, 2].map(|number| backend(number).to_string());
    let service = ["service", "add", "dns", &SERVICE.to_string(), "udp/53"];
    site.tell(&[&service[..], &["--backend", &first, "--backend", &second]].concat());
    site.wait_for_next_hops();
    let talking: Vec<_> = site.on_client(|| (0..20).map(|_| flow()).collect());
    let homes: Vec<_> = talking.iter().map(ask).collect();
    assert!(homes.iter().any(|home| home == "b2"), "some are on b2");

    site.tell(&["backend", "drain", "dns", &second]);
    let began = Instant::now();
    wait_until("new flows to leave b2", 2 * PATIENCE, || {
        thread::sleep(Duration::from_secs(1));
        assert_eq!(talking.iter().map(ask).collect::<Vec<_>>(), homes, "flows that talk stay");
        site.on_client(|| (0..40).all(|_| ask(&flow()) == "b1"))
    });

    assert!(began.elapsed() >= Duration::from_secs(50), "old flows have a minute to be heard of");
    assert_eq!(talking.iter().map(ask).collect::<Vec<_>>(), homes, "flows that talk stay");
}

/// Answers every datagram with its name, for as long as the test lives.
fn server(name: &'static str) {
    let socket = UdpSocket::bind(DNS).expect("a socket");
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((_, client)) = socket.recv_from(&mut bytes) {
            // Who does not listen any more is nobody's loss.
            let _ = socket.send_to(name.as_bytes(), client);
        }
    });
}

/// A flow of its own, of the calling thread's network namespace.
fn flow() -> UdpSocket {
    let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).expect("a socket");
    socket.connect(DNS).expect("a way");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket
}

/// Who answers.
fn ask(flow: &UdpSocket) -> String {
    let mut bytes = [0; 64];
    flow.send(b"who").expect("sent");
    let len = flow.recv(&mut bytes).expect("an answer");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}
