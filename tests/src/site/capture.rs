//! What the client really sent, as tcpdump saw it on the client's interface and tshark reads it.

use std::{
    fs::{self, File},
    net::IpAddr,
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
const FIELDS: [&str; 5] = ["tcp.srcport", "frame.len", "tcp.flags.syn", "tcp.flags.ack", "tcp.payload"];
/// `GET `, as tshark prints bytes.
const REQUEST: &str = "47455420";

/// A capture that goes on.
#[derive(Debug)]
pub struct Capture {
    process: Beside,
    file: PathBuf,
    log: PathBuf,
}

/// A segment of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub port: u16,
    /// Bytes of the frame.
    pub len: u64,
    /// A SYN without ACK.
    pub opens: bool,
    /// The start of an HTTP request.
    pub asks: bool,
}

impl Capture {
    /// Begins, and returns once tcpdump listens.
    pub fn begin(network: &Network, to: IpAddr) -> Self {
        let file = |name: &str| network.names.directory().join(format!("{to}.{name}").replace(':', "-"));
        let (file, log) = (file("pcap"), file("tcpdump"));
        let filter = format!("dst host {to} and tcp");
        let mut tcpdump = network.inside("client", "tcpdump");
        tcpdump.args(["-i", "eth0", "-Q", "out", "-U", "--immediate-mode", "-B", "16384", "-Z", "root", "-w"]);
        tcpdump.arg(&file).arg(filter).stdout(Stdio::null()).stderr(File::create(&log).expect("tcpdump's log"));
        let mut capture = Self { process: Beside::start(&mut tcpdump), file, log };
        wait_until("tcpdump to listen", PATIENCE, || {
            let log = capture.log();
            assert!(!capture.process.has_ended(), "tcpdump ended: {log}");
            log.contains("listening on")
        });
        capture
    }

    /// Ends, and returns all of it.
    pub fn end(self) -> Vec<Sent> {
        thread::sleep(LAST_PACKETS);
        let Self { process, file, log } = self;
        process.end(Signal::INT, PATIENCE);
        let log = fs::read_to_string(log).expect("tcpdump's log");
        assert!(log.contains("\n0 packets dropped by kernel"), "the capture has holes: {log}");
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(file).args(["-T", "fields", "-E", "separator=|"]);
        // Every segment as it is: nothing put together, nothing left out.
        tshark.args(["-o", "tcp.desegment_tcp_streams:FALSE", "-o", "tcp.analyze_sequence_numbers:FALSE"]);
        tshark.args(FIELDS.iter().flat_map(|field| ["-e", field]));
        quiet(&mut tshark).lines().map(read).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn read(line: &str) -> Sent {
    let words: Vec<_> = line.split('|').collect();
    let [port, len, syn, ack, payload] = words[..] else { panic!("tshark says `{line}`") };
    let is_set = |flag: &str| matches!(flag, "1" | "True");
    Sent {
        port: port.parse().unwrap_or_else(|_| panic!("a port: `{line}`")),
        len: len.parse().unwrap_or_else(|_| panic!("a length: `{line}`")),
        opens: is_set(syn) && !is_set(ack),
        asks: payload.replace(':', "").starts_with(REQUEST),
    }
}
