//! Aligned columns, in colour on a terminal.

use std::fmt::Write as _;

/// What a cell means, when it means something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// It may become well by itself.
    Waiting,
    /// Somebody must act.
    Bad,
}

impl Tone {
    /// The text in the colour of the tone, ECMA-48 §8.3.117 (SGR).
    #[must_use]
    pub fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Good => 32,
            Self::Waiting => 33,
            Self::Bad => 31,
            Self::Plain => return text.to_owned(),
        };
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Rows under a head.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Cells come from outside: what could move the cursor is replaced.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.rows.push(cells.into_iter().map(|(text, tone)| (plain(&text), tone)).collect());
    }

    /// The table as text, with columns as wide as their widest cell; the last one is as long as it is.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let head = self.head.get(column).map_or(0, |text| text.len());
            cells.map(|(text, _)| text.chars().count()).chain([head]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        let head = self.head.iter().map(|name| ((*name).to_owned(), Tone::Plain)).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            push_row(&mut text, row, &widths, colour);
        }
        text
    }
}

fn push_row(text: &mut String, row: &[(String, Tone)], widths: &[usize], colour: bool) {
    const GAP: usize = 2;
    let last = row.iter().rposition(|(cell, _)| !cell.is_empty()).unwrap_or_default();
    for (index, ((cell, tone), width)) in row.iter().zip(widths).enumerate().take(last + 1) {
        let fill = if index == last { 0 } else { width - cell.chars().count() + GAP };
        let _ = write!(text, "{}{:fill$}", tone.paint(cell, colour), "");
    }
    text.push('\n');
}

/// The text on one line and without control characters.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_colour() {
        let mut table = Table::new(&["NAME", "STATE", "WHY"]);
        let cell = |text: &str| (text.to_owned(), Tone::Plain);
        table.row([cell("irc"), ("running".to_owned(), Tone::Good), cell("")]);
        table.row([cell("müsli"), ("failed".to_owned(), Tone::Bad), cell("a\x1b[2Jb\nc")]);
        assert_eq!(table.render(false), "NAME   STATE    WHY\nirc    running\nmüsli  failed   a [2Jb c\n");
        assert!(table.render(true).contains("irc    \x1b[32mrunning\x1b[0m\n"));
    }
}
