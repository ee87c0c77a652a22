//! The loaded program decides as the rule list does, read top to bottom: random lists, and frames aimed at their edges.
//!
//! The reading here knows neither classes nor tables: it asks rule after rule. Which rule decided is in the counters.

mod list;

use std::{collections::BTreeMap, env};

use fastrand::Rng;
use foobar_common::Action;
use foobar_tests::lab::{Lab, run};
use foobar_userspace::config::Policy;
use list::Aim;

/// How many, where `FOOBAR_LISTS` says nothing else.
const LISTS: usize = 200;
const FRAMES: usize = 1_000;
const SEED: u64 = 0xf00b_a201;

#[test]
fn the_loaded_program_decides_as_the_list_read_top_to_bottom() {
    let lists = env::var("FOOBAR_LISTS").map_or(LISTS, |said| said.parse().expect("FOOBAR_LISTS is a number"));
    println!("seed {SEED:#x}");
    let mut rng = Rng::with_seed(SEED);
    let mut lab = Lab::new();
    let mut after = Vec::new();
    let mut decided = [0_u64; 3];
    for number in 0..lists {
        let lines = list::lines(&mut rng);
        let texts: Vec<_> = lines.iter().map(ToString::to_string).collect();
        let default = if rng.bool() { Policy::Drop } else { Policy::Pass };
        lab.replace(&texts, default);
        let before = counted(&mut lab);
        let mut expected = vec![0_u64; lines.len()];
        for frame in 0..FRAMES {
            let aim = Aim::at(&lines, &mut rng);
            let first = lines.iter().position(|line| line.matches(&aim));
            let passes = first.map_or(default == Policy::Pass, |place| lines[place].allows);

            let action = run(lab.program(), &aim.frame().bytes(), &mut after);

            let right = if passes { Action::Pass } else { Action::Drop };
            assert_eq!(
                action,
                right,
                "list {number}, frame {frame}: {aim:?}, first match {first:?}, default {default:?}\n{}",
                texts.join("\n")
            );
            if let Some(place) = first {
                expected[place] += 1;
            }
            decided[first.map_or(2, |place| usize::from(lines[place].allows))] += 1;
        }
        let after = counted(&mut lab);
        let ids = lab.loaded().rule_ids.clone();
        let moved: Vec<_> = ids.iter().map(|id| after[id] - before[id]).collect();
        assert_eq!(moved, expected, "list {number}: what each rule decided\n{}", texts.join("\n"));
    }
    let [denied, allowed, neither] = decided;
    println!("{lists} lists of {FRAMES} frames: {denied} denied, {allowed} allowed, {neither} by the default");
    assert!(decided.iter().all(|frames| *frames > (lists * FRAMES / 10) as u64), "the frames were worth running");
}

/// Packets by rule's id.
fn counted(lab: &mut Lab) -> BTreeMap<u32, u64> {
    lab.counts().rules.into_iter().map(|(id, [packets, _])| (id, packets)).collect()
}
