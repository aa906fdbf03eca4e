//! What commands print: plain tables within 80 columns, or JSON.

use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::Value;

use super::failure::Failure;

/// Widest line of a table.
const WIDTH: u16 = 80;

/// A text is cut to no fewer characters.
const CUT_MIN: usize = 9;

/// Prints bytes to standard output as they are.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints a line of text.
pub(super) fn line(text: &str) -> io::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints an indented JSON document.
pub(super) fn json(value: &Value) -> io::Result<()> {
    line(&format!("{value:#}"))
}

/// Prints what was done, in a word.
pub(super) fn done(word: &str, as_json: bool) -> Result<(), Failure> {
    let shown = if as_json { json(&serde_json::json!({ "done": word })) } else { line(word) };
    Ok(shown?)
}

/// Prints a table with a head; the columns in `right` hold numbers.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    rows: Vec<[String; N]>,
    right: &[usize],
) -> io::Result<()> {
    line(&render(head, rows, right))
}

/// Texts that are too wide give way to each other, the widest first.
pub(super) fn render<const N: usize>(head: [&str; N], mut rows: Vec<[String; N]>, right: &[usize]) -> String {
    let width_of = |column: usize| {
        // What has spaces goes on in the next line instead.
        let cells =
            rows.iter().map(|row| if row[column].contains(' ') { 0 } else { row[column].chars().count() });
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let mut widths: [usize; N] = std::array::from_fn(width_of);
    let room = usize::from(WIDTH) - 2 * (N - 1);
    while widths.iter().sum::<usize>() > room {
        let texts = (0..N).filter(|column| !right.contains(column) && widths[*column] > CUT_MIN);
        let Some(widest) = texts.max_by_key(|column| widths[*column]) else { break };
        widths[widest] -= 1;
    }
    for row in &mut rows {
        for (cell, width) in row.iter_mut().zip(widths).filter(|(cell, _)| !cell.contains(' ')) {
            *cell = cut(cell, width);
        }
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(head).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index + 1 == N { 0 } else { 2 }));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// At most `width` characters of a word: its begin and its end.
fn cut(word: &str, width: usize) -> String {
    let count = word.chars().count();
    if count <= width {
        return word.to_owned();
    }
    let end = (width - 1) / 2;
    let begin = word.chars().take(width - 1 - end);
    begin.chain(['…']).chain(word.chars().skip(count - end)).collect()
}

/// Names and values, one a line; a value that is too wide goes on below itself. Those that are empty are left out.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let known = fields.iter().filter(|(_, value)| !value.is_empty());
    let column = known.clone().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (name, value) in known {
        let mut line = format!("{name:<column$}");
        for (place, word) in value.split(' ').enumerate() {
            if place > 0 && line.chars().count() + 1 + word.chars().count() > WIDTH.into() {
                text += &line;
                text += "\n";
                line = " ".repeat(column);
            } else if place > 0 {
                line += " ";
            }
            line += word;
        }
        text += &line;
        text += "\n";
    }
    text
}

/// A line on a terminal that says how far something is; nothing elsewhere.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// So many things to do; 0 if nobody knows.
    pub(super) fn bar(count: u64, what: &str) -> Self {
        let bar = if count == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(count) };
        let shape = match (count, what) {
            (0, "bytes") => "{spinner} {bytes} {bytes_per_sec}",
            (_, "bytes") => "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            (0, _) => "{spinner} {human_pos} {rate}",
            _ => "{wide_bar} {human_pos} of {human_len}, {rate}, {eta} left",
        };
        let style = ProgressStyle::with_template(shape).expect("invariant: one of the templates above");
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A terminal that is gone misses nothing.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate));
        Self(bar)
    }

    pub(super) fn add(&self, count: u64) {
        self.0.inc(count);
    }

    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(super) fn say(&self, text: String) {
        self.0.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A size for people: one digit after the point and a unit.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(step) = bytes.checked_ilog2().and_then(|log| (log / 10).checked_sub(1)) else {
        return format!("{bytes} B");
    };
    let unit = 1_u64 << (10 * (step + 1));
    let tenth = bytes % unit * 10 / unit;
    format!("{}.{tenth} {}", bytes / unit, UNITS[step as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (200 << 20, "200.0 MiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn tables_are_plain_and_stay_within_80_columns() {
        let row = |name: &str, slots: &str| [name.to_owned(), slots.to_owned()];
        let text = render(["NAME", "SLOTS"], vec![row("web1", "5"), row("web2", "16384")], &[1]);
        assert_eq!(text, "NAME  SLOTS\nweb1      5\nweb2  16384");
        let row = |name: &str, http: &str, slots: &str| [name, http, slots].map(str::to_owned);
        let rows =
            vec![row(&"n".repeat(70), "127.0.0.1:7480", "5"), row("web1", "[2001:db8::1]:7480", "16384")];
        let text = render(["NAME", "HTTP", "SLOTS"], rows, &[2]);
        let cut = format!("{}…{}", "n".repeat(26), "n".repeat(26));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[1], format!("{cut}  127.0.0.1:7480          5"));
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        let row = |name: &str, slots: &str| [name.to_owned(), slots.to_owned()];
        let long = render(["NAME", "SLOTS"], vec![row(&"x".repeat(200), "5")], &[1]);
        assert!(long.lines().all(|line| line.chars().count() <= WIDTH.into()), "{long}");
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let value = ["eight"; 24].join(" ");
        let text = fields(&[("node", "web1".to_owned()), ("resp", String::new()), ("state", value)]);
        assert_eq!(text.lines().next().unwrap(), "node   web1");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.lines().nth(2).unwrap().starts_with("       "), "{text}");
    }
}
