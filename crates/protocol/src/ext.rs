//! The header fields of one request or response code, as text by name.
//!
//! [`ExtFields`] reads them where they are, [`ExtWriter`] writes them where they go. What the
//! fields mean is said by [`crate::header`].

use std::borrow::Cow;
use std::iter;

use crate::command::HeaderForm;
use crate::json::{self, JsonError, Scanner, Span, Text};

/// The fields of a decoded command. Every value is text, whatever it means.
///
/// Decoding the command has checked the bytes, so reading fields cannot fail. Values that JSON
/// calls `null` and empty values of the binary form, which Java reads as null, count as absent.
#[derive(Debug, Clone, Copy)]
pub struct ExtFields<'a>(Source<'a>);

#[expect(clippy::large_enum_variant, reason = "the large variant is the usual one")]
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Json(JsonFields<'a>),
    /// Entries of a binary header.
    Binary(&'a [u8]),
    Owned(&'a [(String, String)]),
}

/// Fields of a JSON header. Checking the header finds them, and finding them is most of the work, so
/// it is remembered where the first ones are: as many as real requests have.
#[derive(Debug, Clone, Copy)]
struct JsonFields<'a> {
    header: &'a str,
    /// Keys and values of the first `known` fields.
    spans: [(Span, Span); REMEMBERED],
    known: usize,
    /// Where the first field begins that is not remembered, if there is one.
    rest: Option<usize>,
}

impl JsonFields<'_> {
    /// Remembers a field; `false` if there is no room for it, or its value is no string.
    #[inline]
    fn remember(&mut self, key: Span, value: Option<Span>) -> bool {
        let (Some(slot), Some(value)) = (self.spans.get_mut(self.known), value) else {
            return false;
        };
        *slot = (key, value);
        self.known += 1;
        true
    }
}

/// Takes a member of any shape, without what stands behind it.
#[cold]
fn any_member(
    scanner: &mut Scanner<'_>,
    members: &mut usize,
) -> Result<(Span, Option<Span>), JsonError> {
    let key = scanner.member()?;
    if scanner.peek() == Some(b'"') {
        return Ok((key, Some(scanner.span()?)));
    }
    scanner.skip_value(members)?;
    Ok((key, None))
}

/// The longest request of a stock client, a signed send, has seventeen fields, one of them rarely.
const REMEMBERED: usize = 16;

impl<'a> ExtFields<'a> {
    /// No fields.
    pub const EMPTY: ExtFields<'static> = ExtFields(Source::Owned(&[]));

    /// Takes the object with the fields from a header that is being scanned. `members` counts down
    /// the object members that may still come. A value that is no object has no fields.
    pub(crate) fn scan(
        header: &'a str,
        scanner: &mut Scanner<'a>,
        members: &mut usize,
    ) -> Result<Self, JsonError> {
        if scanner.peek() != Some(b'{') {
            scanner.skip_value(members)?;
            return Ok(Self::EMPTY);
        }
        let spans = [(Span::default(), Span::default()); REMEMBERED];
        let mut fields = JsonFields { header, spans, known: 0, rest: None };
        scanner.expect(b'{', "expected an object")?;
        let mut more = !scanner.take(b'}');
        while more {
            scanner.count_member(members)?;
            let start = scanner.position();
            let (key, value);
            if let Some(member) = scanner.text_member() {
                (key, value, more) = (member.0, Some(member.1), member.2);
            } else {
                (key, value) = any_member(scanner, members)?;
                more = scanner.take(b',');
                if !more {
                    scanner.expect(b'}', "expected a comma or the end of the fields")?;
                }
            }
            // Once one is not remembered, none is: they are found again from there on.
            if fields.rest.is_none() && !fields.remember(key, value) {
                fields.rest = Some(start);
            }
        }
        Ok(Self(Source::Json(fields)))
    }

    pub(crate) fn binary(block: &'a [u8]) -> Self {
        Self(Source::Binary(block))
    }

    pub(crate) fn owned(pairs: &'a [(String, String)]) -> Self {
        Self(Source::Owned(pairs))
    }

    /// The value of `key`; of the last one if the key is there twice, as in Java.
    ///
    /// Each call walks all fields: to read several, decode a [`Header`](crate::header::Header).
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        let values = self.texts().filter(|(name, _)| name.to_cow() == key);
        values.last().map(|(_, value)| value.to_cow())
    }

    /// Every key with its value, in the order of the wire, duplicates included.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.texts().map(|(key, value)| (key.to_cow(), value.to_cow()))
    }

    /// Gives every field to `use_field`, not yet decoded. Takes half the time of an iterator, which
    /// looks at each step again where it is.
    #[inline]
    pub(crate) fn for_each(&self, mut use_field: impl FnMut(Text<'a>, Text<'a>)) {
        let Source::Json(fields @ JsonFields { rest: None, .. }) = &self.0 else {
            return self.texts().for_each(|(key, value)| use_field(key, value));
        };
        for (key, value) in fields.spans.iter().take(fields.known) {
            use_field(key.text(fields.header), value.text(fields.header));
        }
    }

    /// The same as an iterator.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Text<'a>, Text<'a>)> {
        let source = &self.0;
        let mut index = 0;
        let mut scanner = match source {
            Source::Json(JsonFields { header, rest: Some(rest), .. }) => {
                Scanner::starting_at(header, *rest)
            }
            _ => Scanner::new(""),
        };
        let mut block = match source {
            Source::Binary(block) => *block,
            _ => &[],
        };
        iter::from_fn(move || match source {
            Source::Json(fields) => {
                if index < fields.known {
                    let (key, value) = fields.spans[index];
                    index += 1;
                    return Some((key.text(fields.header), value.text(fields.header)));
                }
                next_json(&mut scanner)
            }
            Source::Binary(_) => next_binary(&mut block),
            Source::Owned(pairs) => {
                let (key, value) = pairs.get(index)?;
                index += 1;
                Some((Text::Plain(key), Text::Plain(value)))
            }
        })
    }
}

/// The next field with a value in an object that was scanned before. The scanner stands before or
/// behind a field.
fn next_json<'a>(scanner: &mut Scanner<'a>) -> Option<(Text<'a>, Text<'a>)> {
    loop {
        // None before the first member, and the end of the object is no string.
        scanner.take(b',');
        let key = scanner.string().ok()?;
        scanner.expect(b':', "").ok()?;
        match scanner.peek()? {
            b'"' => return Some((key, scanner.string().ok()?)),
            b'{' | b'[' => scanner.skip_value(&mut { usize::MAX }).ok()?,
            _ => match scanner.literal().ok()? {
                "null" => {}
                literal => return Some((key, Text::Plain(literal))),
            },
        }
    }
}

/// The next entry with a value: i16 key length, key, i32 value length, value.
fn next_binary<'a>(block: &mut &'a [u8]) -> Option<(Text<'a>, Text<'a>)> {
    loop {
        let (key, value) = binary_entry(block)?;
        if !value.is_empty() {
            return Some((Text::Bytes(key), Text::Bytes(value)));
        }
    }
}

/// Takes one entry from the front of `block`; `None` if there is no whole one.
pub(crate) fn binary_entry<'a>(block: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (length, rest) = block.split_first_chunk::<2>()?;
    // A key without a name, or one with a negative length, is nobody's field.
    let length = usize::try_from(i16::from_be_bytes(*length)).ok().filter(|&it| it > 0)?;
    let (key, rest) = rest.split_at_checked(length)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    *block = rest;
    Some((key, value))
}

/// Writes fields straight into a command that is being encoded.
#[derive(Debug)]
pub struct ExtWriter<'o>(Sink<'o>);

#[derive(Debug)]
enum Sink<'o> {
    Json { out: &'o mut Vec<u8>, empty: bool },
    Binary(&'o mut Vec<u8>),
    Owned(&'o mut Vec<(String, String)>),
}

impl<'o> ExtWriter<'o> {
    pub(crate) fn new(form: HeaderForm, out: &'o mut Vec<u8>) -> Self {
        Self(match form {
            HeaderForm::Json => Sink::Json { out, empty: true },
            HeaderForm::Binary => Sink::Binary(out),
        })
    }

    pub(crate) fn owned(pairs: &'o mut Vec<(String, String)>) -> Self {
        Self(Sink::Owned(pairs))
    }

    /// Writes one field. A value of `None` writes nothing.
    ///
    /// Keys are at most 32,767 bytes long and not empty; the binary form has no room for others, and
    /// such a field is left out.
    pub fn field(&mut self, key: &str, value: impl FieldValue) {
        value.with_text(|text| {
            if let Some(text) = text {
                self.text(key, text);
            }
        });
    }

    fn text(&mut self, key: &str, value: &str) {
        match &mut self.0 {
            Sink::Json { out, empty } => {
                if !*empty {
                    out.push(b',');
                }
                *empty = false;
                json::write_string(out, key);
                out.push(b':');
                json::write_string(out, value);
            }
            Sink::Binary(out) => {
                let lengths = (i16::try_from(key.len()), i32::try_from(value.len()));
                if let (Ok(key_length @ 1..), Ok(value_length)) = lengths {
                    out.extend_from_slice(&key_length.to_be_bytes());
                    out.extend_from_slice(key.as_bytes());
                    out.extend_from_slice(&value_length.to_be_bytes());
                    out.extend_from_slice(value.as_bytes());
                }
            }
            Sink::Owned(pairs) => pairs.push((key.to_owned(), value.to_owned())),
        }
    }
}

/// A value that can be a field: text, a number, a truth value, or an [`Option`] of one.
pub trait FieldValue {
    /// Calls `use_text` with the value as text, or with `None` if there is no value.
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R;
}

impl FieldValue for str {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        use_text(Some(self))
    }
}

impl FieldValue for String {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        use_text(Some(self))
    }
}

impl FieldValue for Cow<'_, str> {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        use_text(Some(self))
    }
}

impl FieldValue for bool {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        use_text(Some(if *self { "true" } else { "false" }))
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        match self {
            Some(value) => value.with_text(use_text),
            None => use_text(None),
        }
    }
}

impl<T: FieldValue + ?Sized> FieldValue for &T {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        (*self).with_text(use_text)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl FieldValue for $number {
            fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
                #[allow(unused_comparisons, reason = "also made for unsigned numbers")]
                let negative = *self < 0;
                decimal(negative, u64::from(self.abs_diff(0)), |text| use_text(Some(text)))
            }
        }
    )*};
}

numbers!(i32, i64, u32, u64);

/// Decimal digits without an allocation.
pub(crate) fn decimal<R>(negative: bool, mut value: u64, use_text: impl FnOnce(&str) -> R) -> R {
    let mut digits = [b'-'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        if value == 0 {
            break;
        }
    }
    // Twenty places hold u64::MAX, or the minus and nineteen digits of i64::MIN.
    at -= usize::from(negative);
    use_text(std::str::from_utf8(&digits[at..]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let mut pairs = Vec::new();
        let mut writer = ExtWriter::owned(&mut pairs);
        writer.field("a", i64::MIN);
        writer.field("b", u64::MAX);
        writer.field("c", -1_i32);
        writer.field("d", 0_u32);
        writer.field("e", None::<i32>);
        writer.field("f", Some(true));
        let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, [&*i64::MIN.to_string(), &*u64::MAX.to_string(), "-1", "0", "true"]);
    }

    #[test]
    fn fields_beyond_those_remembered_are_found_too() {
        for count in 0..2 * REMEMBERED {
            let fields = (0..count).map(|n| format!("\"k{n}\":\"v{n}\"")).collect::<Vec<_>>();
            for between in [",", ",\"n\":7,"] {
                let header = format!("{{{}}}", fields.join(between));
                let ext = ExtFields::scan(&header, &mut Scanner::new(&header), &mut 100).unwrap();
                let keys = ext.iter().filter(|(key, _)| key != "n").map(|(key, _)| key);
                assert!(keys.eq((0..count).map(|n| format!("k{n}"))), "{header}");
            }
        }
    }

    #[test]
    fn json_values_that_are_not_text_are_read_where_it_can_mean_something() {
        let header = r#"{"a":1,"b":null,"c":{"x":[1]},"d":true,"a":"last"},"#;
        let ext = ExtFields::scan(header, &mut Scanner::new(header), &mut 100).unwrap();
        assert_eq!(ext.get("a").as_deref(), Some("last"));
        assert_eq!(ext.get("b"), None);
        assert_eq!(ext.get("c"), None);
        assert_eq!(ext.get("d").as_deref(), Some("true"));
        assert_eq!(ext.iter().count(), 3);
    }
}
