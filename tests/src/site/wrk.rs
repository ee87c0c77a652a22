//! wrk as a client: as many HTTP requests as go over connections that stay open.

use std::{fs, net::IpAddr};

use super::{network::Network, shell::quiet};

const CONNECTIONS: u32 = 64;
/// What a run may take beyond its time, in seconds.
const GRACE: u32 = 15;

/// What wrk said of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requests {
    pub answered: u32,
    pub seconds: f64,
    /// Connections and answers that failed, by whatever reason.
    pub failed: u64,
}

/// Asks port 80 of each target from a thread of its own, for so many seconds, with 64 connections in all.
pub fn wrk(network: &Network, host: &str, targets: &[IpAddr], seconds: u32) -> Requests {
    let script = network.names.directory().join("wrk.lua");
    fs::write(&script, spread(targets)).expect("wrk's script");
    let url =
        if targets[0].is_ipv4() { format!("http://{}/", targets[0]) } else { format!("http://[{}]/", targets[0]) };
    let mut wrk = network.inside(host, "timeout");
    wrk.args(["--signal=KILL", &(seconds + GRACE).to_string(), "wrk"]);
    wrk.arg(format!("-t{}", targets.len())).arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
    wrk.arg("-s").arg(script).arg(url);
    read(&quiet(&mut wrk))
}

/// A thread for each target.
fn spread(targets: &[IpAddr]) -> String {
    let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    let setup =
        "function setup(thread)\n  index = index + 1\n  thread.addr = wrk.lookup(targets[index], \"80\")[1]\nend\n";
    format!("local targets, index = {{ {} }}, 0\n{setup}", targets.join(", "))
}

fn read(said: &str) -> Requests {
    let mut requests = Requests::default();
    for line in said.lines().map(str::trim) {
        if let Some((answered, rest)) = line.split_once(" requests in ") {
            requests.answered = answered.parse().unwrap_or_else(|_| panic!("wrk says `{line}`"));
            requests.seconds = seconds(rest).unwrap_or_else(|| panic!("wrk says `{line}`"));
        }
        if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            let numbers = line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
            requests.failed += numbers.sum::<u64>();
        }
    }
    assert!(requests.seconds > 0.0, "wrk says `{said}`");
    requests
}

/// Of `3.05s, 12.34MB read`.
fn seconds(text: &str) -> Option<f64> {
    let (time, _) = text.split_once(',')?;
    time.strip_suffix('s')?.parse().ok()
}
