//! Why a request was not done: a sentence, the next step, and whose fault it is.
//!
//! The kind becomes the HTTP status on the daemon's side and the exit code on the command line's side.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// A request that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One sentence, naming the thing.
    pub error: String,
    /// The next step, if there is one.
    pub hint: Option<String>,
    #[serde(skip)]
    pub kind: RefusalKind,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request makes no sense as it stands: HTTP 400, exit 1.
    Malformed,
    /// It names something that is not there: HTTP 404, exit 1.
    Missing,
    /// It contradicts what is there: HTTP 409, exit 1.
    #[default]
    Refused,
    /// foobar or the kernel failed: HTTP 500, exit 2.
    Broken,
}

impl Refusal {
    pub fn new(kind: RefusalKind, error: impl Into<String>) -> Self {
        Self { error: error.into(), hint: None, kind }
    }

    pub fn malformed(error: impl Into<String>) -> Self {
        Self::new(RefusalKind::Malformed, error)
    }

    pub fn missing(error: impl Into<String>) -> Self {
        Self::new(RefusalKind::Missing, error)
    }

    pub fn refused(error: impl Into<String>) -> Self {
        Self::new(RefusalKind::Refused, error)
    }

    pub fn broken(error: impl Into<String>) -> Self {
        Self::new(RefusalKind::Broken, error)
    }

    /// The same, with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Refusal {}

/// A refusal inside the error keeps its kind, a mistake in a file is a refusal; anything else is foobar's own failure.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        let refused = error.downcast::<Self>().or_else(|error| error.downcast::<ConfigError>().map(Self::from));
        refused.unwrap_or_else(|error| Self::broken(format!("{error:#}")))
    }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self { hint: error.hint.clone(), ..Self::malformed(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_through_anyhow() {
        let refusal = Refusal::missing("there is no rule 9").hint("list them: foobar rules");

        let back = Refusal::from(anyhow::Error::from(refusal.clone()).context("while removing"));

        assert_eq!(back, refusal);
    }

    #[test]
    fn other_errors_are_ours_and_keep_their_causes() {
        let error = anyhow::anyhow!("no space").context("cannot write the state");

        let refusal = Refusal::from(error);

        assert_eq!(refusal, Refusal::broken("cannot write the state: no space"));
    }
}
