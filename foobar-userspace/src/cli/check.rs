//! `foobar check`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Global, output};
use crate::{
    api::types::Refusal,
    config::{Config, Policy},
};

#[derive(Args, Debug)]
pub struct Check {
    /// The configuration
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What a valid file says.
#[derive(Debug, Serialize)]
struct Summary {
    interfaces: usize,
    default: Policy,
    rules: usize,
    services: usize,
    backends: usize,
    warnings: Vec<String>,
}

impl Check {
    pub fn run(self, global: &Global) -> Result<(), Refusal> {
        let config = Config::load(&self.file)?;
        let summary = Summary::of(&config);
        for warning in &summary.warnings {
            output::say(&format!("warning: {warning}"));
        }
        output::either(global.json, &summary, || format!("{}: {}", self.file.display(), summary.sentence()))
    }
}

impl Summary {
    fn of(config: &Config) -> Self {
        Self {
            interfaces: config.interfaces.len(),
            default: config.firewall.default,
            rules: config.firewall.rules.len(),
            services: config.services.len(),
            backends: config.services.iter().map(|service| service.backends.len()).sum(),
            warnings: config.warnings(),
        }
    }

    fn sentence(&self) -> String {
        let Self { interfaces, default, rules, services, backends, warnings: _ } = self;
        let default = match default {
            Policy::Pass => "pass",
            Policy::Drop => "drop",
        };
        format!(
            "valid: {}, {} (default {default}), {} with {}",
            number(*interfaces, "interface"),
            number(*rules, "rule"),
            number(*services, "service"),
            number(*backends, "backend"),
        )
    }
}

fn number(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_valid_and_passes_everything() {
        let summary = Summary::of(&Config::default());

        assert_eq!(summary.sentence(), "valid: 0 interfaces, 0 rules (default pass), 0 services with 0 backends");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((number(1, "rule"), number(2, "rule")), ("1 rule".to_owned(), "2 rules".to_owned()));
    }
}
