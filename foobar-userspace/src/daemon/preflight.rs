//! What must be true before anything is loaded, each failure as a sentence and a next step.

mod bpffs;

use std::path::Path;

use rustix::{
    system::uname,
    thread::{CapabilitySet, MembarrierCommand, MembarrierQuery, capabilities, membarrier_query},
};

use crate::{api::types::Refusal, netns};

/// The oldest kernel on which everything foobar loads is known to work.
const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// Checks capabilities, kernel, type information, the wait for packets, the namespace to enter and the place for pins, in
/// that order.
pub fn check(netns: Option<&str>, pin_dir: &Path) -> Result<(), Refusal> {
    let held = capabilities(None).map_err(|error| Refusal::broken(format!("cannot read the capabilities: {error}")))?;
    lacking(held.effective, netns.is_some())?;
    kernel(&uname().release().to_string_lossy())?;
    type_information(Path::new("/sys/kernel/btf/vmlinux"))?;
    grace(membarrier_query())?;
    netns.map_or(Ok(()), |name| netns::open(name).map(drop))?;
    pins(pin_dir)
}

/// Checks that pins made in a directory would last.
pub fn pins(pin_dir: &Path) -> Result<(), Refusal> {
    bpffs::check(pin_dir)
}

fn lacking(held: CapabilitySet, enters: bool) -> Result<(), Refusal> {
    let needed = [
        (CapabilitySet::BPF, "CAP_BPF", true),
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN", true),
        (CapabilitySet::PERFMON, "CAP_PERFMON", true),
        (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN", enters),
    ];
    let implied = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let held = if held.contains(CapabilitySet::SYS_ADMIN) { held | implied } else { held };
    let missing: Vec<_> =
        needed.iter().filter(|(bit, _, wanted)| *wanted && !held.contains(*bit)).map(|(_, name, _)| *name).collect();
    match missing.as_slice() {
        [] => Ok(()),
        [name] => Err(Refusal::refused(format!("the capability {name} is missing"))),
        [names @ .., last] => {
            Err(Refusal::refused(format!("the capabilities {} and {last} are missing", names.join(", "))))
        }
    }
    .map_err(|refusal| refusal.hint("run it as root, or give its unit these as AmbientCapabilities="))
}

fn kernel(release: &str) -> Result<(), Refusal> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST_KERNEL {
        return Ok(());
    }
    let (major, minor) = OLDEST_KERNEL;
    Err(Refusal::refused(format!("this kernel is {release}: foobar needs Linux {major}.{minor} or newer"))
        .hint("boot a newer kernel"))
}

fn type_information(btf: &Path) -> Result<(), Refusal> {
    if btf.exists() {
        return Ok(());
    }
    Err(Refusal::refused(format!("this kernel has no type information: there is no {}", btf.display()))
        .hint("boot a kernel that is built with CONFIG_DEBUG_INFO_BTF=y"))
}

/// Tables are written again once no packet can be reading them, which takes the kernel's global `membarrier`.
fn grace(known: MembarrierQuery) -> Result<(), Refusal> {
    if known.contains_command(MembarrierCommand::Global) {
        return Ok(());
    }
    Err(Refusal::refused(
        "this kernel cannot wait for packets under way: it has no global membarrier, as with nohz_full",
    )
    .hint("boot without nohz_full= on the kernel's command line, with CONFIG_MEMBARRIER=y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_capability_is_named() {
        let refusal = lacking(CapabilitySet::empty(), true).unwrap_err();
        assert_eq!(refusal.error, "the capabilities CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN are missing");

        let refusal = lacking(CapabilitySet::BPF | CapabilitySet::NET_ADMIN, false).unwrap_err();
        assert_eq!(refusal.error, "the capability CAP_PERFMON is missing");
    }

    #[test]
    fn cap_sys_admin_implies_what_was_split_off_it() {
        lacking(CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN, true).unwrap();
        lacking(CapabilitySet::BPF | CapabilitySet::NET_ADMIN | CapabilitySet::PERFMON, false).unwrap();
    }

    #[test]
    fn kernels_are_compared_by_number() {
        for new in ["6.1.0-37-amd64", "6.18.3", "10.0"] {
            kernel(new).unwrap();
        }
        for old in ["6.0.19", "5.10.0-30-amd64", "4.19", "odd"] {
            let refusal = kernel(old).unwrap_err();
            assert!(refusal.error.contains(old), "{}", refusal.error);
        }
    }

    #[test]
    fn a_kernel_that_cannot_wait_is_named() {
        let refusal = grace(MembarrierQuery::PRIVATE_EXPEDITED).unwrap_err();
        assert!(refusal.error.contains("nohz_full"), "{}", refusal.error);
        grace(MembarrierQuery::GLOBAL).unwrap();
    }

    #[test]
    fn a_kernel_without_types_is_named() {
        type_information(Path::new("/nowhere/vmlinux")).unwrap_err();
    }
}
