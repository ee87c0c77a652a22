//! Tags of VLANs that a device takes off frames before programs see them: left in while the program is on it.
//!
//! What was turned off is remembered beside the pins, by names of directories, which a bpffs can have: that outlives the
//! daemon, and no boot, like the device's features themselves.

use std::{fs, io::ErrorKind, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{
    attach::AttachError,
    features::{self, Feature, Switch},
    links::{self, Place},
    pins::{LinkPin, Pins},
};

/// Has the device of an interface leave tags in frames, all of them or none. Returns what was turned off for that.
pub fn show(interface: &str) -> Result<Vec<Feature>, AttachError> {
    let mut off = Vec::new();
    for feature in features::on(interface, &Feature::STRIPPING)? {
        if let Err(error) = features::set(interface, feature, Switch::Off) {
            hide(interface, &off);
            let (interface, reason) = (interface.to_owned(), format!("{error:#}"));
            return Err(AttachError::HidesTags { interface, feature, reason });
        }
        off.push(feature);
    }
    for feature in &off {
        tracing::info!("{} of {interface} is off: it hid tags of VLANs", feature.name());
    }
    Ok(off)
}

/// Turns on again what was turned off.
pub fn hide(interface: &str, off: &[Feature]) {
    for feature in off {
        match features::set(interface, *feature, Switch::On) {
            Ok(()) => tracing::info!("{} of {interface} is on again", feature.name()),
            Err(error) => tracing::warn!("{} of {interface} is not on again: {error:#}", feature.name()),
        }
    }
}

/// Remembers what was turned off for a link.
pub fn remember(pins: &Pins, pin: &LinkPin, off: &[Feature]) -> Result<()> {
    for feature in off {
        let path = pins.tags(pin, feature.name());
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    }
    Ok(())
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
            Some(interface) => hide(interface, &self.off),
            None if self.off.is_empty() => {}
            None => tracing::warn!("an interface that is not here hides no tags, and did before"),
        }
        for path in self.paths {
            match fs::remove_dir(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
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
