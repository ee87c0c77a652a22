//! No connection breaks while backends come, go, drain and change weight, save those of a backend removed `--now`.

use std::time::Duration;

use foobar_tests::site::{Fate, Held, PATIENCE, SERVICE, Server, Site, Target, backend, wait_until};
use foobar_userspace::domain::BackendState;

const WEB: Target = Target::new(SERVICE, 80);

#[test]
fn connections_stay_while_backends_come_go_and_drain() {
    let site = Site::with_web(4);
    let address = |number| backend(number).to_string();
    site.tell(&["backend", "rm", "web", &address(4), "--now"]);
    let held = site.hold(WEB, 60);
    let count = |fates: &[Fate], backend: &str| fates.iter().filter(|fate| fate.backend == backend).count();
    for name in ["b1", "b2", "b3"] {
        assert!(count(&held.fates(), name) > 0, "{name} holds connections");
    }

    site.tell(&["backend", "add", "web", &address(4)]);
    site.wait_for_next_hops();
    unbroken(&held, "a backend was added");
    assert!(asks(&site).contains(&"b4".to_owned()), "the new one gets new connections");

    site.tell(&["backend", "weight", "web", &address(1), "400"]);
    unbroken(&held, "a weight changed");

    site.tell(&["backend", "drain", "web", &address(2)]);
    assert!(!asks(&site).contains(&"b2".to_owned()), "a drained backend gets no new connection");
    unbroken(&held, "a backend drains");

    site.tell(&["backend", "rm", "web", &address(3)]);
    let answered = asks(&site);
    assert!(!answered.contains(&"b2".to_owned()) && !answered.contains(&"b3".to_owned()), "{answered:?}");
    unbroken(&held, "a backend was removed");

    site.tell(&["backend", "ready", "web", &address(2)]);
    assert!(asks(&site).contains(&"b2".to_owned()), "a backend that is ready again gets new connections");
    unbroken(&held, "a backend is ready again");
}

#[test]
fn removing_a_backend_now_ends_its_connections_and_no_others() {
    let site = Site::with_web(3);
    let held = site.hold(WEB, 40);

    site.tell(&["backend", "rm", "web", &backend(2).to_string(), "--now"]);
    let fates = held.wait_for(5);

    for fate in &fates {
        assert_eq!(fate.broken.is_some(), fate.backend == "b2", "{fate:?}");
    }
    assert!(fates.iter().any(|fate| fate.broken.is_some()), "some were on b2");
    assert!(!asks(&site).contains(&"b2".to_owned()), "it gets no new connection");
}

#[test]
fn a_deadline_ends_a_drain_also_through_a_restart() {
    let mut site = Site::with_web(3);
    let held = site.hold(WEB, 40);
    site.tell(&["backend", "drain", "web", &backend(2).to_string(), "--deadline", "6s"]);
    site.tell(&["backend", "drain", "web", &backend(3).to_string(), "--deadline", "6s", "--then", "remove"]);
    unbroken(&held, "backends drain");
    let status = site.tell(&["status"]);
    assert!(status.contains("ends in "), "{status}");
    site.foobar.kill();
    site.foobar.start();
    let all = || -> Vec<_> {
        let backends = &site.status().services[0].backends;
        backends.iter().map(|backend| (backend.address, backend.state)).collect()
    };
    let wanted = [(backend(1), BackendState::Ready), (backend(2), BackendState::Maint)];
    wait_until("the deadline to be over", PATIENCE, || all() == wanted);

    for fate in &held.wait_for(5) {
        assert_eq!(fate.broken.is_some(), fate.backend != "b1", "{fate:?}");
    }
    assert!(asks(&site).iter().all(|name| name == "b1"));
}

#[test]
fn maintenance_ends_connections_and_a_backend_comes_back_from_it() {
    let site = Site::with_web(2);
    let held = site.hold(WEB, 40);
    site.tell(&["backend", "maint", "web", &backend(2).to_string()]);
    for fate in &held.wait_for(5) {
        assert_eq!(fate.broken.is_some(), fate.backend == "b2", "{fate:?}");
    }
    assert!(asks(&site).iter().all(|name| name == "b1"));
    site.tell(&["backend", "ready", "web", &backend(2).to_string()]);
    site.wait_for_next_hops();
    assert!(asks(&site).contains(&"b2".to_owned()), "a backend that is ready again gets new connections");
}

#[test]
fn a_change_that_is_undone_ends_no_connection_of_a_backend_that_was_in_maintenance() {
    let site = Site::with_web(2);
    site.tell(&["backend", "maint", "web", &backend(2).to_string()]);
    let interfaces = format!("interfaces = [{{ name = \"eth0\", peer = \"{}\" }}]\n", site.peer());
    let backends = [1, 2].map(|number| format!("{{ address = \"{}\" }}", backend(number))).join(", ");
    let file = site.foobar.directory.join("both.toml");
    let text = format!(
        "{interfaces}[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\nbackends = [{backends}]\n"
    );
    std::fs::write(&file, text).expect("written");
    site.tell(&["apply", &file.display().to_string(), "--confirm-within", "60s"]);
    site.wait_for_next_hops();
    let held = site.hold(WEB, 20);
    assert!(held.fates().iter().any(|fate| fate.backend == "b2"), "b2 serves while the change waits");
    site.tell(&["rollback"]);
    assert!(asks(&site).iter().all(|name| name == "b1"));
    unbroken(&held, "the change is undone");
    assert_eq!(site.status().services[0].backends[1].state, BackendState::Emptying);
}

#[test]
fn a_drain_until_empty_ends_in_maintenance() {
    let site = Site::new(2);
    let [first, second] = [1, 2].map(|number| backend(number).to_string());
    let service = ["service", "add", "web", &SERVICE.to_string(), "tcp/80", "--idle", "1s"];
    site.tell(&[&service[..], &["--backend", &first, "--backend", &second]].concat());
    site.wait_for_next_hops();
    site.tell(&["backend", "drain", "web", &second, "--until-empty"]);
    assert_eq!(site.status().services[0].backends[1].state, BackendState::Emptying);
    wait_until("the drain to end", Duration::from_mins(1), || {
        site.status().services[0].backends[1].state == BackendState::Maint
    });
    let refused = site.foobar.ask(&["backend", "drain", "web", &first, "--until-empty", "--deadline", "1m"]);
    assert_eq!(refused.code, Some(1), "one of both");
}

#[test]
fn status_says_what_is_left_on_a_backend_that_drains() {
    let site = Site::with_web(2);
    let held = site.hold(WEB, 20);
    let on_first = held.fates().iter().filter(|fate| fate.backend == "b1").count() as u64;
    assert!(on_first > 0, "b1 holds connections");
    site.tell(&["backend", "drain", "web", &backend(1).to_string()]);
    unbroken(&held, "a backend drains");
    let left = || site.status().services[0].backends[0].left;
    wait_until("the flows to be counted", PATIENCE, || left().is_some_and(|left| left.noted == Some(on_first)));
    let certain = left().expect("it drains").certain_in_seconds;
    assert!((10_000..=10_801).contains(&certain), "within the three hours of `idle`: {certain}");
    let said = site.tell(&["status"]);
    assert!(said.contains(&format!("drain, {on_first} noted, certain in 2h5")), "{said}");
    site.tell(&["backend", "ready", "web", &backend(1).to_string()]);
    assert_eq!(left(), None);
}

#[test]
fn a_backup_serves_while_no_other_backend_does() {
    let site = Site::new(3);
    let [first, second, third] = [1, 2, 3].map(|number| backend(number).to_string());
    let service = ["service", "add", "web", &SERVICE.to_string(), "tcp/80", "--backend", &first, "--backup", &third];
    site.tell(&service);
    site.wait_for_next_hops();
    let held = site.hold(WEB, 10);
    assert!(asks(&site).iter().all(|name| name == "b1"));

    site.tell(&["backend", "drain", "web", &first]);
    assert!(asks(&site).iter().all(|name| name == "b3"), "the backup serves");
    unbroken(&held, "its backend drains");
    let on_backup = site.hold(WEB, 10);
    assert!(on_backup.fates().iter().all(|fate| fate.backend == "b3"));

    site.tell(&["backend", "add", "web", &second]);
    site.wait_for_next_hops();
    assert!(asks(&site).iter().all(|name| name == "b2"), "another backend serves");
    unbroken(&held, "a backend came");
    unbroken(&on_backup, "a backend came");
    let backends = &site.status().services[0].backends;
    let of = |address: &str| backends.iter().find(|backend| backend.address.to_string() == address);
    assert!(of(&third).is_some_and(|backend| backend.backup && backend.slots == 0), "{backends:?}");
}

#[test]
fn connections_stay_through_a_restart_amid_a_drain() {
    let mut site = Site::with_web(3);
    let held = site.hold(WEB, 40);
    site.tell(&["backend", "drain", "web", &backend(1).to_string()]);
    unbroken(&held, "a backend drains");
    let young = site.hold(WEB, 40);

    site.foobar.kill();
    unbroken(&held, "the daemon is gone");
    site.foobar.start();
    site.tell(&["backend", "drain", "web", &backend(2).to_string()]);

    unbroken(&held, "another backend drains");
    unbroken(&young, "another backend drains");
    assert!(young.fates().iter().all(|fate| fate.backend != "b1"), "{:?}", young.fates());
    assert!(asks(&site).iter().all(|name| name == "b3"), "one backend is left for new connections");
}

#[test]
fn a_backend_that_nobody_uses_any_more_leaves_by_itself() {
    let site = Site::new(2);
    let [first, second] = [1, 2].map(|number| backend(number).to_string());
    let service = ["service", "add", "web", &SERVICE.to_string(), "tcp/80", "--idle", "1s"];
    site.tell(&[&service[..], &["--backend", &first, "--backend", &second]].concat());
    site.wait_for_next_hops();

    site.tell(&["backend", "rm", "web", &second]);
    let held = site.hold(WEB, 10);
    assert_eq!(site.status().services[0].backends.len(), 2, "its connections could be silent for one `idle`");

    wait_until("b2 to leave", 2 * PATIENCE, || site.status().services[0].backends.len() == 1);
    unbroken(&held, "a backend left");
    site.tell(&["backend", "add", "web", &second]);
    wait_until("b2 to be used again", PATIENCE, || asks(&site).contains(&"b2".to_owned()));
    unbroken(&held, "it came back");
}

#[test]
fn a_service_that_is_removed_leaves_the_others_alone() {
    let site = Site::with_web(2);
    let held = site.hold(WEB, 10);
    let servers: Vec<_> = ["b1", "b2"].map(|host| site.serve(host, 8080)).into();
    let (address, first) = (SERVICE.to_string(), backend(1).to_string());
    site.tell(&["service", "add", "other", &address, "tcp/8080", "--backend", &first]);
    site.wait_for_next_hops();
    let other = Target::new(SERVICE, 8080);
    assert_eq!(site.ask(other).expect("an answer").backend, "b1");

    site.tell(&["service", "rm", "other"]);

    site.ask(other).expect_err("its packets go to the balancer itself, which listens on nothing");
    unbroken(&held, "another service was removed");
    assert_eq!(servers.iter().map(Server::asked).sum::<u64>(), 1);
}

/// Sees every held connection answered again by the backend it had.
fn unbroken(held: &Held, after: &str) {
    let fates = held.wait_for(3);
    let broken: Vec<_> = fates.iter().filter(|fate| fate.broken.is_some()).collect();
    assert!(broken.is_empty(), "after {after}: {broken:?}");
}

/// Who answers 120 new connections.
fn asks(site: &Site) -> Vec<String> {
    site.on_client(|| (0..120).map(|_| WEB.ask().expect("an answer").backend).collect())
}
