//! How a command ends: the exit code, and the `error:` and `hint:` lines.

use std::{io::IsTerminal, process::ExitCode};

use crate::api::types::{Refusal, RefusalKind};

/// Says how it went.
pub fn report(outcome: Result<(), Refusal>) -> ExitCode {
    let Err(refusal) = outcome else { return ExitCode::SUCCESS };
    eprint!("{}", lines(&refusal, is_coloured()));
    ExitCode::from(code(refusal.kind))
}

/// Says what clap has to say. Help was asked for; anything else is a refusal.
pub fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // What is piped into something that closes early is not an error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    report(Err(complaint(&error.render().to_string())))
}

/// 1 for what was refused, 2 for what broke.
pub fn code(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::Malformed | RefusalKind::Missing | RefusalKind::Refused => 1,
        RefusalKind::Broken => 2,
    }
}

fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn lines(refusal: &Refusal, is_coloured: bool) -> String {
    let (red, cyan, plain) = if is_coloured { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let hint = refusal.hint.as_ref().map(|hint| format!("{cyan}hint:{plain} {hint}\n"));
    format!("{red}error:{plain} {}\n{}", refusal.error, hint.unwrap_or_default())
}

/// Clap's paragraphs as one sentence and one hint: its tip if it has one, else how the command is used.
fn complaint(said: &str) -> Refusal {
    let paragraphs: Vec<_> = said.trim().split("\n\n").collect();
    let find = |start| paragraphs.iter().find_map(|paragraph| paragraph.trim().strip_prefix(start).map(one_line));
    let error = find("error:").unwrap_or_else(|| one_line(said));
    // Clap counts an option from the environment among those that were typed.
    let usage = |usage: String| format!("usage: {}", usage.replace(" --socket <PATH>", ""));
    let hint = find("tip:").or_else(|| find("Usage:").map(usage));
    Refusal::malformed(error).hint(hint.unwrap_or_else(|| "see what can be said: foobar --help".to_owned()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn complained(line: &[&str]) -> Refusal {
        complaint(&Cli::try_parse_from(line).unwrap_err().render().to_string())
    }

    #[test]
    fn only_what_broke_exits_with_two() {
        let kinds = [RefusalKind::Malformed, RefusalKind::Missing, RefusalKind::Refused, RefusalKind::Broken];
        assert_eq!(kinds.map(code), [1, 1, 1, 2]);
    }

    #[test]
    fn a_refusal_is_an_error_line_and_a_hint_line() {
        let refusal = Refusal::missing("there is no rule 9").hint("list them: foobar rules");

        assert_eq!(lines(&refusal, false), "error: there is no rule 9\nhint: list them: foobar rules\n");
        assert!(lines(&refusal, true).contains("error:"), "colours never stand alone");
    }

    #[test]
    fn a_word_that_clap_does_not_know_is_an_error_and_a_hint() {
        let refusal = complained(&["foobar", "statsu"]);
        assert_eq!(refusal.error, "unrecognized subcommand 'statsu'");
        assert!(refusal.hint.unwrap().contains("stat"), "clap's tip is the hint");

        let refusal = complained(&["foobar", "detach", "eth0", "eth1"]);
        assert_eq!(refusal.error, "unexpected argument 'eth1' found");
        assert!(refusal.hint.unwrap().starts_with("usage: foobar detach"));
    }

    #[test]
    fn a_missing_word_is_named() {
        let refusal = complained(&["foobar", "allow"]);
        assert_eq!(refusal.error, "the following required arguments were not provided: <RULE>...");
    }
}
