//! The log of packets that rules with `log` matched: a line a packet, a few a second for each rule, and how many more.

use std::collections::BTreeMap;

use crate::api::events::PacketEvent;

/// Lines a second for each rule.
const MOST: u32 = 10;

/// What was logged in the current second, by rule's id.
#[derive(Debug, Default)]
pub struct PacketLog {
    rules: BTreeMap<u32, (u32, u64)>,
}

impl PacketLog {
    /// Logs a packet, or counts it.
    pub fn add(&mut self, event: &PacketEvent) {
        if self.has_room(event.rule.as_ref().map_or(0, |rule| rule.id)) {
            tracing::info!(target: "foobar::packets", "{event}");
        }
    }

    fn has_room(&mut self, rule: u32) -> bool {
        let (lines, more) = self.rules.entry(rule).or_default();
        if *lines < MOST {
            *lines += 1;
            return true;
        }
        *more += 1;
        false
    }

    /// To be called every second. `lost`: packets that the program had no room to show.
    pub fn end_second(&mut self, lost: u64) {
        for (rule, more) in self.take_more() {
            tracing::info!(target: "foobar::packets", "{more} more packets by rule {rule}");
        }
        if lost > 0 {
            tracing::info!(target: "foobar::packets", "{lost} more packets, of rules with `log`, came too fast to be told");
        }
    }

    /// Rules with packets that were counted alone, and how many.
    fn take_more(&mut self) -> Vec<(u32, u64)> {
        let rules = std::mem::take(&mut self.rules);
        rules.into_iter().map(|(rule, (_, more))| (rule, more)).filter(|(_, more)| *more > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_rule_is_a_few_lines_and_a_count() {
        let mut log = PacketLog::default();
        let lines = (0..1_000).filter(|_| log.has_room(7)).count();
        assert_eq!(lines, MOST as usize);
        assert!(log.has_room(8), "others have lines of their own");
        assert_eq!(log.take_more(), [(7, 990)]);
        assert!(log.has_room(7), "the next second");
        assert!(log.take_more().is_empty());
    }
}
