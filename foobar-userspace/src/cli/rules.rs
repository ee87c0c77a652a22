//! `foobar allow`, `deny`, `rules` and `rule rm`. A rule's words are joined: the shell's and the file's language is one.

use std::time::Duration;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};

use super::{
    Global, output,
    safety::{Careful, remind},
    tables::{lines, table},
    text::count,
};
use crate::{
    api::{
        client::path,
        types::{AddRule, AddedRule, Refusal, RemovedRule, RuleLine},
    },
    domain::duration,
};

const EXAMPLES: &str = "\
A rule matches by protocol and port, source and destination, and may have a name:
  foobar allow tcp/80,443
  foobar allow icmp/echo-request
  foobar deny udp/5000-5999
  foobar deny from 203.0.113.0/24 as scanner
  foobar deny from 2001:db8::/32
  foobar allow tcp/22 from 10.0.0.0/8
  foobar deny tcp/25 to 192.0.2.0/24
It may end by itself; the same command again begins its time anew:
  foobar deny from 198.51.100.7 for 10m";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Allow {
    #[command(flatten)]
    words: Words,
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Deny {
    #[command(flatten)]
    words: Words,
}

#[derive(Args, Debug)]
struct Words {
    /// What it matches
    #[arg(value_name = "RULE", required = true)]
    rule: Vec<String>,
    /// Put it before this rule: its number, or its name
    #[arg(long, value_name = "ID", conflicts_with = "after")]
    before: Option<String>,
    /// Put it after this rule: its number, or its name
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    careful: Careful,
}

#[derive(Debug, Subcommand)]
pub enum Rule {
    /// Remove a rule
    #[command(visible_alias = "remove")]
    Rm {
        /// Its number in `foobar rules`, or its name
        #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        careful: Careful,
    },
}

impl Allow {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        self.words.add("allow", global).await
    }
}

impl Deny {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        self.words.add("deny", global).await
    }
}

impl Words {
    async fn add(self, verdict: &str, global: &Global) -> Result<(), Refusal> {
        let request = self.request(verdict);
        let added: AddedRule = global.client().post(&path(&["rules"]), &request).await?;
        for warning in &added.warnings {
            output::say(&format!("warning: {warning}"));
        }
        let renewed = if added.renewed { " is renewed" } else { "" };
        output::either(global.json, &added, || format!("rule {}{renewed}: {}", added.line.id, added.line.rule))?;
        remind(added.pending.as_ref());
        Ok(())
    }

    fn request(self, verdict: &str) -> AddRule {
        let Self { rule, before, after, careful } = self;
        AddRule { rule: format!("{verdict} {}", rule.join(" ")), before, after, safety: careful.into_safety() }
    }
}

impl Rule {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let Self::Rm { id, careful } = self;
        let RemovedRule { line, pending } =
            global.client().delete_with(&path(&["rules", &id]), &careful.into_safety()).await?;
        output::either(global.json, &line, || format!("rule {} is removed: {}", line.id, line.rule))?;
        remind(pending.as_ref());
        Ok(())
    }
}

/// `foobar rules`
pub async fn list(global: &Global) -> Result<(), Refusal> {
    let rules: Vec<RuleLine> = global.client().get(&path(&["rules"])).await?;
    if rules.is_empty() && !global.json {
        output::say("there are no rules; add one: foobar allow tcp/22");
        return Ok(());
    }
    output::either(global.json, &rules, || show(&rules))
}

/// The rules in their order, with what they decided.
pub fn show(rules: &[RuleLine]) -> String {
    let mut table = table(["ID", "RULE", "PACKETS", "BYTES"], &[0, 2, 3]);
    for RuleLine { id, rule, packets, bytes, left, limited } in rules {
        let rule = format!("{rule}{}{}", said(*left), over(*limited));
        table.add_row([id.to_string(), rule, count(*packets), count(*bytes)]);
    }
    lines(&table)
}

fn over(limited: Option<u64>) -> String {
    limited.filter(|packets| *packets > 0).map_or_else(String::new, |packets| format!(", {} limited", count(packets)))
}

fn said(left: Option<u64>) -> String {
    match left {
        None => String::new(),
        Some(0) => ", over".to_owned(),
        Some(seconds) => format!(", {} left", duration::write(Duration::from_secs(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn request(line: &str) -> AddRule {
        match Cli::try_parse_from(line.split(' ')).unwrap().command.unwrap() {
            Command::Allow(allow) => allow.words.request("allow"),
            Command::Deny(deny) => deny.words.request("deny"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_are_joined() {
        let found = request("foobar deny from 203.0.113.0/24 as scanner");
        assert_eq!(found.rule, "deny from 203.0.113.0/24 as scanner");
    }

    #[test]
    fn a_place_may_stand_on_either_side() {
        for line in ["foobar allow --before 3 tcp/80 as web", "foobar allow tcp/80 as web --before 3"] {
            let found = request(line);
            assert_eq!((found.rule.as_str(), found.before.as_deref()), ("allow tcp/80 as web", Some("3")));
        }
    }

    #[test]
    fn what_makes_no_rule_is_refused() {
        for line in ["foobar allow", "foobar allow tcp/80 --before 1 --after 2", "foobar rule rm", "foobar rule rm 1 2"]
        {
            Cli::try_parse_from(line.split(' ')).unwrap_err();
        }
    }

    #[test]
    fn rules_are_listed_in_columns() {
        let mut rules =
            [RuleLine { id: 3, rule: "allow tcp/80".into(), packets: 1234, bytes: 99, left: None, limited: None }];
        assert_eq!(show(&rules), " ID  RULE          PACKETS  BYTES\n  3  allow tcp/80    1 234     99");
        for (left, said) in [(432, "allow tcp/80, 7m12s left"), (0, "allow tcp/80, over")] {
            rules[0].left = Some(left);
            assert!(show(&rules).contains(&format!("  3  {said}  ")), "{}", show(&rules));
        }
        (rules[0].left, rules[0].limited) = (None, Some(20_000));
        assert!(show(&rules).contains("  3  allow tcp/80, 20 000 limited  "), "{}", show(&rules));
    }
}
