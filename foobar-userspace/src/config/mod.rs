//! `foobar.toml`: strict, with the place of every mistake.
//!
//! What a later version will understand is refused by a sentence, never accepted and ignored.

mod as_file;
mod check;
mod difference;
mod draining;
pub mod edit;
mod error;
mod firewall;
mod interfaces;
mod places;
mod section;
mod services;
mod sets;
mod tunnels;
mod unattached;
mod warnings;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

pub use check::{ConfigFault, Place};
pub use difference::{Change, Difference, PartDifference, RuleDifference};
pub use error::{ConfigError, Spot};
use foobar_common::plane::Way;
use section::Section;
use serde::{Deserialize, Serialize};
pub use sets::{parse_list, read_list, read_source};
use toml::de::DeTable;

use crate::domain::{
    Rule, Service, SetSource,
    mistake::{Fault, Parsed},
};

/// A whole configuration: what a file says, and what a daemon runs.
///
/// [`Config::parse`] gives a valid one. JSON is checked part by part; [`Config::check`] checks the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub interfaces: Vec<Interface>,
    pub firewall: Firewall,
    pub services: Vec<Service>,
    /// Balancers whose tunnels are taken off here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    pub name: String,
    #[serde(default)]
    pub mode: Mode,
    /// The other end of a veth pair, which needs a passing program: `NETNS:IFACE`, or `IFACE` in this namespace.
    #[serde(default)]
    pub peer: Option<String>,
}

/// How XDP is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    Native,
    Generic,
}

/// The rules, and what happens to what they leave.
///
/// `default` is `pass` where a file has no `[firewall]`, and `drop` where it has one that does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    pub default: Policy,
    pub rules: Vec<Rule>,
    /// For what this host sends.
    #[serde(default, skip_serializing_if = "Egress::is_idle")]
    pub egress: Egress,
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, SetSource>,
}

/// The rules for what leaves by the attached interfaces, and what happens to what they leave open: `pass` where a file
/// does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    pub default: Policy,
    pub rules: Vec<Rule>,
}

impl Egress {
    /// Whether everything may leave, unseen.
    pub fn is_idle(&self) -> bool {
        self.default == Policy::Pass && self.rules.is_empty()
    }
}

impl Firewall {
    pub fn rules(&self, way: Way) -> &Vec<Rule> {
        match way {
            Way::In => &self.rules,
            Way::Out => &self.egress.rules,
        }
    }

    pub fn rules_mut(&mut self, way: Way) -> &mut Vec<Rule> {
        match way {
            Way::In => &mut self.rules,
            Way::Out => &mut self.egress.rules,
        }
    }
}

/// What happens to a packet that no rule, service or exemption decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    #[default]
    Pass,
    Drop,
}

impl Config {
    /// Reads a whole configuration; `file_name` is for the error only.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        read(text).map_err(|fault| ConfigError::placed(file_name, text, fault))
    }

    /// Reads a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let text = Self::read(path.as_ref())?;
        Self::parse(&text, &path.as_ref().display().to_string())
    }

    /// A file's text, not understood yet.
    pub fn read(path: &Path) -> Result<String, ConfigError> {
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| ConfigError::unreadable(&name, &error))?;
        String::from_utf8(bytes).map_err(|error| ConfigError::not_text(&name, &error))
    }
}

fn read(text: &str) -> Parsed<Config> {
    let table = DeTable::parse(text).map_err(|error| syntax(&error))?;
    let file = Section::whole(text, &table);
    file.keys(
        &["interfaces", "firewall", "service", "tunnels"],
        &[("monitor", "metrics and the dashboard are not in this version")],
    )?;
    let (interfaces, interface_places) = interfaces::read(&file)?;
    let (firewall, firewall_places) = firewall::read(&file)?;
    let (services, service_places) = services::read(&file)?;
    let config = Config { interfaces, firewall, services, tunnels: tunnels::read(&file)? };
    let places = places::Places { interfaces: interface_places, firewall: firewall_places, services: service_places };
    config.check().map_err(|fault| places.place(fault))?;
    Ok(config)
}

fn syntax(error: &toml::de::Error) -> Fault {
    let problem = error.message().lines().collect::<Vec<_>>().join(", ");
    Fault::new(error.span().unwrap_or(0..0), format!("this is not TOML: {problem}"))
        .hint("every line is `key = value`, a value \"text\", 7, [a list] or { a = \"table\" }: see https://toml.io")
}
