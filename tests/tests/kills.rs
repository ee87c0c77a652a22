//! `kill -9` at random moments while rules are published: what packets meet, and what the next start takes over, is the
//! list before the change or the one after it, whole.
//!
//! The dead daemon's program is asked through its pin, frame by frame.

use std::{
    env, fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;
use fastrand::Rng;
use foobar_common::Action;
use foobar_tests::{
    frames::udp,
    lab::run,
    site::{Foobar, Site},
};

/// How many, where `FOOBAR_KILLS` says nothing else: each takes a start.
const KILLS: u32 = 15;
/// Rules about these ports come and go.
const PORTS: std::ops::Range<u16> = 7000..7016;
const SEED: u64 = 0xf00b_a202;

/// The ports that rules deny.
type Denied = Vec<u16>;

#[test]
fn kill_9_at_any_moment_leaves_one_of_two_lists_in_force() {
    let kills = env::var("FOOBAR_KILLS").map_or(KILLS, |said| said.parse().expect("FOOBAR_KILLS is a number"));
    println!("seed {SEED:#x}");
    let mut rng = Rng::with_seed(SEED);
    let mut site = Site::quiet(0);
    site.foobar.start();
    let mut old = Denied::new();
    let whole = length_of_a_change(&site);
    let mut seen = [0_u32; 4];
    for round in 0..kills {
        let port = rng.u16(PORTS);
        let (words, new) = change(&old, port);
        let mut command = site.foobar.command(&words.split(' ').collect::<Vec<_>>());
        let asked = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a command");
        thread::sleep(whole.mul_f64(rng.f64()));
        site.foobar.kill();
        let acknowledged = asked.wait_with_output().expect("its end").status.success();

        let met = met(&site.foobar);
        site.foobar.start();
        let found = listed(&site);

        let told = format!(
            "round {round}: `{words}`, acknowledged: {acknowledged}; was {old:?}, met {met:?}, found {found:?}"
        );
        assert!(met == old || met == new, "{told}");
        assert!(found == old || found == new, "{told}");
        assert!(!acknowledged || (met == new && found == new), "what was acknowledged is in force: {told}");
        assert!(met == old || found == new, "what packets met is on disk: {told}");
        assert_eq!(self::met(&site.foobar), found, "the list is what packets meet: {told}");
        println!("{told}");
        seen[0] += u32::from(acknowledged);
        seen[1] += u32::from(met == new);
        seen[2] += u32::from(found == new);
        seen[3] += u32::from(met != found);
        old = found;
    }
    let [acknowledged, met, found, mended] = seen;
    println!(
        "{kills} kills: {acknowledged} changes acknowledged, {met} in force when it died, {found} at the next start"
    );
    println!("{mended} were on disk and not yet in force");
    assert!(0 < found && found < kills, "some were before the change and some behind it");
}

/// How long a change takes, from the command's start to its end, and a little longer.
fn length_of_a_change(site: &Site) -> Duration {
    let start = Instant::now();
    site.tell(&["deny", "udp/9", "as", "first"]);
    site.tell(&["rule", "rm", "first"]);
    start.elapsed().mul_f64(0.6)
}

/// A change about a port, and what it makes of the list.
fn change(old: &Denied, port: u16) -> (String, Denied) {
    let mut new = old.clone();
    if let Some(place) = old.iter().position(|other| *other == port) {
        new.remove(place);
        return (format!("rule rm r{port}"), new);
    }
    new.push(port);
    new.sort_unstable();
    (format!("deny udp/{port} as r{port}"), new)
}

/// The ports whose frames the pinned program drops.
fn met(foobar: &Foobar) -> Denied {
    let layout = fs::read_dir(&foobar.pins).expect("pins").next().expect("a layout").expect("an entry").path();
    let program = Xdp::from_pin(layout.join("programs/foobar"), XdpAttachType::Interface).expect("the pinned program");
    let mut after = Vec::new();
    let mut is_dropped = |port: &u16| {
        let frame = udp("192.0.2.7:4000", &format!("10.0.0.1:{port}"));
        run(&program, &frame.bytes(), &mut after) == Action::Drop
    };
    PORTS.filter(|port| is_dropped(port)).collect()
}

/// The ports of the rules that the daemon lists.
fn listed(site: &Site) -> Denied {
    let port = |text: String| text.strip_prefix("deny udp/")?.split(' ').next()?.parse().ok();
    let mut ports: Denied = site.rule_texts().into_iter().filter_map(port).collect();
    ports.sort_unstable();
    ports
}
