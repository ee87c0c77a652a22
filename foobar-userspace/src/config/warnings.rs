//! What is valid and probably not meant: a default that locks out, rules that never match, services without flows.

mod cover;
mod grid;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

use foobar_common::{
    extension::is_extension,
    flow::{TCP, UDP},
};

use self::cover::Cover;
use super::{Config, Firewall, Policy};
use crate::domain::{Backend, BackendState, Matcher, Rule, Service, ServicePorts, Transport, Verdict};

impl Config {
    /// One sentence for each thing that an operator should know before it runs.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let (mut earlier, mut cover) = (Earlier::default(), Cover::default());
        for (index, rule) in self.firewall.rules.iter().enumerate() {
            if let Some(by) = cover.covers(rule) {
                warnings.push(self.never_matches(index, &by));
            }
            warnings.extend(opens_no_header(rule));
            earlier.add(index, rule);
            cover.add(index, rule);
        }
        warnings.extend(self.open_nothing());
        warnings.extend(self.unattached());
        if self.firewall.default == Policy::Drop {
            warnings.splice(0..0, self.default_drop(&earlier));
        }
        warnings.extend(self.services.iter().flat_map(|service| self.denied_service(service, &earlier)));
        warnings.extend(self.services.iter().filter_map(no_weight));
        warnings
    }

    fn never_matches(&self, index: usize, by: &BTreeSet<usize>) -> String {
        let rules = &self.firewall.rules;
        let (rule, text) = (&rules[index], rules[index].in_short());
        if let Some(twin) = by.iter().find(|twin| by.len() == 1 && is_twin(&rules[**twin], rule)) {
            return format!("`{text}` can never match: it stands in the list already, in place {}", twin + 1);
        }
        let names: Vec<_> = by.iter().take(3).map(|first| format!("`{}`", rules[*first].in_short())).collect();
        let more = if by.len() > 3 { " and others" } else { "" };
        let verb = if by.len() == 1 { "decides" } else { "decide" };
        let names = names.join(", ");
        format!("`{text}` can never match: {names}{more} {verb} about all of its packets first")
    }

    /// Allowances that leave everything as it is.
    fn open_nothing(&self) -> Option<String> {
        let Firewall { default, rules, .. } = &self.firewall;
        let last_denial = rules.iter().rposition(|rule| rule.verdict == Verdict::Deny).map_or(0, |last| last + 1);
        let idle: Vec<_> = rules[last_denial..].iter().filter(|rule| rule.limit.is_none() && !rule.log).collect();
        let first = idle.first().filter(|_| *default == Policy::Pass)?;
        let more = if idle.len() > 1 {
            format!(" and {} behind it count and change", idle.len() - 1)
        } else {
            " counts and changes".to_owned()
        };
        Some(format!(
            "`{first}`{more} nothing: the default is `pass`, and no rule behind denies (a file sets `default = \"drop\"`)"
        ))
    }

    fn default_drop(&self, rules: &Earlier) -> Vec<String> {
        if rules.everything().is_some_and(|first| self.firewall.rules[first].verdict == Verdict::Allow) {
            return Vec::new();
        }
        if self.services.is_empty() && self.firewall.rules.iter().all(|rule| rule.verdict == Verdict::Deny) {
            return vec![
                "the default is `drop`, no rule allows anything and there is no service: nothing but answers reaches \
                 this host, and SSH does not"
                    .to_owned(),
            ];
        }
        Vec::new()
    }

    /// A sentence for each rule that denies ports of a service to everyone.
    fn denied_service(&self, service: &Service, rules: &Earlier) -> Vec<String> {
        let ports = &service.ports;
        let first_for = rules.by_port(ports.transport());
        let mut denied = BTreeMap::<usize, Vec<RangeInclusive<u16>>>::new();
        for port in ports.ranges().iter().cloned().flatten() {
            if let Some(first) = first_for(port)
                && self.firewall.rules[first].verdict == Verdict::Deny
            {
                denied.entry(first).or_default().push(port..=port);
            }
        }
        let sentence = |(first, ports): (usize, Vec<RangeInclusive<u16>>)| {
            let (rule, name) = (self.firewall.rules[first].in_short(), &service.name);
            let these = ServicePorts::new(service.ports.transport(), *ports[0].start(), ports);
            let (these, on) = if these.ranges() == service.ports.ranges() {
                (service.ports.to_string(), String::new())
            } else {
                (these.to_string(), format!(" on {these}"))
            };
            format!("service `{name}` gets no packets{on}: `{rule}` denies {these} before services are looked at")
        };
        denied.into_iter().map(sentence).collect()
    }
}

/// What stands behind an extension header decides in IPv6, so that an allowance of its number is one for IPv4 alone.
fn opens_no_header(rule: &Rule) -> Option<String> {
    let Matcher::Protocol(number) = rule.matcher else { return None };
    (rule.verdict == Verdict::Allow && is_extension(number)).then(|| {
        format!(
            "`{rule}` matches no IPv6 packet: there {number} is an extension header, and what stands behind it decides"
        )
    })
}

/// Whether two rules are one but for their names.
fn is_twin(first: &Rule, second: &Rule) -> bool {
    let unnamed = |rule: &Rule| Rule { name: None, ..rule.clone() };
    unnamed(first) == unnamed(second)
}

fn no_weight(service: &Service) -> Option<String> {
    let serves = |backend: &Backend| backend.weight > 0 && backend.state == BackendState::Ready;
    (!service.backends.iter().any(serves)).then(|| {
        let name = &service.name;
        format!("every backend of service `{name}` is drained or has weight 0: new flows have nowhere to go")
    })
}

/// What the rules so far have decided, by the first rule that did.
#[derive(Default)]
struct Earlier {
    all: Option<usize>,
    /// By protocol: for each port or ICMP type the first rule, and at the end for a packet without one.
    protocols: HashMap<u8, Vec<Option<usize>>>,
}

impl Earlier {
    /// The rule that decides about every packet, if one does.
    fn everything(&self) -> Option<usize> {
        self.all
    }

    fn add(&mut self, index: usize, rule: &Rule) {
        let narrowed = !rule.to.is_empty() || !rule.on.is_empty() || rule.lifetime.is_some();
        if narrowed || !rule.from.is_empty() {
            return;
        }
        if let Some((protocol, kinds, ranges)) = kinds_of(rule) {
            let decided = self.protocols.entry(protocol).or_insert_with(|| vec![None; kinds]);
            for slot in ranges.into_iter().flatten().filter(|slot| decided[*slot].is_none()).collect::<Vec<_>>() {
                decided[slot] = Some(index);
            }
        } else {
            self.all.get_or_insert(index);
        }
    }

    /// By port, the first rule that decides about packets from anywhere.
    fn by_port(&self, transport: Transport) -> impl Fn(u16) -> Option<usize> {
        let protocol = match transport {
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
        };
        let decided = self.protocols.get(&protocol);
        move |port| decided.and_then(|decided| decided[usize::from(port)]).into_iter().chain(self.all).min()
    }
}

/// A protocol, how many kinds of packets it has, and which of them match.
type Kinds = (u8, usize, Vec<RangeInclusive<usize>>);

/// What a rule decides: a denial of some ports holds for later fragments too, whose ports nobody can read.
fn kinds_of(rule: &Rule) -> Option<Kinds> {
    let (protocol, kinds, mut ranges) = kinds(&rule.matcher)?;
    if rule.verdict == Verdict::Deny {
        ranges.push(kinds - 1..=kinds - 1);
    }
    Some((protocol, kinds, ranges))
}

fn kinds(matcher: &Matcher) -> Option<Kinds> {
    const PORTS: usize = 1 << 16;
    const TYPES: usize = 1 << 8;
    let (protocol, last, ranges) = match matcher {
        Matcher::Any => return None,
        Matcher::Tcp(ports) => (6, PORTS, wide(&ports.0)),
        Matcher::Udp(ports) => (17, PORTS, wide(&ports.0)),
        Matcher::Icmp(types) => (1, TYPES, single(&types.0)),
        Matcher::Icmpv6(types) => (58, TYPES, single(&types.0)),
        Matcher::Protocol(number) => (*number, 0, Vec::new()),
    };
    let ranges = if ranges.is_empty() { vec![0..=last] } else { ranges };
    Some((protocol, last + 1, ranges))
}

fn wide(ranges: &[RangeInclusive<u16>]) -> Vec<RangeInclusive<usize>> {
    ranges.iter().map(|range| usize::from(*range.start())..=usize::from(*range.end())).collect()
}

fn single(types: &[u8]) -> Vec<RangeInclusive<usize>> {
    types.iter().map(|number| usize::from(*number)..=usize::from(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(rules: Vec<Rule>) -> Firewall {
        Firewall { default: Policy::Pass, rules, ..Firewall::default() }
    }

    /// The places, from 1 on, of the rules that are warned of; of equal rules the last.
    fn never(rules: &[&str]) -> Vec<usize> {
        let rules: Vec<Rule> = rules.iter().map(|text| text.parse().expect(text)).collect();
        let config = Config { firewall: passing(rules.clone()), ..Config::default() };
        let place = |warning: String| {
            let text = warning.strip_prefix('`')?.split_once("` can never match")?.0.to_owned();
            rules.iter().rposition(|rule| rule.to_string() == text).map(|index| index + 1)
        };
        config.warnings().into_iter().filter_map(place).collect()
    }

    #[test]
    fn covered_rules_are_named() {
        assert_eq!(never(&["allow tcp/80", "allow tcp/80"]), [2], "a duplicate");
        assert_eq!(never(&["allow tcp", "deny tcp/80"]), [2]);
        assert_eq!(never(&["deny", "allow tcp/80", "allow from 10.0.0.1"]), [2, 3]);
        assert_eq!(never(&["deny from 10.0.0.0/8", "allow from 10.1.0.0/16,10.2.0.1"]), [2]);
        assert_eq!(never(&["allow tcp/1-100", "allow tcp/101-200", "allow tcp/50-150"]), [3]);
        assert_eq!(never(&["deny from 0.0.0.0/0,::/0", "allow gre"]), [2]);
        assert_eq!(never(&["deny icmp/echo-request", "allow icmp/echo-request", "deny icmp/echo-request"]), [2, 3]);
        assert_eq!(never(&["allow gre", "deny proto/47"]), [2]);
        assert_eq!(never(&["allow tcp limit 10/s", "deny tcp"]), [2], "over the limit is final");
    }

    #[test]
    fn rules_that_name_several_sides_are_covered_by_others_together() {
        assert_eq!(never(&["allow tcp/22 from 10.0.0.0/8", "deny tcp/22 from 10.1.0.0/16"]), [0_usize; 0], "fragments");
        assert_eq!(never(&["deny tcp/22 from 10.0.0.0/8", "allow tcp/22 from 10.1.0.0/16 to 192.0.2.1"]), [2]);
        let halves = ["deny tcp from 0.0.0.0/1", "deny tcp from 128.0.0.0/1", "deny tcp from ::/0", "allow tcp/80"];
        assert_eq!(never(&halves), [4]);
        let crossed = [
            "deny udp/1-99 from 10.0.0.0/9",
            "deny udp from 10.128.0.0/9",
            "deny udp/100-65535 from 10.0.0.0/8",
            "allow udp/50-150 from 10.0.0.0/8",
        ];
        assert_eq!(never(&crossed), [4]);
        assert_eq!(never(&[crossed[0], crossed[1], "allow udp/50-150 from 10.0.0.0/8"]), [0_usize; 0]);
        assert_eq!(never(&["deny tcp on eth0", "allow tcp/80", "deny tcp/80 from @bad"]), [0_usize; 0]);
        assert_eq!(never(&["deny tcp", "allow tcp/80 from @good on eth1"]), [2]);
    }

    #[test]
    fn who_covers_is_named() {
        let rules =
            ["deny tcp/1-1000 as low", "deny udp", "deny tcp/1001-65535 as high", "allow tcp/80", "allow tcp/900-1100"];
        let rules: Vec<Rule> = rules.iter().map(|text| text.parse().expect("a rule")).collect();
        let config =
            Config { firewall: Firewall { default: Policy::Drop, rules, ..Firewall::default() }, ..Config::default() };
        let warnings = config.warnings().join("\n");
        assert!(warnings.contains("`allow tcp/80` can never match: `deny tcp/1-1000 as low` decides"), "{warnings}");
        let both =
            "`allow tcp/900-1100` can never match: `deny tcp/1-1000 as low`, `deny tcp/1001-65535 as high` decide";
        assert!(warnings.contains(both), "{warnings}");
    }

    #[test]
    fn what_stands_twice_and_what_opens_nothing_is_said() {
        let warnings = |default, rules: &[&str]| {
            let rules = rules.iter().map(|text| text.parse().expect("a rule")).collect();
            Config { firewall: Firewall { default, rules, ..Firewall::default() }, ..Config::default() }.warnings()
        };
        let twice = warnings(Policy::Drop, &["allow tcp/80", "allow udp", "allow tcp/80 as again"]);
        assert_eq!(twice, ["`allow tcp/80 as again` can never match: it stands in the list already, in place 1"]);
        let idle = warnings(Policy::Pass, &["allow tcp/1", "deny tcp", "allow udp/1", "allow udp/2"]);
        assert_eq!(idle.len(), 1, "{idle:?}");
        assert!(idle[0].starts_with("`allow udp/1` and 1 behind it count and change nothing"), "{idle:?}");
        assert_eq!(warnings(Policy::Pass, &["allow tcp/1", "deny tcp"]), [""; 0]);
        assert_eq!(warnings(Policy::Drop, &["allow tcp/1"]), [""; 0]);
    }

    #[test]
    fn rules_that_can_match_are_not() {
        assert_eq!(never(&["allow tcp/80", "deny tcp"]), [0_usize; 0]);
        assert_eq!(never(&["allow tcp/80", "deny tcp/80"]), [0_usize; 0], "a denial holds for later fragments");
        assert_eq!(never(&["allow tcp/1-65535", "allow tcp"]), [0_usize; 0], "a fragment has no port");
        assert_eq!(never(&["deny from 10.0.0.0/8", "allow from 10.0.0.1,192.0.2.1"]), [0_usize; 0]);
        assert_eq!(never(&["deny from 0.0.0.0/0", "allow from ::/0", "allow udp"]), [3]);
        assert_eq!(never(&["allow icmp", "allow icmpv6"]), [0_usize; 0]);
        assert_eq!(never(&["deny from @bad", "allow from 10.0.0.1"]), [0_usize; 0]);
        assert_eq!(never(&["allow tcp from 10.0.0.0/8", "deny tcp", "deny from 10.0.0.0/8"]), [0_usize; 0]);
    }

    #[test]
    fn an_allowance_of_an_extension_header_is_warned_of() {
        let warnings = |text: &str| {
            let rules = vec![text.parse().expect(text)];
            let firewall = Firewall { default: Policy::Drop, rules, ..Firewall::default() };
            Config { firewall, ..Config::default() }.warnings()
        };
        for text in ["allow proto/60", "allow ah", "allow proto/0 as options"] {
            assert!(warnings(text)[0].contains("matches no IPv6 packet"), "{text}");
        }
        for text in ["allow esp", "allow proto/59", "allow"] {
            assert_eq!(warnings(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn ten_thousand_rules_are_looked_through_at_once() {
        let by_source = |n: u32| format!("deny from 10.{}.{}.0/24", n / 256, n % 256);
        let by_port = |n: u32| format!("allow tcp/{}", n + 1);
        let by_both = |n: u32| format!("deny tcp/{} from 10.{}.0.0/16", n % 100 + 1, n / 100);
        let texts: [&dyn Fn(u32) -> String; 3] = [&by_source, &by_port, &by_both];
        for text in texts {
            let rules: Vec<Rule> = (0..10_000).map(|n| text(n).parse().unwrap()).collect();
            let firewall = Firewall { default: Policy::Drop, rules, ..Firewall::default() };
            let config = Config { firewall, ..Config::default() };
            let before = std::time::Instant::now();
            let never = config.warnings().into_iter().filter(|warning| warning.contains("never")).count();
            assert_eq!(never, 0, "{}", text(7));
            println!("{}: {:?}", text(7), before.elapsed());
        }
    }
}
