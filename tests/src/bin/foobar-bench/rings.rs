//! What it takes to build a ring.

use std::time::Instant;

use foobar_common::ring::{Member, build, name};

const RUNS: usize = 9;

/// Builds rings as the daemon does, and says what that took.
pub fn report() {
    for (size, backends) in [(65_537, 600), (65_537, 1000), (131_071, 1000)] {
        let member = |id| Member { id, name: name(u128::from(0x0a00_0000 + id)), weight: 100 };
        let members: Vec<_> = (1..=backends).map(member).collect();
        let mut times: Vec<_> = (0..RUNS).map(|_| timed(&members, size)).collect();
        times.sort_by(f64::total_cmp);
        let median = times[RUNS / 2];
        println!("a ring of {size} slots for {backends} backends: built in {median:.1} ms, median of {RUNS}");
    }
}

/// Milliseconds.
fn timed(members: &[Member], size: u32) -> f64 {
    let begun = Instant::now();
    std::hint::black_box(build(std::hint::black_box(members), size));
    begun.elapsed().as_secs_f64() * 1000.0
}
