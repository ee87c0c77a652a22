//! Limits under real traffic: as many packets as the rule says, by its counter and the monotonic clock.

use std::{
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use foobar_tests::site::{BALANCER, INTRUDER, Site};
use rustix::thread::{CpuSet, sched_setaffinity};

const PORT: u16 = 9009;
const PER_SECOND: u64 = 1_000;
const RUN: Duration = Duration::from_secs(3);

/// Sends about 10,000 datagrams a second from each of these CPUs. Returns how long that took, and how many went out.
fn flood(site: &Site, cpus: usize) -> (Duration, u64) {
    let start = Instant::now();
    let sender = |cpu: usize| {
        let mut own = CpuSet::new();
        own.set(cpu);
        sched_setaffinity(None, &own).expect("this thread's CPU");
        let socket = UdpSocket::bind((INTRUDER, 0)).expect("a socket");
        let mut sent = 0_u64;
        while start.elapsed() < RUN {
            let due = start.elapsed().as_micros() as u64 / 50 / cpus as u64;
            while sent < due {
                sent += u64::from(socket.send_to(b"limited", (BALANCER, PORT)).is_ok());
            }
            thread::sleep(Duration::from_millis(1));
        }
        sent
    };
    let sent = thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus).map(|cpu| scope.spawn(move || site.on_client(|| sender(cpu)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a sender")).sum()
    });
    (start.elapsed(), sent)
}

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn as_many_pass_as_the_rule_says_on_one_cpu_and_on_two() {
    let mut site = Site::new(0);
    for rule in ["allow udp/9009 limit 1000/s as all", "allow udp/9009 limit 1000/s per source as each"] {
        for cpus in [1, cpus().min(2)] {
            site.tell(&rule.split(' ').collect::<Vec<_>>());
            let (took, sent) = flood(&site, cpus);
            let line = site.rules().into_iter().next().expect("the rule");
            let limited = line.limited.expect("it has a limit");
            // One second's worth at once at first, and then the rate.
            let wanted = PER_SECOND + PER_SECOND * took.as_millis() as u64 / 1_000;
            let passed = line.packets;
            println!("{rule}, {cpus} CPUs: {passed} of {sent} in {took:?}, {limited} limited; {wanted} wanted");
            assert!(passed.abs_diff(wanted) < wanted / 20, "{passed} passed in {took:?}, and {wanted} should");
            assert!(line.packets + limited <= sent && line.packets + limited > sent / 2, "of {sent}");
            assert!(site.outcome("limited") >= limited, "{limited}");
            site.tell(&["rule", "rm", &line.id.to_string()]);
        }
    }
    site.foobar.stop();
}

#[test]
fn a_limit_survives_its_daemon_and_what_is_logged_is_in_its_log() {
    let mut site = Site::new(0);
    site.tell(&["allow", "udp/9009", "limit", "1/m", "burst", "2", "log", "as", "few"]);
    let send = |site: &Site| {
        let socket = site.on_client(|| UdpSocket::bind((INTRUDER, 0)).expect("a socket"));
        for _ in 0..5 {
            socket.send_to(b"limited", (BALANCER, PORT)).expect("sent");
        }
    };
    send(&site);
    site.foobar.kill();
    send(&site);
    site.foobar.start();
    let line = site.rules().into_iter().next().expect("the rule");
    assert_eq!((line.packets, line.limited), (2, Some(8)));
    let id = line.id;
    foobar_tests::site::wait_until("the log to have the packets", foobar_tests::site::PATIENCE, || {
        let log = site.foobar.last_words();
        log.contains(&format!(" allowed udp {INTRUDER}:")) && log.contains(&format!(" by rule {id} (allow udp/9009 "))
    });
}
