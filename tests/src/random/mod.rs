//! Frames by chance, the same for the same seed: built from what matters to the program, then spoiled.

mod mutate;
mod oddity;
mod plain;

use fastrand::Rng;

pub use self::{oddity::odd, plain::plain};

/// A frame of at least 14 bytes, most of them nearly right.
pub fn frame(rng: &mut Rng) -> Vec<u8> {
    let packet = plain(rng);
    let packet = if rng.u8(..) < 64 { odd(packet, rng) } else { packet };
    let mut bytes = packet.bytes();
    if rng.u8(..) < 50 {
        mutate::mutate(&mut bytes, rng);
    }
    bytes
}

/// A frame that the services' host sends, most of them nearly right.
pub fn sent(rng: &mut Rng) -> Vec<u8> {
    let packet = plain(rng).answered();
    let packet = if rng.u8(..) < 32 { odd(packet, rng) } else { packet };
    let mut bytes = packet.bytes();
    if rng.u8(..) < 25 {
        mutate::mutate(&mut bytes, rng);
    }
    bytes.resize(bytes.len().max(SHORTEST_SENT), 0);
    bytes
}

/// The kernel lets no frame be sent by way of trial that ends amid an IP header.
const SHORTEST_SENT: usize = 54;

/// One of these.
fn one_of<T: Copy>(rng: &mut Rng, list: &[T]) -> T {
    list[rng.usize(..list.len())]
}
