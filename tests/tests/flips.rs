//! Two lists of rules in force by turns, a thousand times, while frames run on every CPU: no frame sees half of each.
//!
//! What both lists deny is denied by a source in one and by a port in the other, and allowed by the other part of each:
//! a packet that took its source's class of one list and its port's of the other would pass.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;
use foobar_common::{Action, Outcome};
use foobar_tests::{
    frames::{Packet, tcp},
    lab::{Lab, run},
};
use foobar_userspace::config::Policy;
use rustix::thread::{CpuSet, sched_setaffinity};

const FLIPS: u32 = 1_000;
const CPUS: usize = 2;
/// Frames between two looks at whether it is over.
const BATCH: u32 = 64;

const LISTS: [&[&str]; 2] = [
    &["deny from 192.0.2.0/24", "allow from 198.51.100.0/24", "deny tcp/81", "allow tcp/80"],
    &["deny tcp/80", "allow tcp/81", "deny from 198.51.100.0/24", "allow from 192.0.2.0/24"],
];

/// Frames, and what becomes of them under each list.
fn frames() -> [(Packet, [Action; 2]); 4] {
    let from = |source: &str, port: u16| tcp(&format!("{source}:4000"), &format!("10.0.0.1:{port}"));
    [
        (from("192.0.2.7", 80), [Action::Drop; 2]),
        (from("198.51.100.7", 81), [Action::Pass; 2]),
        (from("192.0.2.7", 81), [Action::Drop, Action::Pass]),
        (from("198.51.100.7", 80), [Action::Pass, Action::Drop]),
    ]
}

#[test]
fn no_frame_sees_half_of_two_lists_and_every_frame_is_counted() {
    let mut lab = Lab::new().drops();
    let texts = LISTS.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
    for (list, texts) in texts.iter().enumerate() {
        lab.replace(texts, Policy::Drop);
        for (packet, actions) in frames() {
            assert_eq!(lab.run(&packet).action, actions[list], "list {list}: {packet:?}");
        }
    }
    let before = lab.outcomes();
    let pin = pinned(&mut lab);
    let over = AtomicBool::new(false);

    let sent = thread::scope(|scope| {
        let (pin, over) = (&pin, &over);
        let senders: Vec<_> = (0..CPUS).map(|cpu| scope.spawn(move || send(cpu, pin, over))).collect();
        for flip in 0..FLIPS {
            lab.replace(&texts[flip as usize % 2], Policy::Drop);
        }
        over.store(true, Ordering::Relaxed);
        let sent = senders.into_iter().map(|sender| sender.join().expect("no frame was wrong"));
        sent.fold([0; 2], |sum, sent| [sum[0] + sent[0], sum[1] + sent[1]])
    });

    let after = lab.outcomes();
    let moved = |outcome: Outcome| after[&outcome.index()][0] - before[&outcome.index()][0];
    let counted: u64 = Outcome::ALL.iter().map(|outcome| moved(*outcome)).sum();
    println!("{FLIPS} flips, {} frames passed and {} dropped", sent[0], sent[1]);
    assert_eq!([moved(Outcome::Allowed), moved(Outcome::Denied)], sent, "each was counted for what became of it");
    assert_eq!(counted, sent[0] + sent[1], "and nothing else was");
    assert!(counted > u64::from(FLIPS) * 100, "{counted} frames ran");
}

/// Where the main program is pinned.
fn pinned(lab: &mut Lab) -> PathBuf {
    let layout =
        fs::read_dir(lab.datapath().pin_dir()).expect("pins").next().expect("a layout").expect("an entry").path();
    layout.join("programs/foobar")
}

/// Runs frames on one CPU until it is over; how many passed, and were dropped.
fn send(cpu: usize, pin: &Path, over: &AtomicBool) -> [u64; 2] {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    // Where there is one CPU only, all run on that.
    let _ = sched_setaffinity(None, &cpus);
    let program = Xdp::from_pin(pin, XdpAttachType::Interface).expect("the pinned program");
    let frames = frames().map(|(packet, actions)| (packet.bytes(), actions));
    let (mut sent, mut after) = ([0; 2], Vec::new());
    while !over.load(Ordering::Relaxed) {
        for _ in 0..BATCH {
            for (bytes, actions) in &frames {
                let action = run(&program, bytes, &mut after);
                assert!(actions.contains(&action), "{action:?}, under neither list: {bytes:02x?}");
                sent[usize::from(action == Action::Drop)] += 1;
            }
        }
    }
    sent
}
