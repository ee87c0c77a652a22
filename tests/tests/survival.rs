//! The daemon may end at any moment: the traffic goes on, and the next daemon goes on from where it was.

use std::{collections::BTreeMap, process::Stdio, thread, time::Duration};

use foobar_tests::site::{INTRUDER, SERVICE, Site, Target, backend};
use foobar_userspace::api::types::Stats;

const WEB: Target = Target::new(SERVICE, 80);
const KILLS: u32 = 20;

#[test]
fn kill_9_fails_no_request_and_forgets_nothing() {
    survives(|site| site.foobar.kill());
}

#[test]
fn sigterm_fails_no_request_and_forgets_nothing() {
    survives(|site| site.foobar.stop());
}

/// Three times: 200 requests/s, the end, a while without a daemon, the next one.
fn survives(mut end: impl FnMut(&mut Site)) {
    let mut site = Site::with_web(3);
    let load = site.load(WEB, 200);
    let held = site.hold(WEB, 20);
    let intruder = WEB.from(INTRUDER).within(Duration::from_millis(300));
    site.tell(&["deny", "from", &INTRUDER.to_string(), "as", "intruder"]);
    for round in 1..=3 {
        let name = format!("live{round}");
        site.tell(&["allow", "tcp/8080", "as", &name]);
        let rules = site.rule_texts();
        load.wait_for(50);
        let before = site.stats();
        end(&mut site);

        load.wait_for(150);
        held.wait_for(3);
        site.ask(intruder).expect_err("the rules hold without a daemon");
        site.foobar.start();

        let after = site.stats();
        assert_eq!(site.rule_texts(), rules, "every rule is still there");
        assert_grown(&before, &after);
        site.ask(intruder).expect_err("the rules hold after a restart");
        load.wait_for(50);
    }
    let fates = held.wait_for(3);
    assert!(fates.iter().all(|fate| fate.broken.is_none()), "held connections break: {fates:?}");
    let tally = load.end();
    assert_eq!(tally.failed, BTreeMap::new(), "of {} requests", tally.total());
}

/// No counter is smaller than before, and the traffic is in them.
fn assert_grown(before: &Stats, after: &Stats) {
    let counters = |stats: &Stats| {
        let outcomes = stats.outcomes.iter().map(|count| (count.outcome.clone(), count.packets));
        let rules = stats.rules.iter().map(|line| (line.rule.clone(), line.packets));
        let backends = stats.services.iter().flat_map(|service| &service.backends);
        let backends = backends.flat_map(|count| {
            let named = |what: &str, number| (format!("{what} of {}", count.address), number);
            [named("packets", count.packets), named("connections", count.connections), named("queries", count.queries)]
        });
        outcomes.chain(rules).chain(backends).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (counters(before), counters(after));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "the same counters");
    for (name, was) in &before {
        assert!(after[name] >= *was, "{name}: {was} before, {} after", after[name]);
    }
    let queries = "queries of 10.77.0.11";
    assert!(after[queries] > before[queries], "what came without a daemon is counted");
}

#[test]
fn kill_9_amid_changes_leaves_the_old_or_the_new_whole() {
    let mut site = Site::with_web(2);
    let load = site.load(WEB, 100);
    let held = site.hold(WEB, 10);
    fastrand::seed(7);
    for round in 0..KILLS {
        let old = configuration(&site);
        let (change, new) = change(&old, round);
        let words: Vec<_> = change.split(' ').collect();
        let mut command = site.foobar.command(&words);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a command");
        thread::sleep(Duration::from_micros(fastrand::u64(0..60_000)));
        site.foobar.kill();
        let said = command.wait_with_output().expect("its end");
        site.foobar.start();

        let found = configuration(&site);
        let acknowledged = said.status.success();
        println!("round {round}: acknowledged {acknowledged}, applied {}", found == new);
        let may_be_old = !acknowledged && found == old;
        assert!(found == new || may_be_old, "`{change}`, acknowledged: {acknowledged}: {found:?}\nwas {old:?}");
    }
    let fates = held.wait_for(2);
    assert!(fates.iter().all(|fate| fate.broken.is_none()), "held connections break: {fates:?}");
    let tally = load.end();
    assert_eq!(tally.failed, BTreeMap::new(), "of {} requests", tally.total());
}

/// Rules, and backends with weight and state.
type Configuration = (Vec<String>, Vec<(String, u16, String)>);

fn configuration(site: &Site) -> Configuration {
    let backends = site.status().services[0].backends.clone();
    let backend = |backend: foobar_userspace::api::types::BackendStatus| {
        (backend.address.to_string(), backend.weight, format!("{:?}", backend.state))
    };
    (site.rule_texts(), backends.into_iter().map(backend).collect())
}

/// A command, and the configuration that it makes of `old`.
fn change(old: &Configuration, round: u32) -> (String, Configuration) {
    let (mut rules, mut backends) = old.clone();
    let command = match round % 4 {
        0 => {
            let rule = format!("deny udp/{}", 5000 + round);
            rules.insert(0, rule.clone());
            rule
        }
        1 => {
            backends[0].1 = 100 + round as u16;
            format!("backend weight web {} {}", backend(1), 100 + round)
        }
        2 => {
            let rule = format!("allow tcp/{} as r{round}", 9000 + round);
            rules.push(rule.clone());
            rule
        }
        _ => {
            let (word, state) = if backends[1].2 == "Drain" { ("ready", "Ready") } else { ("drain", "Drain") };
            state.clone_into(&mut backends[1].2);
            format!("backend {word} web {}", backend(2))
        }
    };
    (command, (rules, backends))
}

#[test]
fn a_bad_configuration_at_start_stops_nothing() {
    let mut site = Site::with_web(2);
    let load = site.load(WEB, 100);
    load.wait_for(30);
    site.foobar.kill();

    site.foobar.configure("[firewall]\ndefautl = \"drop\"\n");
    let args = site.foobar.run_args();
    let (error, hint) = site.foobar.ask(&args.iter().map(String::as_str).collect::<Vec<_>>()).refused();
    load.wait_for(30);
    site.foobar.config = None;
    site.foobar.start();

    assert!(error.contains("foobar.toml:2:1") && error.contains("defautl"), "{error}");
    assert!(hint.contains("default"), "{hint}");
    load.wait_for(30);
    assert_eq!(load.end().failed, BTreeMap::new());
    assert_eq!(site.status().services.len(), 1, "the running configuration goes on");
}
