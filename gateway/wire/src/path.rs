//! The paths of URLs, compared as what they name.
//!
//! Source: RFC 3986, sections 3.3 and 6.2.2: a path is split at `/` first, and each segment is decoded once, so that a `/`
//! inside a name (`%2F`) never separates two of them.

use percent_encoding::percent_decode_str;

/// The segments of a path, still encoded. One slash at each end does not count.
pub fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    // Nothing has no segments, while the nothing between two slashes is one.
    path.split('/').skip(usize::from(path.is_empty()))
}

/// Whether two paths name the same thing, whatever is encoded in them. Names are compared with case.
pub fn is_same(a: &str, b: &str) -> bool {
    has_same_segments(a, b, |a, b| percent_decode_str(a).eq(percent_decode_str(b)))
}

/// Whether `path` is made of the segments of `literal` alone.
pub fn is_same_literal(path: &str, literal: &str) -> bool {
    has_same_segments(path, literal, is_literal)
}

fn has_same_segments(a: &str, b: &str, is_same: impl Fn(&str, &str) -> bool) -> bool {
    let (mut a, mut b) = (segments(a), segments(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if is_same(a, b) => {}
            _ => return false,
        }
    }
}

/// Whether a segment is this fixed part of a path. ASP.NET Core's routes compare those without case.
pub fn is_literal(segment: &str, literal: &str) -> bool {
    let lower = |text| percent_decode_str(text).map(|byte| byte.to_ascii_lowercase());
    lower(segment).eq(lower(literal))
}

/// What follows `base` in `path`, with the slash that it begins with; `None` where `path` begins in another way. The
/// segments of the base are [literals](is_literal).
pub fn strip_base<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    let mut rest = path;
    for literal in segments(base) {
        let below = rest.strip_prefix('/')?;
        let (segment, after) = below.split_at(below.find('/').unwrap_or(below.len()));
        if !is_literal(segment, literal) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_before_they_are_decoded() {
        for (a, b) in [
            ("/users/ann smith/:send", "/users/ann%20smith/:send"),
            ("/users/50%/x", "/users/50%25/x"),
            ("/users/jürgen", "/users/j%C3%BCrgen"),
            ("/users/j%c3%bcrgen/", "/%75sers/jürgen"),
            ("/groups/a%2Fb", "/groups/a%2fb"),
            ("/users/%2541", "/users/%2541"),
            ("", "/"),
        ] {
            assert!(is_same(a, b) && is_same(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("/groups/g/users/u", "/groups/g%2Fusers%2Fu"),
            ("/groups/g", "/groups/g%2F"),
            ("/groups/g", "/groups/g//"),
            ("/groups/g", "//groups/g"),
            ("/users/A", "/users/%2541"),
            ("/users/Ann", "/users/ann"),
            ("/users/a+b", "/users/a%20b"),
            ("/users", "/users/ann"),
        ] {
            assert!(!is_same(a, b) && !is_same(b, a), "{a} {b}");
        }
    }

    #[test]
    fn literals_have_any_case() {
        assert!(is_same_literal("/Client/N%45gotiate/", "/client/negotiate"));
        assert!(!is_same_literal("/client%2Fnegotiate", "/client/negotiate"));
        assert!(!is_same_literal("//client", "/client"));
    }

    #[test]
    fn a_base_is_made_of_whole_segments() {
        for (path, base, rest) in [
            ("/base/client", "/base", Some("/client")),
            ("/B%61SE/client", "/base", Some("/client")),
            ("/a%20b/c/client/", "/A%20b/c", Some("/client/")),
            ("/base", "/base", Some("")),
            ("/client", "", Some("/client")),
            ("/basement/client", "/base", None),
            ("/a/client", "/a/b", None),
            ("/a%2Fb/client", "/a/b", None),
            ("client", "/base", None),
        ] {
            assert_eq!(strip_base(path, base), rest, "{path} {base}");
        }
    }
}
