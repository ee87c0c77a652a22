//! A mistake in a configuration file, as an operator reads it: the place, the line with a caret, the next step.

use std::{
    fmt::{self, Display, Formatter},
    io,
    string::FromUtf8Error,
};

use crate::domain::mistake::Fault;

/// Why a configuration was refused.
///
/// `Display` is the sentence with its place, then the line; [`ConfigError::report`] is the whole as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: String,
    /// Nothing where the file could not be read at all.
    pub spot: Option<Spot>,
    pub problem: String,
    pub hint: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line's text.
    pub source: String,
    /// Characters at fault, at least 1.
    pub width: usize,
}

impl ConfigError {
    pub(super) fn placed(file: &str, text: &str, fault: Fault) -> Self {
        let Fault { span, problem, hint } = fault;
        Self { file: file.to_owned(), spot: Some(Spot::new(text, span.start, span.end)), problem, hint }
    }

    pub(super) fn unreadable(file: &str, error: &io::Error) -> Self {
        Self {
            file: file.to_owned(),
            spot: None,
            problem: format!("cannot be read: {error}"),
            hint: Some("name an existing file that this user may read".to_owned()),
        }
    }

    pub(super) fn not_text(file: &str, error: &FromUtf8Error) -> Self {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let fault = Fault::new(at..at + 1, "this is not UTF-8").hint("save the file as UTF-8");
        Self::placed(file, &text, fault)
    }

    /// `FILE:LINE:COLUMN: what is wrong`
    pub fn sentence(&self) -> String {
        match &self.spot {
            Some(Spot { line, column, .. }) => format!("{}:{line}:{column}: {}", self.file, self.problem),
            None => format!("{}: {}", self.file, self.problem),
        }
    }

    /// Everything, as it goes to standard error: `error:`, the line with a caret, `hint:`. No newline at the end.
    pub fn report(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("error: {self}{hint}")
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())?;
        match &self.spot {
            Some(spot) => write!(f, "\n{spot}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Spot {
    fn new(text: &str, start: usize, end: usize) -> Self {
        let start = text.floor_char_boundary(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let source = text[line_start..].lines().next().unwrap_or_default();
        let before = text[line_start..start].chars().count();
        let end = text.floor_char_boundary(end).clamp(start, (line_start + source.len()).max(start));
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: before + 1,
            source: source.to_owned(),
            width: text[start..end].chars().count().max(1),
        }
    }
}

impl Display for Spot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { line, column, source, width } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let before: String = source.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {source}")?;
        write!(f, "{margin} | {before}{}", "^".repeat(*width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_stands_with_its_caret() {
        let fault = Fault::new(6..8, "no such word").hint("write another");
        let error = ConfigError::placed("foobar.toml", "a\n\té = xy\n", Fault { span: 8..10, ..fault });
        let right = "error: foobar.toml:2:6: no such word\n  |\n2 | \té = xy\n  | \t    ^^\nhint: write another";
        assert_eq!(error.report(), right);
    }

    #[test]
    fn any_span_is_shown() {
        for text in ["", "\n", "é", "a\r\nb"] {
            for start in 0..=text.len() + 1 {
                for end in start..=text.len() + 2 {
                    let error = ConfigError::placed("f", text, Fault::new(start..end, "odd"));
                    assert!(error.report().contains('^'), "{text:?} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_has_no_line() {
        let error = ConfigError::unreadable("gone.toml", &io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(error.sentence(), "gone.toml: cannot be read: entity not found");
    }
}
