//! `foobar apply`, `confirm` and `rollback`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    Global, output,
    safety::{Careful, remind},
};
use crate::api::{
    client::path,
    types::{Applied, ApplyFile, Confirmed, DryRun, Refusal, WouldBeDropped},
};

#[derive(Args, Debug)]
pub struct Apply {
    /// The configuration that replaces the running one
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long, conflicts_with_all = ["confirm_within", "force"])]
    dry_run: bool,
    #[command(flatten)]
    careful: Careful,
}

impl Apply {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let Self { file, dry_run, careful } = self;
        if dry_run {
            let found: DryRun = global.client().post(&path(&["apply", "dry-run"]), &read(&file)?).await?;
            return output::either(global.json, &found, || would(&found));
        }
        let request = ApplyFile { safety: careful.into_safety(), ..read(&file)? };
        let applied: Applied = global.client().post(&path(&["apply"]), &request).await?;
        for warning in &applied.warnings {
            output::say(&format!("warning: {warning}"));
        }
        output::either(global.json, &applied, || summary(&format!("{} is applied", file.display()), &applied.changes))?;
        remind(applied.pending.as_ref());
        Ok(())
    }
}

/// `foobar confirm`
pub async fn confirm(global: &Global) -> Result<(), Refusal> {
    let confirmed: Confirmed = global.client().post(&path(&["confirm"]), &()).await?;
    output::either(global.json, &confirmed, || summary("confirmed", &confirmed.changes))
}

/// `foobar rollback`
pub async fn roll_back(global: &Global) -> Result<(), Refusal> {
    let undone: Confirmed = global.client().post(&path(&["rollback"]), &()).await?;
    output::either(global.json, &undone, || summary("rolled back", &undone.changes))
}

/// A file as a request, without caution. What is no text is said with its place.
pub fn read(file: &Path) -> Result<ApplyFile, Refusal> {
    let text = crate::config::Config::read(file)?;
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Ok(ApplyFile { text, path, safety: crate::api::types::Safety::default() })
}

/// What a file would do, for people.
fn would(DryRun { changes, difference: _, slots, connections, flows, frames }: &DryRun) -> String {
    let mut lines = vec![summary("nothing is changed; it would be", changes)];
    for slots in slots {
        let flows = slots.flows.map_or_else(
            || "nothing is known of their flows".to_owned(),
            |flows| format!("about {flows} connections are on them, if they live (an estimate)"),
        );
        lines.push(format!(
            "{} of the {} slots of service {} would get another backend: {flows}",
            slots.moved, slots.of, slots.service
        ));
    }
    let line = |found: &WouldBeDropped| {
        let WouldBeDropped { flow, outcome, rule, packets: _ } = found;
        format!("  {flow}: {}", rule.as_ref().map_or(format!("`{outcome}`"), |rule| format!("`{rule}`")))
    };
    match connections.as_slice() {
        [] => lines.push("no connection that this host has open would be cut".to_owned()),
        cut => {
            lines.push("connections of this host that would be cut:".to_owned());
            lines.extend(cut.iter().map(line));
        }
    }
    match (frames, flows.as_slice()) {
        (0, _) => lines.push("no frames were sampled lately, so nothing is known of other traffic".to_owned()),
        (_, []) => lines.push(format!("of {frames} frames sampled lately, none would begin to be dropped")),
        (_, dropped) => {
            lines.push(format!("of {frames} frames sampled lately, these would begin to be dropped (an estimate):"));
            lines.extend(dropped.iter().map(|found| format!("{}, about {} packets", line(found), found.packets)));
        }
    }
    lines.join("\n")
}

fn summary(done: &str, changes: &[String]) -> String {
    match changes {
        [] => format!("{done}; nothing is other than before"),
        changes => format!("{done}:\n{}", changes.join("\n")),
    }
}
