//! Typed headers: the fields of each code with their names, types and which must be there.
//!
//! Every header borrows its text from the frame. A header says what its fields are, not whether
//! their values are allowed; limits and permissions are the business of whoever handles the request.

use std::borrow::Cow;

use crate::ext::{ExtFields, ExtWriter};
use crate::json::Text;

/// Declares headers: documentation, fields in the order they are written, and their names on the
/// wire. A field of type `Option` may be missing.
macro_rules! headers {
    ($($(#[$meta:meta])* $name:ident $(<$life:lifetime>)? {
        $($(#[$doc:meta])* $field:ident: $type:ty = $wire:literal;)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name $(<$life>)? {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl<'a> $crate::header::Header<'a> for $name $(<$life>)? {
            const FIELDS: &'static [&'static str] = &[$($wire),*];

            fn decode(
                ext: &$crate::ext::ExtFields<'a>,
            ) -> Result<Self, $crate::header::HeaderError> {
                $(let mut $field = None;)*
                ext.for_each(|key, value| match &*key.to_cow() {
                    $($wire => $field = Some(value),)*
                    _ => {}
                });
                Ok(Self { $($field: $crate::header::field($wire, $field)?,)* })
            }

            fn encode(&self, ext: &mut $crate::ext::ExtWriter<'_>) {
                $(ext.field($wire, &self.$field);)*
            }
        }
    )*};
}

mod admin;
mod client;
mod namesrv;
mod offset;
mod pop;
mod pull;
mod send;

pub use admin::*;
pub use client::*;
pub use namesrv::*;
pub use offset::*;
pub use pop::*;
pub use pull::*;
pub use send::*;

/// Text of a field: borrowed from the frame unless JSON escapes had to be resolved.
pub type Str<'a> = Cow<'a, str>;

/// The fields of one request or response code.
pub trait Header<'a>: Sized {
    /// Names of its fields on the wire, in the order they are written.
    const FIELDS: &'static [&'static str];

    /// Reads the header in one pass over the fields. Unknown fields are ignored, of a field that
    /// comes twice the last counts.
    ///
    /// # Errors
    /// If a required field is missing, or a number is none; the error names the field.
    fn decode(ext: &ExtFields<'a>) -> Result<Self, HeaderError>;

    /// Writes every field that has a value.
    fn encode(&self, ext: &mut ExtWriter<'_>);
}

/// Why fields are not the header of their code. The connection is fine: answer `SYSTEM_ERROR` (1)
/// with the error as remark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A required field is not there.
    #[error("the header field {field} is missing")]
    Missing {
        /// Name on the wire.
        field: &'static str,
    },
    /// A number is no number, or out of range.
    #[error("the header field {field} is not {expected}: {value}")]
    Invalid {
        /// Name on the wire.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is, shortened to 64 characters.
        value: String,
    },
}

/// No fields at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoHeader;

impl<'a> Header<'a> for NoHeader {
    const FIELDS: &'static [&'static str] = &[];

    fn decode(_: &ExtFields<'a>) -> Result<Self, HeaderError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut ExtWriter<'_>) {}
}

/// What a field can be: text, a number, a truth value, or an [`Option`] of one.
pub(crate) trait FieldType<'a>: Sized {
    const EXPECTED: &'static str;

    /// The value of a text; `None` if it cannot be one.
    fn from_text(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>>;

    /// The value of a field that is not there; `None` if it has to be.
    fn absent() -> Option<Self> {
        None
    }
}

impl<'a> FieldType<'a> for Cow<'a, str> {
    const EXPECTED: &'static str = "text";

    fn from_text(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>> {
        Ok(text)
    }
}

/// Java reads every text but `true`, in any case, as false.
impl<'a> FieldType<'a> for bool {
    const EXPECTED: &'static str = "a truth value";

    fn from_text(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>> {
        Ok(text.eq_ignore_ascii_case("true"))
    }
}

impl<'a> FieldType<'a> for i32 {
    const EXPECTED: &'static str = "a 32-bit integer";

    #[inline]
    fn from_text(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>> {
        // One digit is what most are.
        if let [digit @ b'0'..=b'9'] = text.as_bytes() {
            return Ok(i32::from(digit - b'0'));
        }
        text.trim_ascii().parse().map_err(|_| text)
    }
}

impl<'a> FieldType<'a> for i64 {
    const EXPECTED: &'static str = "a 64-bit integer";

    fn from_text(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>> {
        text.trim_ascii().parse().map_err(|_| text)
    }
}

/// An optional number that is empty counts as absent: some clients send it so.
impl<'a, T: FieldType<'a>> FieldType<'a> for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: Cow<'a, str>) -> Result<Self, Cow<'a, str>> {
        match T::from_text(text) {
            Ok(value) => Ok(Some(value)),
            Err(text) if text.trim_ascii().is_empty() => Ok(None),
            Err(text) => Err(text),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// The value of a field from what the pass over the fields found.
pub(crate) fn field<'a, T: FieldType<'a>>(
    field: &'static str,
    found: Option<Text<'a>>,
) -> Result<T, HeaderError> {
    match found {
        None => T::absent().ok_or(HeaderError::Missing { field }),
        Some(text) => T::from_text(text.to_cow()).map_err(|text| HeaderError::Invalid {
            field,
            expected: T::EXPECTED,
            value: text.chars().take(64).collect(),
        }),
    }
}
