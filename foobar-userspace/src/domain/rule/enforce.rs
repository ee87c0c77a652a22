//! What of the language this version enforces: rules by source, interface, destination, protocol and port, sets included, and their time.

use super::Rule;

/// A rule that is right, and that this version cannot enforce.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct NotYet {
    /// The word of the rule's text that asks for it.
    pub word: String,
    pub problem: String,
    pub hint: String,
}

impl NotYet {
    fn new(word: impl Into<String>, problem: &str, hint: &str) -> Self {
        Self { word: word.into(), problem: problem.to_owned(), hint: hint.to_owned() }
    }
}

impl Rule {
    /// Refuses what would be accepted and ignored otherwise.
    pub fn enforceable(&self) -> Result<(), NotYet> {
        self.clauses_enforceable()
    }

    fn clauses_enforceable(&self) -> Result<(), NotYet> {
        if self.limit.is_some() {
            let hint = "leave `limit` out to allow without a limit";
            return Err(NotYet::new("limit", "this version does not enforce limits", hint));
        }
        if self.log {
            let hint = "leave `log` out; `foobar rules` counts what every rule matched";
            return Err(NotYet::new("log", "this version does not log packets", hint));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> NotYet {
        text.parse::<Rule>().expect(text).enforceable().expect_err(text)
    }

    #[test]
    fn sources_and_ports_are_enforced() {
        for text in [
            "allow",
            "deny",
            "allow tcp",
            "deny udp/53,5000-5999",
            "allow icmp/echo-request",
            "allow icmpv6",
            "deny proto/250 as odd",
            "deny from 10.0.0.0/8,2001:db8::/32 as both",
            "allow tcp/22 from 10.0.0.0/8",
            "deny icmp from 10.0.0.1",
            "deny tcp/25 to 0.0.0.0/0",
            "allow udp from 10.0.0.0/8 to 192.0.2.1",
            "deny from 10.0.0.1,@bad to @worse",
            "deny from 10.0.0.1 for 10m",
            "allow vrrp on eth1",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().enforceable(), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_rest_is_refused_at_its_word() {
        for (text, word) in [("allow icmp limit 10/s", "limit"), ("deny from 10.0.0.1 log", "log")] {
            let refused = refusal(text);
            assert_eq!(refused.word, word, "{text}");
            assert!(refused.problem.contains("this version"), "{refused:?}");
        }
    }
}
