//! Packets that were shown: as they go over the socket, and which of them somebody wants.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use foobar_common::Outcome;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::types::Refusal;
use crate::domain::{
    mistake::{Word, nearest},
    prefix,
};

/// A line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchLine {
    Packet(PacketEvent),
    /// So many packets more, of any kind, came too fast to be shown.
    NotShown(u64),
}

/// One packet, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketEvent {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub outcome: String,
    /// `pass`, `drop`, `tx` or `redirect`.
    pub action: String,
    /// The rule that decided; absent where none did.
    pub rule: Option<EventRule>,
    /// A rule with `log` matched it.
    pub logged: bool,
    /// This host was about to send it.
    #[serde(default)]
    pub egress: bool,
    pub interface: String,
    /// Bytes of the whole frame.
    pub len: u32,
    /// As `foobar explain` takes it, where it could be read.
    pub packet: String,
    pub source: Option<IpAddr>,
    /// The front of the frame, in hexadecimal digits.
    pub frame: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRule {
    pub id: u32,
    /// Its text; empty where it is gone.
    pub rule: String,
}

/// Without the time.
impl Display for PacketEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome.replace('_', " ");
        let on = if self.egress { "out of" } else { "on" };
        write!(f, "{outcome} {} {on} {}", self.packet, self.interface)?;
        match &self.rule {
            Some(EventRule { id, rule }) if rule.is_empty() => write!(f, " by rule {id}"),
            Some(EventRule { id, rule }) => write!(f, " by rule {id} ({rule})"),
            None => Ok(()),
        }
    }
}

/// Which packets somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub outcome: Option<Outcome>,
    /// An id or a name.
    pub rule: Option<String>,
    pub on: Option<String>,
    pub from: Option<IpNet>,
}

impl Wish {
    /// Reads `outcome=…&rule=…&on=…&from=…`, each as often as not at all.
    pub fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let mut wish = Self::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match key {
                "outcome" => wish.outcome = Some(outcome(&value)?),
                "rule" => wish.rule = Some(value),
                "on" => wish.on = Some(value),
                "from" => wish.from = Some(prefix::read(Word::whole(&value))?),
                other => {
                    return Err(Refusal::malformed(format!("`{other}` is not understood"))
                        .hint("packets are chosen by outcome, rule, on and from"));
                }
            }
        }
        Ok(wish)
    }
}

/// An outcome by its name in `foobar stats`.
fn outcome(text: &str) -> Result<Outcome, Refusal> {
    let said = text.replace([' ', '-'], "_");
    let found = Outcome::ALL.iter().copied().find(|outcome| outcome.name() == said);
    found.ok_or_else(|| {
        let hint = match nearest(&said, Outcome::ALL.iter().map(|outcome| outcome.name())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`foobar stats` lists them".to_owned(),
        };
        Refusal::malformed(format!("`{text}` is no outcome")).hint(hint)
    })
}

/// A wish whose rule was found.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub outcome: Option<Outcome>,
    pub rule: Option<u32>,
    pub on: Option<String>,
    pub from: Option<IpNet>,
}

impl Filter {
    /// Without an outcome or a rule, what passes is of no interest unless a rule logs it.
    pub fn wants(&self, event: &PacketEvent) -> bool {
        let is_told = event.action == "drop" || event.logged || self.outcome.is_some() || self.rule.is_some();
        is_told
            && self.outcome.is_none_or(|outcome| outcome.name() == event.outcome)
            && self.rule.is_none_or(|id| event.rule.as_ref().is_some_and(|rule| rule.id == id))
            && self.on.as_ref().is_none_or(|on| *on == event.interface)
            && self.from.is_none_or(|from| event.source.is_some_and(|source| from.contains(&source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> PacketEvent {
        PacketEvent {
            at_ms: 0,
            outcome: "denied".into(),
            action: "drop".into(),
            rule: Some(EventRule { id: 7, rule: "deny from 198.51.100.0/24 as scanner".into() }),
            logged: false,
            egress: false,
            interface: "eth0".into(),
            len: 54,
            packet: "tcp 198.51.100.7:40000 > 192.0.2.10:22 syn".into(),
            source: Some("198.51.100.7".parse().expect("an address")),
            frame: String::new(),
        }
    }

    #[test]
    fn a_packet_is_one_line() {
        let line = "denied tcp 198.51.100.7:40000 > 192.0.2.10:22 syn on eth0 by rule 7 (deny from 198.51.100.0/24 as scanner)";
        assert_eq!(event().to_string(), line);
        let unruled = PacketEvent { outcome: "default_drop".into(), rule: None, ..event() };
        assert_eq!(unruled.to_string(), "default drop tcp 198.51.100.7:40000 > 192.0.2.10:22 syn on eth0");
        let sent = PacketEvent { egress: true, ..unruled };
        assert_eq!(sent.to_string(), "default drop tcp 198.51.100.7:40000 > 192.0.2.10:22 syn out of eth0");
    }

    #[test]
    fn a_wish_is_read_or_refused_with_what_is_meant() {
        let wish =
            Wish::read(Some("outcome=default-drop&from=2001%3Adb8%3A%3A%2F32&on=eth0&rule=a%20b")).expect("a wish");
        assert_eq!((wish.outcome, wish.rule.as_deref()), (Some(Outcome::DefaultDrop), Some("a b")));
        assert_eq!(wish.from.map(|from| from.to_string()).as_deref(), Some("2001:db8::/32"));
        assert_eq!(Wish::read(None), Ok(Wish::default()));
        let refusal = Wish::read(Some("outcome=denid")).expect_err("a slip");
        assert_eq!(refusal.hint.as_deref(), Some("did you mean `denied`?"));
        Wish::read(Some("from=10.0.0.1/8")).expect_err("host bits");
        Wish::read(Some("colour=red")).expect_err("no such key");
    }

    #[test]
    fn a_filter_lets_through_what_is_wanted() {
        let all = Filter::default();
        let passed = PacketEvent { outcome: "allowed".into(), action: "pass".into(), ..event() };
        assert!(all.wants(&event()) && !all.wants(&passed));
        assert!(all.wants(&PacketEvent { logged: true, ..passed.clone() }));
        assert!(Filter { outcome: Some(Outcome::Allowed), ..all.clone() }.wants(&passed));
        assert!(Filter { rule: Some(7), ..all.clone() }.wants(&passed), "what an allowance lets in is sampled");
        assert!(!Filter { rule: Some(8), ..all.clone() }.wants(&event()));
        assert!(!Filter { on: Some("eth1".into()), ..all.clone() }.wants(&event()));
        let from = |text: &str| Filter { from: Some(text.parse().expect("a prefix")), ..Filter::default() };
        assert!(from("198.51.100.0/24").wants(&event()) && !from("10.0.0.0/8").wants(&event()));
        assert!(!from("198.51.100.0/24").wants(&PacketEvent { source: None, ..event() }));
    }
}
