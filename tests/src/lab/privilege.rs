//! What the machine must offer, asked before anything is loaded.

use rustix::fs::statfs;

const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// Panics with a sentence and a hint where frames cannot be run.
pub fn demand() {
    let hint =
        "hint: run `cargo xtask test` as root, or `cargo xtask test --host-only` for the tests that need no kernel";
    assert!(
        rustix::process::geteuid().is_root(),
        "this test runs frames through the loaded program, which needs root\n{hint}"
    );
    let is_bpffs = statfs(BPFFS).is_ok_and(|info| info.f_type.cast_unsigned() & 0xffff_ffff == BPFFS_MAGIC);
    assert!(
        is_bpffs,
        "this test pins the program's tables, and no bpffs is mounted at {BPFFS}\nhint: `mount -t bpf bpf {BPFFS}`"
    );
}
