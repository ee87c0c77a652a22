//! `--confirm-within` and `--force`, and what goes with them in a request.

use clap::Args;

use super::{caller, output};
use crate::api::types::{PendingStatus, Safety};

#[derive(Args, Clone, Debug, Default)]
pub struct Careful {
    /// Undo the change by itself unless `foobar confirm` follows within this time: 60s, 5m
    #[arg(long, value_name = "TIME")]
    confirm_within: Option<String>,
    #[command(flatten)]
    insisting: Insisting,
}

/// For what changes at once, and is not undone.
#[derive(Args, Clone, Debug, Default)]
pub struct Insisting {
    /// Also if it cuts the connection over which you are here
    #[arg(long)]
    force: bool,
}

impl Careful {
    pub fn into_safety(self) -> Safety {
        Safety { confirm_within: self.confirm_within, ..self.insisting.into_safety() }
    }
}

impl Insisting {
    pub fn into_safety(self) -> Safety {
        let Self { force } = self;
        Safety { force, confirm_within: None, connection: if force { None } else { caller::connection() } }
    }
}

/// Says what has to be done lest the change is undone.
pub fn remind(pending: Option<&PendingStatus>) {
    if let Some(PendingStatus { seconds_left, .. }) = pending {
        output::say(&format!(
            "unconfirmed: it is undone in {seconds_left} s unless `foobar confirm` follows; `foobar rollback` undoes it at \
             once"
        ));
    }
}
