//! bpf-linker at the version that works with the pinned compiler.
//!
//! Another version on PATH stays as it is: ours then goes into a directory of its own, first in PATH for our builds.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Progress;
use crate::{failure::hinted, shell};

/// The last version whose default feature links the LLVM inside rustc 1.95; later ones want a system LLVM.
const VERSION: &str = "0.10.4";
const PROGRAM: &str = "bpf-linker";

/// The version found, and the directory to put first in PATH if PATH alone does not lead to it.
pub fn ensure(progress: &mut Progress) -> Result<(String, Option<PathBuf>)> {
    if shell::on_path(PROGRAM).is_some_and(|file| is_wanted(&file)) {
        return Ok((VERSION.to_owned(), None));
    }
    let home = shell::cargo_home()?;
    let aside = home.join("foobar-tools");
    let directories = [home.join("bin"), aside.join("bin")];
    if let Some(directory) = directories.iter().find(|directory| is_wanted(&directory.join(PROGRAM))) {
        return Ok((VERSION.to_owned(), Some(directory.clone())));
    }
    let is_taken = shell::on_path(PROGRAM).is_some() || directories[0].join(PROGRAM).exists();
    let (root, directory) = if is_taken { (&aside, &directories[1]) } else { (&home, &directories[0]) };
    install(progress, root)?;
    Ok((VERSION.to_owned(), Some(directory.clone())))
}

fn is_wanted(file: &Path) -> bool {
    let version = shell::quiet(shell::program(&file.to_string_lossy(), ["--version"]).env_remove("RUST_LOG"));
    version.is_ok_and(|said| said.split_whitespace().nth(1) == Some(VERSION))
}

fn install(progress: &mut Progress, root: &Path) -> Result<()> {
    progress.installing(&format!("{VERSION} (a minute or two)"));
    let mut cargo = shell::cargo();
    cargo.args(["install", PROGRAM, "--version", VERSION, "--locked", "--quiet", "--root"]).arg(root);
    // The workspace's flags and target directory are not the linker's.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    shell::quiet(&mut cargo).map(drop).map_err(|error| {
        let by_hand = format!("cargo install {PROGRAM} --version {VERSION} --locked");
        hinted(format!("{PROGRAM} {VERSION} could not be built: {error:#}"), format!("try `{by_hand}` by hand"))
    })
}
