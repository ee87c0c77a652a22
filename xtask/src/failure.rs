//! How a task says that it failed: `error: SENTENCE`, then `hint: NEXT STEP`.

use std::{fmt, process::ExitCode};

/// A sentence about what went wrong, with the step to take next.
#[derive(Debug)]
struct Hinted {
    sentence: String,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Hinted {}

/// An error whose report ends in a hint.
pub fn hinted(sentence: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { sentence: sentence.into(), hint: hint.into() }.into()
}

/// Prints the error and its hint on stderr.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    if let Some(Hinted { sentence: _, hint }) = error.chain().find_map(|cause| cause.downcast_ref()) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}
