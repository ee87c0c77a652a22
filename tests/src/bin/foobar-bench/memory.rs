//! What this machine's memory costs a program that reads it at random, now and then: no table can be faster.

use std::{hint::black_box, time::Instant};

/// Bytes of a cache line.
const LINE: usize = 64;
/// Lines that are read, as many as a case of sets has sources.
const LINES: usize = 100_000;
const READS: u32 = 1_000_000;
/// Multiplications between two reads, each of which waits for the one before: some 100 ns.
const WORK: usize = 100;

pub fn report() {
    let idle = time(16 << 10);
    let costs = [1usize, 2, 4, 8, 16].map(|megabytes| {
        let cost = time(megabytes << 20) - idle;
        format!("{megabytes} MB {cost:.0}")
    });
    println!("a read at random, one packet after the other, in ns: {}", costs.join(", "));
}

/// Nanoseconds a read and the work before it, in so many bytes.
fn time(bytes: usize) -> f64 {
    let mut random = fastrand::Rng::with_seed(1);
    let mut order: Vec<usize> = (0..bytes / LINE).collect();
    random.shuffle(&mut order);
    order.truncate(LINES);
    // Each line says which one comes next.
    let mut memory = vec![0usize; bytes / size_of::<usize>()];
    let word = |line: usize| line * LINE / size_of::<usize>();
    for (this, next) in order.iter().zip(order.iter().cycle().skip(1)) {
        memory[word(*this)] = word(*next);
    }
    let mut at = walk(&memory, word(order[0]), order.len());
    let begun = Instant::now();
    at = walk(&memory, at, READS as usize);
    black_box(at);
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(READS)
}

fn walk(memory: &[usize], from: usize, reads: usize) -> usize {
    let mut at = from;
    for _ in 0..reads {
        let mut busy = at;
        for _ in 0..WORK {
            busy = black_box(busy).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        }
        // Not before the work is done.
        at = memory[at + (busy & 1) - 1];
    }
    at
}
