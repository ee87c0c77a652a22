//! The source of `core` for the compiler in use, which the eBPF target is built from.
//!
//! rustup has it; where rustup cannot get it, Debian's package of the same compiler carries the same source.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{Progress, debian};
use crate::{failure::hinted, shell};

pub fn ensure(progress: &mut Progress) -> Result<String> {
    let sysroot = shell::quiet(&mut rustc(&["--print", "sysroot"]))?;
    let place = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    if place.join("library/core").exists() {
        return Ok(place.display().to_string());
    }
    progress.installing("with rustup");
    let Err(by_rustup) = add_with_rustup(&place) else { return Ok(String::new()) };
    progress.installing("from Debian");
    add_from_debian(&place).map_err(|by_debian| {
        let sentence = format!("the compiler's source could not be installed: {by_rustup:#}; {by_debian:#}");
        hinted(sentence, "with a network, run `rustup component add rust-src` for the toolchain in rust-toolchain.toml")
    })?;
    Ok(String::new())
}

fn rustc(args: &[&str]) -> std::process::Command {
    let mut command = shell::program(&env::var("RUSTC").unwrap_or_else(|_| "rustc".into()), args);
    command.current_dir(shell::root());
    command
}

fn add_with_rustup(place: &Path) -> Result<()> {
    let active = shell::quiet(shell::program("rustup", ["show", "active-toolchain"]).current_dir(shell::root()))?;
    let toolchain = active.split_whitespace().next().context("rustup names no active toolchain")?;
    shell::quiet(&mut shell::program("rustup", ["component", "add", "rust-src", "--toolchain", toolchain]))?;
    ensure!(place.join("library/core").exists(), "rustup added rust-src, but not at {}", place.display());
    Ok(())
}

/// Unpacks the package of exactly this compiler's version next to its place, then moves it there in one step.
fn add_from_debian(place: &Path) -> Result<()> {
    let version = compiler_version()?;
    let scratch = debian::Scratch::new()?;
    let package = debian::download(&scratch, "rust-src", &version)?;
    let unpacked = scratch.path().join("unpacked");
    shell::quiet(shell::program("dpkg", ["-x"]).arg(&package).arg(&unpacked))?;
    let source = unpacked.join(format!("usr/src/rustc-{version}"));
    ensure!(source.join("library/core").exists(), "{} carries no library/core", package.display());

    let parent = place.parent().context("the sysroot has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    let incoming = parent.join("rust.incoming");
    let _ = fs::remove_dir_all(&incoming);
    shell::quiet(shell::program("cp", ["-a"]).arg(&source).arg(&incoming))?;
    let _ = fs::remove_dir_all(place);
    fs::rename(&incoming, place).with_context(|| format!("moving the source to {}", place.display()))
}

/// `1.95.0` of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn compiler_version() -> Result<String> {
    let said = shell::quiet(&mut rustc(&["--version"]))?;
    said.split_whitespace().nth(1).map(str::to_owned).with_context(|| format!("rustc calls itself `{}`", said.trim()))
}
