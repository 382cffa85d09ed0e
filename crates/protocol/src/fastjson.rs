//! The dialect of JSON that RocketMQ's Java side writes and reads in bodies.
//!
//! Maps with numeric keys come unquoted (`{0:"a"}`), maps keyed by a message queue have the object
//! itself as key (`{{"queueId":0}:{…}}`). [`normalise`] turns such text into standard JSON for
//! `serde_json`; this is not a parser of its own and checks no more than it needs to find keys.
//! [`to_vec`] and [`write_queue_map`] write the two forms for readers that know no other.

use std::borrow::Cow;
use std::io;
use std::iter;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::body::{MessageQueue, QueueMap};
use crate::json;

/// Deepest nesting that is looked into; real bodies have at most eight levels.
const MAX_DEPTH: usize = 64;

/// Why a text is not in this dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at} of the body")]
pub struct FastjsonError {
    /// What was found, or is over a limit.
    pub reason: &'static str,
    /// Where, in bytes from the start of the body.
    pub at: usize,
}

/// Standard JSON with the meaning of `text`; `text` itself if that is standard already.
///
/// Quotes bare keys and single-quoted strings, makes a key that is an object into a string with the
/// object's text, and leaves out commas before a closing bracket. The result is at most about twice
/// as long: an object key inside an object key, which would double it again, is refused.
///
/// # Errors
/// If brackets do not match, nest too deep, or a string does not end. Other mistakes are left for
/// the JSON parser to find.
pub fn normalise(text: &[u8]) -> Result<Cow<'_, [u8]>, FastjsonError> {
    let mut pass = Pass { text, at: 0, out: Vec::new(), copied: 0, open: Vec::new(), comma: None };
    while pass.at < text.len() {
        pass.token()?;
    }
    if pass.copied == 0 {
        return Ok(Cow::Borrowed(text));
    }
    pass.copy(text.len());
    Ok(Cow::Owned(pass.out))
}

/// A bracket that is open.
enum Open {
    Array,
    /// `key` says whether a key comes next.
    Object {
        key: bool,
    },
    /// An object that is itself a key; its text starts at this length of the output.
    KeyObject {
        key: bool,
        start: usize,
    },
}

struct Pass<'a> {
    text: &'a [u8],
    at: usize,
    /// What is written so far, without `text[copied..at]`, which needs no change.
    out: Vec<u8>,
    copied: usize,
    open: Vec<Open>,
    /// Position of a comma, if it was the last token.
    comma: Option<usize>,
}

impl Pass<'_> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, FastjsonError> {
        Err(FastjsonError { reason, at: self.at })
    }

    /// Copies the text up to a position that is not yet copied.
    fn copy(&mut self, end: usize) {
        self.out.extend_from_slice(&self.text[self.copied..end]);
        self.copied = end;
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open::Object { key: true } | Open::KeyObject { key: true, .. })
        )
    }

    fn set_key(&mut self, expected: bool) {
        if let Some(Open::Object { key } | Open::KeyObject { key, .. }) = self.open.last_mut() {
            *key = expected;
        }
    }

    fn token(&mut self) -> Result<(), FastjsonError> {
        let comma = self.comma.take();
        match self.text[self.at] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                self.comma = comma;
                self.at += 1;
            }
            b'{' | b'[' => self.open_bracket()?,
            bracket @ (b'}' | b']') => {
                if let Some(comma) = comma {
                    self.copy(comma);
                    self.copied = comma + 1;
                }
                self.close_bracket(bracket)?;
            }
            b',' => {
                self.comma = Some(self.at);
                self.set_key(true);
                self.at += 1;
            }
            b':' => {
                self.set_key(false);
                self.at += 1;
            }
            b'"' => self.at = self.string_end(b'"')?,
            b'\'' => self.single_quoted()?,
            _ => self.bare()?,
        }
        Ok(())
    }

    fn open_bracket(&mut self) -> Result<(), FastjsonError> {
        if self.open.len() == MAX_DEPTH {
            return self.fail("nested too deep");
        }
        let open = if self.text[self.at] == b'[' {
            Open::Array
        } else if !self.expects_key() {
            Open::Object { key: true }
        } else if self.open.iter().any(|open| matches!(open, Open::KeyObject { .. })) {
            return self.fail("object key inside an object key");
        } else {
            self.copy(self.at);
            Open::KeyObject { key: true, start: self.out.len() }
        };
        self.open.push(open);
        self.at += 1;
        Ok(())
    }

    fn close_bracket(&mut self, bracket: u8) -> Result<(), FastjsonError> {
        let open = self.open.pop();
        self.at += 1;
        match (open, bracket) {
            (Some(Open::Array), b']') | (Some(Open::Object { .. }), b'}') => Ok(()),
            (Some(Open::KeyObject { start, .. }), b'}') => {
                self.copy(self.at);
                let object = self.out.split_off(start);
                let Ok(object) = std::str::from_utf8(&object) else {
                    return self.fail("object key is not UTF-8");
                };
                json::write_string(&mut self.out, object);
                Ok(())
            }
            _ => self.fail("brackets that do not match"),
        }
    }

    /// Position after the string that begins here.
    fn string_end(&self, quote: u8) -> Result<usize, FastjsonError> {
        let mut at = self.at + 1;
        loop {
            match self.text.get(at) {
                None => return self.fail("unfinished string"),
                Some(b'\\') => at += 2,
                Some(&byte) if byte == quote => return Ok(at + 1),
                Some(_) => at += 1,
            }
        }
    }

    /// Writes a single-quoted string with double quotes.
    fn single_quoted(&mut self) -> Result<(), FastjsonError> {
        let end = self.string_end(b'\'')?;
        let inside = &self.text[self.at + 1..end - 1];
        self.copy(self.at);
        self.out.push(b'"');
        let mut escaped = false;
        for &byte in inside {
            match byte {
                // `\'` is no escape in standard JSON.
                b'\'' if escaped => drop(self.out.pop()),
                b'"' if !escaped => self.out.push(b'\\'),
                _ => {}
            }
            self.out.push(byte);
            escaped = byte == b'\\' && !escaped;
        }
        self.out.push(b'"');
        self.at = end;
        self.copied = end;
        Ok(())
    }

    /// A number, a word, or a key without quotes.
    fn bare(&mut self) -> Result<(), FastjsonError> {
        let ends = |byte: &u8| b" \t\n\r,:{}[]\"'".contains(byte);
        let rest = &self.text[self.at..];
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        if self.expects_key() {
            let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-$.".contains(byte);
            if !rest[..length].iter().all(name) {
                return self.fail("unreadable key");
            }
            self.copy(self.at);
            self.out.push(b'"');
            self.copy(self.at + length);
            self.out.push(b'"');
        }
        self.at += length;
        Ok(())
    }
}

/// Compact JSON with integer keys unquoted, as fastjson writes maps of broker ids and queue ids.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let mut serializer = Serializer::with_formatter(&mut out, BareIntegerKeys::default());
    value.serialize(&mut serializer).expect("bodies have text or integer keys and no other");
    out
}

/// Appends a map keyed by message queues, each key as the object itself.
///
/// No reader of this form understands another, and `serde_json` cannot write it.
pub fn write_queue_map<V: Serialize>(out: &mut Vec<u8>, map: &QueueMap<V>) {
    out.push(b'{');
    let separators = iter::once("").chain(iter::repeat(","));
    for ((queue, value), separator) in map.0.iter().zip(separators) {
        out.extend_from_slice(separator.as_bytes());
        write_queue(out, queue);
        out.push(b':');
        out.extend_from_slice(&to_vec(value));
    }
    out.push(b'}');
}

/// Appends a message queue as fastjson does, members in alphabetical order.
fn write_queue(out: &mut Vec<u8>, queue: &MessageQueue) {
    out.extend_from_slice(&to_vec(queue));
}

/// A formatter that leaves out the quotes of keys that are integers.
#[derive(Default)]
struct BareIntegerKeys {
    /// Inside a key whose quote is still to be written, should it turn out to be text.
    pending_quote: bool,
    integer_key: bool,
}

impl BareIntegerKeys {
    fn text<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if std::mem::take(&mut self.pending_quote) {
            writer.write_all(b"\"")?;
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($write:ident: $number:ty;)*) => {$(
        fn $write<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: $number) -> io::Result<()> {
            self.integer_key = std::mem::take(&mut self.pending_quote);
            write!(writer, "{value}")
        }
    )*};
}

impl Formatter for BareIntegerKeys {
    integers! { write_i32: i32; write_i64: i64; write_u32: u32; write_u64: u64; }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.pending_quote = true;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        // Of a key, it is not known yet whether it is text.
        if self.pending_quote { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.text(writer)?;
        writer.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: serde_json::ser::CharEscape,
    ) -> io::Result<()> {
        self.text(writer)?;
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        // An empty key has no fragment.
        self.text(writer)?;
        if std::mem::take(&mut self.integer_key) { Ok(()) } else { writer.write_all(b"\"") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn normal(text: &str) -> Result<String, &'static str> {
        let normal = normalise(text.as_bytes()).map_err(|error| error.reason)?;
        Ok(String::from_utf8(normal.into_owned()).unwrap())
    }

    #[test]
    fn standard_json_is_passed_through_untouched() {
        for text in ["", "{}", r#"{"a":[1,{"b":null}],"c":"{0:1}"}"#, r#""\"{a:1}""#, "[1, 2]"] {
            assert!(matches!(normalise(text.as_bytes()), Ok(Cow::Borrowed(_))), "{text}");
        }
    }

    #[test]
    fn bare_keys_and_single_quotes_become_strings() {
        assert_eq!(normal(r#"{0:"a",1 : 2}"#).unwrap(), r#"{"0":"a","1" : 2}"#);
        assert_eq!(normal("{a:{b:true}}").unwrap(), r#"{"a":{"b":true}}"#);
        assert_eq!(normal(r#"{'a':'it\'s "x" \\'}"#).unwrap(), r#"{"a":"it's \"x\" \\"}"#);
        assert_eq!(normal("[1,2,]").unwrap(), "[1,2]");
        assert_eq!(normal("{a:1 , }").unwrap(), r#"{"a":1  }"#);
    }

    #[test]
    fn object_keys_become_strings_with_their_text() {
        assert_eq!(
            normal(r#"{"t":{{"queueId":0,n:'x'}:{"a":1},{}:2}}"#).unwrap(),
            r#"{"t":{"{\"queueId\":0,\"n\":\"x\"}":{"a":1},"{}":2}}"#
        );
    }

    #[test]
    fn depth_and_growth_are_bounded() {
        assert_eq!(normal(&"[".repeat(65)), Err("nested too deep"));
        assert_eq!(normal(&"{".repeat(3)), Err("object key inside an object key"));
        assert_eq!(normal("{]"), Err("brackets that do not match"));
        assert_eq!(normal("}"), Err("brackets that do not match"));
        assert_eq!(normal("{\"a"), Err("unfinished string"));
        assert_eq!(normal("{é:1}"), Err("unreadable key"));
    }

    #[test]
    fn only_integer_keys_lose_their_quotes() {
        let map = BTreeMap::from([(0_i64, "a\"b"), (-1, "")]);
        assert_eq!(to_vec(&map), br#"{-1:"",0:"a\"b"}"#);
        let map = BTreeMap::from([("0", 1), ("", 2), ("\n", 3)]);
        assert_eq!(to_vec(&map), br#"{"":2,"\n":3,"0":1}"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_normalised_or_refused(bytes: Vec<u8>, text in r#"[{}\[\]:,a0"'\\ ]{0,40}"#) {
            let _ = normalise(&bytes);
            if let Ok(normal) = normalise(text.as_bytes()) {
                prop_assert!(normal.len() <= 4 * text.len() + 4);
            }
        }

        #[test]
        fn what_serde_json_reads_is_not_changed(
            map in prop::collection::btree_map(".{0,9}", prop::collection::vec(".{0,9}", 0..4), 0..5),
        ) {
            let text = serde_json::to_vec(&map).unwrap();
            prop_assert_eq!(&*normalise(&text).unwrap(), &*text);
        }

        #[test]
        fn bare_integer_keys_are_read_back(
            map in prop::collection::btree_map(
                any::<i64>(), prop::collection::btree_map(".{0,9}", any::<u32>(), 0..4), 0..5),
        ) {
            let text = to_vec(&map);
            let normal = normalise(&text).unwrap();
            prop_assert_eq!(serde_json::from_slice::<BTreeMap<i64, BTreeMap<String, u32>>>(&normal).unwrap(), map);
        }
    }
}
