//! Attempts to attach: what is open is noted once for each interface, however often it takes.
//!
//! Asking the kernel for every socket may take long, and an interface that cannot be attached to is tried every second.

use std::collections::BTreeMap;

/// By interface, attempts that have not succeeded.
#[derive(Debug, Default)]
pub struct Attempts(BTreeMap<String, u32>);

impl Attempts {
    /// Whether this is the first one: what is open has to be noted before it.
    pub fn begin(&mut self, interface: &str) -> bool {
        let attempts = self.0.entry(interface.to_owned()).or_default();
        *attempts += 1;
        *attempts == 1
    }

    /// It has succeeded. Whether it was not the first: what was opened since that one has to be noted.
    pub fn succeed(&mut self, interface: &str) -> bool {
        self.0.remove(interface).is_some_and(|attempts| attempts > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_noted_before_the_first_attempt_and_behind_a_later_one() {
        let mut attempts = Attempts::default();
        assert!(attempts.begin("eth0") && !attempts.succeed("eth0"));
        assert!(attempts.begin("eth0"));
        assert!(!attempts.begin("eth0") && !attempts.begin("eth0"));
        assert!(attempts.begin("eth1"), "another one");
        assert!(attempts.succeed("eth0") && !attempts.succeed("eth1"));
        assert!(attempts.begin("eth0"), "lost again");
    }
}
