//! Tables without borders; colours on a terminal only, beside words that say the same.

use std::io::{self, IsTerminal};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

/// A table with these headings; those in `numbers` are aligned to the right.
pub fn table<const N: usize>(headings: [&str; N], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    for &number in numbers {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if !is_coloured() {
        table.force_no_tty();
    }
    table
}

/// What should be seen.
pub fn bad(text: impl ToString) -> Cell {
    Cell::new(text).fg(Color::Red)
}

/// What will pass.
pub fn passing(text: impl ToString) -> Cell {
    Cell::new(text).fg(Color::Yellow)
}

/// Whether somebody looks on.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether they do not mind colours.
fn is_coloured() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A table under its title, without trailing blanks.
pub fn titled(title: &str, table: &Table) -> String {
    format!("{title}\n{}\n", lines(table))
}

/// A table without trailing blanks.
pub fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_borders_and_no_trailing_blanks() {
        let mut table = table(["NAME", "PACKETS"], &[1]);
        table.add_row(["web", "12"]);
        table.add_row(["a-long-name", ""]);

        assert_eq!(lines(&table), " NAME         PACKETS\n web               12\n a-long-name");
    }
}
