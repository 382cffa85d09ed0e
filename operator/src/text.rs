//! Texts that go into objects.

/// Bytes that our schemas take of a message, and the API server of an event's note.
const LONGEST: usize = 1_024;

/// Cuts a text to what an object takes, between letters.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST - 3).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let text = shortened("é".repeat(600));
        assert!(text.len() <= LONGEST && text.ends_with("é..."), "{text}");
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
