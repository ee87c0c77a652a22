//! From text to a [`Rule`]: a verdict, a protocol or none, then clauses in any order, each once.

use std::{collections::HashSet, str::FromStr, time::Duration, vec};

use super::{Limit, Matcher, Rule, Source, Verdict, matcher};
use crate::domain::{
    Mistake, duration,
    mistake::{Fault, Parsed, Word, nearest, words},
    name, prefix,
};

/// The words that open a clause, in canonical order.
pub const CLAUSES: [&str; 7] = ["from", "to", "on", "limit", "log", "for", "as"];

impl FromStr for Rule {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        Parser::new(text).rule().map_err(|fault| fault.within(text))
    }
}

struct Parser<'a> {
    words: std::iter::Peekable<vec::IntoIter<Word<'a>>>,
    last: Word<'a>,
    seen: Vec<&'a str>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self { words: words(text).into_iter().peekable(), last: Word::whole(text).after(text.len()), seen: Vec::new() }
    }

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.words.next()?;
        self.last = word;
        Some(word)
    }

    /// The word after `self.last`, without which the rule ends too early.
    fn need(&mut self, what: &str) -> Parsed<Word<'a>> {
        let before = self.last;
        self.next().ok_or_else(|| {
            let fault = before.fault(format!("`{}` needs {what} after it", before.text));
            fault.hint(format!("write it as in `{}`", example(before.text)))
        })
    }

    fn rule(mut self) -> Parsed<Rule> {
        let verdict = self.verdict()?;
        let matcher = match self.words.next_if(|word| !CLAUSES.contains(&word.text)) {
            None => Matcher::Any,
            Some(word) => {
                self.last = word;
                matcher::read(word)?
            }
        };
        let mut rule = Rule::new(verdict, matcher);
        while let Some(word) = self.next() {
            self.clause(word, &mut rule)?;
        }
        Ok(rule)
    }

    fn verdict(&mut self) -> Parsed<Verdict> {
        let hint = "a rule begins with `allow` or `deny`, as in `allow tcp/22 from 10.0.0.0/8`";
        let Some(word) = self.next() else {
            return Err(self.last.fault("a rule is missing").hint(hint));
        };
        match word.text {
            "allow" => return Ok(Verdict::Allow),
            "deny" => return Ok(Verdict::Deny),
            _ => {}
        }
        let meant = match word.text {
            "accept" | "permit" | "pass" => Some("allow"),
            "drop" | "reject" | "block" => Some("deny"),
            other => nearest(other, ["allow", "deny"]),
        };
        if meant.is_none() && (matcher::read(word).is_ok() || CLAUSES.contains(&word.text)) {
            return Err(word
                .fault("the verdict is missing")
                .hint(format!("write `allow {0}` or `deny {0}`", word.text)));
        }
        let hint = meant.map_or(hint.to_owned(), |meant| format!("did you mean `{meant}`?"));
        Err(word.fault(format!("`{}` is not a verdict", word.text)).hint(hint))
    }

    fn clause(&mut self, word: Word<'a>, rule: &mut Rule) -> Parsed<()> {
        if CLAUSES.contains(&word.text) && self.seen.contains(&word.text) {
            let fault = word.fault(format!("`{}` stands twice", word.text));
            return Err(match word.text {
                "from" | "to" | "on" => fault.hint(format!("write one list with commas: `{} A,B`", word.text)),
                _ => fault.hint("leave one of them out"),
            });
        }
        self.seen.push(word.text);
        match word.text {
            "from" => rule.from = self.sources(&rule.matcher, &rule.to)?,
            "to" => rule.to = self.sources(&rule.matcher, &rule.from)?,
            "on" => rule.on = self.interfaces()?,
            "limit" => rule.limit = Some(self.limit(word, rule)?),
            "log" => rule.log = true,
            "for" => rule.lifetime = Some(duration::read(self.need("a duration such as `10m`")?)?),
            "as" => rule.name = Some(self.name()?),
            _ => return Err(self.trailing(word)),
        }
        Ok(())
    }

    fn sources(&mut self, matcher: &Matcher, other_side: &[Source]) -> Parsed<Vec<Source>> {
        let list = self.need("an address, a prefix such as `10.0.0.0/8`, or a set such as `@blocklist`")?;
        let (mut sources, mut seen) = (Vec::new(), HashSet::new());
        for item in list.items()? {
            let source = source(item)?;
            check_family(item, &source, matcher)?;
            if seen.insert(source.clone()) {
                sources.push(source);
            }
        }
        if let (Some(here), Some(there)) = (one_family(&sources), one_family(other_side))
            && here != there
        {
            let fault = list.fault("`from` and `to` are of different address families, which no packet has");
            return Err(fault.hint("write both as IPv4, or both as IPv6"));
        }
        Ok(sources)
    }

    fn interfaces(&mut self) -> Parsed<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for item in self.need("an interface such as `eth0`")?.items()? {
            let name = name::interface(item)?;
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn name(&mut self) -> Parsed<String> {
        let word = self.need("a name")?;
        let name = name::name(word)?;
        if name.bytes().all(|b| b.is_ascii_digit()) || name == "allow" || name == "deny" {
            let fault = word.fault(format!("`{name}` cannot be the name of a rule"));
            return Err(
                fault.hint("a number or a verdict would be taken for another rule; write a word such as `scanner`")
            );
        }
        Ok(name.to_owned())
    }

    fn limit(&mut self, keyword: Word<'a>, rule: &Rule) -> Parsed<Limit> {
        if rule.verdict == Verdict::Deny {
            let fault = keyword.fault("`limit` belongs to `allow`, and this rule denies");
            return Err(fault.hint("an `allow` drops what is over its limit by itself: `allow icmp limit 10/s`"));
        }
        let (count, per, connections) = self.rate()?;
        let mut limit = Limit { count, per, connections, per_source: false, burst: None };
        while let Some(word) = self.words.next_if(|word| ["per", "burst", "connections"].contains(&word.text)) {
            self.last = word;
            let again = match word.text {
                "per" => std::mem::replace(&mut limit.per_source, self.source_word()?),
                "burst" => limit.burst.replace(positive(self.need("a number")?)?).is_some(),
                _ => std::mem::replace(&mut limit.connections, true),
            };
            if again {
                return Err(word
                    .fault(format!("`{}` stands twice in a limit", word.text))
                    .hint("leave one of them out"));
            }
        }
        if limit.connections && !matches!(rule.matcher, Matcher::Tcp(_)) {
            let fault = keyword.fault("only TCP has connections, and this rule is not for `tcp` alone");
            return Err(fault.hint("write `allow tcp`, or a limit of packets: `limit 10/s`"));
        }
        Ok(limit)
    }

    /// Reads `10/s` or `200 connections/s`.
    fn rate(&mut self) -> Parsed<(u32, Duration, bool)> {
        let example = "write a rate as in `limit 10/s` or `limit 200 connections/s`";
        let word = self.need("a rate such as `10/s`").map_err(|fault| fault.hint(example))?;
        if let Some((count, unit)) = word.split_once('/') {
            return Ok((positive(count)?, period(unit)?, false));
        }
        let count = positive(word)?;
        let Some(word) = self.words.next_if(|word| word.text.starts_with("connections/")) else {
            return Err(word.fault("a limit without a unit of time").hint(example));
        };
        self.last = word;
        Ok((count, period(word.after("connections/".len()))?, true))
    }

    fn source_word(&mut self) -> Parsed<bool> {
        let word = self.need("`source`")?;
        if word.text == "source" {
            return Ok(true);
        }
        Err(word.fault(format!("a limit cannot be per `{}`", word.text)).hint("write `per source`"))
    }

    fn trailing(&self, word: Word<'a>) -> Fault {
        let fault = word.fault(format!("`{}` is not expected here", word.text));
        let before = self.seen.len().checked_sub(2).map(|index| self.seen[index]);
        let hint = if word.text.starts_with(',') {
            "write lists without spaces, as in `80,443`".to_owned()
        } else if matcher::read(word).is_ok() {
            "a rule names one protocol, right after `allow` or `deny`; write another rule for another protocol"
                .to_owned()
        } else if word.text.starts_with("per") || word.text.starts_with("burst") {
            format!("`{}` belongs to a limit: `limit 10/s per source burst 20`", word.text)
        } else if let Some(near) = nearest(word.text, CLAUSES) {
            format!("did you mean `{near}`?")
        } else if before == Some("log") || before.is_none() {
            format!("after the protocol come {}", CLAUSES.map(|word| format!("`{word}`")).join(", "))
        } else {
            "a list has commas and no spaces; a new clause begins with `from`, `to`, `on`, `limit`, `log`, `for` or `as`"
                .to_owned()
        };
        fault.hint(hint)
    }
}

/// A clause, or a part of one, that is complete.
fn example(keyword: &str) -> &str {
    match keyword {
        "from" => "from 10.0.0.0/8,2001:db8::/32",
        "to" => "to 192.0.2.0/24",
        "on" => "on eth0",
        "for" => "for 10m",
        "as" => "as scanner",
        "per" => "per source",
        "burst" => "burst 20",
        _ => "limit 10/s",
    }
}

fn source(word: Word<'_>) -> Parsed<Source> {
    match word.text.strip_prefix('@') {
        Some(_) => name::name(word.after(1)).map(|name| Source::Set(name.to_owned())),
        None => prefix::read(word).map(Source::Prefix),
    }
}

fn check_family(word: Word<'_>, source: &Source, matcher: &Matcher) -> Parsed<()> {
    match (matcher.family(), source.family()) {
        (Some(4), Some(6)) => Err(word.fault("`icmp` is IPv4's, and this address is IPv6").hint("write `icmpv6`")),
        (Some(6), Some(4)) => Err(word.fault("`icmpv6` is IPv6's, and this address is IPv4").hint("write `icmp`")),
        _ => Ok(()),
    }
}

/// The family that all sources share, if they do.
fn one_family(sources: &[Source]) -> Option<u8> {
    let first = sources.first()?.family()?;
    sources.iter().all(|source| source.family() == Some(first)).then_some(first)
}

fn positive(word: Word<'_>) -> Parsed<u32> {
    let digits = word.text.bytes().all(|b| b.is_ascii_digit());
    word.text.parse().ok().filter(|number| digits && *number > 0).ok_or_else(|| {
        word.fault(format!("`{}` is not a number from 1 to {}", word.text, u32::MAX))
            .hint("write a limit as in `limit 10/s per source burst 20`")
    })
}

fn period(word: Word<'_>) -> Parsed<Duration> {
    match word.text {
        "s" => Ok(Duration::from_secs(1)),
        "m" => Ok(Duration::from_mins(1)),
        other => {
            Err(word.fault(format!("`{other}` is not a unit of a rate")).hint("write `/s` (second) or `/m` (minute)"))
        }
    }
}
