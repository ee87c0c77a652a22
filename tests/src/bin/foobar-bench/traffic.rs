//! The same rules in foobar and in nftables, in traffic: datagrams that match none of them, from one namespace into
//! another over a veth pair.
//!
//! The sender and all that the kernel does with its datagrams share one CPU, so that the time between two of them is what
//! one costs. Nothing, nftables and foobar take turns.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::UdpSocket,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use foobar_common::Outcome;
use foobar_userspace::netns;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::ours::Ours;

const RULES: usize = 1_000;
const ROUNDS: usize = 5;
const RUN: Duration = Duration::from_secs(1);
/// Before a run counts: caches, and the kernel's change of the path.
const WARM_UP: Duration = Duration::from_millis(200);
const BATCH: u32 = 32;
const SENDER: &str = "10.99.1.1";
const RECEIVER: &str = "10.99.1.2";
const PORT: u16 = 9;
/// The receiver's end.
const INTERFACE: &str = "in0";
const TABLE: &str = "inet foobar_bench";

const WAYS: [&str; 3] = ["nothing", "nftables", "foobar"];

/// Prints what a datagram costs with nothing, with nftables and with foobar on its way.
pub fn compare() -> Result<()> {
    let pair = Pair::build()?;
    let rules = rules();
    let mut foobar = Ours::with("traffic", None, &as_foobar(&rules)).context("loading foobar")?;
    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        costs[0].push(pair.cost()?);
        pair.nft(&as_nftables(&rules))?;
        costs[1].push(pair.cost()?);
        pair.nft(&format!("delete table {TABLE}\n"))?;
        let before = foobar.counted(Outcome::DefaultPass)?;
        pair.within(|| foobar.attach(INTERFACE))?;
        costs[2].push(pair.cost()?);
        pair.within(|| foobar.detach(INTERFACE))?;
        ensure!(foobar.counted(Outcome::DefaultPass)? > before, "foobar saw no datagram");
    }
    print(costs.map(median));
    Ok(())
}

fn print(costs: [f64; 3]) {
    println!("{RULES} rules of a source /24 and a port; datagrams that match none; median of {ROUNDS} runs\n");
    println!("{:<10} {:>12} {:>12} {:>14}", "", "ns a packet", "added ns", "packets/s");
    for (way, cost) in WAYS.iter().zip(costs) {
        println!("{way:<10} {cost:>12.0} {:>12.0} {:>14.0}", cost - costs[0], 1e9 / cost);
    }
    let [nothing, nftables, foobar] = costs;
    println!("\npackets/s, foobar over nftables: {:.1}", nftables / foobar);
    println!("added by nftables over added by foobar: {:.0}", (nftables - nothing) / (foobar - nothing));
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

/// Random sources and ports, none of them the traffic's.
fn rules() -> BTreeSet<(String, u16)> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut rules = BTreeSet::new();
    while rules.len() < RULES {
        let prefix = format!("{}.{}.{}.0/24", random.u8(11..198), random.u8(..), random.u8(..));
        rules.insert((prefix, random.u16(1..)));
    }
    rules
}

fn as_foobar(rules: &BTreeSet<(String, u16)>) -> String {
    let lines: Vec<_> = rules.iter().map(|(prefix, port)| format!("deny udp/{port} from {prefix}")).collect();
    format!("[firewall]\ndefault = \"pass\"\nrules = {lines:?}\n")
}

fn as_nftables(rules: &BTreeSet<(String, u16)>) -> String {
    let lines = rules.iter().map(|(prefix, port)| format!("ip saddr {prefix} udp dport {port} drop\n"));
    let hook = "type filter hook input priority 0; policy accept;";
    format!("table {TABLE} {{\nchain input {{\n{hook}\n{}}}\n}}\n", lines.collect::<String>())
}

/// Two namespaces and the pair between them, gone when this is dropped.
struct Pair {
    names: Names,
    /// Takes what arrives, and is never read.
    _receiver: UdpSocket,
}

impl Pair {
    fn build() -> Result<Self> {
        let names = ["out", "in"].map(|end| format!("foobar-bench-{}-{end}", std::process::id()));
        let names = Names(names);
        let [out, into] = &names.0;
        for name in &names.0 {
            run(Command::new("ip").args(["netns", "add", name]))?;
        }
        let link = format!("link add out0 netns {out} type veth peer name {INTERFACE} netns {into}");
        run(Command::new("ip").args(link.split(' ')))?;
        for (name, end, address) in [(out, "out0", SENDER), (into, INTERFACE, RECEIVER)] {
            run(Command::new("ip").args(["-n", name, "address", "add", &format!("{address}/24"), "dev", end]))?;
            run(Command::new("ip").args(["-n", name, "link", "set", end, "up"]))?;
        }
        let receiver = netns::within(into, || UdpSocket::bind((RECEIVER, PORT)));
        let receiver =
            receiver.map_err(|refusal| anyhow::anyhow!("{refusal}"))?.context("a socket for what arrives")?;
        Ok(Self { names, _receiver: receiver })
    }

    fn within(&self, work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
        netns::within(&self.names.0[1], work).map_err(|refusal| anyhow::anyhow!("{refusal}"))?
    }

    fn nft(&self, text: &str) -> Result<()> {
        self.within(|| {
            let mut nft = Command::new("nft");
            nft.args(["-f", "-"]).stdin(Stdio::piped());
            let mut nft = nft.spawn().context("cannot run nft: `cargo xtask bench` installs it")?;
            nft.stdin.take().context("nft's input")?.write_all(text.as_bytes())?;
            ensure!(nft.wait()?.success(), "nft refused the rules");
            Ok(())
        })
    }

    /// Nanoseconds between two datagrams that are sent as fast as they go.
    fn cost(&self) -> Result<f64> {
        let sent = netns::within(&self.names.0[0], || -> Result<f64> {
            let mut cpus = CpuSet::new();
            cpus.set(0);
            sched_setaffinity(None, &cpus).context("staying on one CPU")?;
            let socket = UdpSocket::bind((SENDER, 0))?;
            socket.connect((RECEIVER, PORT))?;
            send_for(&socket, WARM_UP)?;
            let arrived = self.arrived()?;
            let start = Instant::now();
            let sent = send_for(&socket, RUN)?;
            let took = start.elapsed();
            thread::sleep(WARM_UP);
            let arrived = self.arrived()? - arrived;
            ensure!(arrived * 100 >= u64::from(sent) * 99, "of {sent} datagrams {arrived} arrived");
            Ok(took.as_secs_f64() * 1e9 / f64::from(sent))
        });
        sent.map_err(|refusal| anyhow::anyhow!("{refusal}"))?
    }

    /// Datagrams that came to the socket, with those that it had no room for.
    fn arrived(&self) -> Result<u64> {
        let text = netns::within(&self.names.0[1], || fs::read_to_string("/proc/thread-self/net/snmp"));
        let text = text.map_err(|refusal| anyhow::anyhow!("{refusal}"))??;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: ")).map(|line| line.split(' '));
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else { bail!("the kernel counts no datagrams") };
        let counted = names.zip(values).filter(|(name, _)| ["InDatagrams", "RcvbufErrors", "MemErrors"].contains(name));
        // What nobody reads is not among InDatagrams.
        Ok(counted.filter_map(|(_, value)| value.parse::<u64>().ok()).sum())
    }
}

fn send_for(socket: &UdpSocket, time: Duration) -> Result<u32> {
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        for _ in 0..BATCH {
            socket.send(&[0; 64])?;
        }
        sent += BATCH;
    }
    Ok(sent)
}

/// Names of namespaces that go when this is dropped.
struct Names([String; 2]);

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
