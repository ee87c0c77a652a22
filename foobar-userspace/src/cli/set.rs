//! `foobar set new|add|rm|list|reload|delete`

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::Value;

use super::{
    Global, output,
    safety::Insisting,
    tables::{lines, table},
    text::count,
};
use crate::{
    api::{
        client::path,
        types::{NewSet, Refusal, Reloaded, SetChange, SetChanged, SetElement, SetMembers, SetStatus},
    },
    domain::duration,
};

const EXAMPLES: &str = "\
A rule names a set as `@NAME`; what is in it changes at once, without touching the rules:
  foobar set new scanners
  foobar deny from @scanners
  foobar set add scanners 203.0.113.7 198.51.100.0/24
  foobar set add scanners 192.0.2.9 --for 10m";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Set {
    /// Make an empty set
    New { name: String },
    /// Add prefixes to a set
    Add(Add),
    /// Remove prefixes from a set
    #[command(visible_alias = "remove")]
    Rm {
        name: String,
        #[arg(value_name = "PREFIX", required = true, value_parser = NonEmptyStringValueParser::new())]
        prefixes: Vec<String>,
        #[command(flatten)]
        insisting: Insisting,
    },
    /// List the sets, or what is in one
    List { name: Option<String> },
    /// Read a set's file again, or every set's
    Reload {
        name: Option<String>,
        #[command(flatten)]
        insisting: Insisting,
    },
    /// Remove a set that no rule names
    Delete { name: String },
}

#[derive(Args, Debug)]
pub struct Add {
    name: String,
    /// An address, or a prefix such as 10.0.0.0/8
    #[arg(value_name = "PREFIX", required = true, value_parser = NonEmptyStringValueParser::new())]
    prefixes: Vec<String>,
    /// Only for so long, as in 10m
    #[arg(long = "for", value_name = "DURATION")]
    lifetime: Option<String>,
    #[command(flatten)]
    insisting: Insisting,
}

impl Set {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        match self {
            Self::New { name } => {
                let _: Value = global.client().post(&path(&["sets"]), &NewSet { name: name.clone() }).await?;
                output::say(&format!("set {name} is made"));
                Ok(())
            }
            Self::Add(Add { name, prefixes, lifetime, insisting }) => {
                let change = SetChange { add: prefixes, remove: Vec::new(), lifetime, safety: insisting.into_safety() };
                changed(global, &name, &change, "added", "there already").await
            }
            Self::Rm { name, prefixes, insisting } => {
                let change = SetChange { remove: prefixes, safety: insisting.into_safety(), ..SetChange::default() };
                changed(global, &name, &change, "removed", "not there").await
            }
            Self::List { name: None } => list(global).await,
            Self::List { name: Some(name) } => members(global, &name).await,
            Self::Reload { name, insisting } => reload(global, name, insisting).await,
            Self::Delete { name } => {
                let _: Value = global.client().delete(&path(&["sets", &name])).await?;
                output::say(&format!("set {name} is removed"));
                Ok(())
            }
        }
    }
}

async fn changed(global: &Global, name: &str, change: &SetChange, done: &str, already: &str) -> Result<(), Refusal> {
    let answer: SetChanged = global.client().patch(&path(&["sets", name]), change).await?;
    let unchanged = if answer.unchanged > 0 { format!(", {} {already}", answer.unchanged) } else { String::new() };
    output::say(&format!("set {name}: {} {done}{unchanged}", answer.changed));
    if global.json { output::json(&answer) } else { Ok(()) }
}

async fn list(global: &Global) -> Result<(), Refusal> {
    let sets: Vec<SetStatus> = global.client().get(&path(&["sets"])).await?;
    if sets.is_empty() && !global.json {
        output::say("there is no set; make one: foobar set new NAME");
    }
    output::either(global.json, &sets, || show(&sets))
}

fn show(sets: &[SetStatus]) -> String {
    let mut table = table(["SET", "IPV4", "IPV6", "ENDING", "LIVE", "MEMORY", "RULES", "FILE"], &[1, 2, 3, 4, 5, 6]);
    for set in sets {
        let SetStatus { name, file, ipv4, ipv6, timed, live, memory_bytes, rules } = set;
        let numbers = [ipv4, ipv6, timed, live].map(|number| count(*number as u64));
        let file = file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        let more = [megabytes(*memory_bytes), rules.len().to_string(), file];
        table.add_row([name.clone()].into_iter().chain(numbers).chain(more).collect::<Vec<_>>());
    }
    lines(&table)
}

/// A tenth of a megabyte is the least that is worth a thought.
pub fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

async fn members(global: &Global, name: &str) -> Result<(), Refusal> {
    let set: SetMembers = global.client().get(&path(&["sets", name])).await?;
    output::either(global.json, &set, || set.elements.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn line(SetElement { prefix, seconds_left }: &SetElement) -> String {
    match seconds_left {
        None => prefix.clone(),
        Some(left) => format!("{prefix} for {}", duration::write(std::time::Duration::from_secs(*left))),
    }
}

async fn reload(global: &Global, name: Option<String>, insisting: Insisting) -> Result<(), Refusal> {
    let safety = insisting.into_safety();
    let names = if let Some(name) = name {
        vec![name]
    } else {
        let sets: Vec<SetStatus> = global.client().get(&path(&["sets"])).await?;
        sets.into_iter().filter(|set| set.file.is_some()).map(|set| set.name).collect()
    };
    let mut all = serde_json::Map::new();
    for name in names {
        let answer: Reloaded = global.client().post(&path(&["sets", &name, "reload"]), &safety).await?;
        output::say(&format!("set {name}: {}", reloaded(&answer)));
        all.insert(name, serde_json::to_value(answer).unwrap_or_default());
    }
    if global.json { output::json(&all) } else { Ok(()) }
}

fn reloaded(Reloaded { prefixes, kept_live, restored, masked }: &Reloaded) -> String {
    let parts = [
        (kept_live, "added live, which stay"),
        (restored, "removed live, which are as the file says again"),
        (masked, "with bits set beyond their length, which were taken off"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| **number > 0).map(|(number, what)| format!("{number} {what}"));
    [format!("{prefixes} prefixes")].into_iter().chain(parts).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_listed_in_columns() {
        let set = SetStatus {
            name: "bad".into(),
            file: Some("/etc/bad.txt".into()),
            ipv4: 1_000_000,
            ipv6: 0,
            timed: 2,
            live: 3,
            memory_bytes: 56_080_000,
            rules: vec!["deny from @bad".into()],
        };
        let shown = show(&[set]);
        assert!(shown.ends_with(" bad  1 000 000     0       2     3  56.0 MB      1  /etc/bad.txt"), "{shown}");
    }

    #[test]
    fn an_element_says_how_long_it_stays() {
        let element = |seconds_left| line(&SetElement { prefix: "10.0.0.1".into(), seconds_left });
        assert_eq!((element(None), element(Some(90))), ("10.0.0.1".into(), "10.0.0.1 for 1m30s".into()));
    }

    #[test]
    fn a_reload_says_what_stays() {
        let answer = Reloaded { prefixes: 9, kept_live: 2, restored: 0, masked: 1 };
        let said = "9 prefixes; 2 added live, which stay; 1 with bits set beyond their length, which were taken off";
        assert_eq!(reloaded(&answer), said);
    }
}
