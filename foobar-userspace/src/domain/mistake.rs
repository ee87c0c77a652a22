//! A mistake in a text: where it stands, what is wrong, and what would be right.

use std::{fmt, ops::Range};

/// What is wrong with a text that an operator wrote.
///
/// `Display` is one sentence with the column; the hint is apart, for whoever prints it on its own line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub text: String,
    /// Bytes of `text`.
    pub span: Range<usize>,
    pub problem: String,
    pub hint: Option<String>,
}

impl Mistake {
    /// The first wrong character, from 1.
    pub fn column(&self) -> usize {
        self.text[..self.span.start].chars().count() + 1
    }

    /// The words that are wrong.
    pub fn words(&self) -> &str {
        &self.text[self.span.clone()]
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (column {} of {:?})", self.problem, self.column(), self.text)
    }
}

impl std::error::Error for Mistake {}

/// A mistake whose text is still in somebody else's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub span: Range<usize>,
    pub problem: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(span: Range<usize>, problem: impl Into<String>) -> Self {
        Self { span, problem: problem.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The same mistake, `by` bytes further on.
    pub fn shift(mut self, by: usize) -> Self {
        self.span = self.span.start + by..self.span.end + by;
        self
    }

    pub fn within(self, text: &str) -> Mistake {
        Mistake { text: text.to_owned(), span: self.span, problem: self.problem, hint: self.hint }
    }
}

pub(crate) type Parsed<T> = Result<T, Fault>;

/// A word of a text, which knows where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub text: &'a str,
    pub start: usize,
}

impl<'a> Word<'a> {
    pub fn whole(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub fn span(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    pub fn fault(self, problem: impl Into<String>) -> Fault {
        Fault::new(self.span(), problem)
    }

    /// What follows the first `len` bytes.
    pub fn after(self, len: usize) -> Self {
        Self { text: &self.text[len..], start: self.start + len }
    }

    /// The parts before and after the first `separator`.
    pub fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((Self { text: &self.text[..at], start: self.start }, self.after(at + separator.len_utf8())))
    }

    /// The items of a list with commas and without spaces; no item is empty.
    pub fn items(self) -> Parsed<Vec<Self>> {
        let mut items = Vec::new();
        let mut start = self.start;
        for text in self.text.split(',') {
            let item = Self { text, start };
            if text.is_empty() {
                return Err(item
                    .fault("an item of the list is empty")
                    .hint("write lists without spaces, as in `80,443`"));
            }
            items.push(item);
            start += text.len() + 1;
        }
        Ok(items)
    }
}

/// The words of a text, between white space.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_whitespace()) {
            (None, false) => start = Some(at),
            (Some(from), true) => {
                words.push(Word { text: &text[from..at], start: from });
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// The candidate that somebody who typed `word` most likely meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let reach = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= reach && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// One of the words of `key`; `later` are words of later versions.
pub(crate) fn choice<T: Copy>(word: Word<'_>, key: &str, options: &[(&str, T)], later: &[&str]) -> Parsed<T> {
    if let Some((_, meant)) = options.iter().find(|(option, _)| *option == word.text) {
        return Ok(*meant);
    }
    let problem = if later.contains(&word.text) {
        format!("`{}` as `{key}` is not in this version", word.text)
    } else {
        format!("`{}` is not a value of `{key}`", word.text)
    };
    let meant = nearest(word.text, options.iter().map(|(option, _)| *option)).or_else(|| synonym(word.text, options));
    let words: Vec<_> = options.iter().map(|(option, _)| format!("`{option}`")).collect();
    let hint =
        meant.map_or_else(|| format!("`{key}` is {}", words.join(" or ")), |meant| format!("did you mean `{meant}`?"));
    Err(word.fault(problem).hint(hint))
}

/// Other firewalls' words for the options.
fn synonym<'a, T>(word: &str, options: &[(&'a str, T)]) -> Option<&'a str> {
    let meant = match word {
        "accept" | "allow" | "permit" => "pass",
        "deny" | "reject" | "block" => "drop",
        _ => return None,
    };
    options.iter().map(|(option, _)| *option).find(|option| *option == meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_where_they_stand() {
        let found = words("  allow\ttcp/80 ");
        assert_eq!(found, [Word { text: "allow", start: 2 }, Word { text: "tcp/80", start: 8 }]);
    }

    #[test]
    fn columns_count_characters() {
        let mistake = Fault::new(3..4, "odd").within("é x");
        assert_eq!((mistake.column(), mistake.words()), (3, "x"));
        assert_eq!(mistake.to_string(), "odd (column 3 of \"é x\")");
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("alow", ["allow", "deny"]), Some("allow"));
        assert_eq!(nearest("TCP", ["tcp", "udp"]), Some("tcp"));
        assert_eq!(nearest("zebra", ["allow", "deny"]), None);
    }
}
