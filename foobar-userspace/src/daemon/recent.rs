//! One of 1,024 packets of the last minute, for questions such as what a change would do to them.
//!
//! Bounded: at most 4,096 packets, and of each the front.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use foobar_common::event::ONE_OF;

use super::dry_run::SeenFrame;
use crate::datapath::ShownPacket;

/// Packets that are kept.
const MOST: usize = 4096;
/// How long each is kept.
const LIFE: Duration = Duration::from_mins(1);

/// The packets, oldest first.
#[derive(Debug, Default)]
pub struct Recent {
    packets: VecDeque<(Instant, ShownPacket)>,
}

impl Recent {
    pub fn add(&mut self, packet: ShownPacket, now: Instant) {
        self.forget(now);
        if self.packets.len() == MOST {
            self.packets.pop_front();
        }
        self.packets.push_back((now, packet));
    }

    /// What came in during the last minute.
    pub fn frames(&self, now: Instant) -> Vec<SeenFrame> {
        let fresh = self.packets.iter().filter(|(at, _)| now.saturating_duration_since(*at) <= LIFE);
        fresh.map(|(_, packet)| frame(packet)).collect()
    }

    fn forget(&mut self, now: Instant) {
        while self.packets.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > LIFE) {
            self.packets.pop_front();
        }
    }
}

/// The frame with zeros where its bytes were not kept: as long as it was.
fn frame(packet: &ShownPacket) -> SeenFrame {
    let mut bytes = packet.front.clone();
    bytes.resize(bytes.len().max(packet.head.len as usize), 0);
    SeenFrame { interface: packet.head.interface, frame: bytes, weight: ONE_OF }
}

#[cfg(test)]
mod tests {
    use foobar_common::{
        event::{Head, Kind},
        plane::Way,
    };

    use super::*;

    fn packet(rule: u32) -> ShownPacket {
        let kinds = Kind::Sampled.bit();
        let head = Head { at: 0, kinds, outcome: 1, rule, way: Way::In, interface: 3, len: 1500, kept: 4 };
        ShownPacket { head, front: vec![9; 4] }
    }

    #[test]
    fn packets_are_kept_for_a_minute_and_as_long_as_they_were() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        recent.add(packet(1), start);
        recent.add(packet(2), start + Duration::from_secs(30));
        assert_eq!(recent.frames(start + Duration::from_secs(59)).len(), 2);
        let frames = recent.frames(start + Duration::from_secs(80));
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].frame.len(), frames[0].interface, frames[0].weight), (1500, 3, 1024));
        assert_eq!(frames[0].frame[..6], [9, 9, 9, 9, 0, 0]);
    }

    #[test]
    fn the_oldest_gives_way() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        for number in 0..MOST as u32 + 10 {
            recent.add(packet(number), now);
        }
        assert_eq!(recent.packets.len(), MOST);
        assert_eq!(recent.packets[0].1.head.rule, 10);
    }
}
