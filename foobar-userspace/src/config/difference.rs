//! What is different between two configurations, in the words of the file.
//!
//! Rules are compared by their text: one that stands elsewhere has moved, unless those around it moved instead.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Config, Interface, Policy};
use crate::domain::{Backend, Rule, Service, SetSource, set::show};

/// What has to be done to one configuration to have another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The default before and after, where it differs.
    pub default: Option<(Policy, Policy)>,
    pub rules: Vec<RuleDifference>,
    /// The same of what this host sends.
    #[serde(default)]
    pub egress_default: Option<(Policy, Policy)>,
    #[serde(default)]
    pub egress_rules: Vec<RuleDifference>,
    #[serde(default)]
    pub sets: Vec<PartDifference>,
    pub interfaces: Vec<PartDifference>,
    pub services: Vec<PartDifference>,
    pub backends: Vec<PartDifference>,
    /// Balancers whose tunnels are taken off.
    #[serde(default)]
    pub tunnels: Vec<PartDifference>,
}

/// A rule and its places in the lists, from 1; none where it is not in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDifference {
    pub rule: String,
    pub before: Option<usize>,
    pub after: Option<usize>,
}

/// A set, an interface, a service, a backend of a service or a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDifference {
    pub name: String,
    pub change: Change,
    /// What of it changed: `weight 100 -> 50`.
    pub detail: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Added,
    Removed,
    Changed,
}

impl Difference {
    pub fn between(before: &Config, after: &Config) -> Self {
        let (old, new) = (&before.firewall, &after.firewall);
        let differ = |old: Policy, new: Policy| (old != new).then_some((old, new));
        let mut found = Self {
            default: differ(old.default, new.default),
            rules: rules(&old.rules, &new.rules),
            egress_default: differ(old.egress.default, new.egress.default),
            egress_rules: rules(&old.egress.rules, &new.egress.rules),
            interfaces: Self::of_interfaces(before, after),
            ..Self::default()
        };
        let sets = |config: &Config| Vec::from_iter(config.firewall.sets.clone());
        parts(&sets(before), &sets(after), |(name, _)| name.clone(), set_detail, &mut found.sets);
        parts(&before.services, &after.services, |service| service.name.clone(), service_detail, &mut found.services);
        for service in &after.services {
            let old = before.services.iter().find(|old| old.name == service.name);
            let old = old.map_or(&[][..], |old| old.backends.as_slice());
            let name = |backend: &Backend| format!("{} of {}", backend.address, service.name);
            parts(old, &service.backends, name, backend_detail, &mut found.backends);
        }
        parts(&before.tunnels, &after.tunnels, ToString::to_string, |_, _| Vec::new(), &mut found.tunnels);
        found
    }

    /// What is different of the interfaces alone.
    pub fn of_interfaces(before: &Config, after: &Config) -> Vec<PartDifference> {
        let mut found = Vec::new();
        let name = |interface: &Interface| interface.name.clone();
        parts(&before.interfaces, &after.interfaces, name, interface_detail, &mut found);
        found
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A line for each: `+` what comes, `-` what goes, `~` what changes.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, default, rules) in
            [("", self.default, &self.rules), ("egress ", self.egress_default, &self.egress_rules)]
        {
            let line = |(old, new): (Policy, Policy)| format!("~ {what}default: {} -> {}", old.word(), new.word());
            lines.extend(default.map(line));
            lines.extend(rules.iter().map(|rule| rule.line(what)));
        }
        for (what, parts) in [
            ("set", &self.sets),
            ("interface", &self.interfaces),
            ("service", &self.services),
            ("backend", &self.backends),
            ("tunnels from", &self.tunnels),
        ] {
            lines.extend(parts.iter().map(|part| part.line(what)));
        }
        lines
    }
}

impl RuleDifference {
    /// `list`: the word before `rule`, with a space.
    fn line(&self, list: &str) -> String {
        let rule = &self.rule;
        match (self.before, self.after) {
            (None, Some(place)) => format!("+ {list}rule {place}: {rule}"),
            (Some(place), None) => format!("- {list}rule {place}: {rule}"),
            (Some(before), Some(after)) => format!("~ {list}rule {after}, which was {before}: {rule}"),
            (None, None) => String::new(),
        }
    }
}

impl PartDifference {
    fn line(&self, what: &str) -> String {
        let Self { name, change, detail } = self;
        match change {
            Change::Added => format!("+ {what} {name}"),
            Change::Removed => format!("- {what} {name}"),
            Change::Changed => format!("~ {what} {name}: {}", detail.join(", ")),
        }
    }
}

/// Removed rules by their places before, then the others by their places after.
fn rules(before: &[Rule], after: &[Rule]) -> Vec<RuleDifference> {
    let mut places: HashMap<&Rule, Vec<usize>> = HashMap::new();
    for (place, rule) in before.iter().enumerate().rev() {
        places.entry(rule).or_default().push(place);
    }
    let old: Vec<Option<usize>> = after.iter().map(|rule| places.get_mut(rule)?.pop()).collect();
    let mut gone: Vec<_> = places.into_values().flatten().collect();
    gone.sort_unstable();
    let difference = |rule: &Rule, before: Option<usize>, after: Option<usize>| RuleDifference {
        rule: rule.to_string(),
        before: before.map(|place| place + 1),
        after: after.map(|place| place + 1),
    };
    let mut found: Vec<_> = gone.into_iter().map(|place| difference(&before[place], Some(place), None)).collect();
    let stays = in_order(&old);
    for (place, rule) in after.iter().enumerate().filter(|(place, _)| !stays[*place]) {
        found.push(difference(rule, old[place], Some(place)));
    }
    found
}

/// Which of these places belong to a longest ascending sequence (patience sorting, Fredman 1975).
fn in_order(places: &[Option<usize>]) -> Vec<bool> {
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; places.len()];
    for (index, place) in places.iter().enumerate().filter(|(_, place)| place.is_some()) {
        let pile = ends.partition_point(|end| places[*end] < *place);
        before[index] = pile.checked_sub(1).map(|pile| ends[pile]);
        if pile == ends.len() { ends.push(index) } else { ends[pile] = index }
    }
    let mut stays = vec![false; places.len()];
    let mut next = ends.last().copied();
    while let Some(index) = next {
        stays[index] = true;
        next = before[index];
    }
    stays
}

fn parts<T>(
    before: &[T],
    after: &[T],
    name: impl Fn(&T) -> String,
    detail: fn(&T, &T) -> Vec<String>,
    found: &mut Vec<PartDifference>,
) {
    let mut add = |part: &T, change, detail| found.push(PartDifference { name: name(part), change, detail });
    for old in before.iter().filter(|old| after.iter().all(|other| name(other) != name(old))) {
        add(old, Change::Removed, Vec::new());
    }
    for new in after {
        match before.iter().find(|old| name(old) == name(new)) {
            None => add(new, Change::Added, Vec::new()),
            Some(old) => {
                let detail = detail(old, new);
                if !detail.is_empty() {
                    add(new, Change::Changed, detail);
                }
            }
        }
    }
}

fn set_detail((_, before): &(String, SetSource), (_, after): &(String, SetSource)) -> Vec<String> {
    let (SetSource::Prefixes(old), SetSource::Prefixes(new)) = (before, after) else {
        return changed([("from", before, after)]);
    };
    let only = |mark: &str, these: &[IpNet], those: &[IpNet]| {
        let those: HashSet<_> = those.iter().collect();
        let only = these.iter().filter(|net| !those.contains(net));
        only.map(|net| format!("{mark} {}", show(net))).collect::<Vec<_>>()
    };
    [only("-", old, new), only("+", new, old)].concat()
}

fn interface_detail(before: &Interface, after: &Interface) -> Vec<String> {
    let peer = |interface: &Interface| interface.peer.clone().unwrap_or_else(|| "none".to_owned());
    let mode = |interface: &Interface| format!("{:?}", interface.mode).to_lowercase();
    changed([("mode", mode(before), mode(after)), ("peer", peer(before), peer(after))])
}

fn service_detail(before: &Service, after: &Service) -> Vec<String> {
    let idle = |service: &Service| crate::domain::duration::write(service.idle);
    let words = |service: &Service| format!("{:?}", service.queries).to_lowercase();
    let snat = |service: &Service| {
        let addresses: Vec<_> = service.snat.iter().map(ToString::to_string).collect();
        if addresses.is_empty() { "the egress address".to_owned() } else { addresses.join(", ") }
    };
    let mut detail = changed([
        ("address", before.address.to_string(), after.address.to_string()),
        ("ports", before.ports.to_string(), after.ports.to_string()),
        ("idle", idle(before), idle(after)),
        ("affinity", before.affinity.to_string(), after.affinity.to_string()),
        ("quic_config", before.quic_config.to_string(), after.quic_config.to_string()),
        ("ring", before.ring.to_string(), after.ring.to_string()),
    ]);
    detail.extend(changed([
        ("forward", before.forward.to_string(), after.forward.to_string()),
        ("encapsulation", before.encapsulation.to_string(), after.encapsulation.to_string()),
        ("snat", snat(before), snat(after)),
        ("queries", words(before), words(after)),
        ("echo", before.echo.to_string(), after.echo.to_string()),
    ]));
    detail
}

fn backend_detail(before: &Backend, after: &Backend) -> Vec<String> {
    let weight = changed([("weight", before.weight, after.weight)]);
    let state = changed([("state", before.state, after.state)]);
    let backup = changed([("backup", before.backup, after.backup)]);
    let port = |backend: &Backend| backend.port.map_or_else(|| "the service's".to_owned(), |port| port.to_string());
    let port = changed([("port", port(before), port(after))]);
    let id = |backend: &Backend| backend.server_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let id = changed([("server_id", id(before), id(after))]);
    [port, weight, state, backup, id].concat()
}

fn changed<T: Display + PartialEq, const N: usize>(parts: [(&str, T, T); N]) -> Vec<String> {
    let differ = parts.into_iter().filter(|(_, before, after)| before != after);
    differ.map(|(what, before, after)| format!("{what} {before} -> {after}")).collect()
}

impl Policy {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, "f").unwrap_or_else(|error| panic!("{}", error.report()))
    }

    fn lines(before: &str, after: &str) -> Vec<String> {
        Difference::between(&config(before), &config(after)).lines()
    }

    fn ruled(rules: &[&str]) -> String {
        format!("[firewall]\nrules = {rules:?}\n")
    }

    #[test]
    fn rules_come_go_and_move() {
        let before = ruled(&["allow tcp/1", "allow tcp/2", "allow tcp/3", "allow tcp/4"]);
        assert_eq!(lines(&before, &before), [""; 0]);
        let after = ruled(&["allow tcp/4", "allow tcp/1", "allow tcp/2", "deny udp"]);
        let wanted = ["- rule 3: allow tcp/3", "~ rule 1, which was 4: allow tcp/4", "+ rule 4: deny udp"];
        assert_eq!(lines(&before, &after), wanted);
    }

    #[test]
    fn what_this_host_sends_is_compared_too() {
        let before = "[firewall.egress]\nrules = ['deny tcp/25']\n";
        let after = "[firewall.egress]\ndefault = 'drop'\nrules = ['allow tcp/443']\n";
        let wanted =
            ["~ egress default: pass -> drop", "- egress rule 1: deny tcp/25", "+ egress rule 1: allow tcp/443"];
        assert_eq!(lines(before, after), wanted);
    }

    #[test]
    fn sets_are_compared_by_where_they_come_from() {
        let before = "[firewall.sets]\na = { file = '/a' }\nb = { prefixes = ['10.0.0.0/8', '192.0.2.7'] }\nc = { prefixes = [] }\n";
        let after = "[firewall.sets]\na = { file = '/b' }\nb = { prefixes = ['192.0.2.7', '2001:db8::/32'] }\nd = { prefixes = [] }\n";
        let wanted = ["- set c", "~ set a: from /a -> /b", "~ set b: - 10.0.0.0/8, + 2001:db8::/32", "+ set d"];
        assert_eq!(lines(before, after), wanted);
    }

    #[test]
    fn balancers_whose_tunnels_are_taken_off_come_and_go() {
        let (before, after) =
            ("[tunnels]\nfrom = ['10.0.0.1', '10.0.0.2']\n", "[tunnels]\nfrom = ['10.0.0.2', 'fd00::1']\n");
        assert_eq!(lines(before, after), ["- tunnels from 10.0.0.1", "+ tunnels from fd00::1"]);
        assert_eq!(lines("", before), ["+ tunnels from 10.0.0.1", "+ tunnels from 10.0.0.2"]);
    }

    #[test]
    fn what_names_backends_is_compared() {
        let file = |config: u8, id: &str| {
            format!(
                "[[service]]\nname = 'h3'\naddress = '192.0.2.1'\nports = 'udp/443'\naffinity = 'quic'\n\
                 quic_config = {config}\nbackends = [{{ address = '10.0.0.1', server_id = '{id}' }}]\n"
            )
        };
        let wanted = ["~ service h3: quic_config 0 -> 5", "~ backend 10.0.0.1 of h3: server_id 0a01 -> 0a02"];
        assert_eq!(lines(&file(0, "0a01"), &file(5, "0A02")), wanted);
    }

    #[test]
    fn equal_rules_are_counted() {
        let one = ruled(&["allow tcp/1", "deny udp"]);
        let two = ruled(&["allow tcp/1", "deny udp", "allow tcp/1"]);
        assert_eq!(lines(&one, &two), ["+ rule 3: allow tcp/1"]);
        assert_eq!(lines(&two, &one), ["- rule 3: allow tcp/1"]);
    }

    #[test]
    fn what_stays_in_order_is_the_most_that_can() {
        let places = |list: &[usize]| in_order(&list.iter().map(|place| Some(*place)).collect::<Vec<_>>());
        assert_eq!(places(&[3, 0, 1, 2]), [false, true, true, true]);
        assert_eq!(places(&[1, 2, 3, 0]), [true, true, true, false]);
        assert_eq!(in_order(&[None, Some(1), None, Some(0)]).iter().filter(|stays| **stays).count(), 1);
    }

    #[test]
    fn every_part_is_compared() {
        let before = "interfaces = [\"eth0\", \"eth1\"]\n[firewall]\ndefault = \"pass\"\n[[service]]\nname = \"web\"\n\
            address = \"192.0.2.1\"\nports = \"tcp/80\"\nbackends = [{ address = \"10.0.0.1\" }, { address = \"10.0.0.2\" }]\n";
        let after = "interfaces = [{ name = \"eth0\", mode = \"generic\" }, \"eth2\"]\n[firewall]\n[[service]]\nname = \"web\"\n\
            address = \"192.0.2.1\"\nports = \"tcp/80\"\nidle = \"1h\"\nbackends = [{ address = \"10.0.0.1\", weight = 5 }, { address = \"10.0.0.3\" }]\n";
        let wanted = [
            "~ default: pass -> drop",
            "- interface eth1",
            "~ interface eth0: mode auto -> generic",
            "+ interface eth2",
            "~ service web: idle 3h -> 1h",
            "- backend 10.0.0.2 of web",
            "~ backend 10.0.0.1 of web: weight 100 -> 5",
            "+ backend 10.0.0.3 of web",
        ];
        assert_eq!(lines(before, after), wanted);
        assert!(!Difference::between(&config(before), &config(after)).is_empty());
    }
}
