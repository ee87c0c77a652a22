//! `[firewall]` and `[firewall.egress]`: the defaults, the rules and the sets.

use super::{
    Egress, Firewall, Policy,
    places::{FirewallPlaces, RulePlace},
    section::{Section, Value},
    sets,
};
use crate::domain::{
    Rule,
    mistake::{Fault, Parsed},
};

const RULES: &str = "rules = [\"allow tcp/22\", \"deny from 203.0.113.0/24\"]";

const SENT: &str = "rules = [\"deny tcp/25\", \"deny udp/53 to 192.0.2.0/24\"]";

const POLICIES: [(&str, Policy); 2] = [("drop", Policy::Drop), ("pass", Policy::Pass)];

/// Reads the section; without one everything passes, with one that does not say what is left is dropped.
pub fn read(file: &Section<'_>) -> Parsed<(Firewall, FirewallPlaces)> {
    let Some(value) = file.value("firewall") else {
        return Ok((Firewall::default(), FirewallPlaces::default()));
    };
    let section = value.section("[firewall]", "[firewall]")?;
    section.keys(&["default", "rules", "egress", "sets"], &[])?;
    // A section about what this host sends alone says nothing of what it gets.
    let says_nothing = section.value("rules").is_none() && section.value("egress").is_some();
    let missing = if says_nothing { Policy::Pass } else { Policy::Drop };
    let default = section.value("default").map_or(Ok(missing), |value| value.choice(&POLICIES, &[]))?;
    let (rules, rule_places) = rules(&section, RULES)?;
    let (egress, egress_places) = egress(&section)?;
    let (sets, set_places) = section.value("sets").map_or(Ok(Default::default()), |value| sets::read(&value))?;
    let places = FirewallPlaces { rules: rule_places, egress: egress_places, sets: set_places };
    Ok((Firewall { default, rules, egress, sets }, places))
}

/// Without the section, and without a `default` in it, everything leaves that no rule denies.
fn egress(firewall: &Section<'_>) -> Parsed<(Egress, Vec<RulePlace>)> {
    let Some(value) = firewall.value("egress") else { return Ok((Egress::default(), Vec::new())) };
    let section = value.section("[firewall.egress]", "[firewall.egress]")?;
    section.keys(&["default", "rules"], &[])?;
    let default = section.value("default").map_or(Ok(Policy::Pass), |value| value.choice(&POLICIES, &[]))?;
    let (rules, places) = rules(&section, SENT)?;
    Ok((Egress { default, rules }, places))
}

fn rules(section: &Section<'_>, example: &str) -> Parsed<(Vec<Rule>, Vec<RulePlace>)> {
    let list = section.value("rules").map_or(Ok(Vec::new()), |value| value.list(example))?;
    list.iter().map(rule).collect()
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
