//! Builds the eBPF program and puts it where the library embeds it.
//!
//! Where the BPF toolchain is missing, an empty object is embedded, so that host tests and lints still work; loading it
//! then says what to install.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    println!("cargo:rerun-if-changed=../foobar-common/src");
    println!("cargo:rerun-if-env-changed=FOOBAR_WITHOUT_BPF");
    println!("cargo:rerun-if-env-changed=PATH");
    if let Some(missing) = missing_tool() {
        // A file that is never there: cargo asks again at every build until the tools are.
        println!("cargo:rerun-if-changed=the-bpf-toolchain-is-missing");
        println!("cargo:warning=building without the eBPF program: {missing}; run `cargo xtask setup`");
        for object in ["foobar-ebpf", "foobar-harness"] {
            fs::write(out.join(object), []).context("writing an empty object")?;
        }
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "1.95.0".to_owned());
    allow_build_std();
    let package = Package { name: "foobar-ebpf", root_dir: "../foobar-ebpf", ..Package::default() };
    build_ebpf([package], Toolchain::Custom(&toolchain))
}

/// Lets the pinned stable compiler build `core` for the BPF target.
fn allow_build_std() {
    // SAFETY: this process has one thread.
    unsafe {
        env::set_var("RUSTC_BOOTSTRAP", "1");
        // Built in parts, it is another program, at which the verifier looks for longer.
        env::set_var("CARGO_INCREMENTAL", "0");
        // What the inner build says becomes a warning of this one: only what matters.
        env::set_var("CARGO_TERM_QUIET", "true");
    }
}

/// What the eBPF build lacks, in words.
fn missing_tool() -> Option<&'static str> {
    if env::var_os("FOOBAR_WITHOUT_BPF").is_some() {
        return Some("FOOBAR_WITHOUT_BPF is set");
    }
    let output = |program: &str, argument: &[&str]| Command::new(program).args(argument).output().ok();
    if output("bpf-linker", &["--version"]).is_none_or(|output| !output.status.success()) {
        return Some("bpf-linker is not installed");
    }
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let sysroot = output(&rustc, &["--print", "sysroot"])?.stdout;
    let core = PathBuf::from(String::from_utf8_lossy(&sysroot).trim()).join("lib/rustlib/src/rust/library/core");
    println!("cargo:rerun-if-changed={}", core.display());
    if core.exists() { None } else { Some("the compiler's rust-src is not installed") }
}
