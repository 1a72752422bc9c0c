//! Tables for people.

use std::fmt::Write;

/// Between two columns.
const GAP: &str = "  ";

/// Rows under their headings, each column as wide as its widest cell. What came from outside cannot do more to a
/// terminal than be read: control characters are written out.
pub fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows.into_iter().map(|row| row.map(|cell| visible(&cell))));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(row, "{cell:width$}{GAP}");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// The text with every control character written out, as in `\n` or `\u{1b}`.
pub fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut visible, c| {
        if c.is_control() {
            visible.extend(c.escape_debug());
        } else {
            visible.push(c);
        }
        visible
    })
}

/// What stands for nothing.
pub fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["1", "é", ""], ["22", "\u{1b}[2J\n", "x"]].map(|row| row.map(str::to_owned));
        let expected = "A   LONG         C\n1   é\n22  \\u{1b}[2J\\n  x\n";
        assert_eq!(table(["A", "LONG", "C"], rows), expected);
        assert_eq!(table(["A"], []), "A\n");
    }
}
