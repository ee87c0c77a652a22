//! The kernel's answer is the host's answer, for any frame: outcome, action, bytes, counters, notes
//! and states.
//!
//! Reading all counters after each frame would be slow, so they are compared after every batch; a batch that differs is
//! run again frame by frame, to name the one.

mod twin;

use std::env;

use fastrand::Rng;
use foobar_common::Outcome;
use foobar_tests::{
    lab::{Lab, Way},
    random,
};
use foobar_userspace::domain::BackendState;
use twin::Twin;

/// How many, where `FOOBAR_FRAMES` says nothing else: an emulated machine takes too long for all of them.
const FRAMES: usize = 1_000_000;
const BATCH: usize = 100;
/// Frames that this host sends before each batch.
const SENT: usize = 4;
const SEED: u64 = 0xf00b_a200;

/// What each outcome is reached by, at least.
const EACH: u64 = 1_000;

/// Rules, and services in every condition.
fn lab(drops: bool) -> Lab {
    let lab = Lab::new().rules(&[
        "deny from 203.0.113.0/28 as scanner",
        "allow tcp/22",
        "deny tcp/25",
        "deny from 2001:db8:bad::/48",
        "allow from 198.51.100.0/24",
        "allow icmpv6/echo-request",
        "deny proto/50",
        "deny tcp/80 from 192.0.2.0/26 to 10.0.0.9",
        "allow udp from 2001:db8:7::/64 to 2001:db8:1::9",
        "deny tcp/100-200 to 10.0.0.0/31",
        "deny proto/60 from 2001:db8:7::/64",
        "deny udp/500-600",
        "allow from 2001:db8:cafe::/64",
        "allow proto/47",
        "deny ah",
        "allow proto/60",
    ]);
    let lab =
        lab.egress("allow tcp/443 to 192.0.2.0/28").egress("deny udp/53").egress("deny tcp/4000-4003 from 10.0.0.9");
    let lab = lab.egress("deny tcp/4000-4007 to 2001:db8:7::/64").egress("deny to 198.51.100.0/24").egress("deny icmp");
    let lab = if drops { lab.drops().drops_sent() } else { lab };
    lab.service("10.0.0.1", "tcp/80", &["10.1.0.2", "10.1.0.3", "10.1.0.4"])
        .service("10.0.0.1", "udp/53", &["10.1.0.2", "10.1.0.3", "10.1.0.5"])
        .service("10.0.0.1", "tcp/81,700-1800", &["10.1.0.4", "10.1.0.6"])
        .service("10.0.0.1", "tcp/83", &["10.1.0.7"])
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2", "2001:db8:2::3"])
        .service("2001:db8:1::1", "udp/53", &["2001:db8:2::2", "2001:db8:2::3", "2001:db8:2::5"])
        .service("2001:db8:1::1", "tcp/83", &["2001:db8:2::7"])
        .service("2001:db8:1::1", "tcp/1024-65535", &["2001:db8:2::2", "2001:db8:2::3"])
        .way("10.1.0.5", Way::Unresolved)
        .way("10.1.0.4", Way::Elsewhere)
        .way("2001:db8:2::3", Way::Elsewhere)
        .way("2001:db8:2::5", Way::Unresolved)
        .with("10.1.0.7", BackendState::Drain)
        .with("2001:db8:2::7", BackendState::Drain)
        .without_echoes()
}

/// What happens to the backends while frames go on.
const CHANGES: [fn(&mut Lab); 5] = [
    |_| {},
    |lab| lab.drain("10.1.0.3"),
    |lab| {
        lab.add("10.1.0.8");
        lab.drain("2001:db8:2::2");
    },
    |lab| {
        lab.kill("10.1.0.2");
        lab.add("2001:db8:2::8");
    },
    |lab| {
        lab.ready("10.1.0.3");
        lab.kill("2001:db8:2::3");
    },
];

#[test]
fn the_kernel_answers_as_the_host_does_for_any_frame() {
    println!("seed {SEED:#x}");
    let frames = env::var("FOOBAR_FRAMES").map_or(FRAMES, |said| said.parse().expect("FOOBAR_FRAMES is a number"));
    let mut rng = Rng::with_seed(SEED);
    let mut reached = [0; Outcome::COUNT];
    for drops in [true, false] {
        let mut twin = Twin::new(lab(drops));
        for change in CHANGES {
            twin.change(change);
            for _ in 0..frames / 2 / CHANGES.len() / BATCH {
                for _ in 0..SENT {
                    twin.send(&random::sent(&mut rng));
                }
                twin.batch(&(0..BATCH).map(|_| random::frame(&mut rng)).collect::<Vec<_>>());
            }
            twin.compare_everything();
        }
        for (total, outcome) in reached.iter_mut().zip(Outcome::ALL) {
            *total += twin.packets(*outcome);
        }
    }
    well_spread(&reached, frames);
}

/// What is over a limit, and what is told or echoed within one, depends on clocks, which differ: `limits.rs` and `icmp.rs`
/// have that. The rest is of other ways of forwarding than this one's, which `modes.rs` has.
const ELSEWHERE: [Outcome; 11] = [
    Outcome::Limited,
    Outcome::Here,
    Outcome::Expired,
    Outcome::ExpiredUntold,
    Outcome::TooBig,
    Outcome::TooBigUntold,
    Outcome::Exhausted,
    Outcome::Congested,
    Outcome::NoRoom,
    Outcome::NoStage,
    Outcome::Echoed,
];

/// The frames were worth running.
fn well_spread(reached: &[u64; Outcome::COUNT], frames: usize) {
    let total: u64 = reached.iter().sum();
    for (outcome, packets) in Outcome::ALL.iter().zip(reached) {
        println!("{:>20} {packets}", outcome.name());
        // A few frames do not reach the rare ones.
        assert!(
            ELSEWHERE.contains(outcome) || frames < FRAMES || *packets >= EACH,
            "{} was reached {packets} times of {total}",
            outcome.name()
        );
    }
    let served = [Outcome::Forwarded, Outcome::Redirected, Outcome::NoBackend, Outcome::Unresolved];
    let served: u64 = served.iter().map(|outcome| reached[outcome.index() as usize]).sum();
    assert_eq!(total, frames as u64);
    assert!(served * 10 >= total * 3, "{served} of {total} frames reached a service");
}
