//! The language by example: texts with their canonical form, and mistakes with what is said about them.

use proptest::prelude::*;

use super::{Rule, arbitrary};

#[test]
fn texts_and_their_canonical_form() {
    for (text, canonical) in [
        ("allow", "allow"),
        ("deny", "deny"),
        ("allow tcp/22 from 10.0.0.0/8", "allow tcp/22 from 10.0.0.0/8"),
        ("allow tcp/80,443", "allow tcp/80,443"),
        ("allow tcp/443,80,80", "allow tcp/80,443"),
        ("allow tcp/80,81,82-90,85-100", "allow tcp/80-100"),
        ("allow tcp/1-1000,1001-65535", "allow tcp/1-65535"),
        ("allow tcp/any", "allow tcp"),
        ("allow udp/5000-5999 from 2001:db8::/32", "allow udp/5000-5999 from 2001:db8::/32"),
        ("allow vrrp", "allow vrrp"),
        ("allow proto/112", "allow vrrp"),
        ("allow proto/47 on eth1", "allow gre on eth1"),
        ("allow proto/250", "allow proto/250"),
        ("allow proto/6", "allow tcp"),
        ("allow proto/17", "allow udp"),
        ("allow proto/1", "allow icmp"),
        ("allow proto/58", "allow icmpv6"),
        ("allow icmp/8,0", "allow icmp/echo-reply,echo-request"),
        ("allow icmpv6/packet-too-big,200", "allow icmpv6/packet-too-big,200"),
        ("allow icmp/echo-request limit 10/s per source", "allow icmp/echo-request limit 10/s per source"),
        ("deny from 203.0.113.0/24 log", "deny from 203.0.113.0/24 log"),
        ("deny from @blocklist", "deny from @blocklist"),
        ("deny from 10.0.0.1/32,2001:DB8::1/128", "deny from 10.0.0.1,2001:db8::1"),
        ("deny from 10.0.0.1,10.0.0.1", "deny from 10.0.0.1"),
        ("deny tcp/25 to 0.0.0.0/0", "deny tcp/25 to 0.0.0.0/0"),
        (
            "allow tcp/443 limit 200 connections/s per source burst 400",
            "allow tcp/443 limit 200 connections/s per source burst 400",
        ),
        ("allow tcp limit 5/m connections burst 9 per source", "allow tcp limit 5 connections/m per source burst 9"),
        ("deny from 198.51.100.7 for 10m as scanner", "deny from 198.51.100.7 for 10m as scanner"),
        ("deny as scanner for 90s log from 198.51.100.7", "deny from 198.51.100.7 log for 1m30s as scanner"),
        ("  allow   tcp/80\t", "allow tcp/80"),
        ("allow sctp on eth0,bond0.7,eth0 to @web", "allow sctp to @web on eth0,bond0.7"),
    ] {
        let rule: Rule = text.parse().unwrap_or_else(|mistake| panic!("{mistake}"));
        assert_eq!(rule.to_string(), canonical, "{text}");
    }
}

/// A text, the words at fault, and parts of the sentence and of the hint.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("", "", "missing", "begins with `allow` or `deny`"),
    ("   ", "", "missing", "begins with `allow` or `deny`"),
    ("tcp/80", "tcp/80", "verdict is missing", "`allow tcp/80` or `deny tcp/80`"),
    ("from 10.0.0.0/8", "from", "verdict is missing", "`deny from`"),
    ("alow tcp/80", "alow", "not a verdict", "did you mean `allow`?"),
    ("Deny tcp/80", "Deny", "not a verdict", "did you mean `deny`?"),
    ("accept tcp/80", "accept", "not a verdict", "did you mean `allow`?"),
    ("drop from 10.0.0.1", "drop", "not a verdict", "did you mean `deny`?"),
    ("frobnicate", "frobnicate", "not a verdict", "begins with"),
    ("allow tpc/80", "tpc", "`tpc` is not a protocol", "did you mean `tcp/80`?"),
    ("allow TCP/80", "TCP", "not a protocol", "did you mean `tcp/80`?"),
    ("allow vrpp", "vrpp", "not a protocol", "did you mean `vrrp`?"),
    ("allow icmp6", "icmp6", "not a protocol", "write `icmpv6`"),
    ("allow ping", "ping", "not a protocol", "icmp/echo-request"),
    ("allow ssh", "ssh", "not a protocol", "write `tcp/22`"),
    ("allow 80", "80", "not a protocol", "`tcp/80` or `udp/80`"),
    ("allow 22/tcp", "22", "not a protocol", "write `tcp/22`"),
    ("allow tcp:80", "tcp:80", "not a protocol", "write `tcp/80`"),
    ("allow any", "any", "not a protocol", "leave it out"),
    ("deny 203.0.113.0/24", "203.0.113.0", "not a protocol", "from 203.0.113.0/24"),
    ("deny 2001:db8::1", "2001:db8::1", "not a protocol", "from 2001:db8::1"),
    ("deny @blocklist", "@blocklist", "not a protocol", "from @blocklist"),
    ("deny form 10.0.0.1", "form", "not a protocol", "did you mean `from`?"),
    ("allow qwertyuiop", "qwertyuiop", "not a protocol", "comes a protocol such as"),
    ("allow tcp/0", "0", "port 0 does not exist", "1 to 65535"),
    ("allow tcp/80,70000", "70000", "`70000` is not a port", "1 to 65535"),
    ("allow tcp/http", "http", "not a port", "write the number: 80"),
    ("allow tcp/+80", "+80", "not a port", "1 to 65535"),
    ("allow udp/5999-5000", "5999-5000", "reversed", "write `5000-5999`"),
    ("allow udp/5000-", "", "a port is missing", "1 to 65535"),
    ("allow udp/5000:5999", "5000:5999", "written with `-`", "write `5000-5999`"),
    ("allow udp/0-10", "0", "port 0", "1 to 65535"),
    ("allow tcp/", "", "missing after the slash", "leave the slash out"),
    ("allow tcp/80,,443", "", "item of the list is empty", "80,443"),
    ("allow tcp/80, 443", "", "item of the list is empty", "without spaces"),
    ("allow tcp/80 ,443", ",443", "not expected", "without spaces"),
    ("allow tcp/80 udp/53", "udp/53", "not expected", "another rule"),
    ("allow tcp/80 443", "443", "not expected", "come `from`"),
    ("allow tcp/80 form 10.0.0.0/8", "form", "not expected", "did you mean `from`?"),
    ("allow tcp/80 per source", "per", "not expected", "belongs to a limit"),
    ("allow icmp/ecko-request", "ecko-request", "not a type of icmp", "did you mean `echo-request`?"),
    ("allow icmp/packet-too-big", "packet-too-big", "not a type of icmp", "icmpv6/packet-too-big"),
    ("allow icmp/256", "256", "not a type of icmp", "0 to 255"),
    ("allow icmp/", "", "missing after the slash", "icmp/echo-request"),
    ("allow proto", "proto", "needs a number", "proto/47"),
    ("allow proto/256", "256", "not the number of a protocol", "0 to 255"),
    ("allow proto/gre", "gre", "not the number", "write `gre` alone"),
    ("allow sctp/80", "sctp/80", "no ports", "write `sctp` alone"),
    ("deny from", "from", "needs an address", ""),
    ("deny from 10.0.0.1/8", "10.0.0.1/8", "bits set beyond", "is `10.0.0.0/8` meant, or `10.0.0.1` alone?"),
    ("deny from 10.0.0.0/33", "10.0.0.0/33", "not the length of an IPv4 prefix", "0 to 32"),
    ("deny from 2001:db8::/129", "2001:db8::/129", "not the length of an IPv6 prefix", "0 to 128"),
    ("deny from 10.0.0.0/", "10.0.0.0/", "missing after the slash", "`10.0.0.0/8`"),
    ("deny from 10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0", "not a netmask", "write `10.0.0.0/8`"),
    ("deny from ::ffff:10.0.0.1", "::ffff:10.0.0.1", "IPv4 address inside IPv6", "write `10.0.0.1`"),
    ("deny from ::ffff:0:0/96", "::ffff:0:0/96", "IPv4 address inside IPv6", "write `0.0.0.0/0`"),
    ("deny from example.com", "example.com", "not an address", "names are not looked up"),
    ("deny from any", "any", "not an address", "leave it out"),
    ("deny from 10.0.0", "10.0.0", "not an address", "such as"),
    ("deny from 10.0.0.07", "10.0.0.07", "not an address", "leading zeros"),
    ("deny from fe80::1%eth0", "fe80::1%eth0", "not an address", "without its interface"),
    ("deny from [2001:db8::1]", "[2001:db8::1]", "not an address", "brackets"),
    ("deny from 10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9", "not an address", "as prefixes"),
    ("deny from 10.0.0.1,", "", "item of the list is empty", "without spaces"),
    ("deny from 10.0.0.1 from 10.0.0.2", "from", "stands twice", "from A,B"),
    ("deny from @Bad", "Bad", "not a name", "a-z"),
    ("deny from @", "", "a name is empty", "a-z"),
    ("allow icmp from 2001:db8::1", "2001:db8::1", "`icmp` is IPv4's", "icmpv6"),
    ("allow icmpv6 to 10.0.0.1", "10.0.0.1", "`icmpv6` is IPv6's", "`icmp`"),
    ("allow from 10.0.0.1 to 2001:db8::1", "2001:db8::1", "different address families", "both as IPv4"),
    ("allow on", "on", "needs an interface", ""),
    ("allow on a-very-long-interface", "a-very-long-interface", "too long", "15 bytes"),
    ("deny tcp limit 10/s", "limit", "belongs to `allow`", "over its limit"),
    ("allow limit", "limit", "needs a rate", "limit 10/s"),
    ("allow limit 10", "10", "without a unit", "limit 10/s"),
    ("allow limit 0/s", "0", "not a number from 1", "limit 10/s"),
    ("allow limit 10/h", "h", "not a unit", "/m` (minute)"),
    ("allow limit 10/s per destination", "destination", "cannot be per", "per source"),
    ("allow limit 10/s per", "per", "needs `source`", ""),
    ("allow limit 10/s burst", "burst", "needs a number", ""),
    ("allow limit 10/s burst many", "many", "not a number", ""),
    ("allow limit 10/s burst 5 burst 6", "burst", "stands twice in a limit", "leave one"),
    ("allow udp limit 5 connections/s", "limit", "only TCP has connections", "allow tcp"),
    ("allow limit 5 connections/s", "limit", "only TCP has connections", "allow tcp"),
    ("allow log log", "log", "stands twice", "leave one"),
    ("deny for", "for", "needs a duration", ""),
    ("deny for 10", "10", "not a duration", "10m"),
    ("deny for 0s", "0s", "longer than nothing", "10m"),
    ("deny as", "as", "needs a name", ""),
    ("deny as Scanner", "Scanner", "not a name", "a-z"),
    ("deny as 12", "12", "cannot be the name of a rule", "taken for another rule"),
    ("deny as allow", "allow", "cannot be the name of a rule", "taken for another rule"),
];

#[test]
fn mistakes_are_named_and_placed() {
    for (text, words, problem, hint) in MISTAKES {
        let mistake = text.parse::<Rule>().expect_err(text);
        assert_eq!(mistake.words(), *words, "{mistake}");
        assert!(mistake.problem.contains(problem), "{text:?}: {mistake}, not {problem:?}");
        let said = mistake.hint.as_deref().unwrap_or_default();
        assert!(said.contains(hint), "{text:?}: hint {said:?}, not {hint:?}");
    }
}

#[test]
fn a_mistake_is_one_sentence_with_its_column() {
    let mistake = "allow tcp/80,70000".parse::<Rule>().unwrap_err();
    assert_eq!(mistake.to_string(), "`70000` is not a port (column 14 of \"allow tcp/80,70000\")");
}

#[test]
fn identity_is_the_name_or_the_text_without_its_lifetime() {
    let identity = |text: &str| text.parse::<Rule>().unwrap().identity();
    assert_eq!(identity("deny from 10.0.0.1 for 10m as scanner"), "scanner");
    assert_eq!(identity("deny from 10.0.0.1 for 10m"), "deny from 10.0.0.1");
}

#[test]
fn forty_thousand_prefixes_are_read_at_once() {
    let prefixes: Vec<_> = (0..40_000).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect();
    let before = std::time::Instant::now();
    let rule: Rule = format!("deny from {}", prefixes.join(",")).parse().unwrap();
    assert_eq!(rule.from.len(), 40_000);
    assert!(before.elapsed().as_secs() < 3, "took {:?}", before.elapsed());
}

proptest! {
    #[test]
    fn text_and_rule_are_inverse(rule in arbitrary::rule()) {
        let text = rule.to_string();
        prop_assert_eq!(text.parse::<Rule>().map_err(|mistake| mistake.to_string()), Ok(rule), "{}", text);
    }

    #[test]
    fn json_is_the_text(rule in arbitrary::rule()) {
        let json = serde_json::to_string(&rule).unwrap();
        prop_assert_eq!(&json, &serde_json::to_string(&rule.to_string()).unwrap());
        prop_assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
    }

    #[test]
    fn what_is_enforced_also_round_trips(rule in arbitrary::enforceable_rule()) {
        prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
    }

    #[test]
    fn no_text_panics(text in "(allow|deny)?( (tcp|from|to|on|limit|for|as|per|burst|é|[0-9a-z:/.,@%-]{0,12})){0,6}") {
        if let Err(mistake) = text.parse::<Rule>() {
            prop_assert!(!mistake.problem.is_empty() && mistake.column() >= 1 && mistake.words().len() <= text.len());
        }
    }
}
