//! The demo's machines: network namespaces on one bridge, and everything that has to be removed afterwards.
//!
//! Names carry the demo's process id. Dropping the lab leaves nothing behind, unless it was told to stay.

use std::{
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use super::process;
use crate::shell::{fed, program, quiet};

pub const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// A second address of the client, which the configuration denies.
pub const INTRUDER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 66);
pub const BACKENDS: [(&str, Ipv4Addr); 4] = [
    ("b1", Ipv4Addr::new(10, 77, 0, 11)),
    ("b2", Ipv4Addr::new(10, 77, 0, 12)),
    ("b3", Ipv4Addr::new(10, 77, 0, 13)),
    ("b4", Ipv4Addr::new(10, 77, 0, 14)),
];

/// What a demo's things are called.
pub struct Names {
    tag: String,
}

impl Names {
    pub fn of(pid: u32) -> Self {
        Self { tag: pid.to_string() }
    }

    pub fn namespace(&self, host: &str) -> String {
        format!("fb{}-{host}", self.tag)
    }

    pub fn directory(&self) -> PathBuf {
        env::temp_dir().join(format!("foobar-demo-{}", self.tag))
    }

    /// Where foobar pins, in a directory of the demo's own.
    pub fn pins(&self) -> PathBuf {
        self.pin_parent().join("pins")
    }

    fn pin_parent(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(format!("foobar-{}", self.tag))
    }

    fn namespaces(&self) -> Vec<String> {
        let hosts = ["client", "lb"].into_iter().chain(BACKENDS.map(|(name, _)| name)).chain(["sw"]);
        hosts.map(|host| self.namespace(host)).collect()
    }

    /// Removes every trace of the demo, as far as it exists.
    pub fn remove(&self) {
        let namespaces = self.namespaces();
        process::kill_left_behind(&namespaces, &self.directory());
        let _ = fs::remove_dir_all(self.pin_parent());
        for name in namespaces.iter().filter(|name| Path::new("/run/netns").join(name).exists()) {
            let _ = quiet(&mut program("ip", ["netns", "delete", name]));
        }
        let _ = fs::remove_dir_all(self.directory());
    }
}

/// The namespaces with what runs in them.
pub struct Lab {
    pub names: Names,
    children: Vec<Child>,
    stays: bool,
}

impl Lab {
    /// The client, the balancer and four backends as ports of one bridge.
    pub fn build() -> Result<Self> {
        let lab = Self { names: Names::of(id()), children: Vec::new(), stays: false };
        fs::create_dir(lab.names.directory()).context("making the demo's directory")?;
        fs::create_dir(lab.names.pin_parent()).context("making a directory for pins")?;
        for name in lab.names.namespaces() {
            quiet(&mut program("ip", ["netns", "add", &name]))?;
            Self::sysctl(&name, &["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])?;
        }
        lab.ip("sw", "link add br0 type bridge stp_state 0 forward_delay 0\nlink set br0 up\n")?;
        lab.plug("client", CLIENT)?;
        lab.ip("client", &format!("address add {INTRUDER}/24 dev eth0\n"))?;
        Self::sysctl(&lab.names.namespace("client"), &["net.ipv4.ip_local_port_range=1024 65535"])?;
        lab.plug("lb", BALANCER)?;
        lab.ip("lb", &format!("address add {SERVICE}/32 dev eth0\n"))?;
        for (name, address) in BACKENDS {
            lab.plug(name, address)?;
            // It answers for the service address, but never says so: that is the balancer's.
            let quiet_arp = ["net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"];
            Self::sysctl(&lab.names.namespace(name), &quiet_arp)?;
            lab.ip(name, &format!("address add {SERVICE}/32 dev lo\n"))?;
        }
        Ok(lab)
    }

    /// A command that runs in a host's network namespace and sees this machine's files.
    pub fn inside(&self, host: &str) -> Command {
        program("nsenter", [format!("--net=/run/netns/{}", self.names.namespace(host))])
    }

    /// This very program as a responder on a host.
    pub fn respond(&mut self, host: &str, port: u16, stays: bool) -> Result<()> {
        let mut command = self.inside(host);
        command.arg(env::current_exe()?).args(["__respond", "--name", host, "--listen", &format!("0.0.0.0:{port}")]);
        if stays {
            // Whoever reads the demo's output shall see its end.
            command.arg("--stay").stderr(Stdio::null());
        }
        self.children.push(process::start_ready(&mut command)?);
        Ok(())
    }

    /// Leaves everything standing when this is dropped.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// A veth pair between a host's `eth0` and the bridge port that carries the host's name.
    fn plug(&self, host: &str, address: Ipv4Addr) -> Result<()> {
        let namespace = self.names.namespace(host);
        let port =
            format!("link add {host} type veth peer name eth0 netns {namespace}\nlink set {host} master br0 up\n");
        self.ip("sw", &port)?;
        self.ip(host, &format!("link set lo up\nlink set eth0 up\naddress add {address}/24 dev eth0\n"))?;
        // Else a rewritten frame leaves with the partial checksum of a locally made one.
        quiet(self.inside(host).args(["ethtool", "-K", "eth0", "tx", "off"])).map(drop)
    }

    fn ip(&self, host: &str, lines: &str) -> Result<()> {
        fed(&mut program("ip", ["-n", &self.names.namespace(host), "-batch", "-"]), lines).map(drop)
    }

    fn sysctl(namespace: &str, settings: &[&str]) -> Result<()> {
        let enter = format!("--net=/run/netns/{namespace}");
        quiet(program("nsenter", [enter.as_str(), "sysctl", "-qw"]).args(settings)).map(drop)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        for child in &mut self.children {
            process::kill(child);
        }
        self.names.remove();
    }
}

/// Removes what earlier demos left whose process is gone, and returns how many there were.
pub fn remove_left_behind() -> Result<usize> {
    let mut removed = 0;
    for pid in left_behind()? {
        Names::of(pid).remove();
        removed += 1;
    }
    // The kernel takes virtual links apart on its own time.
    thread::sleep(Duration::from_millis(50));
    Ok(removed)
}

fn left_behind() -> Result<Vec<u32>> {
    let directories = fs::read_dir(env::temp_dir())?.flatten().map(|entry| entry.file_name());
    let pids = directories.filter_map(|name| name.to_string_lossy().strip_prefix("foobar-demo-")?.parse().ok());
    Ok(pids.filter(|pid| !is_running_demo(*pid)).collect())
}

/// A process that ended without anyone asking how still has a name, but no command line.
fn is_running_demo(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.split('\0').any(|word| word == "demo"))
}
