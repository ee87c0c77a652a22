//! Where everything is pinned, and how it is taken off.
//!
//! ```text
//! PIN_DIR/layout-N/maps/NAME            PIN_DIR/layout-N/programs/{foobar,foobar_egress,foobar_pass,foobar_snat,…}
//! PIN_DIR/layout-N/links/IFACE:MODE:IFINDEX:NETNS    PIN_DIR/layout-N/peers/IFACE
//! PIN_DIR/layout-N/egress/IFACE:MODE:IFINDEX:NETNS   PIN_DIR/layout-N/tags/IFACE:MODE:IFINDEX:NETNS:FEATURE
//! ```

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use foobar_common::layout::LAYOUT;

use super::{egress::Attending, tags::Shown};

/// What follows the name of a pin that has not taken its place.
const FRESH: &str = ":new";

/// The pins of one instance.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

/// A pinned link, by its file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPin {
    pub interface: String,
    pub native: bool,
    /// The interface's index when it was attached.
    pub ifindex: u32,
    /// Its network namespace, as [`crate::netns::current`] says: an index is one of a namespace.
    pub netns: Option<u64>,
}

impl Pins {
    pub fn new(root: &Path) -> Result<Self> {
        if !root.is_absolute() {
            bail!("the pin directory {} is not an absolute path", root.display());
        }
        Ok(Self { root: root.to_owned() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn layout_dir(&self) -> PathBuf {
        self.root.join(format!("layout-{LAYOUT}"))
    }

    pub fn map(&self, name: &str) -> PathBuf {
        self.layout_dir().join("maps").join(name)
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.layout_dir().join("programs").join(name)
    }

    pub fn link(&self, pin: &LinkPin) -> PathBuf {
        self.layout_dir().join("links").join(pin.file_name())
    }

    /// The link of the program on the way out, on the interface of this one.
    pub fn egress(&self, pin: &LinkPin) -> PathBuf {
        self.layout_dir().join("egress").join(pin.file_name())
    }

    pub fn egress_links(&self) -> Result<Vec<PathBuf>> {
        let dir = self.layout_dir().join("egress");
        Ok(names(&dir)?.iter().map(|name| dir.join(name)).collect())
    }

    /// What says that a feature of a link's interface was on before.
    pub fn tags(&self, pin: &LinkPin, feature: &str) -> PathBuf {
        self.layout_dir().join("tags").join(format!("{}:{feature}", pin.file_name()))
    }

    /// The peer's link for an interface of ours.
    pub fn peer(&self, interface: &str) -> PathBuf {
        self.layout_dir().join("peers").join(escape(interface))
    }

    /// Where a peer's link is pinned until it takes the place of an older one. No interface's name holds a colon.
    pub fn fresh_peer(&self, interface: &str) -> PathBuf {
        self.layout_dir().join("peers").join(format!("{}{FRESH}", escape(interface)))
    }

    /// The interfaces whose peers have a link.
    pub fn peers(&self) -> Result<Vec<String>> {
        let names = names(&self.layout_dir().join("peers"))?;
        Ok(names.iter().filter(|name| !name.ends_with(FRESH)).map(|name| unescape(name)).collect())
    }

    /// The interfaces whose peers have a link that has not taken its place.
    pub fn fresh_peers(&self) -> Result<Vec<String>> {
        let names = names(&self.layout_dir().join("peers"))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(FRESH)).map(unescape).collect())
    }

    /// Makes the directories. Pins of another layout are refused, not touched.
    pub fn prepare(&self) -> Result<()> {
        if let Some(other) = self.other_layout()? {
            bail!(
                "{} holds pins of another version of foobar ({other}); `foobar detach` takes them off: traffic then passes unfiltered until this version has started",
                self.root.display()
            );
        }
        for part in ["maps", "programs", "links", "egress", "peers", "tags"] {
            let dir = self.layout_dir().join(part);
            fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        }
        Ok(())
    }

    fn other_layout(&self) -> Result<Option<String>> {
        let own = format!("layout-{LAYOUT}");
        Ok(names(&self.root)?.into_iter().find(|name| name.starts_with("layout-") && *name != own))
    }

    pub fn links(&self) -> Result<Vec<LinkPin>> {
        let names = names(&self.layout_dir().join("links"))?;
        Ok(names.iter().filter_map(|name| LinkPin::from_file_name(name)).collect())
    }
}

impl LinkPin {
    fn file_name(&self) -> String {
        let mode = if self.native { "native" } else { "generic" };
        let netns = self.netns.map_or_else(String::new, |netns| format!(":{netns}"));
        format!("{}:{mode}:{}{netns}", escape(&self.interface), self.ifindex)
    }

    fn from_file_name(name: &str) -> Option<Self> {
        // An interface's name holds no colon (the kernel's `dev_valid_name`).
        let mut parts = name.split(':');
        let (interface, mode, ifindex) = (parts.next()?, parts.next()?, parts.next()?);
        let netns = parts.next().and_then(|netns| netns.parse().ok());
        Some(Self { interface: unescape(interface), native: mode == "native", ifindex: ifindex.parse().ok()?, netns })
    }
}

/// A bpffs refuses names with dots; an interface's name holds no slash, colon or white space.
fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('.', "%2E")
}

fn unescape(name: &str) -> String {
    name.replace("%2E", ".").replace("%25", "%")
}

/// File names in a directory; none where it is missing.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", dir.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Whether something of this version is pinned below `pin_dir`.
pub fn is_pinned(pin_dir: &Path) -> bool {
    pin_dir.join(format!("layout-{LAYOUT}")).exists()
}

/// Takes everything off that is pinned below `pin_dir`, links first, and returns the interfaces that were attached.
///
/// Traffic passes unfiltered from then on.
pub fn remove_pins(pin_dir: &Path) -> Result<Vec<String>> {
    let pins = Pins::new(pin_dir)?;
    // What cannot be found out of them must not keep the rest.
    let attending: Vec<_> = pins.links()?.iter().filter_map(|pin| Attending::beside(&pins, pin).ok()).collect();
    let mut shown: Vec<_> = pins.links()?.iter().filter_map(|pin| Shown::beside(&pins, pin).ok()).collect();
    let mut interfaces = Vec::new();
    for name in names(pin_dir)?.iter().filter(|name| name.starts_with("layout-")) {
        let layout = pin_dir.join(name);
        let links = names(&layout.join("links"))?;
        interfaces.extend(links.iter().filter_map(|name| LinkPin::from_file_name(name)).map(|pin| pin.interface));
        for part in ["links", "egress", "peers", "programs", "maps"] {
            remove_dir(&layout.join(part))?;
        }
        for shown in std::mem::take(&mut shown) {
            shown.take_back()?;
        }
        let tags = layout.join("tags");
        for name in names(&tags)? {
            remove_empty(&tags.join(name))?;
        }
        remove_empty(&tags)?;
        remove_empty(&layout)?;
    }
    for attending in attending {
        attending.take_off()?;
    }
    // Somebody else's files, and a directory that others share, stay.
    let _ = fs::remove_dir(pin_dir);
    Ok(interfaces)
}

fn remove_dir(dir: &Path) -> Result<()> {
    for name in names(dir)? {
        let path = dir.join(name);
        fs::remove_file(&path).with_context(|| format!("removing the pin {}", path.display()))?;
    }
    remove_empty(dir)
}

fn remove_empty(dir: &Path) -> Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_file_name_keeps_everything() {
        for interface in ["eth0", "eth0.100", "a%2Eb", "bond0.1.2"] {
            for netns in [None, Some(4_026_531_840)] {
                let pin = LinkPin { interface: interface.to_owned(), native: true, ifindex: 7, netns };
                assert!(!pin.file_name().contains('.'), "{}", pin.file_name());
                assert_eq!(LinkPin::from_file_name(&pin.file_name()), Some(pin));
            }
        }
        assert_eq!(LinkPin::from_file_name("eth0"), None);
    }
}
