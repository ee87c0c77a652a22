//! `foobar explain`: what would become of a packet, and why.

use std::net::IpAddr;

use clap::Args;

use super::{Global, output};
use crate::api::types::{Explain as Request, Explained, ExplainedRule, ExplainedSlot, Refusal};

const EXAMPLES: &str = "\
The answer comes from the running tables; nothing is counted or sent:
  foobar explain 'tcp 198.51.100.7:40000 > 192.0.2.10:443 syn on eth0'
  foobar explain 'udp [2001:db8::1]:5000 > [2001:db8:1::1]:53'
  foobar explain 'udp 198.51.100.7:40000 > 192.0.2.10:443 cid 000a0112345678'
  foobar explain 'icmp/echo-request 10.0.0.1 > 10.0.0.2'
  foobar explain --egress 'tcp 10.0.0.1:40000 > 203.0.113.5:25 syn'
  foobar explain hex:0200000000010200000000020800450000…";

/// Rules before the one that matched that are shown to people.
const SHOWN: usize = 5;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// The packet
    #[arg(value_name = "PACKET", required = true)]
    packet: Vec<String>,
    /// This host sends it
    #[arg(long)]
    egress: bool,
}

impl Explain {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let request = Request { packet: self.packet.join(" "), egress: self.egress };
        let explained: Explained = global.client().post("/v1/explain", &request).await?;
        output::either(global.json, &explained, || text(&explained))
    }
}

fn text(explained: &Explained) -> String {
    let Explained { outcome, action, why, assumed, judged, rule, over, within_limit, .. } = explained;
    let Explained { from_sets, to_sets, service, forward, slot, backend, noted, .. } = explained;
    let Explained { named, interface, leaves_as, frame, .. } = explained;
    let mut lines = vec![format!("{outcome} ({action}): {why}")];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<9} {value}"));
    if let Some(assumed) = assumed {
        line("came in", format!("by {assumed}, since the packet does not say"));
    }
    match rule {
        Some(ExplainedRule { id, rule, before }) => {
            line("rule", format!("{id}: {rule}"));
            for earlier in before.iter().rev().take(SHOWN).rev() {
                line("", format!("not {earlier}"));
            }
            if before.len() > SHOWN {
                line("", format!("nor {} before these", before.len() - SHOWN));
            }
        }
        None if *judged => line("rule", "none matches".to_owned()),
        None => {}
    }
    for rule in over {
        line("expired", format!("{rule}: it matches, and its time is over"));
    }
    for (name, sets) in [("from", from_sets), ("to", to_sets)] {
        if !sets.is_empty() {
            line(name, sets.iter().map(|set| format!("@{set}")).collect::<Vec<_>>().join(", "));
        }
    }
    if let Some(is_within) = within_limit {
        line("limit", if *is_within { "would pass now" } else { "over the limit now" }.to_owned());
    }
    if let Some(service) = service {
        line("service", format!("{service}{}", forward.map_or_else(String::new, |forward| format!(", by {forward}"))));
    }
    if let Some(slot) = slot {
        line("slot", slot_text(slot));
    }
    if let Some(backend) = backend {
        let why = match (named, noted) {
            (true, _) => "by its connection id",
            (_, true) => "as noted for this flow",
            _ => "by its slot",
        };
        line("backend", format!("{backend}, {why}"));
    }
    if let Some(interface) = interface {
        line("leaves by", interface.clone());
    }
    if let Some(leaves_as) = leaves_as {
        line("as", leaves_as.clone());
    }
    if let Some(frame) = frame {
        line("frame", frame.clone());
    }
    lines.join("\n")
}

fn slot_text(slot: &ExplainedSlot) -> String {
    let ExplainedSlot { index, of, tracked, current, previous } = slot;
    let name = |backend: &Option<IpAddr>| backend.map_or_else(|| "nobody".to_owned(), |backend| backend.to_string());
    let place = format!("{index} of {of}");
    if !tracked {
        return format!("{place}, calm: all flows go to {}", name(current));
    }
    if previous == current {
        return format!("{place}, tracked: flows go to {} unless they are noted", name(current));
    }
    format!("{place}, tracked: new flows go to {}, those before the change to {}", name(current), name(previous))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_rule_and_those_before_it() {
        let explained = Explained {
            outcome: "denied".into(),
            action: "drop".into(),
            why: "A rule denied it.".into(),
            assumed: Some("eth0".into()),
            judged: true,
            rule: Some(ExplainedRule {
                id: 9,
                rule: "deny tcp/25".into(),
                before: (1..=7).map(|n| format!("allow tcp/{n}")).collect(),
            }),
            over: vec!["deny tcp for 10m".into()],
            from_sets: vec!["bad".into(), "worse".into()],
            to_sets: vec![],
            within_limit: Some(false),
            service: None,
            forward: None,
            slot: None,
            backend: None,
            noted: false,
            named: false,
            interface: None,
            leaves_as: None,
            frame: None,
        };
        let wanted = [
            "denied (drop): A rule denied it.",
            "  came in   by eth0, since the packet does not say",
            "  rule      9: deny tcp/25",
            "            not allow tcp/3",
            "            not allow tcp/4",
            "            not allow tcp/5",
            "            not allow tcp/6",
            "            not allow tcp/7",
            "            nor 2 before these",
            "  expired   deny tcp for 10m: it matches, and its time is over",
            "  from      @bad, @worse",
            "  limit     over the limit now",
        ];
        assert_eq!(text(&explained), wanted.join("\n"));
    }

    #[test]
    fn a_slot_says_who_gets_which_flows() {
        let [old, new] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().ok());
        let calm = ExplainedSlot { index: 7, of: 1009, tracked: false, current: new, previous: new };
        assert_eq!(slot_text(&calm), "7 of 1009, calm: all flows go to 10.0.0.2");
        let drained = ExplainedSlot { tracked: true, current: None, previous: old, ..calm };
        let wanted = "7 of 1009, tracked: new flows go to nobody, those before the change to 10.0.0.1";
        assert_eq!(slot_text(&drained), wanted);
    }
}
