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
        /// What its server writes into QUIC connection ids: 0a01
        #[arg(long, value_name = "HEX")]
        server_id: Option<String>,
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
    Drain {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        end: End,
    },
    /// End a server's connections, and give it none
    Maint(Of),
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

/// How a drain ends. Otherwise it goes on until the server is ready again.
#[derive(Args, Debug)]
pub struct End {
    /// When nothing can be on it any more, it is in maintenance
    #[arg(long, conflicts_with = "deadline")]
    until_empty: bool,
    /// After this time its connections end, and it is in maintenance: 10m
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// What becomes of it then, instead
    #[arg(long, value_name = "remove", value_parser = ["remove"])]
    then: Option<String>,
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
            Self::Add { of, weight, backup, server_id } => {
                let spec = BackendSpec { address: of.address.clone(), weight, backup, server_id };
                of.add(global, &spec).await
            }
            Self::Rm { of, now } => of.remove(global, now).await,
            Self::Drain { of, end } => of.drain(global, end).await,
            Self::Maint(of) => of.change(global, state(BackendState::Maint), "is in maintenance").await,
            Self::Ready(of) => of.change(global, state(BackendState::Ready), "is ready").await,
            Self::Weight { of, weight } => {
                let change = BackendChange { weight: Some(weight), ..BackendChange::default() };
                of.change(global, change, &format!("has weight {weight}")).await
            }
        }
    }
}

impl Of {
    async fn add(self, global: &Global, spec: &BackendSpec) -> Result<(), Refusal> {
        let path = path(&["services", &self.service, "backends"]);
        let _: serde_json::Value = global.client().post(&path, spec).await?;
        self.say("is added");
        Ok(())
    }

    async fn remove(self, global: &Global, now: bool) -> Result<(), Refusal> {
        let query = if now { "?now=true" } else { "" };
        let _: serde_json::Value = global.client().delete(&format!("{}{query}", self.path())).await?;
        self.say(if now { "is removed" } else { "drains, and is removed when nothing can be on it any more" });
        Ok(())
    }

    async fn drain(self, global: &Global, End { until_empty, deadline, then }: End) -> Result<(), Refusal> {
        let at_last = if then.is_some() { "removed" } else { "in maintenance" };
        let words = match (&deadline, until_empty || then.is_some()) {
            (Some(deadline), _) => format!("drains, and is {at_last} in {deadline}"),
            (None, true) => format!("drains, and is {at_last} when nothing can be on it any more"),
            (None, false) => "drains".to_owned(),
        };
        if then.is_none() {
            let wanted = if until_empty { BackendState::Emptying } else { BackendState::Drain };
            return self.change(global, BackendChange { deadline, ..state(wanted) }, &words).await;
        }
        let query = deadline.map(|deadline| format!("?deadline={deadline}")).unwrap_or_default();
        let _: serde_json::Value = global.client().delete(&format!("{}{query}", self.path())).await?;
        self.say(&words);
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
    BackendChange { state: Some(state), ..BackendChange::default() }
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
            "foobar backend add web 10.0.0.11 --server-id 0a01",
            "foobar backend rm web 10.0.0.11 --now",
            "foobar backend drain web 10.0.0.11",
            "foobar backend drain web 10.0.0.11 --until-empty",
            "foobar backend drain web 10.0.0.11 --deadline 10m --then remove",
            "foobar backend maint web 10.0.0.11",
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
