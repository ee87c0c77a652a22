//! `foobar apply`, `confirm` and `rollback`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    Global, output,
    safety::{Careful, remind},
};
use crate::api::{
    client::path,
    types::{Applied, ApplyFile, Confirmed, Refusal},
};

#[derive(Args, Debug)]
pub struct Apply {
    /// The configuration that replaces the running one
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    careful: Careful,
}

impl Apply {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let Self { file, careful } = self;
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

fn summary(done: &str, changes: &[String]) -> String {
    match changes {
        [] => format!("{done}; nothing is other than before"),
        changes => format!("{done}:\n{}", changes.join("\n")),
    }
}
