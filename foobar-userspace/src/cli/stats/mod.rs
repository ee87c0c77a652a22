//! `foobar stats`: all counters once, or their rates again and again.

mod counts;
mod watch;

use std::time::Duration;

use clap::Args;

use super::{Global, output, text};
use crate::api::{
    client::{Client, path},
    types::{self, Refusal},
};

#[derive(Args, Debug)]
pub struct Stats {
    /// Show rates, again and again; with --json all counters, one object a line
    #[arg(long)]
    watch: bool,
    /// The time between two looks
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = text::interval, requires = "watch")]
    interval: Duration,
    /// Show outcomes for each CPU
    #[arg(long, conflicts_with = "watch")]
    per_cpu: bool,
}

impl Stats {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let client = global.client();
        match (self.watch, global.json) {
            (true, true) => watch::objects(&client, self.interval).await,
            (true, false) => watch::tables(&client, self.interval).await,
            (false, is_json) => {
                let stats = read(&client).await?;
                output::either(is_json, &stats, || counts::show(&stats, self.per_cpu))
            }
        }
    }
}

async fn read(client: &Client) -> Result<types::Stats, Refusal> {
    client.get(&path(&["stats"])).await
}
