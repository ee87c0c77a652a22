//! `foobar watch`: packets that are dropped, and those of rules with `log`, a line each, as they come.

use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use super::{Global, output, text::count};
use crate::api::{
    client::{encode, path},
    events::{PacketEvent, WatchLine},
    types::Refusal,
};

const EXAMPLES: &str = "\
Drops are shown from the moment this runs, up to 1,000 a second for each CPU. Of packets that pass, one of 1,024 is shown,
where --outcome or --rule asks for them:
  foobar watch
  foobar watch --outcome denied --from 198.51.100.0/24
  foobar watch --rule scanner --count 10
  foobar watch --outcome allowed --on eth0";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Watch {
    /// Only packets that left so, as in `foobar stats`
    #[arg(long, value_name = "NAME")]
    outcome: Option<String>,
    /// Only packets that this rule decided: its number, or its name
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only packets that came in by this interface, or were to leave by it
    #[arg(long, value_name = "IFACE")]
    on: Option<String>,
    /// Only packets from these addresses
    #[arg(long, value_name = "PREFIX")]
    from: Option<String>,
    /// End after so many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Watch {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        // Ctrl-C is how one ends this, and no failure.
        tokio::select! {
            done = self.follow(global) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }

    async fn follow(&self, global: &Global) -> Result<(), Refusal> {
        let mut lines = global.client().lines(&self.path()).await?;
        let mut shown = 0;
        while self.count.is_none_or(|count| shown < count) {
            let Some(line) = lines.next().await? else {
                return Err(Refusal::broken("the daemon stopped").hint("start it again: foobar run"));
            };
            let said: WatchLine = serde_json::from_slice(&line)
                .map_err(|error| Refusal::broken(format!("the daemon's line is not understood: {error}")))?;
            output::either(global.json, &said, || text(&said))?;
            shown += u64::from(matches!(said, WatchLine::Packet(_)));
        }
        Ok(())
    }

    fn path(&self) -> String {
        let wishes = [("outcome", &self.outcome), ("rule", &self.rule), ("on", &self.on), ("from", &self.from)];
        let pairs = wishes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let pairs: Vec<_> =
            pairs.map(|(key, value)| format!("{key}={}", value.bytes().map(encode).collect::<String>())).collect();
        format!("{}?{}", path(&["events"]), pairs.join("&"))
    }
}

fn text(line: &WatchLine) -> String {
    match line {
        WatchLine::Packet(event) => format!("{} {event}", time(event)),
        WatchLine::NotShown(more) => format!("… {} more not shown", count(*more)),
    }
}

fn time(event: &PacketEvent) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(event.at_ms))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn watch(line: &str) -> Watch {
        match Cli::try_parse_from(line.split(' ')).expect(line).command {
            Some(Command::Watch(watch)) => watch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wishes_are_encoded() {
        assert_eq!(watch("foobar watch").path(), "/v1/events?");
        let path = watch("foobar watch --outcome denied --from 2001:db8::/32 --rule 7").path();
        assert_eq!(path, "/v1/events?outcome=denied&rule=7&from=2001:db8::%2F32");
    }

    #[test]
    fn a_count_is_one_or_more() {
        Cli::try_parse_from(["foobar", "watch", "--count", "0"]).unwrap_err();
        assert_eq!(watch("foobar watch --count 3").count, Some(3));
    }

    #[test]
    fn what_is_not_shown_is_said() {
        assert_eq!(text(&WatchLine::NotShown(12_345)), "… 12 345 more not shown");
    }
}
