//! What `foobar check` says to wrong rules and wrong files, word by word: the tables are the files in `tests/golden`.
//!
//! A table's entry begins with `===`, then a rule on the same line, or a file on the next ones up to `---`; what is said
//! follows. `FOOBAR_GOLDEN=write cargo test --test golden` writes down what is said, for a reader to judge.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const BEGIN: &str = "===";
const THEN: &str = "---";

/// What is wrong, as the table has it, and what is said.
struct Entry {
    wrong: String,
    said: String,
}

impl Entry {
    fn read(text: &str) -> Self {
        let (wrong, said) = match text.strip_prefix(' ') {
            Some(rule) => rule.split_once('\n').unwrap_or((rule, "")),
            None => text.trim_start_matches('\n').split_once(&format!("\n{THEN}\n")).unwrap_or((text, "")),
        };
        let wrong = if text.starts_with(' ') { format!(" {wrong}") } else { wrong.trim_end_matches(THEN).to_owned() };
        Self { wrong, said: said.trim_end().to_owned() }
    }

    fn written(&self) -> String {
        let Self { wrong, said } = self;
        if wrong.starts_with(' ') {
            format!("{BEGIN}{wrong}\n{said}\n\n")
        } else {
            format!("{BEGIN}\n{}\n{THEN}\n{said}\n\n", wrong.trim_matches('\n'))
        }
    }

    /// The file to check: a rule stands in one of its own.
    fn file(&self) -> String {
        match self.wrong.strip_prefix(' ') {
            Some(rule) => format!("[firewall]\nrules = [\"{rule}\"]\n"),
            None => format!("{}\n", self.wrong.trim_matches('\n')),
        }
    }
}

#[test]
fn wrong_rules_are_refused_in_these_words() {
    check("rules.txt", 60);
}

#[test]
fn wrong_files_are_refused_in_these_words() {
    check("files.txt", 50);
}

fn check(table: &str, at_least: usize) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "golden", table].iter().collect();
    let text = fs::read_to_string(&path).expect("the table");
    let text = format!("\n{text}");
    let begin = format!("\n{BEGIN}");
    let mut parts = text.split(&begin);
    let head = parts.next().expect("what stands before the first entry").trim_start().to_owned();
    let entries: Vec<_> = parts.map(Entry::read).collect();
    assert!(entries.len() >= at_least, "{} entries in {table}", entries.len());

    let directory = tempfile::tempdir().expect("a directory");
    let said: Vec<_> = entries.iter().map(|entry| said(directory.path(), entry)).collect();

    if env::var("FOOBAR_GOLDEN").is_ok_and(|what| what == "write") {
        let written =
            entries.iter().zip(said).map(|(entry, said)| Entry { wrong: entry.wrong.clone(), said }.written());
        fs::write(&path, format!("{}\n\n{}", head.trim_end(), written.collect::<String>().trim_end()) + "\n")
            .expect("written");
        return;
    }
    entries.iter().zip(&said).for_each(|(entry, said)| well_said(&entry.wrong, said));
    let other = entries.iter().zip(&said).filter(|(entry, said)| entry.said != **said);
    let other: Vec<_> =
        other.map(|(entry, said)| format!("{BEGIN}{}\nsays\n{said}\nand not\n{}\n", entry.wrong, entry.said)).collect();
    assert!(other.is_empty(), "{} of {table} are refused in other words\n{}", other.len(), other.join("\n"));
}

/// What is printed about a file that is refused.
fn said(directory: &Path, entry: &Entry) -> String {
    fs::write(directory.join("foobar.toml"), entry.file()).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_foobar-under-test"));
    let output = command.args(["check", "foobar.toml"]).current_dir(directory).env("NO_COLOR", "1").output();
    let output = output.expect("foobar runs");
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(output.status.code(), Some(1), "{} is refused: {said}", entry.wrong);
    assert!(output.stdout.is_empty(), "{}: talk goes to stderr", entry.wrong);
    said
}

/// Whatever is said, it is one sentence with its place, a line with a caret, and one hint.
fn well_said(wrong: &str, said: &str) {
    let count = |start: &str| said.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("error: foobar.toml:"), count("hint: ")), (1, 1), "{wrong}: {said}");
    assert!(said.contains('^'), "{wrong}: {said}");
}
