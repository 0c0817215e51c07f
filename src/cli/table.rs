//! Tables that fit the terminal, and figures as every command shows them.
//!
//! Headers and figures are one word each, so that `awk` and `grep` find them.

use std::{env, fmt::Write as _};

use console::{Alignment, Term, measure_text_width, pad_str};

/// Spaces between columns.
const GAP: usize = 2;

/// Overrides the width of the terminal; shells set it, most without exporting it.
const WIDTH_VARIABLE: &str = "COLUMNS";

/// A column of a table.
pub struct Column<Row> {
    header: &'static str,
    /// 0 stays in every table; the largest is the first to go from one that is too wide.
    spare: u8,
    alignment: Alignment,
    cell: fn(&Row) -> String,
}

impl<Row> Column<Row> {
    /// Aligned to the left.
    pub const fn text(header: &'static str, spare: u8, cell: fn(&Row) -> String) -> Self {
        Self {
            header,
            spare,
            alignment: Alignment::Left,
            cell,
        }
    }

    pub fn header(&self) -> &'static str {
        self.header
    }

    /// Aligned to the right.
    pub const fn figure(header: &'static str, spare: u8, cell: fn(&Row) -> String) -> Self {
        Self {
            alignment: Alignment::Right,
            ..Self::text(header, spare, cell)
        }
    }
}

/// A header and a line for each row, with the columns that the terminal has room for. A last line
/// names the others.
pub fn table<Row>(columns: &[Column<Row>], rows: &[Row]) -> String {
    let width = env::var(WIDTH_VARIABLE).ok();
    let width = width
        .and_then(|width| width.parse().ok())
        .unwrap_or_else(|| {
            // 80 where the output is no terminal.
            let (_, columns) = Term::stdout().size();
            usize::from(columns)
        });
    fitted(columns, rows, width)
}

fn fitted<Row>(columns: &[Column<Row>], rows: &[Row], width: usize) -> String {
    let mut shown: Vec<(&Column<Row>, Vec<String>, usize)> = columns
        .iter()
        .map(|column| {
            let header = column.header.to_owned();
            let cells: Vec<_> = std::iter::once(header)
                .chain(rows.iter().map(column.cell))
                .collect();
            let widest = cells.iter().map(|cell| measure_text_width(cell)).max();
            (column, cells, widest.unwrap_or(0))
        })
        .collect();
    let needed = |shown: &[(_, _, usize)]| {
        shown
            .iter()
            .map(|(.., width)| width + GAP)
            .sum::<usize>()
            .saturating_sub(GAP)
    };
    let wanted = needed(&shown);
    let mut hidden = Vec::new();
    while needed(&shown) > width
        && let Some((at, (column, ..))) = shown
            .iter()
            .enumerate()
            .max_by_key(|(_, (column, ..))| column.spare)
        && column.spare > 0
    {
        hidden.push(column.header);
        shown.remove(at);
    }

    let mut text = String::new();
    for line in 0..=rows.len() {
        let cells: Vec<_> = shown
            .iter()
            .map(|(column, cells, width)| pad_str(&cells[line], *width, column.alignment, None))
            .collect();
        text += cells.join(&" ".repeat(GAP)).trim_end();
        text.push('\n');
    }
    if !hidden.is_empty() {
        hidden.reverse();
        let hidden = hidden.join(", ");
        let _ = writeln!(
            text,
            "(no room for {hidden}: {WIDTH_VARIABLE}={wanted} or --json shows all)"
        );
    }
    text
}

/// `37.25%`. A part is never shown as nothing or as all.
pub fn percent(rate: f64) -> String {
    match rate * 100.0 {
        percent if percent > 0.0 && percent < 0.01 => "<0.01%".to_owned(),
        percent if percent > 99.99 && percent < 100.0 => ">99.99%".to_owned(),
        percent => format!("{percent:.2}%"),
    }
}

/// `1 234 567`: a number in a sentence.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, u64);

    const COLUMNS: [Column<Row>; 4] = [
        Column::text("name", 0, |(name, _)| (*name).to_owned()),
        Column::figure("count", 1, |(_, count)| count.to_string()),
        Column::figure("double", 2, |(_, count)| (2 * count).to_string()),
        Column::text("odd", 0, |(_, count)| (count % 2 == 1).to_string()),
    ];
    const ROWS: [Row; 2] = [("a", 5), ("日本", 12_000)];

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            fitted(&COLUMNS, &ROWS, 80),
            "name  count  double  odd\n\
             a         5      10  true\n\
             日本  12000   24000  false\n"
        );
    }

    #[test]
    fn the_least_important_columns_go_first() {
        let narrow = fitted(&COLUMNS, &ROWS, 24);
        assert!(narrow.starts_with("name  count  odd\n"), "{narrow}");
        assert!(narrow.ends_with("(no room for double: COLUMNS=26 or --json shows all)\n"));
        let narrowest = fitted(&COLUMNS, &ROWS, 1);
        assert!(narrowest.starts_with("name  odd\n"), "{narrowest}");
        assert!(narrowest.contains("count, double"), "{narrowest}");
    }

    #[test]
    fn numbers_in_sentences_have_groups_of_three_digits() {
        let shown = [0, 123, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "123", "1 234 567"]);
    }

    #[test]
    fn a_part_is_never_shown_as_nothing_or_as_all() {
        let shown = [0.0, 1e-6, 0.3725, 0.999_999, 1.0].map(percent);
        assert_eq!(shown, ["0.00%", "<0.01%", "37.25%", ">99.99%", "100.00%"]);
    }
}
