//! Spoils a frame's bytes as a fuzzer does.

use fastrand::Rng;

/// The kernel takes no shorter frame.
const SHORTEST: usize = 14;
/// Headers end before this.
const HEADERS: usize = 110;

/// One to three changes; at least 14 bytes stay.
pub fn mutate(frame: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.u8(1..4) {
        change(frame, rng);
    }
    if frame.len() < SHORTEST {
        frame.resize(SHORTEST, 0);
    }
}

fn change(frame: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..frame.len().min(HEADERS));
    match rng.u8(..8) {
        0 | 1 => frame[at] = rng.u8(..),
        2 => frame[at] ^= 1 << rng.u8(..8),
        3 => frame[at] = [0, 1, 0x7f, 0xff][rng.usize(..4)],
        // Where the numbers of ether types, versions and protocols are.
        4 => {
            let places: Vec<_> =
                [12, 13, 14, 16, 17, 20, 21, 23, 54].into_iter().filter(|at| *at < frame.len()).collect();
            frame[places[rng.usize(..places.len())]] = rng.u8(..);
        }
        5 => frame.truncate(rng.usize(SHORTEST..=frame.len())),
        6 => frame.insert(at, rng.u8(..)),
        _ => {
            frame.remove(at);
            frame.resize(frame.len().max(SHORTEST), 0);
        }
    }
}
