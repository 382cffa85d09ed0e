//! Sizes and spans of time as manifests write them.
//!
//! Both keep their text, so that what is read is what is written back. Every text that the pattern
//! in the schema lets through can be read; the pattern is narrower than what Kubernetes calls a
//! quantity, and each text it takes means the same there.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A text that is no size or no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct Malformed {
    /// What was written.
    pub text: String,
    /// What would have been taken.
    pub expected: &'static str,
}

/// A number of bytes: `20Gi`, `4Mi`, `1000000`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size {
    text: String,
    bytes: u64,
}

impl Size {
    /// Nothing that is over 2^63 bytes: the API server would make it less, and a size of a claim would
    /// never be as asked for.
    pub(crate) const PATTERN: &str = "^([0-9]{1,18}|[0-9]{1,9}(Ki|Mi|Gi|k|M|G)|[0-9]{1,6}(Ti|T))$";
    const UNITS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];

    /// Whole gibibytes.
    pub fn gibibytes(count: u32) -> Self {
        Self { text: format!("{count}Gi"), bytes: u64::from(count) << 30 }
    }

    /// Whole mebibytes.
    pub fn mebibytes(count: u32) -> Self {
        Self { text: format!("{count}Mi"), bytes: u64::from(count) << 20 }
    }

    /// In bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for Size {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        let unit = Self::UNITS
            .iter()
            .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|digits| (digits, *factor)));
        let (digits, factor) = unit.unwrap_or((&text, 1));
        match number(digits).and_then(|count| count.checked_mul(factor)) {
            Some(bytes) => Ok(Self { text, bytes }),
            None => Err(Malformed { text, expected: "a size such as 20Gi" }),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.text
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 19, "pattern": Self::PATTERN })
    }
}

/// A span of time: `72h`, `1h30m`, `15s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    text: String,
    length: Duration,
}

impl Span {
    pub(crate) const PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$";
    /// In the order in which they may stand.
    const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

    /// Whole hours.
    pub fn hours(count: u32) -> Self {
        Self { text: format!("{count}h"), length: Duration::from_hours(count.into()) }
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn seconds(text: &str) -> Option<u64> {
        if text.is_empty() {
            return None;
        }
        let (mut rest, mut seconds) = (text, 0_u64);
        for (unit, factor) in Self::UNITS {
            if let Some((digits, behind)) = rest.split_once(unit) {
                seconds = seconds.checked_add(number(digits)?.checked_mul(factor)?)?;
                rest = behind;
            }
        }
        rest.is_empty().then_some(seconds)
    }
}

impl TryFrom<String> for Span {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        match Self::seconds(&text) {
            Some(seconds) => Ok(Self { text, length: Duration::from_secs(seconds) }),
            None => Err(Malformed { text, expected: "a span of time such as 72h or 1h30m" }),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.text
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 2, "maxLength": 21, "pattern": Self::PATTERN
        })
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        Size::try_from(text.to_owned()).ok().map(|size| size.bytes())
    }

    fn seconds(text: &str) -> Option<u64> {
        Span::try_from(text.to_owned()).ok().map(|span| span.length().as_secs())
    }

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        assert_eq!(bytes("20Gi"), Some(20 << 30));
        assert_eq!(bytes("1k"), Some(1000));
        assert_eq!(bytes("8388608"), Some(8 << 20));
        for text in ["", "Gi", "+1Gi", "-1", "1.5Gi", "1 Gi", "1gi", "99999999999999999999"] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn spans_are_read_from_the_largest_unit_down() {
        assert_eq!(seconds("72h"), Some(72 * 3600));
        assert_eq!(seconds("1h30m15s"), Some(5415));
        assert_eq!(seconds("0s"), Some(0));
        for text in ["", "72", "h", "30m1h", "1h1h", "+1h", "1d", "1.5h", "1h 30m", "1ms"] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_made_here_reads_as_itself() {
        for size in [Size::gibibytes(20), Size::mebibytes(4)] {
            assert_eq!(Size::try_from(size.as_str().to_owned()).unwrap(), size);
        }
        assert_eq!(Span::try_from("72h".to_owned()).unwrap(), Span::hours(72));
    }

    #[test]
    fn a_refusal_says_what_would_be_taken() {
        let error = Span::try_from("3d".to_owned()).unwrap_err();
        assert_eq!(error.to_string(), "\"3d\" is not a span of time such as 72h or 1h30m");
    }

    /// The pattern without its anchors, as a generator of texts.
    fn inside(pattern: &str) -> &str {
        pattern.trim_start_matches('^').trim_end_matches('$')
    }

    const NEARLY: &str = "[0-9]{0,20}(Ki|Mi|Gi|Ti|k|M|G|T|h|m|s)?";

    proptest! {
        #[test]
        fn the_schema_takes_no_size_that_cannot_be_read(text in inside(Size::PATTERN)) {
            prop_assert!(bytes(&text).is_some());
        }

        #[test]
        fn the_schema_takes_no_span_that_cannot_be_read(text in inside(Span::PATTERN)) {
            prop_assert!(text.is_empty() || seconds(&text).is_some());
        }

        #[test]
        fn what_can_be_read_is_what_the_schema_takes(text in NEARLY) {
            let takes = |pattern| regex::Regex::new(pattern).unwrap().is_match(&text);
            prop_assert!(bytes(&text).is_some() || !takes(Size::PATTERN));
            prop_assert!(text.is_empty() || seconds(&text).is_some() || !takes(Span::PATTERN));
        }
    }
}
