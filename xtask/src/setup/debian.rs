//! Packages of other suites than the machine's own, from the mirrors that apt is configured with.
//!
//! They are looked at in a directory of their own: the machine's lists and sources stay as they are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Where a compiler newer than the machine's release is to be found, the smallest list of packages first.
const SUITES: [&str; 6] = ["trixie-backports", "forky-backports", "trixie", "forky", "sid", "experimental"];

/// What apt calls the mirrors of Debian's releases, and those of their security updates.
pub const RELEASES: &[&str] = &["Debian", "Debian Backports"];
pub const SECURITY: &[&str] = &["Debian-Security"];

/// A directory that is gone when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("foobar-setup-{}", process::id()));
        prepare(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a directory that [`apt`] can work in.
pub fn prepare(directory: &Path) -> Result<()> {
    for part in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(directory.join(part)).with_context(|| format!("making {}", directory.display()))?;
    }
    Ok(())
}

/// Reads the lists of these suites into the directory, from every mirror of that kind. Those that no mirror has are left
/// out.
pub fn look_at(directory: &Path, labels: &[&str], suites: &[&str]) -> Result<()> {
    let mirrors = mirrors(labels)?;
    let lines =
        mirrors.iter().flat_map(|mirror| suites.iter().map(move |suite| format!("deb {mirror} {suite} main\n")));
    fs::write(directory.join("sources.list"), lines.collect::<String>())?;
    // A suite that no mirror has, or not any more: another one may.
    let _ = shell::quiet(apt("apt-get", directory).args(["update", "-q"]));
    Ok(())
}

/// Installs packages with the machine's own release and its backports at hand. Removes nothing.
pub fn install_from_backports(packages: &[&str]) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("this release has no name")?.trim_matches('"');
    let (updates, backports) = (format!("{codename}-updates"), format!("{codename}-backports"));
    let scratch = Scratch::new()?;
    look_at(scratch.path(), RELEASES, &[codename, &updates, &backports])?;
    let mut apt_get = apt("apt-get", scratch.path());
    apt_get.args(["install", "-y", "-q", "--no-remove", "--no-install-recommends", "-t", &backports]).args(packages);
    shell::quiet(apt_get.env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

/// Downloads the package whose upstream version is `upstream`, and returns the file.
pub fn download(scratch: &Scratch, package: &str, upstream: &str) -> Result<PathBuf> {
    for suite in SUITES {
        look_at(scratch.path(), RELEASES, &[suite])?;
        let offered = shell::quiet(apt("apt-cache", scratch.path()).args(["madison", package])).unwrap_or_default();
        if let Some(version) = version_of(&offered, upstream) {
            return fetch(scratch, package, version);
        }
    }
    bail!("no Debian suite on the configured mirrors carries {package} {upstream}")
}

fn fetch(scratch: &Scratch, package: &str, version: &str) -> Result<PathBuf> {
    let wanted = format!("{package}={version}");
    shell::quiet(apt("apt-get", scratch.path()).current_dir(scratch.path()).args(["download", "-q", &wanted]))?;
    let mut files = fs::read_dir(scratch.path())?.flatten().map(|entry| entry.path());
    files.find(|file| file.extension().is_some_and(|kind| kind == "deb")).context("apt-get download left no file")
}

/// apt with its lists and sources in the directory, and everything else as the machine has it.
pub fn apt(name: &str, directory: &Path) -> Command {
    let at = |file: &str| directory.join(file).display().to_string();
    let mut command = Command::new(name);
    for option in [
        format!("Dir::Etc::sourcelist={}", at("sources.list")),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={}", at("lists")),
        format!("Dir::Cache={}", at("")),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ] {
        command.arg("-o").arg(option);
    }
    command
}

/// The version in `apt-cache madison`'s lines (`package | version | source`) that has this upstream part.
fn version_of<'a>(offered: &'a str, upstream: &str) -> Option<&'a str> {
    let versions = offered.lines().filter_map(|line| line.split('|').nth(1).map(str::trim));
    let is_wanted =
        |version: &&str| version.strip_prefix(upstream).is_some_and(|rest| rest.starts_with(['+', '-', '~']));
    versions.into_iter().find(is_wanted)
}

/// Where apt gets Debian's own packages of this kind. Their origin is known once the lists are there.
fn mirrors(labels: &[&str]) -> Result<Vec<String>> {
    let format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)";
    let known =
        || shell::quiet(&mut shell::program("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]));
    let mut mirrors = mirrors_in(&known()?, labels);
    if mirrors.is_empty() {
        shell::quiet(&mut shell::program("apt-get", ["update", "-q"]))?;
        mirrors = mirrors_in(&known()?, labels);
    }
    if mirrors.is_empty() {
        bail!("apt is configured with no mirror of Debian");
    }
    Ok(mirrors)
}

fn mirrors_in(targets: &str, labels: &[&str]) -> Vec<String> {
    let mirror = |line: &str| match line.split('|').collect::<Vec<_>>()[..] {
        ["Debian", label, uri] if labels.contains(&label) => Some(uri.to_owned()),
        _ => None,
    };
    let mut mirrors: Vec<_> = targets.lines().filter_map(mirror).collect();
    mirrors.sort();
    mirrors.dedup();
    mirrors
}

#[cfg(test)]
mod tests {
    use super::{RELEASES, SECURITY, mirrors_in, version_of};

    #[test]
    fn only_the_exact_upstream_version_is_taken() {
        let offered = "rust-src | 1.95.0+dfsg1-2~bpo13+1 | mirror\nrust-src | 1.95.01+dfsg1-1 | mirror\n";

        assert_eq!(version_of(offered, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(version_of(offered, "1.9"), None);
    }

    #[test]
    fn each_mirror_of_debian_counts_once_and_others_do_not() {
        let targets = "Debian|Debian|http://m.example/debian/\nDebian|Debian|http://m.example/debian/\n\
                       Debian|Debian-Security|http://s.example/\nOther|Other|https://o.example/\n";

        assert_eq!(mirrors_in(targets, RELEASES), ["http://m.example/debian/"]);
        assert_eq!(mirrors_in(targets, SECURITY), ["http://s.example/"]);
    }
}
