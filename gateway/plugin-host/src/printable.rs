//! Text of guests and of files, as a log or an operator may see it.

/// The beginning of `text`, at most `bytes` of it, without control characters, so that a guest cannot forge lines.
pub(crate) fn printable(text: &str, bytes: usize) -> String {
    let mut printable = String::with_capacity(text.len().min(bytes));
    for character in text[..text.floor_char_boundary(bytes)].chars() {
        match character.is_control() {
            true => printable.extend(character.escape_default()),
            false => printable.push(character),
        }
    }
    printable
}
