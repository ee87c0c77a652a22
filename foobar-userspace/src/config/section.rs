//! Tables and values of a TOML file, read strictly: every key is known, every value has the type that it should.

use std::{fmt::Display, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::domain::mistake::{Fault, Parsed, Word, choice, nearest};

/// A table of the file.
pub struct Section<'t> {
    source: &'t str,
    title: &'static str,
    span: Range<usize>,
    table: &'t DeTable<'t>,
}

/// The value of a key, or an item of a list.
#[derive(Clone, Copy)]
pub struct Value<'t> {
    source: &'t str,
    key: &'static str,
    is_item: bool,
    inner: &'t Spanned<DeValue<'t>>,
}

/// A string of the file.
pub struct Text<'t> {
    pub value: &'t str,
    pub span: Range<usize>,
    /// Where the text itself begins, if it stands in the file as it is (without escapes).
    start: Option<usize>,
}

impl<'t> Section<'t> {
    pub fn whole(source: &'t str, table: &'t Spanned<DeTable<'t>>) -> Self {
        Self { source, title: "the file", span: 0..0, table: table.get_ref() }
    }

    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Refuses every key but the known ones; `later` names those of later versions, with a sentence each.
    pub fn keys(&self, known: &[&'static str], later: &[(&str, &str)]) -> Parsed<()> {
        let mut keys: Vec<_> = self.table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        for key in keys {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            if let Some((_, problem)) = later.iter().find(|(key, _)| *key == name) {
                let fault = Fault::new(key.span(), format!("`{name}` is refused: {problem}"));
                return Err(fault.hint(format!("leave `{name}` out")));
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys of {} are {}", self.title, quoted(known)),
            };
            return Err(Fault::new(key.span(), format!("unknown key `{name}` in {}", self.title)).hint(hint));
        }
        Ok(())
    }

    /// Every key as it stands, and its value, which is called `what` where it is wrong.
    pub fn entries(&self, what: &'static str) -> Vec<(&'t str, Range<usize>, Value<'t>)> {
        let entry = |(key, inner): (&'t Spanned<_>, &'t _)| {
            let name: &'t std::borrow::Cow<'t, str> = key.get_ref();
            (name.as_ref(), key.span(), Value { source: self.source, key: what, inner, is_item: false })
        };
        let mut entries: Vec<_> = self.table.iter().map(entry).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    pub fn value(&self, key: &'static str) -> Option<Value<'t>> {
        self.table.get(key).map(|inner| Value { source: self.source, key, is_item: false, inner })
    }

    pub fn required(&self, key: &'static str, example: &str) -> Parsed<Value<'t>> {
        self.value(key).ok_or_else(|| {
            Fault::new(self.span(), format!("`{key}` is missing in {}", self.title))
                .hint(format!("add `{key} = {example}`"))
        })
    }
}

impl<'t> Value<'t> {
    pub fn span(&self) -> Range<usize> {
        self.inner.span()
    }

    pub fn is_array(&self) -> bool {
        self.inner.get_ref().is_array()
    }

    pub fn is_table(&self) -> bool {
        self.inner.get_ref().is_table()
    }

    pub fn text(&self, example: &str) -> Parsed<Text<'t>> {
        let text = self.inner.get_ref().as_str().ok_or_else(|| self.mistyped("a string", example))?;
        let span = self.span();
        let inside = span.start + 1..span.end.saturating_sub(1);
        let start = (self.source.get(inside) == Some(text)).then_some(span.start + 1);
        Ok(Text { value: text, span, start })
    }

    pub fn list(&self, example: &str) -> Parsed<Vec<Self>> {
        let array = self.inner.get_ref().as_array().ok_or_else(|| self.mistyped("a list", example))?;
        Ok(array.iter().map(|inner| Self { is_item: true, inner, ..*self }).collect())
    }

    pub fn number<N>(&self, range: std::ops::RangeInclusive<N>, example: &str) -> Parsed<N>
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        let integer = self.inner.get_ref().as_integer().ok_or_else(|| self.mistyped("a whole number", example))?;
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        number.and_then(|number| N::try_from(number).ok()).filter(|number| range.contains(number)).ok_or_else(|| {
            Fault::new(self.span(), format!("`{integer}` is not a {}", self.key)).hint(format!(
                "`{}` is a number from {} to {}",
                self.key,
                range.start(),
                range.end()
            ))
        })
    }

    pub fn flag(&self, example: &str) -> Parsed<bool> {
        self.inner.get_ref().as_bool().ok_or_else(|| self.mistyped("true or false", example))
    }

    pub fn section(&self, title: &'static str, example: &str) -> Parsed<Section<'t>> {
        let table = self.inner.get_ref().as_table().ok_or_else(|| self.mistyped("a table", example))?;
        Ok(Section { source: self.source, title, span: self.span(), table })
    }

    /// One of some words; `later` are words of later versions.
    pub fn choice<T: Copy>(&self, options: &[(&'static str, T)], later: &[&str]) -> Parsed<T> {
        let text = self.text(&format!("{} = \"{}\"", self.key, options[0].0))?;
        choice(text.word(), self.key, options, later).map_err(|fault| text.place(fault))
    }

    fn mistyped(&self, wanted: &str, example: &str) -> Fault {
        let found = match self.inner.get_ref().type_str() {
            "integer" => "a whole number",
            "array" => "a list",
            "boolean" => "true or false",
            "string" => "a string",
            "table" => "a table",
            "float" => "a fraction",
            _ => "a date or time",
        };
        let item = if self.is_item { "an item of " } else { "" };
        Fault::new(self.span(), format!("{item}`{}` must be {wanted}, and is {found}", self.key))
            .hint(format!("write it as in `{example}`"))
    }
}

impl<'t> Text<'t> {
    pub fn word(&self) -> Word<'t> {
        Word::whole(self.value)
    }

    /// The text without its quotes, where that can be told.
    pub fn inside(&self) -> Range<usize> {
        self.start.map_or(self.span.clone(), |start| start..start + self.value.len())
    }

    /// Places a mistake within the text in the file.
    pub fn place(&self, fault: Fault) -> Fault {
        match self.start {
            Some(start) => fault.shift(start),
            None => Fault { span: self.span.clone(), ..fault },
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
