//! How deep JSON may nest.
//!
//! Source: .NET's `JsonReaderOptions.MaxDepth`, whose default of 64 holds for ASP.NET Core SignalR's clients and servers:
//! what nests deeper, no .NET peer reads.

/// How deep the objects and arrays of one hub message may nest, the message itself included.
pub const DEEPEST_MESSAGE: usize = 64;

/// How deep arguments, which are an array, or a result may nest, so that a message can carry them.
pub const DEEPEST_PAYLOAD: usize = DEEPEST_MESSAGE - 1;

/// Whether objects and arrays nest at most `limit` deep in the JSON text `json`. Of other texts the answer says nothing.
pub(crate) fn is_within(json: &str, limit: usize) -> bool {
    // As a rule a text is too short to nest so deep, as each level takes two bytes, or has fewer brackets than may nest. Both are
    // cheap to know; to tell brackets from text is not.
    json.len() <= 2 * limit || opening_brackets(json.as_bytes()) <= limit || deepest_is_within(json.as_bytes(), limit)
}

/// How many bytes open an object or an array, or stand for that in a text.
fn opening_brackets(json: &[u8]) -> usize {
    // Counted in bytes, many at a time: that is why a piece is no longer than a byte counts.
    let count = |piece: &[u8]| piece.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    json.chunks(u8::MAX.into()).map(|piece| usize::from(count(piece))).sum()
}

fn deepest_is_within(mut json: &[u8], limit: usize) -> bool {
    let mut depth = 0usize;
    while let Some(at) = json.iter().position(|byte| matches!(byte, b'[' | b'{' | b']' | b'}' | b'"')) {
        let rest = &json[at + 1..];
        json = match json[at] {
            b'"' => behind_string(rest),
            b'[' | b'{' => {
                depth += 1;
                rest
            }
            _ => {
                depth = depth.saturating_sub(1);
                rest
            }
        };
        if depth > limit {
            return false;
        }
    }
    true
}

/// What follows the string that has begun.
fn behind_string(mut json: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', json) {
        match json[at] {
            b'"' => return &json[at + 1..],
            _ => json = json.get(at + 2..).unwrap_or_default(),
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_counts_and_not_what_stands_side_by_side() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_within(&nested(64), 64));
        assert!(!is_within(&nested(65), 64));
        assert!(!is_within(&"[{\"a\":".repeat(33), 64));
        assert!(is_within(&"[".repeat(64), 64), "an open end is the parser's matter");
        assert!(is_within(&format!("[{}]", "[],{},".repeat(1000)), 2));
        // Brackets are counted in pieces: these are in several of them.
        let apart = |depth: usize| format!("{}{}", format!("[{}", " ".repeat(99)).repeat(depth), "]".repeat(depth));
        assert!(is_within(&apart(64), 64) && !is_within(&apart(65), 64));
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        assert!(is_within(&format!("[\"{}\"]", "[{".repeat(100)), 1));
        assert!(is_within(&format!(r#"["\"{}\\",["{}"]]"#, "[".repeat(100), "{".repeat(100)), 2));
        assert!(!is_within(&format!(r#"["\\",{}]"#, "[".repeat(150)), 64));
        assert!(is_within(&format!("{}\"", "[".repeat(64)), 64));
        assert!(is_within(&format!("[\"\\{}", "[".repeat(100)), 64));
    }
}
