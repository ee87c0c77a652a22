//! The repository's rules that no lint knows, each with the place where it is broken.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

const MOST_LINES: usize = 400;

/// Marks of unfinished work. Written in halves, so that this file has none of them.
const UNFINISHED: [&str; 6] = [
    concat!("todo", "!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("HA", "CK"),
    concat!("unimplemented", "!"),
    concat!("#[ig", "nore"),
];

/// The one place of the control plane that knows how programs and maps are loaded.
const KNOWS_AYA: &str = "foobar-userspace/src/datapath";

/// Every breach of a rule, as `file:line: sentence`.
pub fn offences(root: &Path) -> Result<Vec<String>> {
    let mut offences = Vec::new();
    for file in sources(root)? {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file);
        offences
            .extend(breaches(name, &text).into_iter().map(|(line, what)| format!("{}:{line}: {what}", name.display())));
    }
    Ok(offences)
}

fn breaches(name: &Path, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let opens_with_header = text.trim_start().starts_with("//!") || name.ends_with("main.rs");
    if !opens_with_header {
        found.push((1, "a file opens with `//!` and says what it owns".to_owned()));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        found.push((lines, format!("{lines} lines; a file has at most {MOST_LINES}")));
    }
    let may_name_aya = !name.starts_with("foobar-userspace/src") || name.starts_with(KNOWS_AYA);
    for (index, line) in text.lines().enumerate() {
        if let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(*mark)) {
            found.push((index + 1, format!("`{mark}` marks unfinished work")));
        }
        if !may_name_aya && (line.contains("aya::") || line.trim_start().starts_with("use aya")) {
            found.push((index + 1, format!("only {KNOWS_AYA} knows aya")));
        }
    }
    found
}

fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::breaches;

    fn lines(name: &str, text: &str) -> Vec<usize> {
        breaches(Path::new(name), text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_tidy_file_has_no_breach() {
        assert!(lines("a/src/b.rs", "//! Owns b.\n\nfn b() {}\n").is_empty());
        assert!(lines("a/src/main.rs", "fn main() {}\n").is_empty());
    }

    #[test]
    fn each_rule_is_seen_where_it_is_broken() {
        assert_eq!(lines("a/src/b.rs", "fn b() {}\n"), [1]);
        assert_eq!(lines("a/src/b.rs", &("//! Owns b.\n".repeat(401))), [401]);
        assert_eq!(lines("a/src/b.rs", concat!("//! Owns b.\n// FIX", "ME\n")), [2]);
        assert_eq!(lines("foobar-userspace/src/plan/b.rs", "//! Owns b.\nuse aya::Ebpf;\n"), [2]);
        assert!(lines("foobar-userspace/src/datapath/b.rs", "//! Owns b.\nuse aya::Ebpf;\n").is_empty());
    }
}
