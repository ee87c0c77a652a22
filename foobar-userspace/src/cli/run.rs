//! `foobar run`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Global;
use crate::{
    api::types::Refusal,
    daemon::serve::{self, Options},
};

#[derive(Args, Debug)]
pub struct Run {
    /// The configuration; without one, everything passes until a command says otherwise
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Work in this network namespace
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// Where the program and its maps are kept: a directory on a bpffs
    #[arg(long, value_name = "DIR", default_value = super::attach::PIN_DIR)]
    pin_dir: PathBuf,
    /// Where the running configuration is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/foobar")]
    state: PathBuf,
    /// How much to log; `trace` logs packets too
    #[arg(long, value_name = "LEVEL", env = "FOOBAR_LOG", value_enum, default_value_t = Level::Info)]
    log: Level,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Run {
    pub fn run(self, global: &Global) -> Result<(), Refusal> {
        let Self { config, netns, pin_dir, state, log } = self;
        let options = Options { config, netns, pin_dir, state, socket: global.socket.clone(), log: level(log) };
        serve::run(options).map_err(Refusal::from)
    }
}

fn level(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    }
}
