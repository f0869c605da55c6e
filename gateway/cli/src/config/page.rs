//! The page that says what the keys of the configuration mean.

use std::collections::BTreeMap;

/// `docs/configuration.md`, with tables that have a row for each key.
pub(super) const PAGE: &str = include_str!("../../../../docs/configuration.md");
/// The tables that a file may have several of.
const LISTS: [&str; 2] = ["network-rules", "upstream"];

/// A table's row, by the names of its columns.
pub(super) type Row = BTreeMap<String, String>;

/// The rows of the page, by the keys that they are about, as the schema writes their paths.
pub(super) fn rows() -> BTreeMap<String, Row> {
    let (mut rows, mut table, mut columns) = (BTreeMap::new(), String::new(), Vec::new());
    for line in PAGE.lines() {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        if let Some(heading) = line.strip_prefix("## ") {
            let name = heading.trim_matches(['`', '[', ']']).replace("hubs.NAME", "hubs.*");
            table = if LISTS.contains(&name.as_str()) { format!("{name}[0]") } else { name };
        } else if line.starts_with("| key |") {
            columns = cells;
        } else if line.starts_with("| `") {
            let row: Row = columns.iter().cloned().zip(cells).collect();
            for name in row["key"].split('`').skip(1).step_by(2) {
                rows.insert(format!("{table}.{name}"), row.clone());
            }
        }
    }
    rows
}

/// The row of a key, or of the table that it is in, if that is written as one value.
pub(super) fn row_of<'a>(rows: &'a BTreeMap<String, Row>, path: &str) -> Option<(bool, &'a Row)> {
    let around = path.rsplit_once('.').and_then(|(table, _)| rows.get(table));
    rows.get(path).map(|row| (true, row)).or(around.map(|row| (false, row)))
}
