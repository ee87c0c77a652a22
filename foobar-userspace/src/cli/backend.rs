//! `foobar backend add|rm|drain|ready|weight`

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};

use super::{Global, output};
use crate::{
    api::{
        client::path,
        types::{BackendChange, BackendSpec, Refusal},
    },
    domain::{BackendState, service::MAX_WEIGHT},
};

#[derive(Debug, Subcommand)]
pub enum Backend {
    /// Add a server to a service
    Add {
        #[command(flatten)]
        of: Of,
        /// Its share of new connections beside the others', 0 to 1000
        #[arg(long, value_name = "N", value_parser = weight())]
        weight: Option<u16>,
        /// It takes new connections while no other server of the service does
        #[arg(long)]
        backup: bool,
    },
    /// Drain a server, then remove it
    #[command(visible_alias = "remove")]
    Rm {
        #[command(flatten)]
        of: Of,
        /// Without draining: its connections break
        #[arg(long)]
        now: bool,
    },
    /// Give a server no new connections; those it has stay
    Drain(Of),
    /// Give a server new connections again
    Ready(Of),
    /// Change a server's share of new connections
    Weight {
        #[command(flatten)]
        of: Of,
        /// 0 to 1000
        #[arg(value_name = "N", value_parser = weight())]
        weight: u16,
    },
}

/// Which backend of which service.
#[derive(Args, Debug)]
pub struct Of {
    /// The service's name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    service: String,
    /// The server's address
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    address: String,
}

impl Backend {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        match self {
            Self::Add { of, weight, backup } => of.add(global, weight, backup).await,
            Self::Rm { of, now } => of.remove(global, now).await,
            Self::Drain(of) => of.change(global, state(BackendState::Drain), "drains").await,
            Self::Ready(of) => of.change(global, state(BackendState::Ready), "is ready").await,
            Self::Weight { of, weight } => {
                let change = BackendChange { weight: Some(weight), state: None };
                of.change(global, change, &format!("has weight {weight}")).await
            }
        }
    }
}

impl Of {
    async fn add(self, global: &Global, weight: Option<u16>, backup: bool) -> Result<(), Refusal> {
        let spec = BackendSpec { address: self.address.clone(), weight, backup };
        let path = path(&["services", &self.service, "backends"]);
        let _: serde_json::Value = global.client().post(&path, &spec).await?;
        self.say("is added");
        Ok(())
    }

    async fn remove(self, global: &Global, now: bool) -> Result<(), Refusal> {
        let query = if now { "?now=true" } else { "" };
        let _: serde_json::Value = global.client().delete(&format!("{}{query}", self.path())).await?;
        self.say(if now { "is removed" } else { "drains, and is removed when nothing can be on it any more" });
        Ok(())
    }

    async fn change(self, global: &Global, change: BackendChange, words: &str) -> Result<(), Refusal> {
        let _: serde_json::Value = global.client().patch(&self.path(), &change).await?;
        self.say(words);
        Ok(())
    }

    fn path(&self) -> String {
        path(&["services", &self.service, "backends", &self.address])
    }

    fn say(&self, words: &str) {
        output::say(&format!("{} of {} {words}", self.address, self.service));
    }
}

fn weight() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(..=i64::from(MAX_WEIGHT))
}

fn state(state: BackendState) -> BackendChange {
    BackendChange { weight: None, state: Some(state) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn every_way_to_change_a_backend_is_understood() {
        for line in [
            "foobar backend add web 10.0.0.11",
            "foobar backend add web 2001:db8::1 --weight 0",
            "foobar backend rm web 10.0.0.11 --now",
            "foobar backend drain web 10.0.0.11",
            "foobar backend ready web 10.0.0.11",
            "foobar backend weight web 10.0.0.11 50",
        ] {
            Cli::try_parse_from(line.split(' ')).expect(line);
        }
    }

    #[test]
    fn what_names_no_backend_is_refused() {
        for line in [
            "foobar backend",
            "foobar backend add web",
            "foobar backend add web 10.0.0.11 --weight many",
            "foobar backend weight web 10.0.0.11",
            "foobar backend weight web 10.0.0.11 -1",
            "foobar backend weight web 10.0.0.11 1001",
        ] {
            Cli::try_parse_from(line.split(' ')).expect_err(line);
        }
    }
}
