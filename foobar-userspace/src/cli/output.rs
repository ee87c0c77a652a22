//! Onto stdout, for people or for programs; a reader who leaves early is no error.

use std::{
    io::{self, Write},
    process,
};

use serde::Serialize;

use crate::api::types::Refusal;

/// Prints data for people, and ends the line.
pub fn print(text: &str) -> Result<(), Refusal> {
    print_raw(&format!("{}\n", text.trim_end()))
}

/// Prints as it stands.
pub fn print_raw(text: &str) -> Result<(), Refusal> {
    let mut out = io::stdout().lock();
    let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match done {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => Err(Refusal::broken(format!("cannot write to the standard output: {error}"))),
    }
}

/// Prints one JSON value on one line.
pub fn json(value: &impl Serialize) -> Result<(), Refusal> {
    let text = serde_json::to_string(value).map_err(|error| Refusal::broken(format!("cannot write JSON: {error}")))?;
    print(&text)
}

/// Prints JSON or text, as asked for.
pub fn either(is_json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Refusal> {
    if is_json { json(value) } else { print(&text()) }
}

/// Says something that is not data.
pub fn say(sentence: &str) {
    eprintln!("{sentence}");
}
