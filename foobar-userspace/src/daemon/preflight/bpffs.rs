//! Whether pins made in a directory would last: it must be on a bpffs that the first process also sees.
//!
//! `ip netns exec` mounts a fresh `/sys`; a bpffs mounted in there goes away, pins and attached links included, with the
//! last process inside. Every mount of a bpffs or a sysfs of its own has a device number of its own, so those tell.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{StatFs, statfs};

use crate::api::types::Refusal;

/// From the kernel's `magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// Checks the nearest directory that exists.
pub fn check(pin_dir: &Path) -> Result<(), Refusal> {
    let there = existing(pin_dir);
    let broken = |error: std::io::Error| Refusal::broken(format!("cannot look at {}: {error}", there.display()));
    let found = statfs(&there).map_err(|error| broken(error.into()))?;
    let pins = fs::metadata(&there).map_err(broken)?.dev();
    let sys = fs::metadata("/sys").map_err(broken)?.dev();
    // Without the first process's mounts there is nothing to compare with.
    let mounts = fs::read_to_string("/proc/1/mountinfo").unwrap_or_default();
    judge(pin_dir, magic(&found) == BPF_FS_MAGIC, is_private(&mounts, pins), is_private(&mounts, sys))
}

fn judge(pin_dir: &Path, is_bpffs: bool, is_private: bool, is_private_sys: bool) -> Result<(), Refusal> {
    let pin_dir = pin_dir.display();
    let hint = "leave `ip netns exec` and use `foobar run --netns NAME`, which enters the network namespace only";
    match (is_bpffs, is_private, is_private_sys) {
        (true, false, _) => Ok(()),
        (true, true, _) => Err(Refusal::refused(format!(
            "the bpffs of {pin_dir} belongs to this process's mounts alone: the program would vanish with it"
        ))
        .hint(hint)),
        (false, _, true) => Err(Refusal::refused(format!(
            "{pin_dir} is not on a bpffs: /sys is private here, as `ip netns exec` makes it"
        ))
        .hint(hint)),
        (false, _, false) => {
            Err(Refusal::refused(format!("{pin_dir} is not on a bpffs")).hint("mount -t bpf bpf /sys/fs/bpf"))
        }
    }
}

fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

#[expect(clippy::cast_sign_loss, reason = "the kernel's type is signed on some machines; the number is not")]
fn magic(found: &StatFs) -> u64 {
    u64::from(found.f_type as u32)
}

/// Whether none of the first process's mounts has this device. Lines are `36 35 0:31 / /sys/fs/bpf rw … - bpf bpf rw`.
fn is_private(mounts: &str, device: u64) -> bool {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    !mounts.is_empty() && mounts.lines().all(|line| line.split_whitespace().nth(2) != Some(&device))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 60 0:21 / /sys rw,relatime - sysfs sysfs rw\n30 22 0:27 / /sys/fs/bpf rw - bpf bpf rw\n";

    fn said(is_bpffs: bool, is_private: bool, is_private_sys: bool) -> String {
        let refusal = judge(Path::new("/sys/fs/bpf/foobar"), is_bpffs, is_private, is_private_sys).unwrap_err();
        refusal.hint.expect("there is a next step")
    }

    #[test]
    fn a_device_that_the_first_process_mounts_is_not_private() {
        assert!(!is_private(MOUNTS, rustix::fs::makedev(0, 27)));
        assert!(is_private(MOUNTS, rustix::fs::makedev(0, 2)));
        assert!(!is_private("", rustix::fs::makedev(0, 2)), "unknown mounts prove nothing");
    }

    #[test]
    fn inside_ip_netns_exec_the_way_out_is_named() {
        assert!(said(false, false, true).contains("--netns"));
        assert!(said(true, true, true).contains("--netns"));
    }

    #[test]
    fn elsewhere_a_bpffs_is_missing() {
        assert!(said(false, false, false).contains("mount -t bpf"));
        judge(Path::new("/sys/fs/bpf/foobar"), true, false, false).unwrap();
    }

    #[test]
    fn the_nearest_directory_that_exists_counts() {
        assert_eq!(existing(Path::new("/proc/no/such/place")), Path::new("/proc"));
    }
}
