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
    config::{Config, Policy, read_source},
    daemon::{
        plan,
        sets::{join, journal::Overlay, masked_in_words},
    },
    domain::SetSource,
    plan::fill::Fill,
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
    /// How full the tables are that rules fill.
    tables: Vec<Fill>,
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
        let list = read_source(source)?;
        let families = join(&list.prefixes, &Overlay::default());
        let memory = |(v6, contents): (bool, &Contents)| {
            if contents.is_empty() { 0 } else { bytes(Size::of(contents, v6).lines()) }
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
        let (config, tables) = load(&self.file)?;
        let sets = config.firewall.sets.iter().map(|(name, source)| SetSummary::of(name, source));
        let summary = Summary { sets: sets.collect::<Result<_, _>>()?, ..Summary::of(&config, tables) };
        for set in &summary.sets {
            output::say(&format!("set {}: {} prefixes, {}", set.name, set.prefixes, megabytes(set.memory_bytes)));
            if set.masked > 0 {
                output::say(&format!("warning: set {}: {}", set.name, masked_in_words(set.masked)));
            }
        }
        for warning in &summary.warnings {
            output::say(&format!("warning: {warning}"));
        }
        output::either(global.json, &summary, || {
            format!("{}: {}\n{}", self.file.display(), summary.sentence(), summary.memory())
        })
    }
}

/// A configuration that `foobar run` would put in force.
fn load(file: &Path) -> Result<(Config, Vec<Fill>), Refusal> {
    let config = Config::load(file)?;
    let tables = plan::judge(&config)?;
    Ok((config, tables))
}

impl Summary {
    fn of(config: &Config, tables: Vec<Fill>) -> Self {
        Self {
            interfaces: config.interfaces.len(),
            default: config.firewall.default,
            rules: config.firewall.rules.len(),
            services: config.services.len(),
            sets: Vec::new(),
            backends: config.services.iter().map(|service| service.backends.len()).sum(),
            warnings: config.warnings(),
            tables,
        }
    }

    fn sentence(&self) -> String {
        let Self { interfaces, default, rules, services, sets: _, backends, warnings: _, tables: _ } = self;
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

    /// What of the tables the rules and services take, but for the ports, which have one each, and rings.
    fn memory(&self) -> String {
        let bytes: usize = self.tables.iter().map(|table| table.bytes).sum();
        let used = self.tables.iter().filter(|table| table.used > 0);
        let used: Vec<_> = used.map(|Fill { of, used, room, bytes: _ }| format!("{used} of {room} {of}")).collect();
        format!("its rules and services take {} KiB of a bank's tables: {}", bytes.div_ceil(KIB), used.join(", "))
    }
}

/// The unit that tables are told in.
const KIB: usize = 1024;

fn number(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_valid_and_passes_everything() {
        let summary = Summary::of(&Config::default(), Vec::new());

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
        assert!(refusal.error.contains("such as `deny from 2001::/33,"), "{}", refusal.error);

        // Each of the first has a source and a port of its own; each of the last is for all of these sources.
        let broad = |n: u32| match n {
            0..1800 => format!("allow tcp/{} from 10.{}.{}.0/24", 2 * n + 1, n / 200, n % 200),
            _ => format!("allow udp/{} from 10.0.0.0/8", 2 * n + 1),
        };
        let refusal = self::refusal(&rules(2_000, broad));
        assert!(refusal.error.contains("more than the 262144 pairs"), "{}", refusal.error);
        assert!(refusal.error.contains("`allow udp/3601 from 10.0.0.0/8`"), "{}", refusal.error);
    }

    #[test]
    fn a_hundred_hosts_ports_and_protocols_have_room() {
        let hosts = (0..150).map(|n| format!("deny to 192.0.2.{n}"));
        let ports = (0..150).map(|n| format!("allow tcp/{}", 2 * n + 1));
        let protocols = (0..500).map(|n| format!("allow tcp from 10.{}.{}.0/24", n / 250, n % 250));
        let texts: Vec<_> = protocols.chain(ports).chain(hosts).map(|rule| format!("{rule:?}")).collect();
        let text = format!("[firewall]\nrules = [{}]", texts.join(", "));
        let config = Config::parse(&text, "foobar.toml").expect("a valid file");
        let tables = plan::judge(&config).expect("there is room");
        let summary = Summary::of(&config, tables);
        let memory = summary.memory();
        assert!(memory.contains("501 of 32768 kinds of sources"), "{memory}");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((number(1, "rule"), number(2, "rule")), ("1 rule".to_owned(), "2 rules".to_owned()));
    }
}
