//! A scanner for JSON command headers, and the writer of their strings.
//!
//! Hand-written because a header is decoded for every message: it borrows, does not allocate, and
//! knows the flat shape. It reads standard JSON only; bodies, which come in other dialects, are read
//! by `serde_json` after [`crate::fastjson`].

use std::borrow::Cow;

/// Deepest nesting of values that are skipped; nobody sends any.
const MAX_DEPTH: u32 = 32;

/// Why text is not a JSON header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at} of the header")]
pub struct JsonError {
    /// What was expected, or is over a limit.
    pub reason: &'static str,
    /// Where, in bytes from the start of the header.
    pub at: usize,
}

/// A string as it stands in a header: decoded only when somebody wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text<'a> {
    /// As it is.
    Plain(&'a str),
    /// With JSON escapes that were checked when it was scanned.
    Escaped(&'a str),
    /// From a binary header; invalid UTF-8 is replaced, as Java does.
    Bytes(&'a [u8]),
}

impl<'a> Text<'a> {
    /// The bytes of the decoded string, for comparing names.
    #[inline]
    pub(crate) fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Text::Plain(text) => Cow::Borrowed(text.as_bytes()),
            Text::Bytes(bytes) => Cow::Borrowed(bytes),
            Text::Escaped(text) => Cow::Owned(unescape(text).into_bytes()),
        }
    }

    /// The decoded string; allocates only for escapes and invalid UTF-8.
    pub(crate) fn to_cow(self) -> Cow<'a, str> {
        match self {
            Text::Plain(text) => Cow::Borrowed(text),
            Text::Escaped(text) => Cow::Owned(unescape(text)),
            // The lossy conversion alone takes three times as long.
            Text::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
        }
    }
}

/// Where a string is in the text, without its quotes; small, because a request remembers many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    start: u32,
    /// With [`ESCAPED`] added if the string has escapes.
    end: u32,
}

/// Bit of [`Span::end`]. Positions never have it: the length of a header has 24 bits.
const ESCAPED: u32 = 1 << 31;

impl Span {
    #[inline]
    fn new(start: usize, end: usize, escaped: bool) -> Self {
        // What is too long for a header is not found again: no panic, and no wrong text.
        let place = |at: usize| u32::try_from(at).map_or(ESCAPED - 1, |at| at.min(ESCAPED - 1));
        Self { start: place(start), end: place(end) | if escaped { ESCAPED } else { 0 } }
    }

    /// The string in the text it was found in.
    #[inline]
    pub(crate) fn text(self, text: &str) -> Text<'_> {
        let (start, end) = (self.start as usize, (self.end & !ESCAPED) as usize);
        let text = text.get(start..end).unwrap_or_default();
        if self.end & ESCAPED == 0 { Text::Plain(text) } else { Text::Escaped(text) }
    }
}

/// Walks over JSON text, value by value.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self::starting_at(text, 0)
    }

    /// A scanner that goes on where another one was.
    pub(crate) fn starting_at(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn fail<T>(&self, reason: &'static str) -> Result<T, JsonError> {
        Err(JsonError { reason, at: self.at })
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.text.as_bytes().get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => self.skip_white_space(),
        }
    }

    #[cold]
    fn skip_white_space(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at).copied() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Takes `byte` if it comes next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    /// Takes `byte`, which has to come next.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { self.fail(reason) }
    }

    /// Takes a string with its quotes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text<'a>, JsonError> {
        Ok(self.span()?.text(self.text))
    }

    /// Takes a string with its quotes and returns where it is.
    #[inline]
    pub(crate) fn span(&mut self) -> Result<Span, JsonError> {
        if let Some((span, end)) = string_at(self.text.as_bytes(), self.at) {
            self.at = end;
            return Ok(span);
        }
        self.other_span()
    }

    /// Takes a string that white space stands before, or says what is wrong with it.
    #[cold]
    fn other_span(&mut self) -> Result<Span, JsonError> {
        self.expect(b'"', "expected a string")?;
        match string_at(self.text.as_bytes(), self.at - 1) {
            Some((span, end)) => {
                self.at = end;
                Ok(span)
            }
            None => self.fail_in_string(),
        }
    }

    /// Why the string at this position has no end.
    fn fail_in_string(&mut self) -> Result<Span, JsonError> {
        let bytes = self.text.as_bytes();
        while let Some(found) = find_quote_or_escape(bytes.get(self.at..).unwrap_or_default()) {
            self.at += found;
            match escape_length(bytes, self.at) {
                Some(length) => self.at += length,
                None => return self.fail("unknown escape"),
            }
        }
        self.fail("unfinished string")
    }

    /// Takes a member's name and its colon.
    #[inline]
    pub(crate) fn member(&mut self) -> Result<Span, JsonError> {
        let bytes = self.text.as_bytes();
        if let Some((key, end)) = string_at(bytes, self.at)
            && bytes.get(end) == Some(&b':')
        {
            self.at = end + 1;
            return Ok(key);
        }
        self.other_member()
    }

    #[cold]
    fn other_member(&mut self) -> Result<Span, JsonError> {
        let key = self.span()?;
        self.expect(b':', "expected a colon")?;
        Ok(key)
    }

    /// Takes `"key":"value"` with the comma or brace after it, if it stands there without white
    /// space, as it nearly always does. The last value says whether it was a comma.
    ///
    /// Step by step, each step waits until the position before it is stored and loaded again, which
    /// is half the time of decoding a header.
    #[inline]
    pub(crate) fn text_member(&mut self) -> Option<(Span, Span, bool)> {
        let bytes = self.text.as_bytes();
        let at = self.at;
        let (key, value) = match bytes.get(at..)? {
            // The names of a send's fields are single letters, not worth a search.
            [b'"', letter, b'"', b':', ..] if !matches!(letter, b'"' | b'\\') => {
                (Span::new(at + 1, at + 2, false), at + 4)
            }
            _ => {
                let (key, colon) = string_at(bytes, at)?;
                if bytes.get(colon) != Some(&b':') {
                    return None;
                }
                (key, colon + 1)
            }
        };
        let (value, end) = string_at(bytes, value)?;
        let more = match bytes.get(end) {
            Some(b',') => true,
            Some(b'}') => false,
            _ => return None,
        };
        self.at = end + 1;
        Some((key, value, more))
    }

    /// Takes an integer that a comma or brace follows at once, as it nearly always does.
    #[inline]
    pub(crate) fn small_integer(&mut self) -> Option<i32> {
        let bytes = self.text.as_bytes().get(self.at..)?;
        let negative = bytes.first() == Some(&b'-');
        let sign = usize::from(negative);
        let (mut value, mut length) = (0_i32, sign);
        while let Some(digit @ b'0'..=b'9') = bytes.get(length) {
            if length - sign == 9 {
                return None; // It may be more than 32 bits hold.
            }
            value = value * 10 + i32::from(digit - b'0');
            length += 1;
        }
        if length == sign || !matches!(bytes.get(length), Some(b',' | b'}')) {
            return None;
        }
        self.at += length;
        Some(if negative { -value } else { value })
    }

    /// Takes a number or a word (`true`, `false`, `null`) and returns it as it stands.
    pub(crate) fn literal(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let bytes = rest.as_bytes();
        let length = match bytes.first() {
            Some(b'a'..=b'z') => bytes.iter().take_while(|byte| byte.is_ascii_lowercase()).count(),
            _ => number_length(bytes),
        };
        let literal = &rest[..length];
        if literal.is_empty()
            || (bytes[0].is_ascii_lowercase() && !matches!(literal, "true" | "false" | "null"))
        {
            return self.fail("expected a value");
        }
        self.at += length;
        Ok(literal)
    }

    /// Takes any value. `members` counts down the object members that may still come.
    pub(crate) fn skip_value(&mut self, members: &mut usize) -> Result<(), JsonError> {
        if self.peek() == Some(b'"') {
            return self.span().map(drop);
        }
        // One bit per open bracket: set for an object. A value may be as deep as a hostile peer
        // likes, so no recursion.
        let (mut open, mut depth) = (0_u32, 0_u32);
        loop {
            match self.peek() {
                Some(b'"') => drop(self.span()?),
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return self.fail("nested too deep");
                    }
                    self.at += 1;
                    open = open << 1 | u32::from(bracket == b'{');
                    depth += 1;
                    if !self.take(if bracket == b'{' { b'}' } else { b']' }) {
                        self.member_name(open, members)?;
                        continue;
                    }
                    open >>= 1;
                    depth -= 1;
                }
                _ => drop(self.literal()?),
            }
            // A value ended: close what it ends, then go on with the next member or element.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                if self.take(b',') {
                    self.member_name(open, members)?;
                    break;
                }
                let bracket = if open & 1 == 1 { b'}' } else { b']' };
                self.expect(bracket, "expected a comma or the end of a value")?;
                open >>= 1;
                depth -= 1;
            }
        }
    }

    /// Takes the name of a member if the innermost bracket is that of an object.
    fn member_name(&mut self, open: u32, members: &mut usize) -> Result<(), JsonError> {
        if open & 1 == 0 {
            return Ok(());
        }
        self.count_member(members)?;
        self.member().map(drop)
    }

    /// Counts one more member of an object.
    #[inline]
    pub(crate) fn count_member(&self, members: &mut usize) -> Result<(), JsonError> {
        match members.checked_sub(1) {
            Some(left) => *members = left,
            None => return self.fail("too many fields"),
        }
        Ok(())
    }
}

/// The string whose quote stands at a position, and where what follows it begins; `None` if there
/// is none, or none that ends.
#[inline]
fn string_at(bytes: &[u8], quote: usize) -> Option<(Span, usize)> {
    let (b'"', rest) = bytes.get(quote..)?.split_first()? else { return None };
    let start = quote + 1;
    let end = start + find_quote_or_escape(rest)?;
    if bytes.get(end) == Some(&b'"') {
        return Some((Span::new(start, end, false), end + 1));
    }
    let end = escaped_end(bytes, end)?;
    Some((Span::new(start, end, true), end + 1))
}

/// Where the string ends that has its first escape at a position.
fn escaped_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    while bytes.get(at) != Some(&b'"') {
        at += escape_length(bytes, at)?;
        at += find_quote_or_escape(bytes.get(at..)?)?;
    }
    Some(at)
}

/// Bytes of the escape at a position; `None` if JSON has no such.
#[inline]
fn escape_length(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'u' => hex4(bytes.get(at + 2..)).map(|_| 6),
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        _ => None,
    }
}

/// Length of the JSON number at the start of `bytes`; 0 if there is none.
fn number_length(bytes: &[u8]) -> usize {
    let digits = |from: usize| {
        bytes.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let mut length = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(length);
    if whole == 0 {
        return 0;
    }
    length += whole;
    if bytes.get(length) == Some(&b'.') {
        let fraction = digits(length + 1);
        if fraction == 0 {
            return 0;
        }
        length += 1 + fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(length) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + sign);
        if exponent == 0 {
            return 0;
        }
        length += 1 + sign + exponent;
    }
    length
}

/// Position of the first `"` or `\`, eight bytes at a time: strings are most of a header.
#[inline]
fn find_quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (chunks, tail) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let found = zero_bytes(word ^ (ONES * u64::from(b'"')))
            | zero_bytes(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            // The lowest set bit is exact; only bits above a match can be wrong.
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let rest = tail.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(bytes.len() - tail.len() + rest)
}

/// Value of each hexadecimal digit; 16 for what is none.
const HEX_VALUES: [u8; 256] = {
    let mut values = [16; 256];
    let mut digit = 0;
    while digit < 16 {
        let shown = b"0123456789abcdef"[digit as usize];
        values[shown as usize] = digit;
        values[shown.to_ascii_uppercase() as usize] = digit;
        digit += 1;
    }
    values
};

/// The number of four hexadecimal digits at the start of `bytes`.
#[inline]
fn hex4(bytes: Option<&[u8]>) -> Option<u32> {
    let digits = bytes?.first_chunk::<4>()?.map(|digit| HEX_VALUES[usize::from(digit)]);
    if digits.iter().any(|digit| *digit > 15) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value << 4 | u32::from(*digit)))
}

/// Resolves escapes. Halves of surrogate pairs that stand alone become U+FFFD.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = find_quote_or_escape(rest.as_bytes()) {
        out.push_str(&rest[..found]);
        let escape = rest.get(found + 1..).unwrap_or_default();
        let plain = match escape.as_bytes().first() {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let (unit, tail) = utf16_escape(escape.get(1..).unwrap_or_default());
                out.push(unit);
                rest = tail;
                continue;
            }
            Some(&other) => char::from(other),
            None => break,
        };
        out.push(plain);
        rest = escape.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The character of `XXXX` or `XXXX\uXXXX` at the start of `text`, and what follows.
fn utf16_escape(text: &str) -> (char, &str) {
    let Some(first) = hex4(Some(text.as_bytes())) else {
        return (char::REPLACEMENT_CHARACTER, "");
    };
    let tail = &text[4..];
    if let (0xd800..=0xdbff, Some(second)) = (first, tail.strip_prefix("\\u"))
        && let Some(low @ 0xdc00..=0xdfff) = hex4(Some(second.as_bytes()))
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), &second[4..]);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), tail)
}

/// Appends `text` as a JSON string with its quotes.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        write_escaped(out, bytes);
    }
    out.push(b'"');
}

/// Whether no byte needs an escape. Without a branch for each, so that it is done many at a time.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let special = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"' || byte == b'\\');
    bytes.iter().fold(0, |found, byte| found | special(*byte)) == 0
}

fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut written = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[written..index]);
        written = index + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skip(text: &str) -> Result<usize, JsonError> {
        let mut scanner = Scanner::new(text);
        scanner.skip_value(&mut 100).map(|()| scanner.position())
    }

    #[test]
    fn values_of_any_shape_are_skipped_to_their_end() {
        for text in [
            "1",
            "-0.5e+3",
            "true",
            "null",
            r#""a\"b""#,
            "[]",
            "{}",
            "[1,[2,{\"a\":{}}],3]",
            "{ \"a\" : [ { } , [ ] ] , \"b\" : null }",
        ] {
            assert_eq!(skip(text), Ok(text.len()), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "[",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "tru",
            "nul",
            "-",
            "1.",
            "1e",
            "\"a",
            r#""\q""#,
            r#""\u12g4""#,
            "{\"a\":1]",
            "[}",
        ] {
            assert!(skip(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_without_using_the_stack() {
        assert!(skip(&"[".repeat(10_000)).is_err());
        assert!(skip(&format!("{}{}", "[".repeat(32), "]".repeat(32))).is_ok());
        let objects = "{\"a\":".repeat(10_000);
        assert_eq!(skip(&objects).map_err(|error| error.reason), Err("nested too deep"));
    }

    #[test]
    fn surrogates_are_joined_and_halves_replaced() {
        assert_eq!(unescape(r"a\ud83d\ude00b"), "a\u{1f600}b");
        assert_eq!(unescape(r"\ud83dx"), "\u{fffd}x");
        assert_eq!(unescape(r"\ud83d\u0041"), "\u{fffd}A");
        assert_eq!(unescape(r"\u0001\n\/\\"), "\u{1}\n/\\");
    }

    proptest! {
        #[test]
        fn written_strings_are_read_back(text: String, after: String) {
            let mut bytes = Vec::new();
            write_string(&mut bytes, &text);
            let length = bytes.len();
            bytes.extend_from_slice(after.as_bytes());
            let written = String::from_utf8(bytes).unwrap();
            let mut scanner = Scanner::new(&written);
            prop_assert_eq!(scanner.string().unwrap().to_cow(), text.as_str());
            prop_assert_eq!(scanner.position(), length);
        }

        #[test]
        fn whatever_serde_json_accepts_is_skipped(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(skip(&text), Ok(text.len()));
        }

        #[test]
        fn any_text_is_skipped_or_refused(text: String) {
            let _ = skip(&text);
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }
}
