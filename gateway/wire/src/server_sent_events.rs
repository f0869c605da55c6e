//! Event streams, as clients of the Server-Sent Events transport read them.
//!
//! Source: WHATWG HTML, "Server-sent events", in the form that ASP.NET Core SignalR writes.

/// What a stream begins with: a comment.
pub const OPENING: &[u8] = b":\r\n";

/// Appends one event whose data is `payload`: a field for each of its lines.
pub fn write_event(payload: &[u8], out: &mut Vec<u8>) {
    if !payload.is_empty() {
        for line in payload.split(|byte| *byte == b'\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_field_for_each_line() {
        let event = |payload: &str| {
            let mut out = Vec::new();
            write_event(payload.as_bytes(), &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(event(""), "\r\n");
        assert_eq!(event("Hello, World"), "data: Hello, World\r\n\r\n");
        assert_eq!(event("Hello\r\nWorld"), "data: Hello\r\ndata: World\r\n\r\n");
        assert_eq!(event("Hello\n"), "data: Hello\r\ndata: \r\n\r\n");
    }
}
