//! What a task tells on the terminal: headings, ticks, and lines that are drawn again in place.
//!
//! Colours and redrawing only where stdout is a terminal. Never panics when stdout is closed: the demo cleans up first.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::LazyLock,
};

static TERMINAL: LazyLock<bool> = LazyLock::new(|| io::stdout().is_terminal());
static COLOURS: LazyLock<bool> = LazyLock::new(|| *TERMINAL && env::var_os("NO_COLOR").is_none());

/// Whether a person is likely to be watching.
pub fn on_terminal() -> bool {
    *TERMINAL
}

pub fn bold(text: &str) -> String {
    painted("1", text)
}

pub fn dim(text: &str) -> String {
    painted("2", text)
}

pub fn green(text: &str) -> String {
    painted("32", text)
}

pub fn red(text: &str) -> String {
    painted("31", text)
}

fn painted(code: &str, text: &str) -> String {
    if *COLOURS { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

pub fn line(text: &str) {
    part(&format!("{text}\n"));
}

/// Prints without ending the line.
pub fn part(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

pub fn heading(text: &str) {
    line(&format!("\n{}", bold(text)));
}

/// One line with a tick or a cross.
pub fn mark(holds: bool, text: &str) {
    let sign = if holds { green("✓") } else { red("✗") };
    line(&format!("  {sign} {text}"));
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lines that replace what was drawn before them.
#[derive(Default)]
pub struct Canvas {
    drawn: usize,
}

impl Canvas {
    pub fn draw(&mut self, lines: &[String]) {
        if self.drawn > 0 {
            part(&format!("\x1b[{}A", self.drawn));
        }
        let cleared: Vec<_> = lines.iter().map(|line| format!("\x1b[2K{line}\n")).collect();
        part(&cleared.concat());
        self.drawn = lines.len();
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
