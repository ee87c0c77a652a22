//! The Debian packages whose programs the tasks run.
//!
//! Installing one starts no service: the network belongs to whoever runs this.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result};

use super::{Job, Progress, as_root_hint, debian, is_root};
use crate::{failure::hinted, shell};

struct Package {
    name: &'static str,
    /// A program of it, for machines without dpkg.
    program: &'static str,
    jobs: &'static [Job],
}

const PACKAGES: [Package; 22] = [
    Package { name: "iproute2", program: "ip", jobs: &[Job::Test, Job::Bench, Job::Demo, Job::Kernels] },
    Package { name: "ethtool", program: "ethtool", jobs: &[Job::Test, Job::Bench, Job::Demo, Job::Kernels] },
    Package { name: "util-linux", program: "nsenter", jobs: &[Job::Test, Job::Bench, Job::Demo, Job::Kernels] },
    Package { name: "procps", program: "sysctl", jobs: &[Job::Test, Job::Bench, Job::Demo, Job::Kernels] },
    Package { name: "iputils-ping", program: "ping", jobs: &[Job::Test, Job::Kernels] },
    Package { name: "curl", program: "curl", jobs: &[Job::Test] },
    Package { name: "tcpdump", program: "tcpdump", jobs: &[Job::Test] },
    Package { name: "nginx-light", program: "nginx", jobs: &[Job::Test, Job::Bench] },
    Package { name: "bpftool", program: "bpftool", jobs: &[Job::Test, Job::Bench, Job::Kernels] },
    Package { name: "tshark", program: "tshark", jobs: &[Job::Test] },
    Package { name: "xdp-tools", program: "xdp-filter", jobs: &[Job::Test, Job::Bench] },
    Package { name: "dnsmasq-base", program: "dnsmasq", jobs: &[Job::Test] },
    Package { name: "wrk", program: "wrk", jobs: &[Job::Test, Job::Bench] },
    Package { name: "iperf3", program: "iperf3", jobs: &[Job::Test, Job::Bench] },
    Package { name: "haproxy", program: "haproxy", jobs: &[Job::Bench] },
    Package { name: "nftables", program: "nft", jobs: &[Job::Bench] },
    Package { name: "qemu-system-x86", program: "qemu-system-x86_64", jobs: &[Job::Kernels] },
    Package { name: "busybox-static", program: "busybox", jobs: &[Job::Test, Job::Kernels] },
    Package { name: "binutils", program: "strip", jobs: &[Job::Kernels] },
    Package { name: "xz-utils", program: "xz", jobs: &[Job::Kernels] },
    Package { name: "cpio", program: "cpio", jobs: &[Job::Kernels] },
    Package { name: "kmod", program: "depmod", jobs: &[Job::Kernels] },
];

/// The packages that the jobs need.
fn needed(jobs: &[Job]) -> impl Iterator<Item = &'static Package> {
    PACKAGES.iter().filter(move |package| package.jobs.iter().any(|job| jobs.contains(job)))
}

/// Their names.
pub fn wanted(jobs: &[Job]) -> impl Iterator<Item = &'static str> {
    needed(jobs).map(|package| package.name)
}

pub fn ensure(progress: &mut Progress, jobs: &[Job]) -> Result<String> {
    let missing = missing(jobs);
    if !missing.is_empty() {
        install(progress, &missing)?;
    }
    Ok(wanted(jobs).collect::<Vec<_>>().join(" "))
}

fn missing(jobs: &[Job]) -> Vec<&'static str> {
    if shell::on_path("dpkg-query").is_none() {
        return needed(jobs).filter(|package| shell::on_path(package.program).is_none()).map(|p| p.name).collect();
    }
    let query = ["-W", "-f=${Package} ${db:Status-Status}\n"];
    // Unknown packages make it fail, and it still lists the others.
    let listed = shell::program("dpkg-query", query.into_iter().chain(wanted(jobs))).output();
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let is_installed = |name: &str| listed.lines().any(|line| line == format!("{name} installed"));
    wanted(jobs).filter(|name| !is_installed(name)).collect()
}

fn install(progress: &mut Progress, missing: &[&str]) -> Result<()> {
    let names = missing.join(" ");
    if shell::on_path("apt-get").is_none() {
        let sentence = format!("programs of these Debian packages are missing: {names}");
        return Err(hinted(sentence, "install them with this system's package manager"));
    }
    if !is_root() {
        return Err(hinted(format!("installing {names} needs root"), as_root_hint()));
    }
    progress.installing(&names);
    let _quiet = NoServices::begin()?;
    let apt = |args: &[&str]| {
        let mut apt_get = shell::program("apt-get", args);
        apt_get.env("DEBIAN_FRONTEND", "noninteractive").args(if args[0] == "install" { missing } else { &[] });
        shell::quiet(&mut apt_get)
    };
    // A stale list of one source is no reason to stop: what matters is whether the packages install.
    let _ = apt(&["update", "-q"]);
    let install = ["install", "-y", "-q", "--no-remove", "--no-install-recommends"];
    // What is installed already may be of the release's backports, and then so must be what goes with it.
    let done = apt(&install).map(drop).or_else(|error| debian::install_from_backports(missing).map_err(|_| error));
    done.map_err(|error| {
        hinted(
            format!("apt-get could not install {names}: {error:#}"),
            format!("try `apt-get install {names}` by hand"),
        )
    })
}

/// Keeps packages from starting their services while it lives.
struct NoServices {
    made: bool,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Result<Self> {
        let made = !Path::new(Self::POLICY).exists();
        if made {
            fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("writing {}", Self::POLICY))?;
            fs::set_permissions(Self::POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { made })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}
