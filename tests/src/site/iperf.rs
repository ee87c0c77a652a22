//! iperf3: bytes over one connection as fast as they go, beside a second one on the same port by which both ends agree.

use std::{fs, net::IpAddr, process::Stdio};

use serde_json::Value;

use super::{
    PATIENCE,
    daemon::said,
    network::Network,
    shell::{Beside, Said, wait_until},
};

/// What a run may take beyond its time, in seconds.
const GRACE: u32 = 15;

/// Which way the bytes go, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flows {
    Up,
    Down,
}

/// A server of iperf3, until it is dropped.
#[derive(Debug)]
pub struct Iperf {
    _process: Beside,
}

impl Iperf {
    pub const PORT: u16 = 5201;

    /// Listens on every address of a host, and returns once it does.
    pub fn serve(network: &Network, host: &str) -> Self {
        let mut iperf = network.inside(host, "iperf3");
        iperf.arg("--server").stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Beside::start(&mut iperf);
        wait_until("iperf3 to listen", PATIENCE, || {
            assert!(!process.has_ended(), "`iperf3 --server` ended on {host}");
            network.within(host, listens)
        });
        Self { _process: process }
    }

    /// Bits a second that arrived within so many seconds.
    pub fn measure(network: &Network, host: &str, to: IpAddr, flows: Flows, seconds: u32) -> f64 {
        let (to, time, limit) = (to.to_string(), seconds.to_string(), (seconds + GRACE).to_string());
        let mut rate = None;
        // A server is not done with a run at once when its client is.
        wait_until("iperf3's server to be free", PATIENCE, || {
            let mut iperf = network.inside(host, "timeout");
            iperf.args(["--signal=KILL", &limit, "iperf3", "--json", "--connect-timeout", "5000"]);
            iperf.args(["--client", &to, "--time", &time]);
            if flows == Flows::Down {
                iperf.arg("--reverse");
            }
            rate = received(&said(&mut iperf));
            rate.is_some()
        });
        rate.expect("what was waited for")
    }
}

/// Absent where the server was busy.
fn received(ended: &Said) -> Option<f64> {
    let found: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let error = found["error"].as_str().unwrap_or_default();
    if error.contains("server is busy") {
        return None;
    }
    assert_eq!((ended.code, error), (Some(0), ""), "`{}`", ended.line);
    let rate = found["end"]["sum_received"]["bits_per_second"].as_f64();
    Some(rate.unwrap_or_else(|| panic!("`{}` says {found}", ended.line)))
}

/// Asked of the kernel: whoever connects is taken for a client, and keeps others out until it is seen to be none.
fn listens() -> bool {
    let sockets = fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
    let port = format!(":{:04X}", Iperf::PORT);
    sockets.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(1).is_some_and(|local| local.ends_with(&port)) && words.get(3) == Some(&"0A")
    })
}
