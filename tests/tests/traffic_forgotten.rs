//! A client of `nat` whose way a flood has made this host forget, and whom the kernel has never had to ask for: what its
//! backend says first still reaches it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use foobar_tests::site::{Way, flood, quiet};

const PORT: u16 = 9000;
/// SYNs, each of another client; nine for each way that is remembered.
const SYNS: u64 = 600_000;
/// A few retransmissions.
const SOON: Duration = Duration::from_secs(15);

foobar_tests::ways!(a_backend_that_speaks_first_is_heard: nat_v4 NAT V4, nat_v6 NAT V6);

fn a_backend_that_speaks_first_is_heard(way: Way) {
    let (site, _echo) = way.site(1);
    let (service, backend) = (way.service().to_string(), way.mode.layout.backend(way.family, 1));
    let words = ["service", "add", "chat", &service, &format!("tcp/{PORT}"), "--forward", "nat"];
    site.tell(&[&words[..], &["--backend", &backend.to_string()]].concat());
    site.wait_for_next_hops();
    let listener = site.network.within("b1", || TcpListener::bind(SocketAddr::new(backend, PORT))).expect("listens");
    let (speak, may_speak) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.read_exact(&mut [0])?;
        may_speak.recv().expect("the test goes on");
        stream.write_all(b"b")?;
        stream.read_exact(&mut [0])
    });

    let mut client = site.on_client(|| TcpStream::connect(SocketAddr::new(way.service(), PORT))).expect("connects");
    client.write_all(b"c").expect("the client speaks");
    let to = SocketAddr::new(way.service(), PORT + 1);
    let words = ["service", "add", "flooded", &service, &format!("tcp/{}", PORT + 1), "--forward", "nat"];
    site.tell(&[&words[..], &["--backend", &backend.to_string()]].concat());
    site.on_client(|| flood(to, SYNS, &mut fastrand::Rng::new()));
    let lb = site.network.names.namespace("lb");
    quiet(Command::new("ip").args(["-n", &lb, "neigh", "flush", "dev", "eth0"]));
    speak.send(()).expect("the server waits");
    client.set_read_timeout(Some(SOON)).expect("a timeout");
    client.read_exact(&mut [0]).expect("the client hears its backend");
    assert!(site.outcome("unresolved") > 0, "nobody knew the way to it");
    client.write_all(b"d").expect("the client answers");
    server.join().expect("no panic").expect("the server hears it");
}
