//! The machine that a kernel boots: an archive with the tests, the programs that they call, their libraries, and the
//! kernel's modules. Its first process is `init.sh`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{build::Tests, find::Kernel};
use crate::shell;

/// What the tests call. All else is busybox.
const PROGRAMS: [&str; 8] = ["ip", "ethtool", "nsenter", "setpriv", "timeout", "ping", "bpftool", "tc"];
/// Modules of the cloud kernels that the tests' networks need.
const MODULES: [&str; 7] = ["veth", "bridge", "sch_ingress", "cls_bpf", "inet_diag", "tcp_diag", "udp_diag"];
/// Random frames that one kernel is asked about.
pub const FRAMES: &str = "10000";
const INIT: &str = include_str!("init.sh");

/// Writes the archive, and returns its file.
pub fn build(kernel: &Kernel, tests: &Tests, directory: &Path) -> Result<PathBuf> {
    let tree = directory.join("tree");
    let _ = fs::remove_dir_all(&tree);
    for part in ["bin", "sbin", "tests", "modules", "proc", "sys", "dev", "tmp", "run"] {
        fs::create_dir_all(tree.join(part)).with_context(|| format!("making {}", tree.display()))?;
    }
    put_base(&tree, tests)?;
    for (name, file) in &tests.0 {
        let to = tree.join("tests").join(name);
        shell::quiet(shell::program("strip", ["-o"]).arg(&to).arg(file))?;
        put_libraries(&tree, file)?;
    }
    put_modules(kernel, &tree)?;
    let archive = directory.join("initramfs");
    pack(&tree, &archive)?;
    fs::remove_dir_all(&tree)?;
    Ok(archive)
}

fn put_base(tree: &Path, tests: &Tests) -> Result<()> {
    let init = tree.join("init");
    let suites: Vec<_> = tests.suites().map(|(name, _)| name.as_str()).collect();
    fs::write(&init, INIT.replace("@SUITES@", &suites.join(" ")).replace("@FRAMES@", FRAMES))?;
    shell::quiet(shell::program("chmod", ["755"]).arg(&init))?;
    let busybox = shell::on_path("busybox").context("busybox is not on PATH")?;
    fs::copy(busybox, tree.join("bin/busybox"))?;
    for name in PROGRAMS {
        let file = shell::on_path(name).with_context(|| format!("{name} is not on PATH"))?;
        fs::copy(&file, tree.join("sbin").join(name))?;
        put_libraries(tree, &file)?;
    }
    Ok(())
}

/// Copies what the dynamic linker would load for a program to where it looks for it.
fn put_libraries(tree: &Path, program: &Path) -> Result<()> {
    let Ok(listed) = shell::quiet(&mut shell::program("ldd", [program])) else { return Ok(()) };
    for library in libraries(&listed) {
        let to = tree.join(library.trim_start_matches('/'));
        if !to.exists() {
            fs::create_dir_all(to.parent().context("a library lies somewhere")?)?;
            fs::copy(library, &to).with_context(|| format!("copying {library}"))?;
        }
    }
    Ok(())
}

/// The paths in ldd's lines: `libc.so.6 => /lib/…/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn libraries(listed: &str) -> impl Iterator<Item = &str> {
    listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

/// Numbers them in the order in which they have to be loaded.
fn put_modules(kernel: &Kernel, tree: &Path) -> Result<()> {
    let listed = fs::read_to_string(kernel.modules.join("modules.dep")).context("reading modules.dep")?;
    let builtin = fs::read_to_string(kernel.modules.join("modules.builtin")).unwrap_or_default();
    let wanted: Vec<_> = MODULES.into_iter().filter(|name| !has(&builtin, name)).collect();
    for (number, file) in in_order(&listed, &wanted)?.iter().enumerate() {
        let from = kernel.modules.join(file);
        let to = tree.join(format!("modules/{number:02}.ko"));
        match from.extension().and_then(|kind| kind.to_str()) {
            Some("xz") => unpack("xz", &from, &to)?,
            Some("zst") => unpack("zstd", &from, &to)?,
            _ => drop(fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?),
        }
    }
    Ok(())
}

fn unpack(program: &str, from: &Path, to: &Path) -> Result<()> {
    let mut command = shell::program(program, ["-dc"]);
    let status = command.arg(from).stdout(File::create(to)?).status().with_context(|| format!("running {program}"))?;
    if !status.success() {
        bail!("`{}` failed", shell::shown(&command));
    }
    Ok(())
}

/// The module's name stands between a slash and `.ko`.
fn has(listed: &str, name: &str) -> bool {
    listed.lines().any(|line| is_module(line.split(':').next().unwrap_or(line), name))
}

fn is_module(file: &str, name: &str) -> bool {
    let file = file.rsplit('/').next().unwrap_or(file);
    file.split_once(".ko").is_some_and(|(stem, _)| stem.replace('-', "_") == name)
}

/// Files of the modules, each after what it needs: `FILE: NEEDS…`, the nearest need first.
fn in_order(listed: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let line = listed.lines().find(|line| has(line, name));
        let line = line.with_context(|| format!("the kernel has no module {name}"))?;
        let (file, needs) = line.split_once(':').context("a line of modules.dep has a colon")?;
        for file in needs.split_whitespace().rev().chain([file]) {
            if !order.iter().any(|known| known == file) {
                order.push(file.to_owned());
            }
        }
    }
    Ok(order)
}

fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let found = shell::quiet(shell::program("find", ["."]).current_dir(tree))?;
    let mut cpio = shell::program("cpio", ["-o", "-H", "newc", "--quiet", "-O"]);
    shell::fed(cpio.arg(archive).current_dir(tree), &found).map(drop)
}

/// The bytes that a file has, for the guest's memory.
pub fn size(file: &Path) -> io::Result<u64> {
    Ok(fs::metadata(file)?.len())
}

#[cfg(test)]
mod tests {
    use super::{has, in_order, libraries};

    #[test]
    fn modules_come_after_what_they_need() {
        let listed = "kernel/net/llc/llc.ko:\nkernel/net/802/stp.ko.xz: kernel/net/llc/llc.ko\n\
                      kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko.xz kernel/net/llc/llc.ko\n";

        let order = in_order(listed, &["stp", "bridge"]).unwrap();

        assert_eq!(order, ["kernel/net/llc/llc.ko", "kernel/net/802/stp.ko.xz", "kernel/net/bridge/bridge.ko"]);
        assert!(in_order(listed, &["veth"]).is_err());
        assert!(has("kernel/net/sched/cls-bpf.ko\n", "cls_bpf"));
    }

    #[test]
    fn libraries_are_the_paths_that_ldd_names() {
        let listed = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";

        assert_eq!(libraries(listed).collect::<Vec<_>>(), ["/lib/libc.so.6", "/lib64/ld.so.2"]);
    }
}
