//! The header of a command in its two forms, without the meaning of its fields.

use std::borrow::Cow;
use std::str;

use crate::code;
use crate::command::{DecodeError, HeaderForm};
use crate::ext::{self, ExtFields, ExtWriter};
use crate::json::{self, Scanner, Text};
use crate::peer::Language;

/// Most fields a header may have; real ones have at most thirty.
const MAX_FIELDS: usize = 1024;

/// A header. `ext` is filled by decoding only; when encoding, the fields come from a closure.
pub(crate) struct Head<'a> {
    pub(crate) form: HeaderForm,
    pub(crate) code: i32,
    pub(crate) language: Language,
    pub(crate) version: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<Cow<'a, str>>,
    pub(crate) ext: ExtFields<'a>,
}

impl<'a> Head<'a> {
    pub(crate) fn decode(form: HeaderForm, header: &'a [u8]) -> Result<Self, DecodeError> {
        match form {
            HeaderForm::Json => {
                let text = str::from_utf8(header)
                    .map_err(|error| DecodeError::NotUtf8 { valid_up_to: error.valid_up_to() })?;
                Self::decode_json(text)
            }
            HeaderForm::Binary => Self::decode_binary(header),
        }
    }

    /// Members may come in any order; of one that comes twice the last counts.
    fn decode_json(text: &'a str) -> Result<Self, DecodeError> {
        let mut head = Self {
            form: HeaderForm::Json,
            code: 0,
            language: Language::Other,
            version: 0,
            opaque: 0,
            flag: 0,
            remark: None,
            ext: ExtFields::EMPTY,
        };
        let mut members = MAX_FIELDS;
        let mut scanner = Scanner::new(text);
        scanner.expect(b'{', "expected an object")?;
        let mut more = !scanner.take(b'}');
        while more {
            scanner.count_member(&mut members)?;
            let key = scanner.member()?;
            match &*key.text(text).to_bytes() {
                b"code" => head.code = integer(&mut scanner, "code")?,
                b"version" => head.version = integer(&mut scanner, "version")?,
                b"opaque" => head.opaque = integer(&mut scanner, "opaque")?,
                b"flag" => head.flag = integer(&mut scanner, "flag")?,
                b"language" => {
                    let name = text_value(&mut scanner, &mut members)?;
                    head.language = name.map_or(Language::Other, |it| Language::from_name(&it));
                }
                b"remark" => {
                    let remark = text_value(&mut scanner, &mut members)?;
                    head.remark = remark.filter(|text| !text.is_empty());
                }
                b"extFields" => head.ext = ExtFields::scan(text, &mut scanner, &mut members)?,
                _ => scanner.skip_value(&mut members)?,
            }
            more = scanner.take(b',');
            if !more {
                scanner.expect(b'}', "expected a comma or the end of the header")?;
            }
        }
        if scanner.peek().is_some() {
            scanner.fail("text after the header")?;
        }
        Ok(head)
    }

    /// Fixed part, remark, fields; nothing may be left over and nothing may overlap.
    fn decode_binary(header: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = header;
        let code = code::widen(i16::from_be_bytes(take(&mut rest, "code")?));
        let [language] = take(&mut rest, "language")?;
        let version = i32::from(i16::from_be_bytes(take(&mut rest, "version")?));
        let opaque = i32::from_be_bytes(take(&mut rest, "opaque")?);
        let flag = i32::from_be_bytes(take(&mut rest, "flag")?);
        let remark = take_block(&mut rest, "remark")?;
        let fields = take_block(&mut rest, "fields")?;
        if !rest.is_empty() {
            return Err(DecodeError::Length { part: "header" });
        }
        let mut entries = fields;
        let mut count = 0;
        while !entries.is_empty() {
            ext::binary_entry(&mut entries).ok_or(DecodeError::Length { part: "field" })?;
            count += 1;
            if count > MAX_FIELDS {
                return Err(DecodeError::TooManyFields { max: MAX_FIELDS });
            }
        }
        Ok(Self {
            form: HeaderForm::Binary,
            code,
            language: Language::from_number(language),
            version,
            opaque,
            flag,
            remark: (!remark.is_empty()).then(|| String::from_utf8_lossy(remark)),
            ext: ExtFields::binary(fields),
        })
    }

    /// Appends the header, with fields from `ext`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, ext: impl FnOnce(&mut ExtWriter<'_>)) {
        match self.form {
            HeaderForm::Json => self.encode_json(out, ext),
            HeaderForm::Binary => self.encode_binary(out, ext),
        }
    }

    /// Members in the order of Java, which sorts them. The fields are always an object, because
    /// clients read answers without looking whether there are fields.
    fn encode_json(&self, out: &mut Vec<u8>, ext: impl FnOnce(&mut ExtWriter<'_>)) {
        number(out, b"{\"code\":", self.code);
        out.extend_from_slice(b",\"extFields\":{");
        ext(&mut ExtWriter::new(HeaderForm::Json, out));
        number(out, b"},\"flag\":", self.flag);
        out.extend_from_slice(b",\"language\":\"");
        out.extend_from_slice(self.language.name().as_bytes());
        number(out, b"\",\"opaque\":", self.opaque);
        if let Some(remark) = &self.remark {
            out.extend_from_slice(b",\"remark\":");
            json::write_string(out, remark);
        }
        number(out, b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":", self.version);
        out.push(b'}');
    }

    fn encode_binary(&self, out: &mut Vec<u8>, ext: impl FnOnce(&mut ExtWriter<'_>)) {
        let low16 = |number: i32| {
            let [_, _, high, low] = number.to_be_bytes();
            [high, low]
        };
        out.extend_from_slice(&low16(self.code));
        out.push(self.language.number());
        out.extend_from_slice(&low16(self.version));
        out.extend_from_slice(&self.opaque.to_be_bytes());
        out.extend_from_slice(&self.flag.to_be_bytes());
        let remark = self.remark.as_deref().unwrap_or_default();
        out.extend_from_slice(&length(remark.len()));
        out.extend_from_slice(remark.as_bytes());
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        ext(&mut ExtWriter::new(HeaderForm::Binary, out));
        let block = length(out.len() - start - 4);
        out[start..start + 4].copy_from_slice(&block);
    }
}

/// A length field. One that does not fit is longer than any frame, which the writer of the frame
/// refuses, so its value is never sent.
fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_be_bytes()
}

fn number(out: &mut Vec<u8>, before: &[u8], value: i32) {
    out.extend_from_slice(before);
    ext::decimal(value < 0, u64::from(value.unsigned_abs()), |text| {
        out.extend_from_slice(text.as_bytes());
    });
}

/// A 32-bit integer, bare or in quotes; `null` is 0, as a missing member.
#[inline]
fn integer(scanner: &mut Scanner<'_>, member: &'static str) -> Result<i32, DecodeError> {
    match scanner.small_integer() {
        Some(value) => Ok(value),
        None => any_integer(scanner, member),
    }
}

#[cold]
fn any_integer(scanner: &mut Scanner<'_>, member: &'static str) -> Result<i32, DecodeError> {
    let parsed = match scanner.peek() {
        Some(b'"') => scanner.string()?.to_cow().parse(),
        _ => match scanner.literal()? {
            "null" => Ok(0),
            literal => literal.parse(),
        },
    };
    parsed.map_err(|_| DecodeError::NotAnInteger { member })
}

/// A text; a value of any other kind counts as none.
fn text_value<'a>(
    scanner: &mut Scanner<'a>,
    members: &mut usize,
) -> Result<Option<Cow<'a, str>>, DecodeError> {
    if scanner.peek() == Some(b'"') {
        return Ok(Some(scanner.string().map(Text::to_cow)?));
    }
    scanner.skip_value(members)?;
    Ok(None)
}

fn take<const N: usize>(rest: &mut &[u8], part: &'static str) -> Result<[u8; N], DecodeError> {
    let (chunk, after) = rest.split_first_chunk().ok_or(DecodeError::Length { part })?;
    *rest = after;
    Ok(*chunk)
}

/// Bytes that stand after their own length, an i32 that must not be negative.
fn take_block<'a>(rest: &mut &'a [u8], part: &'static str) -> Result<&'a [u8], DecodeError> {
    let length = usize::try_from(i32::from_be_bytes(take(rest, part)?));
    let block = length.ok().and_then(|length| rest.split_at_checked(length));
    let (block, after) = block.ok_or(DecodeError::Length { part })?;
    *rest = after;
    Ok(block)
}
