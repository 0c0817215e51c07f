//! The rule for stream ids, for every protocol.

/// Most bytes of an id.
pub const ID_BYTES_MAX: usize = 128;

/// Whether a text can be the id of a stream: 1 to [`ID_BYTES_MAX`] printable characters of ASCII without
/// spaces, but not `.` or `..`, which no URL can name (RFC 3986, section 5.2.4).
pub fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && ![".", ".."].contains(&text)
}

/// The beginning of a stranger's text, to be quoted: no longer than an id.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(ID_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_printable_short_and_can_stand_in_a_url() {
        let longest = "x".repeat(ID_BYTES_MAX);
        for id in ["a", "...", ".a", "tcp-127.0.0.1:4000", "a/b?c", &longest] {
            assert!(is_id(id), "{id}");
        }
        let longer = "x".repeat(ID_BYTES_MAX + 1);
        for none in ["", ".", "..", "a b", "a\n", "\u{fc}", "\x7f", &longer] {
            assert!(!is_id(none), "{none:?}");
        }
    }
}
