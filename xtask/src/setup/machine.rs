//! What the machine itself has to offer: Linux, root, kernel types, a BPF file system.

use std::{fs, iter, path::Path, process};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

use super::{Progress, as_root_hint, is_root};
use crate::failure::hinted;

const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const BPFFS_MAGIC: i64 = 0xcafe_4a11;

pub fn linux() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|_| {
        hinted("foobar is a Linux program and this is not Linux", "use a Linux machine, kernel 6.1 or later")
    })?;
    Ok(release.trim().to_owned())
}

pub fn root() -> Result<String> {
    if is_root() {
        Ok("yes".to_owned())
    } else {
        Err(hinted("loading programs into the kernel needs root", as_root_hint()))
    }
}

pub fn btf() -> Result<String> {
    let file = "/sys/kernel/btf/vmlinux";
    if Path::new(file).exists() {
        return Ok(file.to_owned());
    }
    Err(hinted(
        format!("the kernel does not describe its types: {file} is missing"),
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are",
    ))
}

/// Pins live here: mounted for everyone, and writable.
pub fn bpffs(progress: &mut Progress) -> Result<String> {
    if !is_bpffs()? {
        if is_private() {
            return Err(hinted(
                format!("{BPFFS} is not a BPF file system, and one mounted from here would vanish with this shell"),
                "leave `ip netns exec` or `unshare --mount` and run the task in the host's mount namespace",
            ));
        }
        progress.installing("a mount");
        mount("bpf", BPFFS, "bpf", MountFlags::empty(), None).map_err(|errno| {
            hinted(
                format!("cannot mount a BPF file system at {BPFFS}: {errno}"),
                "is this a container? Start it with --privileged, or with /sys/fs/bpf of the host",
            )
        })?;
    }
    let probe = Path::new(BPFFS).join(format!("foobar-setup-{}", process::id()));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).map_err(|error| {
        hinted(format!("{BPFFS} cannot be written: {error}"), format!("remount it: mount -o remount,rw {BPFFS}"))
    })?;
    Ok(BPFFS.to_owned())
}

fn is_bpffs() -> Result<bool> {
    let stat = rustix::fs::statfs(BPFFS).with_context(|| format!("looking at {BPFFS}"))?;
    Ok(stat.f_type == BPFFS_MAGIC)
}

/// Whether this process has mounts that an ancestor does not see. Ancestors that may not be looked at count as seeing them.
fn is_private() -> bool {
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let ours = mounts("self");
    let mut ancestors = iter::successors(parent("self"), |pid| parent(pid));
    ancestors.any(|pid| mounts(&pid).is_some_and(|theirs| Some(theirs) != ours))
}

fn parent(pid: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    (parent != "0").then(|| parent.to_owned())
}
