//! Who watches packets, as the engine sees it: it has drops shown while somebody does, and gives rules their texts.

use foobar_common::plane::Way;

use super::{engine::Engine, state::now};
use crate::{
    api::{
        events::{Filter, Wish},
        types::Refusal,
    },
    datapath::Events,
    domain::Verdict,
};

/// Seconds that drops are shown for without being asked for again: longer than any change holds the engine up.
const WATCH_SECONDS: u64 = 5;

impl Engine {
    /// Has drops shown from here on, and finds what is wished for.
    pub fn watch(&self, wish: Wish) -> Result<Filter, Refusal> {
        let rule = wish.rule.map(|rule| self.watched_rule(&rule)).transpose()?;
        if let Some(on) = &wish.on {
            self.attached_interface(on)?;
        }
        self.datapath.watch_until(now() + WATCH_SECONDS);
        Ok(Filter { outcome: wish.outcome, rule, on: wish.on, from: wish.from })
    }

    fn watched_rule(&self, rule: &str) -> Result<u32, Refusal> {
        let (way, index) = self.find_rule(rule)?;
        if way == Way::Out && self.state.config.firewall.rules(way)[index].verdict == Verdict::Allow {
            let error = format!("rule {rule} lets out what this host sends, and of that only drops are shown");
            return Err(Refusal::refused(error).hint("`foobar rules` counts its packets"));
        }
        Ok(self.ids(way)[index])
    }

    /// To be called every second.
    pub(super) fn keep_watch(&self) {
        self.datapath.watch_until(if self.packets.is_watched() { now() + WATCH_SECONDS } else { 0 });
    }

    /// The packets that the program shows, for the one who reads them.
    pub fn take_events(&mut self) -> Option<Events> {
        self.datapath.take_events()
    }

    pub(super) fn name_rules(&self) {
        for way in [Way::In, Way::Out] {
            let texts = self.state.config.firewall.rules(way).iter().map(ToString::to_string);
            self.packets.name_rules(self.ids(way).iter().copied().zip(texts));
        }
    }
}
