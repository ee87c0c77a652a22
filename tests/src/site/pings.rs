//! A ping every 50 ms, and when it was answered: how long a gap lasted, as packets saw it.

use std::{
    io::{BufRead, BufReader},
    net::IpAddr,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{Site, shell::wait_until};

/// Between two pings, in seconds as `ping` takes them.
const EVERY: &str = "0.05";

/// Pings on their way; they end when this is dropped.
pub struct Pings {
    child: Child,
    answers: Arc<Mutex<Vec<Instant>>>,
}

impl Site {
    /// The client pings an address until told to stop.
    pub fn pings(&self, address: IpAddr) -> Pings {
        let mut command = self.network.inside("client", "ping");
        command.args(["-n", "-i", EVERY, &address.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("ping runs");
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (lines, found) = (BufReader::new(child.stdout.take().expect("a pipe")), Arc::clone(&answers));
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok).filter(|line| line.contains("icmp_seq=")) {
                if line.contains("time=") {
                    found.lock().expect("the answers").push(Instant::now());
                }
            }
        });
        Pings { child, answers }
    }
}

impl Pings {
    /// Waits for an answer that comes later than `since`; when it came.
    pub fn answer_after(&self, since: Instant, patience: Duration) -> Instant {
        let mut found = None;
        wait_until("an answer to a ping", patience, || {
            found = self.answers.lock().expect("the answers").iter().find(|at| **at > since).copied();
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Whether any was answered between two moments.
    pub fn answered_between(&self, from: Instant, to: Instant) -> bool {
        self.answers.lock().expect("the answers").iter().any(|at| (from..to).contains(at))
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
