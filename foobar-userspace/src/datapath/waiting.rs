//! A change that waits for confirmation: published with its own end, then kept or undone by one word.
//!
//! Both banks are in use while it waits, so that nothing else can be published. What the bank before it names stays as
//! it was; only slots of its rings are marked as tracked, so that flows which begin meanwhile stay where they are noted.

use anyhow::Result;
use foobar_common::{generation::Generation, slot::Slot};

use super::{Datapath, Publication};

impl Datapath {
    /// Publishes until `deadline`, a second of the monotonic clock; from then on packets see what was in force before.
    pub fn publish_until(&mut self, publication: &Publication<'_>, deadline: u32) -> Result<Generation> {
        self.publish_with(publication, |next, before| next.until(deadline.max(1), before))
    }

    /// Keeps the change that waits: it has no end any more.
    pub fn keep(&mut self) {
        self.say(self.generation().confirmed());
    }

    /// Undoes the change that waits, whether its end has come or not.
    pub fn fall_back(&mut self) {
        let word = self.generation();
        if word.deadline() != 0 {
            self.say(word.before());
        }
    }

    /// Gives up a change that waits and of which nobody knows any more. What is over is said to be; an end to come goes
    /// with the next publication alone, so that a start which fails before that undoes nothing and keeps nothing.
    pub fn settle(&mut self, now: u32) {
        let word = self.generation();
        if word.deadline() == 0 {
            return;
        }
        if now < word.deadline() {
            self.is_given_up = true;
        } else {
            self.say(word.at(now));
        }
    }

    /// Takes the end off a change that was given up, right before another is published.
    pub(super) fn finish_settling(&mut self) {
        if std::mem::take(&mut self.is_given_up) {
            self.keep();
        }
    }

    fn say(&mut self, generation: Generation) {
        self.tables.set_generation(generation, self.number() + 1);
        self.grace.begin();
    }

    /// Writes slots of a ring that packets may be reading: each is as good as what it replaces.
    pub fn mark_ring(&self, region: u32, slots: &[Slot]) -> Result<()> {
        self.tables.mark_ring(region, slots)
    }
}
