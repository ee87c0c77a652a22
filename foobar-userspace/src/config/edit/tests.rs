//! What is saved says what runs, and keeps what people wrote around it.

use proptest::prelude::*;

use super::*;
use crate::config::Difference;

const BEFORE: &str = "\
# The edge.
interfaces = [\"eth0\"] # the uplink

[firewall]
default = \"drop\" # for now
rules = [
    # the office
    \"allow tcp/22 from 10.0.0.0/8\", # ssh
    \"allow tcp/80,443\",

    # scanners
    'deny from 203.0.113.0/24',
]

# Web.
[[service]]
name = \"web\"
address = \"192.0.2.10\"
ports = \"tcp/80\" # plain
backends = [
    { address = \"10.0.0.11\" },             # old
    { address = \"10.0.0.12\", weight = 50 }, # new
]

[[service]]
name = \"dns\"
address = \"192.0.2.10\"
ports = \"udp/53\"
backends = [{ address = \"10.0.0.53\" }]
";

const AFTER: &str = "\
# The edge.
interfaces = [\"eth0\", { name = \"eth1\", mode = \"generic\" }] # the uplink

[firewall]
default = \"pass\" # for now
rules = [

    # scanners
    'deny from 203.0.113.0/24',
    # the office
    \"allow tcp/22 from 10.0.0.0/8\", # ssh
    \"allow udp/53\",
]

# Web.
[[service]]
name = \"web\"
address = \"192.0.2.10\"
ports = \"tcp/80\" # plain
backends = [
    { address = \"10.0.0.12\", weight = 7 }, # new
    { address = \"10.0.0.13\" },
]
idle = \"1h\"

[[service]]
name = \"mail\"
address = \"192.0.2.11\"
ports = \"tcp/25\"
backends = [
    { address = \"10.0.0.25\", weight = 1 },
]
";

fn config(text: &str) -> Config {
    Config::parse(text, "f").unwrap_or_else(|error| panic!("{}\n{text}", error.report()))
}

#[test]
fn a_rule_that_ends_stays_behind_what_is_left_before_it() {
    let file = |rules: &str| format!("[firewall]\nrules = [{rules}]\n");
    let before = file("\"deny from 10.0.0.1\", \"deny from 10.0.0.2\", \"allow tcp/80 for 7d\"");
    let wanted = config(&file("\"deny from 10.0.0.1\""));
    let after = file("\"deny from 10.0.0.1\", \"allow tcp/80 for 7d\"");
    assert_eq!(save(&before, &wanted).expect("saved"), after);
}

#[test]
fn comments_and_forms_are_kept() {
    let saved = save(BEFORE, &config(AFTER)).expect("saved");
    assert_eq!(saved, AFTER);
    assert!(Difference::between(&config(&saved), &config(AFTER)).is_empty());
}

#[test]
fn what_is_the_same_is_not_touched() {
    for text in [BEFORE, AFTER, "", "interfaces = []\n", "[firewall]\n\n[firewall.rules.x]\n"] {
        if let Ok(config) = Config::parse(text, "f") {
            assert_eq!(save(text, &config).expect("saved"), text);
        }
    }
}

#[test]
fn ports_stay_as_they_are_written_while_they_are_the_same() {
    for ports in [
        "[\"tcp/443\", \"tcp/80,8000-8099\"]",
        "\"tcp/443,80,8000-8099\"",
        "[ \"tcp/443,8000-8099\",\n\"tcp/80\" ] # web",
    ] {
        let text = AFTER.replace("\"tcp/25\"", ports);
        assert_eq!(save(&text, &config(&text)).expect("saved"), text);
        let more = config(&text.replace("8099", "8199"));
        let saved = save(&text, &more).expect("saved");
        assert!(saved.contains("ports = \"tcp/443,80,8000-8199\""), "{saved}");
        assert_eq!(saved.contains("# web"), ports.contains("# web"), "{saved}");
        assert_eq!(config(&saved), more);
    }
}

#[test]
fn an_empty_file_gets_sections() {
    let saved = save("", &config(AFTER)).expect("saved");
    assert!(saved.contains("[firewall]\ndefault = \"pass\"\nrules = ["), "{saved}");
    assert_eq!(config(&saved), config(AFTER), "{saved}");
}

#[test]
fn what_this_host_sends_has_a_section_of_its_own() {
    let text = "[firewall.egress]\nrules = [\"deny tcp/25\"]\n";
    assert_eq!(save("", &config(text)).expect("saved"), text);
    let more = "[firewall.egress]\nrules = [\"deny tcp/25\", \"allow tcp/443\"]\ndefault = \"drop\"\n";
    assert_eq!(save(text, &config(more)).expect("saved"), more);
}

#[test]
fn what_ends_by_itself_stays_where_it_is_and_is_not_added() {
    let text = "[firewall]\nrules = [\"allow tcp/22\", \"deny from 10.0.0.1 for 10m\", \"allow tcp/80\"]\n";
    let mut items = Vec::new();
    let mut document: DocumentMut = text.parse().expect("TOML");
    let table = document["firewall"].as_table_mut().expect("a table");
    let wanted: Vec<Rule> =
        ["deny udp", "allow tcp/80", "allow tcp/22"].map(|text| text.parse().expect("a rule")).into();
    edit_array(table, "rules", |list| {
        edit_rules(list, &wanted);
        items.extend(list.iter().map(|item| item.value.as_str().unwrap_or_default().to_owned()));
    });
    assert_eq!(items, ["deny udp", "allow tcp/80", "allow tcp/22", "deny from 10.0.0.1 for 10m"]);
}

#[test]
fn a_backend_that_leaves_is_left_out_and_one_that_drains_is_said_to() {
    let mut running = config(BEFORE);
    running.services[0].backends[0].state = crate::domain::BackendState::Removing;
    running.services[0].backends[1].state = crate::domain::BackendState::Drain;
    let saved = save(BEFORE, &running).expect("saved");
    assert!(!saved.contains("10.0.0.11") && saved.contains("# new"), "{saved}");
    assert_eq!(running.as_file().1, ["backend 10.0.0.12 of web is in state `drain`"]);
}

proptest! {
    #[test]
    fn any_configuration_is_saved_into_any_file(before in crate::config::tests::any_config(), after in crate::config::tests::any_config()) {
        prop_assume!(before.check().is_ok() && after.check().is_ok());
        let first = save("# mine\n", &before).expect("saved");
        prop_assert!(first.contains("# mine"), "{}", first);
        let second = save(&first, &after).expect("saved");
        prop_assert_eq!(config(&second).sorted(), after.as_file().0.sorted());
        prop_assert_eq!(save(&second, &after).expect("saved"), second);
    }
}
