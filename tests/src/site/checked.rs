//! What passes an interface, in whole frames: tshark computes every checksum of every header in them.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::{
    PATIENCE,
    network::Network,
    shell::{Beside, quiet, wait_until},
};

/// For what the kernel still holds of the last packets.
const LAST_PACKETS: Duration = Duration::from_millis(300);
/// Frames of one capture: the first ones, path MTU discovery among them.
const FRAMES: &str = "20000";
const PROTOCOLS: [&str; 5] = ["ip", "tcp", "udp", "icmp", "icmpv6"];

/// A capture that goes on until it has enough.
#[derive(Debug)]
pub struct Checked {
    process: Beside,
    file: PathBuf,
}

impl Checked {
    /// Begins, and returns once tcpdump listens.
    pub fn begin(network: &Network, host: &str, interface: &str) -> Self {
        let file = |name: &str| network.names.directory().join(format!("{host}-{interface}.{name}"));
        let (file, log) = (file("pcap"), file("tcpdump"));
        let mut tcpdump = network.inside(host, "tcpdump");
        tcpdump.args(["-i", interface, "-U", "--immediate-mode", "-B", "16384", "-Z", "root", "-c", FRAMES, "-w"]);
        tcpdump.arg(&file).stdout(Stdio::null()).stderr(File::create(&log).expect("tcpdump's log"));
        let mut process = Beside::start(&mut tcpdump);
        wait_until("tcpdump to listen", PATIENCE, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(!process.has_ended(), "tcpdump ended: {log}");
            log.contains("listening on")
        });
        Self { process, file }
    }

    /// Ends, and returns how many frames a filter of tshark finds; panics where one has a wrong checksum.
    pub fn end(self, filters: &[&str]) -> Vec<usize> {
        thread::sleep(LAST_PACKETS);
        self.process.end(Signal::INT, PATIENCE);
        let find = |filter: &str| {
            let mut tshark = Command::new("tshark");
            tshark.arg("-r").arg(&self.file).args(["-Y", filter]);
            let checks = PROTOCOLS.iter().filter(|protocol| **protocol != "icmp" && **protocol != "icmpv6");
            tshark.args(checks.flat_map(|protocol| ["-o".to_owned(), format!("{protocol}.check_checksum:TRUE")]));
            quiet(&mut tshark)
        };
        // Linux writes 0xffff where the sum is zero, for TCP too (`skb_checksum_help`): in ones' complement they are one
        // number, and tshark takes it for a wrong one.
        let wrong = |protocol| format!("({protocol}.checksum.status == 0 && {protocol}.checksum != 0xffff)");
        let bad = PROTOCOLS.map(wrong).join(" || ");
        assert_eq!(find(&bad), "", "frames with a wrong checksum");
        filters.iter().map(|filter| find(filter).lines().count()).collect()
    }
}
