//! Debian's cloud kernels: which package is wanted, found by its name among what a suite has, downloaded and unpacked.
//!
//! Newer kernels come as two packages, `linux-binary-*` and `linux-modules-*`, beside an image that is empty.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    failure::hinted,
    setup::debian::{self, RELEASES, SECURITY},
    shell,
};

/// A row of the matrix.
pub struct Wanted {
    pub name: &'static str,
    /// How its release begins; empty for the newest of the suite.
    prefix: &'static str,
    /// Where to look, in this order.
    places: &'static [(&'static [&'static str], &'static str)],
    /// foobar must refuse to start on it.
    pub refused: bool,
}

/// From the oldest to the newest.
pub const WANTED: [Wanted; 4] = [
    Wanted {
        name: "5.10",
        prefix: "5.10.",
        places: &[(SECURITY, "bullseye-security"), (RELEASES, "bullseye")],
        refused: true,
    },
    Wanted {
        name: "6.1",
        prefix: "6.1.",
        places: &[(SECURITY, "bookworm-security"), (RELEASES, "bookworm")],
        refused: false,
    },
    Wanted {
        name: "6.12",
        prefix: "6.12.",
        places: &[(SECURITY, "bookworm-security"), (RELEASES, "bookworm-backports"), (RELEASES, "trixie")],
        refused: false,
    },
    Wanted { name: "newest", prefix: "", places: &[(RELEASES, "sid"), (RELEASES, "forky")], refused: false },
];

const FLAVOUR: &str = "-cloud-amd64";

/// A kernel that lies unpacked.
pub struct Kernel {
    pub release: String,
    pub image: PathBuf,
    /// `…/lib/modules/RELEASE`
    pub modules: PathBuf,
}

/// The kernel that is in the directory already, or the newest that is to be had.
pub fn kernel(wanted: &Wanted, directory: &Path, fresh: bool) -> Result<Kernel> {
    let root = directory.join("root");
    if !fresh && let Ok(kernel) = unpacked(&root) {
        return Ok(kernel);
    }
    let packages = download(wanted, directory)?;
    let _ = fs::remove_dir_all(&root);
    for package in packages {
        shell::quiet(shell::program("dpkg", ["-x"]).arg(&package).arg(&root))?;
        fs::remove_file(package)?;
    }
    let kernel = unpacked(&root)?;
    shell::quiet(shell::program("depmod", ["-b"]).arg(&root).arg(&kernel.release))?;
    Ok(kernel)
}

/// Where the modules lie below `usr` alone, `depmod` and this file are led there.
fn unpacked(root: &Path) -> Result<Kernel> {
    if !root.join("lib").exists() && root.join("usr/lib/modules").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    }
    let releases = fs::read_dir(root.join("lib/modules")).context("no modules are there")?;
    let release = releases.flatten().next().context("no modules are there")?.file_name();
    let release = release.to_string_lossy().into_owned();
    let places = [format!("boot/vmlinuz-{release}"), format!("usr/lib/modules/{release}/vmlinuz")];
    let image = places.iter().map(|place| root.join(place)).find(|image| image.is_file());
    let image = image.with_context(|| format!("the packages of {release} have no kernel"))?;
    Ok(Kernel { image, modules: root.join("lib/modules").join(&release), release })
}

fn download(wanted: &Wanted, directory: &Path) -> Result<Vec<PathBuf>> {
    let apt = directory.join("apt");
    debian::prepare(&apt)?;
    for (labels, suite) in wanted.places {
        // A machine without that kind of mirror: another place may do.
        if debian::look_at(&apt, labels, &[suite]).is_err() {
            continue;
        }
        let names = shell::quiet(debian::apt("apt-cache", &apt).args(["pkgnames", "linux-"])).unwrap_or_default();
        let packages = packages(&names, wanted.prefix);
        if !packages.is_empty() {
            shell::quiet(debian::apt("apt-get", &apt).current_dir(&apt).args(["download", "-q"]).args(&packages))?;
            return debs(&apt);
        }
    }
    Err(hinted(
        format!("no suite on the configured mirrors has a kernel {} for clouds", wanted.name),
        "see whether apt-get update works, and whether apt's sources name a mirror of Debian",
    ))
}

fn debs(directory: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    Ok(files.filter(|file| file.extension().is_some_and(|kind| kind == "deb")).collect())
}

/// The packages of the newest release that begins like this.
fn packages(names: &str, prefix: &str) -> Vec<String> {
    let releases = |kind: &str| -> Vec<&str> {
        let release = |name: &'_ str| -> bool {
            name.starts_with(|c: char| c.is_ascii_digit()) && name.starts_with(prefix) && name.ends_with(FLAVOUR)
        };
        names.lines().filter_map(|name| name.strip_prefix(kind)).filter(|name| release(name)).collect()
    };
    let (images, binaries) = (releases("linux-image-"), releases("linux-binary-"));
    let newest = images.iter().chain(&binaries).max_by_key(|release| numbers(release));
    match newest {
        None => Vec::new(),
        Some(release) if binaries.contains(release) => {
            vec![format!("linux-binary-{release}"), format!("linux-modules-{release}")]
        }
        Some(release) => vec![format!("linux-image-{release}")],
    }
}

fn numbers(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn the_newest_release_is_taken_by_its_numbers() {
        let names = "linux-image-6.1.0-9-cloud-amd64\nlinux-image-6.1.0-56-cloud-amd64\nlinux-image-6.1.0-60-amd64\n\
                     linux-image-6.12.5-cloud-amd64\nlinux-image-6.1.0-57-cloud-amd64-dbg\nlinux-image-cloud-amd64\n";

        assert_eq!(packages(names, "6.1."), ["linux-image-6.1.0-56-cloud-amd64"]);
        assert_eq!(packages(names, ""), ["linux-image-6.12.5-cloud-amd64"]);
        assert!(packages(names, "5.10.").is_empty());
    }

    #[test]
    fn an_image_that_is_empty_is_left_for_its_parts() {
        let names = "linux-image-7.2.1-cloud-amd64\nlinux-binary-7.2.1-cloud-amd64\nlinux-modules-7.2.1-cloud-amd64\n\
                     linux-binary-unsigned-7.2.1-cloud-amd64\n";

        assert_eq!(packages(names, ""), ["linux-binary-7.2.1-cloud-amd64", "linux-modules-7.2.1-cloud-amd64"]);
    }
}
