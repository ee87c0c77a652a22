//! `[firewall]`: the default, the rules and the sets.

use super::{
    Firewall, Policy,
    places::{FirewallPlaces, RulePlace},
    section::{Section, Value},
    sets,
};
use crate::domain::{
    Rule,
    mistake::{Fault, Parsed},
};

const RULES: &str = "rules = [\"allow tcp/22\", \"deny from 203.0.113.0/24\"]";

const LATER: [(&str, &str); 1] = [("egress", "rules for what this host sends are not in this version")];

/// Reads the section; without one everything passes, with one that does not say what is left is dropped.
pub fn read(file: &Section<'_>) -> Parsed<(Firewall, FirewallPlaces)> {
    let Some(value) = file.value("firewall") else {
        return Ok((Firewall::default(), FirewallPlaces::default()));
    };
    let section = value.section("[firewall]", "[firewall]")?;
    section.keys(&["default", "rules", "sets"], &LATER)?;
    let default = section
        .value("default")
        .map_or(Ok(Policy::Drop), |value| value.choice(&[("drop", Policy::Drop), ("pass", Policy::Pass)], &[]))?;
    let list = section.value("rules").map_or(Ok(Vec::new()), |value| value.list(RULES))?;
    let (rules, places) = list.iter().map(rule).collect::<Parsed<(Vec<_>, Vec<_>)>>()?;
    let (sets, set_places) = section.value("sets").map_or(Ok(Default::default()), |value| sets::read(&value))?;
    Ok((Firewall { default, rules, sets }, FirewallPlaces { rules: places, sets: set_places }))
}

fn rule(value: &Value<'_>) -> Parsed<(Rule, RulePlace)> {
    let text = value.text(RULES)?;
    let rule = text
        .value
        .parse::<Rule>()
        .map_err(|mistake| text.place(Fault { span: mistake.span, problem: mistake.problem, hint: mistake.hint }))?;
    let span = text.inside();
    Ok((rule, RulePlace { verbatim: span != text.span, span, text: text.value.to_owned() }))
}
