//! A service with several ports and real servers behind it: every port is served, ports come and go, and a daemon's end
//! and a new start leave all of it as it is.

use std::{collections::BTreeMap, fs, path::PathBuf};

use foobar_tests::site::{Nginx, SERVICE, Said, Site, Target, backend};

const PLAIN: Target = Target::new(SERVICE, 80);
const OTHER: Target = Target::new(SERVICE, 8443);

/// The path of a file with a service `web` on these ports, as TOML says them.
fn file(site: &Site, ports: &str) -> PathBuf {
    let backends = [1, 2].map(|number| format!("{{ address = \"{}\" }}", backend(number))).join(", ");
    let text = format!(
        "interfaces = [{{ name = \"eth0\", peer = \"{}\" }}]\n[firewall]\ndefault = \"pass\"\n[[service]]\nname = \"web\"\n\
         address = \"{SERVICE}\"\nports = {ports} # ours\nring = 1009\nbackends = [{backends}]\n",
        site.peer()
    );
    let path = site.foobar.directory.join("ports.toml");
    fs::write(&path, text).expect("written");
    path
}

fn ask(site: &Site, command: &str, ports: &str) -> Said {
    site.foobar.ask(&[command, &file(site, ports).display().to_string()])
}

/// nginx on port 80 of both backends, and what answers on the other ports.
fn serve(site: &Site) -> Vec<Nginx> {
    ["b1", "b2"].map(|host| Nginx::start(&site.network, host)).into()
}

fn site() -> Site {
    let mut site = Site::new(2);
    // nginx has port 80.
    site.servers.clear();
    site
}

#[test]
fn two_ports_of_a_service_are_served_and_stay_through_restarts_and_changes() {
    let mut site = site();
    let nginx = serve(&site);
    let others = ["b1", "b2"].map(|host| site.serve(host, 8443));
    assert!(ask(&site, "apply", "[\"tcp/80\", \"tcp/8443\"]").done().contains("+ service web"));
    site.wait_for_next_hops();
    let (plain, other) = (site.hold(PLAIN, 20), site.hold(OTHER, 20));
    let loads = [site.load(PLAIN, 60), site.load(OTHER, 60)];
    let answered = || {
        for load in &loads {
            load.wait_for(30);
        }
    };
    answered();
    assert!(site.tell(&["status"]).contains("tcp/80,8443"));
    assert!(site.tell(&["stats"]).contains("tcp/80,8443"), "{}", site.tell(&["stats"]));

    site.foobar.kill();
    answered();
    site.foobar.start();
    assert_eq!(site.status().services[0].port, "tcp/80,8443");
    answered();

    let applied = ask(&site, "apply", "\"tcp/80,8443,5000-5999\"").done();
    assert!(applied.contains("~ service web: ports tcp/80,8443 -> tcp/80,5000-5999,8443"), "{applied}");
    site.foobar.stop();
    site.foobar.start();
    assert_eq!(site.status().services[0].port, "tcp/80,5000-5999,8443");
    answered();

    for held in [&plain, &other] {
        let fates = held.wait_for(3);
        assert!(fates.iter().all(|fate| fate.broken.is_none()), "held connections break: {fates:?}");
        assert!(["b1", "b2"].iter().all(|host| fates.iter().any(|fate| fate.backend == *host)), "{fates:?}");
    }
    for load in loads {
        let tally = load.end();
        assert_eq!(tally.failed, BTreeMap::new(), "of {} requests", tally.total());
    }
    assert!(nginx.iter().all(|server| server.logged() > 0), "both serve the first port");
    assert!(others.iter().all(|server| server.asked() > 0), "both serve the second");
    let left = site.status().services[0].backends.iter().filter(|backend| backend.slots > 0).count();
    assert_eq!(left, 2);
}

#[test]
fn ports_are_added_explained_compared_saved_and_refused() {
    let site = site();
    let _nginx = serve(&site);
    let path = file(&site, "\"tcp/80\"");
    ask(&site, "apply", "\"tcp/80\"").done();
    site.wait_for_next_hops();
    let first = backend(1).to_string();
    let add = |name: &str, ports: &str| {
        site.foobar.ask(&["service", "add", name, &SERVICE.to_string(), ports, "--backend", &first])
    };

    for (ports, shared) in [("tcp/any", "tcp/80"), ("tcp/79-81", "tcp/80"), ("tcp/9,80", "tcp/80")] {
        let (problem, hint) = add("twin", ports).refused();
        assert!(problem.contains("web") && problem.contains(shared) && problem.contains("already"), "{problem}");
        assert!(!hint.is_empty());
    }
    let (problem, hint) = add("mixed", "tcp/53,udp/53").refused();
    assert!(problem.contains("one transport") && hint.contains("two services"), "{problem}: {hint}");
    add("range", "tcp/5000-5999").done();
    site.wait_for_next_hops();
    let explained = site.tell(&["explain", &format!("tcp 192.0.2.7:4000 > {SERVICE}:5500 syn")]);
    assert!(explained.contains("range") && explained.contains(&first), "{explained}");

    let path = path.display().to_string();
    let differs = site.foobar.ask(&["diff", &path]).done();
    assert!(differs.contains("+ service range"), "{differs}");
    site.tell(&["save", &path]);
    let saved = fs::read_to_string(&path).expect("the file");
    assert!(saved.contains("ports = \"tcp/5000-5999\"") && saved.contains("ports = \"tcp/80\" # ours"), "{saved}");
    site.tell(&["service", "rm", "range"]);

    let dry = site
        .foobar
        .ask(&["apply", "--dry-run", &file(&site, "[\"tcp/80\", \"tcp/443\"]").display().to_string()])
        .done();
    assert!(dry.contains("ports tcp/80 -> tcp/80,443"), "{dry}");
    let (problem, hint) = ask(&site, "apply", "\"tcp/22,80\"").refused();
    assert!(problem.contains("by tcp/80, its first port") && hint.contains("tcp/80,22"), "{problem}: {hint}");
    ask(&site, "apply", "[\"tcp/80\", \"tcp/22\"]").done();
    assert_eq!(site.status().services[0].port, "tcp/80,22");
}

#[test]
fn a_start_with_another_first_port_keeps_the_one_that_was() {
    let mut site = site();
    let _nginx = serve(&site);
    ask(&site, "apply", "[\"tcp/80\", \"tcp/8443\"]").done();
    site.wait_for_next_hops();
    let held = site.hold(PLAIN, 20);
    site.foobar.kill();
    let text = fs::read_to_string(file(&site, "\"tcp/22,80\"")).expect("the file");
    site.foobar.configure(&text);
    site.foobar.start();
    assert_eq!(site.status().services[0].port, "tcp/80,22");
    let fates = held.wait_for(5);
    assert!(fates.iter().all(|fate| fate.broken.is_none()), "held connections break: {fates:?}");
    site.ask(OTHER.within(std::time::Duration::from_millis(400))).expect_err("that port is no service's any more");
}
