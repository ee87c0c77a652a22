//! Files that are right, files that are wrong, and what is said about them.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::domain::{Affinity, Verdict, rule, service};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "foobar.toml")
}

const SERVICE: &str = r#"[[service]]
name = "web"
address = "192.0.2.10"
ports = "tcp/443"
backends = [{ address = "10.0.0.11" }]
"#;

#[test]
fn an_empty_file_passes_everything() {
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(Config::default().firewall.default, Policy::Pass);
}

#[test]
fn a_firewall_that_does_not_say_drops() {
    assert_eq!(parse("[firewall]").unwrap().firewall.default, Policy::Drop);
    assert_eq!(parse("[firewall]\ndefault = 'pass'").unwrap().firewall.default, Policy::Pass);
}

#[test]
fn interfaces_are_names_or_tables() {
    let config = parse(r#"interfaces = ["eth0", { name = "veth0", mode = "native", peer = "blue:veth1" }]"#).unwrap();
    let eth0 = Interface { name: "eth0".to_owned(), mode: Mode::Auto, peer: None };
    let veth0 = Interface { name: "veth0".to_owned(), mode: Mode::Native, peer: Some("blue:veth1".to_owned()) };
    assert_eq!(config.interfaces, [eth0, veth0]);
}

#[test]
fn a_service_has_its_defaults() {
    let config = parse(SERVICE).unwrap();
    let service = &config.services[0];
    assert_eq!((service.ports.to_string().as_str(), service.idle), ("tcp/443", service::DEFAULT_IDLE));
    assert_eq!((service.affinity, service.ring), (Affinity::Flow, 65_537));
    assert_eq!(service.backends[0].weight, 100);
    let text = SERVICE
        .replace('\n', "\n#\n")
        .replace("}]", ", port = 443, weight = 7 }]\nidle = \"1h30m\"\naffinity = \"source\"\nring = 1009");
    let config = parse(&text).unwrap();
    assert_eq!((config.services[0].idle.as_secs(), config.services[0].backends[0].weight), (5400, 7));
    assert_eq!((config.services[0].affinity, config.services[0].ring), (Affinity::Source, 1009));
}

/// A file, the place of the mistake, the words at fault, and parts of the sentence and of the hint.
type Wrong = (&'static str, (usize, usize), &'static str, &'static str, &'static str);

#[rustfmt::skip]
const WRONG: &[Wrong] = &[
    ("interfaces = [\n", (1, 15), "", "not TOML", ""),
    ("a = 1\na = 2", (2, 1), "a", "duplicate key", ""),
    (
        "interface = [\"eth0\"]",
        (1, 1),
        "interface",
        "unknown key `interface` in the file",
        "did you mean `interfaces`?",
    ),
    ("\n\nzebra = 1", (3, 1), "zebra", "unknown key", "the keys of the file are"),
    ("[monitor]\nlisten = \"127.0.0.1:9977\"", (1, 2), "monitor", "not in this version", "leave `monitor` out"),
    ("interfaces = \"eth0\"", (1, 14), "\"eth0\"", "must be a list, and is a string", "[\"eth0\"]"),
    ("interfaces = [7]", (1, 15), "7", "must be a string, and is a whole number", "eth0"),
    ("interfaces = [\"eth0\", \"eth0\"]", (1, 24), "eth0", "stands twice", "once"),
    ("interfaces = [\"a-very-long-interface\"]", (1, 16), "a-very-long-interface", "too long", "15 bytes"),
    ("interfaces = [{ name = \"eth0\", mod = \"auto\" }]", (1, 32), "mod", "unknown key `mod`", "did you mean `mode`?"),
    ("interfaces = [{ mode = \"auto\" }]", (1, 15), "{ mode = \"auto\" }", "`name` is missing", "name = \"eth0\""),
    ("interfaces = [{ name = \"eth0\", mode = \"nativ\" }]", (1, 40), "nativ", "not a value of `mode`", "`native`"),
    ("interfaces = [{ name = \"v\", peer = \"a:b:c\" }]", (1, 39), "b:c", "cannot be the name", ""),
    ("interfaces = [{ name = \"v\", peer = \"v\" }]", (1, 37), "v", "its own peer", "other end"),
    ("firewall = 1", (1, 12), "1", "must be a table", "[firewall]"),
    ("[firewall]\ndefault = \"deny\"", (2, 12), "deny", "not a value of `default`", "did you mean `drop`?"),
    ("[firewall]\ndefault = true", (2, 11), "true", "must be a string, and is true or false", "drop"),
    ("[firewall.egress]\ndefault = \"deny\"", (2, 12), "deny", "not a value of `default`", "did you mean `drop`?"),
    ("[firewall.egress]\nrule = []", (2, 1), "rule", "unknown key `rule` in [firewall.egress]", "`rules`?"),
    ("[firewall.egress]\nrules = [\"deny tpc/25\"]", (2, 16), "tpc", "not a protocol", "`tcp/25`"),
    ("[firewall]\negress = 1", (2, 10), "1", "must be a table", "[firewall.egress]"),
    (
        "[firewall]\nrules = [\"deny as x\"]\n[firewall.egress]\nrules = [\"deny tcp/25 as x\"]",
        (4, 26),
        "x",
        "belongs to `deny as x` already",
        "once",
    ),
    ("[firewall.sets]\nx = { file = \"a\" }", (2, 15), "a", "not an absolute path", "whole path"),
    ("[firewall]\nrule = []", (2, 1), "rule", "unknown key", "did you mean `rules`?"),
    ("[firewall]\nrules = \"allow\"", (2, 9), "\"allow\"", "must be a list", "allow tcp/22"),
    ("[firewall]\nrules = [1]", (2, 10), "1", "must be a string", "allow tcp/22"),
    (
        "[firewall]\nrules = [\n  \"allow tcp/22\",\n  \"allow tpc/80\",\n]",
        (4, 10),
        "tpc",
        "not a protocol",
        "`tcp/80`",
    ),
    ("[firewall]\nrules = ['deny from 10.0.0.1/8']", (2, 21), "10.0.0.1/8", "bits set", "10.0.0.0/8"),
    ("[firewall]\nrules = [\"allow \\u0074pc\"]", (2, 10), "\"allow \\u0074pc\"", "`tpc` is not", "`tcp`"),
    ("[firewall]\nrules = [\"allow tcp as x\", \"deny as x\"]", (2, 37), "x", "belongs to `allow tcp as x` already", "once"),
    ("[service]\nname = \"web\"", (1, 1), "[service]", "must be a list of tables", "[[service]]"),
    ("service = 1", (1, 11), "1", "must be a list", "[[service]]"),
];

#[test]
fn what_this_host_sends_passes_where_nothing_is_said() {
    let firewall = |text: &str| parse(text).unwrap().firewall;
    assert!(firewall("[firewall]").egress.is_idle());
    assert!(firewall("[firewall.egress]").egress.is_idle());
    let sent = firewall("[firewall.egress]\nrules = ['deny tcp/25']");
    assert_eq!((sent.default, sent.egress.default, sent.egress.rules.len()), (Policy::Pass, Policy::Pass, 1));
    assert_eq!(firewall("[firewall.egress]\ndefault = 'drop'").egress.default, Policy::Drop);
    assert_eq!(firewall("[firewall]\nrules = []\n[firewall.egress]").default, Policy::Drop);
}

#[test]
fn mistakes_are_placed() {
    for (text, (line, column), words, problem, hint) in WRONG {
        expect(text, Some((*line, *column)), words, problem, hint);
    }
}

/// Checks the refusal of a file.
fn expect(text: &str, at: Option<(usize, usize)>, words: &str, problem: &str, hint: &str) {
    let error = parse(text).expect_err(text);
    let spot = error.spot.clone().expect("a mistake in a text has a place");
    if let Some(at) = at {
        assert_eq!((spot.line, spot.column), at, "{}", error.report());
    }
    let found: String = spot.source.chars().skip(spot.column - 1).take(spot.width).collect();
    assert!(found == words || words.is_empty(), "at {found:?}, not {words:?}: {}", error.report());
    assert!(error.problem.contains(problem), "not {problem:?}: {}", error.report());
    assert!(error.hint.clone().unwrap_or_default().contains(hint), "not {hint:?}: {}", error.report());
}

/// What to replace in a good service, the words at fault, and parts of the sentence and of the hint.
#[rustfmt::skip]
const WRONG_SERVICES: &[(&str, &str, &str, &str, &str)] = &[
    ("name =", "nmae =", "nmae", "unknown key `nmae` in [[service]]", "did you mean `name`?"),
    ("ports =", "port =", "port", "unknown key `port`", "did you mean `ports`?"),
    ("name = \"web\"\n", "", "[[service]]", "`name` is missing in [[service]]", "add `name = \"web\"`"),
    ("ports = \"tcp/443\"\n", "", "[[service]]", "`ports` is missing", "add `ports = \"tcp/443\"`"),
    ("\"web\"", "\"Web\"", "Web", "not a name", "a-z"),
    ("192.0.2.10", "192.0.2.300", "192.0.2.300", "not an address", "such as"),
    ("192.0.2.10", "127.0.0.1", "127.0.0.1", "loopback", "routed to this host"),
    ("192.0.2.10", "2001:db8::1", "10.0.0.11", "another address family", "only a tunnel takes IPv4"),
    ("192.0.2.10", "10.0.0.11", "10.0.0.11", "the service's own address", "own address"),
    ("\"tcp/443\"", "443", "443", "must be a string, and is a whole number", "ports = \"tcp/443\""),
    ("tcp/443", "tcp/0", "0", "port 0", "1 to 65535"),
    ("tcp/443", "tpc/443", "tpc", "not a protocol", "`tcp/443`"),
    ("tcp/443", "tcp", "tcp", "`tcp` without a port", "`tcp/any`"),
    ("tcp/443", "tcp/443-80", "443-80", "reversed", "`80-443`"),
    ("tcp/443", "tcp/53,udp/53", "udp/53", "one transport", "two services, one for each"),
    ("tcp/443", "tcp/80,tcp/443", "tcp/443", "`tcp` stands once", "write `443` alone"),
    ("\"tcp/443\"", "[]", "[]", "at least one port", "ports = [\"tcp/80\", \"tcp/443\"]"),
    ("\"tcp/443\"", "[443]", "443", "an item of `ports` must be a string", "ports = [\"tcp/80\", \"tcp/443\"]"),
    ("\"tcp/443\"", "[\"tcp/80\", \"tcp/0\"]", "0", "port 0", "1 to 65535"),
    ("\"tcp/443\"", "[\"tcp/53\", \"udp/53\"]", "udp/53", "a service is of one transport, and this one has ports of `tcp` and of `udp`", "two services"),
    ("ports", "encapsulation = \"gue\"\nports", "\"gue\"", "no tunnel to encapsulate", "forward = \"tunnel\""),
    ("ports", "snat = [\"10.0.0.5\"]\nports", "[\"10.0.0.5\"]", "keep their source", "forward = \"snat\""),
    ("ports", "forward = \"snat\"\nsnat = [\"2001:db8::5\"]\nports", "[\"2001:db8::5\"]", "another address family", "same"),
    ("ports", "forward = \"dsrr\"\nports", "dsrr", "not a value", "did you mean `dsr`?"),
    ("ports", "queries = \"mysql\"\nports", "mysql", "not in this version", "`auto`"),
    ("ports", "affinity = \"quick\"\nports", "quick", "not a value", "did you mean `quic`?"),
    ("ports", "affinity = \"quic\"\nports", "\"quic\"", "is for UDP, and this service is on tcp/443", "udp/443"),
    ("ports = \"tcp", "affinity = \"quic\"\nports = \"udp", "10.0.0.11", "has no `server_id`", "server_id = \"0a01\""),
    ("ports", "quic_config = 7\nports", "7", "not a quic_config", "from 0 to 6"),
    ("ports", "quic_config = 1\nports", "1", "reads no connection ids", "affinity = \"quic\""),
    ("11\" }", "11\", server_id = \"0a01\" }", "0a01", "nothing asks for a server id where `affinity` is `flow`", "leave it out"),
    ("11\" }", "11\", server_id = \"0a0\" }", "0a0", "not a server id", "1 to 8 bytes"),
    ("11\" }", "11\", server_id = \"web1\" }", "web1", "not a server id", "two hexadecimal digits each"),
    ("11\" }", "11\", server_id = 10 }", "10", "must be a string", "server_id = \"0a01\""),
    ("ports", "ring = 700\nports", "700", "no size of a ring", "1009, 2039"),
    ("ports", "ring = \"1009\"\nports", "\"1009\"", "must be a whole number", "ring = 65537"),
    ("ports", "ring = 0\nports", "0", "not a ring", "from 1 to"),
    ("ports", "idle = 3\nports", "3", "must be a string", "3h"),
    ("ports", "idle = \"31d\"\nports", "31d", "too long", "`30d`"),
    ("ports", "idle = \"18446744073709551615s\"\nports", "18446744073709551615s", "too long", "`30d`"),
    ("ports", "idle = \"3\"\nports", "3", "not a duration", "3h"),
    ("ports", "health = {}\nports", "health", "does not check backends", "leave"),
    ("[{ address = \"10.0.0.11\" }]", "[]", "[]", "has no backend", "at least one"),
    ("{ address = \"10.0.0.11\" }", "\"10.0.0.11\"", "\"10.0.0.11\"", "must be a table", "address = "),
    ("{ address", "{ adress", "adress", "unknown key `adress` in a backend", "`address`"),
    ("11\" }", "11\", backup = 1 }", "1", "must be true or false, and is a whole number", "backup = true"),
    ("11\" }", "11\", weight = 1001 }", "1001", "not a weight", "0 to 1000"),
    ("11\" }", "11\", weight = -1 }", "-1", "not a weight", "0 to 1000"),
    ("11\" }", "11\", weight = \"5\" }", "\"5\"", "must be a whole number", "weight = 100"),
    ("11\" }", "11\", port = 8443 }", "8443", "the service's own port, 443", "forward = \"nat\""),
    ("443\"\nbackends = [{ address = \"10.0.0.11\"", "80,443\"\nbackends = [{ address = \"10.0.0.11\", port = 443", "443", "needs a service with one port, not tcp/80,443", "forward = \"nat\""),
    ("11\" }", "11\", port = 0 }", "0", "not a port", "1 to 65535"),
    ("10.0.0.11\"", "10.0.0.11:443\"", "10.0.0.11:443", "without its port", "port = 443"),
    ("10.0.0.11\"", "10.0.0.0/24\"", "10.0.0.0/24", "prefix", "10.0.0.0"),
    ("10.0.0.11\"", "::ffff:10.0.0.1\"", "::ffff:10.0.0.1", "IPv4 address inside IPv6", "10.0.0.1"),
    ("11\" }", "11\" }, { address = \"10.0.0.11\" }", "10.0.0.11", "stands twice", "once"),
];

#[test]
fn server_ids_are_compared_with_each_other() {
    let file = |second: &str| {
        let backends = format!(
            "{{ address = '10.0.0.11', server_id = '0a01' }}, {{ address = '10.0.0.12', server_id = '{second}' }}"
        );
        format!(
            "[[service]]\nname = 'web'\naddress = '192.0.2.10'\nports = 'udp/443'\naffinity = 'quic'\nbackends = [{backends}]\n"
        )
    };
    let config = Config::parse(&file("0A02"), "f").expect("both are named");
    assert_eq!(config.services[0].backends[1].server_id, "0a02".parse().ok());
    for (second, problem) in [("0a01", "is that of backend `10.0.0.11` already"), ("0a", "has 1 bytes")] {
        let text = file(second);
        let error = Config::parse(&text, "f").expect_err(problem);
        assert!(error.problem.contains(problem) && error.hint.is_some(), "{}", error.report());
        let report = error.report();
        assert!(report.contains("6:") && report.contains(second), "{report}");
    }
}

#[test]
fn mistakes_in_services_are_placed() {
    for (from, to, words, problem, hint) in WRONG_SERVICES {
        let text = SERVICE.replacen(from, to, 1);
        assert_ne!(text, SERVICE, "{from} must be in the service");
        expect(&text, None, words, problem, hint);
    }
}

#[test]
fn services_do_not_share_a_name_or_a_port() {
    expect(&format!("{SERVICE}{}", SERVICE.replace("443", "80")), Some((7, 9)), "web", "exists already", "own name");
    let other = format!("{SERVICE}{}", SERVICE.replace("web", "app"));
    expect(&other, Some((9, 10)), "tcp/443", "service `web` has tcp/443 on 192.0.2.10 already", "to `web`");
    let claims = |ports: &str| format!("{SERVICE}{}", SERVICE.replace("web", "app").replace("\"tcp/443\"", ports));
    for ports in ["tcp/any", "tcp/400-500", "tcp/80,443"] {
        let quoted = format!("\"{ports}\"");
        expect(&claims(&quoted), Some((9, 10)), ports, "service `web` has tcp/443 on 192.0.2.10 already", "to `web`");
    }
    let list = "[\"tcp/80\", \"tcp/443\"]";
    expect(&claims(list), Some((9, 9)), list, "service `web` has tcp/443 on 192.0.2.10 already", "to `web`");
    for apart in ["\"tcp/1-442,444-65535\"", "[\"tcp/80\", \"tcp/8443\"]", "\"udp/any\""] {
        assert_eq!(parse(&claims(apart)).expect(apart).services.len(), 2);
    }
    let twins = format!("{SERVICE}{}", SERVICE.replace("web", "quic").replace("tcp", "udp"));
    assert_eq!(parse(&twins).unwrap().services.len(), 2, "tcp and udp are different ports");
}

#[test]
fn a_health_section_is_refused_at_its_name() {
    expect(&format!("{SERVICE}[service.health]\ncheck = \"tcp\""), Some((6, 10)), "health", "does not check", "leave");
}

#[test]
fn a_report_reads_well() {
    let error = parse("[firewall]\nrules = [\"allow tpc/80\"]").unwrap_err();
    let right = "error: foobar.toml:2:17: `tpc` is not a protocol
  |
2 | rules = [\"allow tpc/80\"]
  |                 ^^^
hint: did you mean `tcp/80`?";
    assert_eq!(error.report(), right);
}

#[test]
fn files_are_loaded_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foobar.toml");
    assert!(Config::load(&path).unwrap_err().problem.starts_with("cannot be read"));
    fs::write(&path, b"interfaces = [\"\xff\"]").unwrap();
    assert_eq!(Config::load(&path).unwrap_err().problem, "this is not UTF-8");
    fs::write(&path, SERVICE).unwrap();
    assert_eq!(Config::load(&path).unwrap(), parse(SERVICE).unwrap());
}

fn example(name: &str) -> Config {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "docs", "examples", name].iter().collect();
    Config::load(path).unwrap_or_else(|error| panic!("{}", error.report()))
}

#[test]
fn the_examples_load() {
    let edge = example("edge-balancer.toml");
    assert_eq!((edge.firewall.default, edge.services.len(), edge.firewall.rules.len()), (Policy::Pass, 3, 2));
    assert_eq!(edge.warnings(), [""; 0]);
    let server = example("server-firewall.toml");
    assert_eq!((server.firewall.default, server.firewall.rules.len()), (Policy::Drop, 5));
    assert_eq!(server.warnings(), [""; 0]);
}

#[test]
fn a_default_drop_is_warned_of() {
    let warnings = |text: &str| parse(text).unwrap().warnings();
    assert_eq!(warnings("[firewall]").len(), 1);
    assert!(warnings("[firewall]")[0].contains("SSH does not"));
    assert_eq!(warnings("[firewall]\nrules = [\"allow tcp/22\"]"), [""; 0]);
    assert_eq!(warnings("[firewall]\nrules = [\"allow\"]"), [""; 0]);
    assert_eq!(warnings(""), [""; 0]);
}

#[test]
fn services_without_flows_are_warned_of() {
    let warnings = |text: &str| parse(text).unwrap().warnings();
    assert_eq!(warnings(SERVICE), [""; 0]);
    let denied = format!("[firewall]\ndefault = \"pass\"\nrules = [\"deny tcp/400-500\"]\n{SERVICE}");
    let wanted = "service `web` gets no packets: `deny tcp/400-500` denies tcp/443 before services are looked at";
    assert_eq!(warnings(&denied), [wanted]);
    let partly = "service `web` gets no packets on tcp/443,450-500: `deny tcp/400-500` denies tcp/443,450-500 before \
        services are looked at";
    assert_eq!(warnings(&denied.replace("\"tcp/443\"", "\"tcp/80,443,450-600\"")), [partly]);
    let allowed = denied.replace("[\"deny", "[\"allow tcp/443\", \"deny");
    assert_eq!(warnings(&allowed), [""; 0]);
    let idle = SERVICE.replace("11\" }", "11\", weight = 0 }");
    assert!(warnings(&idle)[0].contains("weight 0"), "{:?}", warnings(&idle));
}

#[test]
fn a_whole_is_checked_wherever_it_came_from() {
    let mut config = parse(SERVICE).unwrap();
    config.services.push(config.services[0].clone());
    assert_eq!(config.check().unwrap_err().place, Place::Service(1, crate::domain::Part::Name));
    config.services.clear();
    let from = vec![crate::domain::Source::Set("bad".to_owned())];
    config.firewall.rules.push(Rule { from, ..Rule::new(Verdict::Deny, crate::domain::Matcher::Any) });
    let place = Place::Rule { way: Way::In, index: 0, word: Some("@bad".to_owned()) };
    assert_eq!(config.check().unwrap_err().place, place);
}

pub(super) fn any_config() -> impl Strategy<Value = Config> {
    let mode = prop_oneof![Just(Mode::Auto), Just(Mode::Native), Just(Mode::Generic)];
    let interface = ("[a-z]{1,15}", mode, proptest::option::of("[a-z]{1,9}:[a-z]{1,15}"))
        .prop_map(|(name, mode, peer)| Interface { name, mode, peer });
    let policy = || prop_oneof![Just(Policy::Drop), Just(Policy::Pass)];
    let rules = || prop::collection::vec(rule::arbitrary::enforceable_rule(), 0..5);
    let egress = (policy(), rules()).prop_map(|(default, rules)| Egress { default, rules });
    let firewall = (policy(), rules(), egress).prop_map(|(default, rules, egress)| Firewall {
        default,
        rules,
        egress,
        ..Firewall::default()
    });
    let some = any::<bool>().prop_flat_map(service::arbitrary::addresses);
    let balancers = prop_oneof![Just(vec![]), some];
    let services = prop::collection::vec(service::arbitrary::service(), 0..3);
    (prop::collection::vec(interface, 0..3), firewall, services, balancers)
        .prop_map(|(interfaces, firewall, services, tunnels)| Config { interfaces, firewall, services, tunnels })
}

proptest! {
    #[test]
    fn json_and_config_are_inverse(config in any_config()) {
        let json = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }

    #[test]
    fn rules_in_a_file_are_the_rules(rules in prop::collection::vec(rule::arbitrary::enforceable_rule(), 0..6)) {
        let rules: Vec<_> = rules.into_iter().map(|rule| Rule { name: None, ..rule }).collect();
        let lines: Vec<_> = rules.iter().map(|rule| format!("  \"{rule}\",\n")).collect();
        let config = parse(&format!("[firewall]\nrules = [\n{}]", lines.concat())).map_err(|error| error.report());
        prop_assert_eq!(config.map(|config| config.firewall.rules), Ok(rules));
    }

    #[test]
    fn no_file_panics(text in "(\\[|\\]|=|\"|'|\n| |service|firewall|rules|interfaces|name|allow|é|[0-9]|\\{|\\}|,){0,40}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.report().starts_with("error: foobar.toml:"));
        }
    }
}

#[test]
fn answers_of_one_nat_backend_are_one_services() {
    let service = |name: &str, address: &str, more: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\naddress = \"{address}\"\nports = \"tcp/80\"\nforward = \"nat\"\nbackends = [{{ address = \"10.0.0.11\"{more} }}]\n"
        )
    };
    let first = service("a", "192.0.2.10", "");
    let same = first.clone() + &service("b", "192.0.2.11", "");
    expect(
        &same,
        Some((12, 26)),
        "10.0.0.11",
        "service `a` has the backend 10.0.0.11 at tcp/80 already",
        "another port",
    );
    parse(&(first.clone() + &service("b", "192.0.2.11", ", port = 8080"))).expect("another port");
    let other = service("b", "192.0.2.11", "").replace("nat", "snat");
    parse(&(first + &other)).expect("another way");
}
