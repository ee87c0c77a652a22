//! `foobar check`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use foobar_common::sets::{
    contents::Contents,
    table::{Size, bytes},
};

use super::{Global, output, set::megabytes};
use crate::{
    api::types::Refusal,
    config::{Config, Policy, read_list},
    daemon::{
        plan,
        sets::{join, journal::Overlay, masked_in_words},
    },
    domain::{SetSource, set::List},
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
    sets: Vec<SetSummary>,
    backends: usize,
    warnings: Vec<String>,
}

/// A set as it would be loaded.
#[derive(Debug, Serialize)]
struct SetSummary {
    name: String,
    prefixes: usize,
    /// Kernel memory.
    memory_bytes: u64,
    #[serde(skip)]
    masked: usize,
}

impl SetSummary {
    fn of(name: &str, source: &SetSource) -> Result<Self, Refusal> {
        let list = match source {
            SetSource::File(path) => read_list(path)?.1,
            SetSource::Prefixes(prefixes) => List { prefixes: prefixes.clone(), masked: 0 },
            SetSource::Live => List::default(),
        };
        let families = join(&list.prefixes, &Overlay::default());
        let memory = |(v6, contents): (bool, &Contents)| {
            if contents.is_empty() { 0 } else { bytes(Size::of(contents, v6, 0).lines(v6)) }
        };
        Ok(Self {
            name: name.to_owned(),
            prefixes: families.iter().map(Contents::len).sum(),
            memory_bytes: [false, true].into_iter().zip(&families).map(memory).sum(),
            masked: list.masked,
        })
    }
}

impl Check {
    pub fn run(self, global: &Global) -> Result<(), Refusal> {
        let config = load(&self.file)?;
        let sets = config.firewall.sets.iter().map(|(name, source)| SetSummary::of(name, source));
        let summary = Summary { sets: sets.collect::<Result<_, _>>()?, ..Summary::of(&config) };
        for set in &summary.sets {
            output::say(&format!("set {}: {} prefixes, {}", set.name, set.prefixes, megabytes(set.memory_bytes)));
            if set.masked > 0 {
                output::say(&format!("warning: set {}: {}", set.name, masked_in_words(set.masked)));
            }
        }
        for warning in &summary.warnings {
            output::say(&format!("warning: {warning}"));
        }
        output::either(global.json, &summary, || format!("{}: {}", self.file.display(), summary.sentence()))
    }
}

/// A configuration that `foobar run` would put in force.
fn load(file: &Path) -> Result<Config, Refusal> {
    let config = Config::load(file)?;
    plan::judge(&config)?;
    Ok(config)
}

impl Summary {
    fn of(config: &Config) -> Self {
        Self {
            interfaces: config.interfaces.len(),
            default: config.firewall.default,
            rules: config.firewall.rules.len(),
            services: config.services.len(),
            sets: Vec::new(),
            backends: config.services.iter().map(|service| service.backends.len()).sum(),
            warnings: config.warnings(),
        }
    }

    fn sentence(&self) -> String {
        let Self { interfaces, default, rules, services, sets: _, backends, warnings: _ } = self;
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

    /// What `check` says to a file with this text.
    fn refusal(text: &str) -> Refusal {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("foobar.toml");
        std::fs::write(&file, text).expect("a file");
        load(&file).expect_err("refused")
    }

    fn rules(count: u32, rule: impl Fn(u32) -> String) -> String {
        let rules: Vec<_> = (0..count).map(|number| format!("{:?}", rule(number))).collect();
        format!("[firewall]\nrules = [{}]", rules.join(", "))
    }

    #[test]
    fn what_has_no_room_in_the_tables_is_refused() {
        let service = |n: u32| {
            format!(
                "[[service]]\nname = \"s{n}\"\naddress = \"10.0.0.{n}\"\nports = \"tcp/80\"\nbackends = [{{ address = \"10.1.0.1\" }}]\n"
            )
        };
        assert_eq!(refusal(&(1..=65).map(service).collect::<String>()).error, "more than 64 services");

        let many = rules(20_000, |n| format!("allow tcp/{}", n + 1));
        assert_eq!(refusal(&many).error, "more than 16383 rules");

        let scattered = |n: u32| format!("{:x}:{:x}::/33", 0x2001 + n / 10_000, n % 10_000);
        let prefixes: Vec<_> = (0..20_000).map(scattered).collect();
        let lists = ["10.0.0.1", &prefixes.join(",")];
        let refusal = refusal(&rules(2, |n| format!("deny from {}", lists[n as usize])));
        assert!(refusal.error.contains("need more than the 16384 trie nodes"), "{}", refusal.error);
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((number(1, "rule"), number(2, "rule")), ("1 rule".to_owned(), "2 rules".to_owned()));
    }
}
