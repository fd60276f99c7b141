//! Lists for people: columns under their names.

use std::fmt::Write as _;

/// Rows below a head, each column as wide as its widest word.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(head[column].chars().count())
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in std::iter::once(&head.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A date and a minute of an RFC 3339 time; a dash for none.
pub(super) fn minute(time: Option<&str>) -> String {
    match time.and_then(|time| time.get(..16)) {
        Some(time) => time.replace('T', " "),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["ä-long-name".to_owned(), "1".to_owned()], ["b".to_owned(), String::new()]];
        assert_eq!(table(["name", "count"], &rows), "name         count\nä-long-name  1\nb\n");
        assert_eq!(minute(Some("2026-05-04T03:02:01Z")), "2026-05-04 03:02");
        assert_eq!(minute(None), "-");
    }
}
