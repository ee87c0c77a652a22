//! Tags of VLANs that a device takes off frames before programs see them: left in while the program is on it.
//!
//! What was turned off is remembered beside the pins, by names of directories, which a bpffs can have: that outlives the
//! daemon, and no boot, like the device's features themselves.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{
    attach::AttachError,
    features::{self, Feature, Switch},
    links::{self, Place},
    pins::{LinkPin, Pins},
};

/// Has the device of a link's interface leave tags in frames, all of them or none. Returns what was turned off for that,
/// which is remembered before: who is cut off in between leaves nothing behind that nobody knows of.
pub fn show(pins: &Pins, pin: &LinkPin) -> Result<Vec<Feature>, AttachError> {
    let interface = &pin.interface;
    let hiding = features::on(interface, &Feature::STRIPPING)?;
    for (count, feature) in hiding.iter().copied().enumerate() {
        if let Err(error) = remember(pins, pin, feature).and_then(|()| features::set(interface, feature, Switch::Off)) {
            hide(pins, pin, &hiding[..=count]);
            let (interface, reason) = (interface.clone(), format!("{error:#}"));
            return Err(AttachError::HidesTags { interface, feature, reason });
        }
    }
    for feature in &hiding {
        tracing::info!("{} of {interface} is off: it hid tags of VLANs", feature.name());
    }
    Ok(hiding)
}

/// Takes that back.
pub fn hide(pins: &Pins, pin: &LinkPin, features: &[Feature]) {
    turn_on(&pin.interface, features);
    for path in features.iter().map(|feature| pins.tags(pin, feature.name())) {
        if let Err(error) = forget(&path) {
            tracing::warn!("{error:#}");
        }
    }
}

/// Turns on again what was turned off.
fn turn_on(interface: &str, off: &[Feature]) {
    for feature in off {
        match features::set(interface, *feature, Switch::On) {
            Ok(()) => tracing::info!("{} of {interface} is on again", feature.name()),
            Err(error) => tracing::warn!("{} of {interface} is not on again: {error:#}", feature.name()),
        }
    }
}

fn remember(pins: &Pins, pin: &LinkPin, feature: Feature) -> Result<()> {
    let path = pins.tags(pin, feature.name());
    fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))
}

fn forget(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// What was turned off for a link.
pub fn off(pins: &Pins, pin: &LinkPin) -> Vec<Feature> {
    Feature::STRIPPING.into_iter().filter(|feature| pins.tags(pin, feature.name()).exists()).collect()
}

/// What was turned off for a link, and the name of its interface where that is here. To be asked while the link is there.
pub struct Shown {
    interface: Option<String>,
    off: Vec<Feature>,
    paths: Vec<PathBuf>,
}

impl Shown {
    pub fn beside(pins: &Pins, pin: &LinkPin) -> Result<Self> {
        let interface = match links::place(pins, pin)? {
            Place::Here(name) => Some(name),
            Place::Elsewhere | Place::Gone => None,
        };
        let off = off(pins, pin);
        let paths = off.iter().map(|feature| pins.tags(pin, feature.name())).collect();
        Ok(Self { interface, off, paths })
    }

    /// Turns on again what was turned off, and forgets it.
    pub fn take_back(self) -> Result<()> {
        match &self.interface {
            Some(interface) => turn_on(interface, &self.off),
            None if self.off.is_empty() => {}
            None => tracing::warn!(
                "an interface that is not in this network namespace leaves tags of VLANs in frames, and did not before \
                 foobar: `ethtool -K IFACE {} on` there",
                self.off.iter().map(|feature| feature.name()).collect::<Vec<_>>().join(" on ")
            ),
        }
        self.paths.iter().try_for_each(|path| forget(path))
    }

    /// Has another link's name stand for it.
    pub fn rename(self, pins: &Pins, pin: &LinkPin) -> Result<()> {
        for (path, feature) in self.paths.iter().zip(&self.off) {
            let new = pins.tags(pin, feature.name());
            fs::rename(path, &new).with_context(|| format!("renaming {}", path.display()))?;
        }
        Ok(())
    }
}
