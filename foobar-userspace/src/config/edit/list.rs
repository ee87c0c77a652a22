//! A TOML array as people write it: every item with the comments that belong to it.
//!
//! A comment above an item is that item's, and so is one behind it on its line, though TOML has that one in front of the
//! next item.

use toml_edit::{Array, Value};

/// Longest line that a list on one line may make.
const WIDTH: usize = 100;
const INDENT: &str = "    ";

/// An item, and the text around it.
#[derive(Clone, Debug)]
pub struct Item {
    /// From the end of the line before.
    lead: String,
    pub value: Value,
    /// To the end of its line.
    tail: String,
}

/// An array taken apart.
#[derive(Debug)]
pub struct List {
    /// Behind the bracket, to the end of its line.
    opening: String,
    pub items: Vec<Item>,
    /// Before the last bracket.
    closing: String,
}

impl Item {
    pub fn new(value: impl Into<Value>) -> Self {
        let mut value = value.into();
        value.decor_mut().clear();
        Self { lead: String::new(), value, tail: String::new() }
    }

    fn has_line(&self) -> bool {
        self.lead.contains('\n') || self.tail.contains('#')
    }
}

impl List {
    pub fn of(array: &Array) -> Self {
        let text = |raw: Option<&toml_edit::RawString>| raw.and_then(|raw| raw.as_str()).unwrap_or_default().to_owned();
        let mut list = Self { opening: String::new(), items: Vec::new(), closing: String::new() };
        for value in array {
            let (head, lead) = split(&text(value.decor().prefix()));
            list.end_line(&head);
            let suffix = text(value.decor().suffix());
            let mut value = value.clone();
            value.decor_mut().clear();
            list.items.push(Item { lead, value, tail: suffix.trim_end_matches(['\n', ' ']).to_owned() });
        }
        let (head, closing) = split(&text(Some(array.trailing())));
        list.end_line(&head);
        list.closing = closing;
        list
    }

    /// What stands behind the last item on its line, or behind the bracket.
    fn end_line(&mut self, head: &str) {
        let head = head.trim_end();
        match self.items.last_mut() {
            Some(item) => item.tail.push_str(head),
            None => self.opening.push_str(head),
        }
    }

    /// The array of these items: on one line where it was and that is not too long.
    pub fn into_array(self) -> Array {
        let Self { opening, items, closing } = self;
        let plain: usize = items.iter().map(|item| item.value.to_string().trim().len() + 2).sum();
        let lines =
            items.iter().any(Item::has_line) || closing.contains('\n') || opening.contains('#') || plain > WIDTH;
        let indent = items.iter().find_map(|item| item.lead.rsplit_once('\n')).map_or(INDENT, |(_, indent)| indent);
        let indent = format!("\n{indent}");
        let mut array = Array::new();
        let mut before = opening;
        for (index, Item { lead, value, tail }) in items.iter().enumerate() {
            let lead = match lead.as_str() {
                lead if lead.contains('\n') => lead,
                _ if lines => &indent,
                _ if index == 0 => "",
                _ => " ",
            };
            let mut value = value.clone();
            value.decor_mut().set_prefix(format!("{before}{lead}"));
            array.push_formatted(value);
            before.clone_from(tail);
        }
        array.set_trailing_comma(lines && !items.is_empty());
        let closing = if lines && !closing.contains('\n') { "\n" } else { &closing };
        array.set_trailing(format!("{before}{closing}"));
        array
    }
}

/// At the end of the first line.
fn split(text: &str) -> (String, String) {
    let at = text.find('\n').unwrap_or(text.len());
    if at == text.len() && !text.contains('#') {
        (String::new(), text.to_owned())
    } else {
        (text[..at].to_owned(), text[at..].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use toml_edit::DocumentMut;

    use super::*;

    /// The list as it is after a change of its items.
    fn edited(text: &str, change: impl FnOnce(&mut Vec<Item>)) -> String {
        let mut document: DocumentMut = format!("a = {text}").parse().expect("TOML");
        let array = document["a"].as_array_mut().expect("an array");
        let mut list = List::of(array);
        change(&mut list.items);
        let decor = array.decor().clone();
        *array = list.into_array();
        *array.decor_mut() = decor;
        let text = document.to_string();
        text.parse::<DocumentMut>().expect("it is still TOML");
        text.strip_prefix("a = ").expect("its key").trim_end().to_owned()
    }

    const LINES: &str = "[ # all\n  # one\n  1, # first\n\n  # two\n  2,\n  3 # third\n  # end\n]";

    #[test]
    fn what_does_not_change_stays_as_it_is() {
        for text in
            ["[]", "[1, 2]", "[\n  1,\n  2,\n]", "[ # all\n  # one\n  1, # first\n\n  # two\n  2, # second\n  # end\n]"]
        {
            assert_eq!(edited(text, |_| {}), text);
        }
    }

    #[test]
    fn comments_go_with_their_item() {
        let moved = edited(LINES, |items| items.swap(0, 1));
        assert_eq!(moved, "[ # all\n\n  # two\n  2,\n  # one\n  1, # first\n  3, # third\n  # end\n]");
        let removed = edited(LINES, |items| drop(items.remove(0)));
        assert_eq!(removed, "[ # all\n\n  # two\n  2,\n  3, # third\n  # end\n]");
    }

    #[test]
    fn a_new_item_is_written_as_the_others_are() {
        assert_eq!(edited("[1, 2]", |items| items.insert(1, Item::new(7))), "[1, 7, 2]");
        assert_eq!(edited("[]", |items| items.push(Item::new(7))), "[7]");
        assert_eq!(edited("[\n  1,\n]", |items| items.push(Item::new(7))), "[\n  1,\n  7,\n]");
        let long = edited("[1]", |items| items.push(Item::new("x".repeat(WIDTH))));
        assert_eq!(long, format!("[\n    1,\n    \"{}\",\n]", "x".repeat(WIDTH)));
    }
}
