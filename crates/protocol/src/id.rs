//! Message ids: by place (offset message id) and by origin (unique id). Both are upper-case
//! hexadecimal text. No clock here: times are arguments.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::ext::FieldValue;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Why text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message id is 32 or 56 hexadecimal digits")]
pub struct IdError;

/// An id as text, on the stack: 16 or 28 bytes as 32 or 56 digits.
struct Digits {
    text: [u8; 56],
    len: usize,
}

impl Digits {
    fn new() -> Self {
        Self { text: [0; 56], len: 0 }
    }

    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.text[self.len] = HEX[usize::from(byte >> 4)];
            self.text[self.len + 1] = HEX[usize::from(byte & 15)];
            self.len += 2;
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

/// Splits an id into its address and the twelve bytes after it.
fn parse(text: &str) -> Result<(IpAddr, [u8; 12]), IdError> {
    let mut bytes = [0_u8; 28];
    let digits = text.as_bytes();
    if digits.len() != 32 && digits.len() != 56 {
        return Err(IdError);
    }
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(IdError);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).map_err(|_| IdError)?;
    }
    let (ip, rest): (IpAddr, _) = match digits.len() {
        32 => (bytes.first_chunk::<4>().copied().ok_or(IdError)?.into(), &bytes[4..16]),
        _ => (bytes.first_chunk::<16>().copied().ok_or(IdError)?.into(), &bytes[16..28]),
    };
    Ok((ip, rest.try_into().map_err(|_| IdError)?))
}

/// Where a message is: the broker and the position in its log.
///
/// Producers get it as `msgId` of a send answer, tools connect to the address in it.
/// `0A00000100002A9F0000000000001000` is 10.0.0.1:10911 at byte 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetMessageId {
    /// Advertised address of the broker.
    pub broker: SocketAddr,
    /// Position in the log, in bytes.
    pub physical_offset: u64,
}

impl OffsetMessageId {
    /// Reads an id; digits may be of either case.
    ///
    /// # Errors
    /// If the text is no id, or its port is none.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (ip, rest) = parse(text)?;
        let (port, offset) = rest.split_first_chunk::<4>().ok_or(IdError)?;
        let port = u16::try_from(u32::from_be_bytes(*port)).map_err(|_| IdError)?;
        let physical_offset = u64::from_be_bytes(offset.try_into().map_err(|_| IdError)?);
        Ok(Self { broker: SocketAddr::new(ip, port), physical_offset })
    }

    fn digits(&self) -> Digits {
        let mut digits = Digits::new();
        digits.ip(self.broker.ip());
        digits.bytes(&u32::from(self.broker.port()).to_be_bytes());
        digits.bytes(&self.physical_offset.to_be_bytes());
        digits
    }
}

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

impl FieldValue for OffsetMessageId {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        use_text(Some(self.digits().as_str()))
    }
}

/// Who made a message and when: property `UNIQ_KEY`, what clients show as message id.
///
/// Layout: address, process id (2), class loader hash (4), milliseconds since the month began (4),
/// counter (2). Source: `MessageClientIDSetter` of Apache RocketMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UniqueId {
    /// Address of the maker.
    pub ip: IpAddr,
    /// Low bits of its process id.
    pub process: u16,
    /// Tells two makers in one process apart.
    pub loader: u32,
    /// Milliseconds since the month began, where the maker lives.
    pub since_month_ms: u32,
    /// Counts up, with overflow, from id to id.
    pub counter: u16,
}

impl UniqueId {
    /// Reads an id; digits may be of either case.
    ///
    /// # Errors
    /// If the text is no id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (ip, rest) = parse(text)?;
        let number = |at: usize| rest.get(at..).and_then(<[u8]>::first_chunk).copied();
        let short = |at: usize| rest.get(at..).and_then(<[u8]>::first_chunk).copied();
        Ok(Self {
            ip,
            process: u16::from_be_bytes(short(0).ok_or(IdError)?),
            loader: u32::from_be_bytes(number(2).ok_or(IdError)?),
            since_month_ms: u32::from_be_bytes(number(6).ok_or(IdError)?),
            counter: u16::from_be_bytes(short(10).ok_or(IdError)?),
        })
    }

    fn digits(&self) -> Digits {
        let mut digits = Digits::new();
        digits.ip(self.ip);
        digits.bytes(&self.process.to_be_bytes());
        digits.bytes(&self.loader.to_be_bytes());
        digits.bytes(&self.since_month_ms.to_be_bytes());
        digits.bytes(&self.counter.to_be_bytes());
        digits
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

impl FieldValue for UniqueId {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        use_text(Some(self.digits().as_str()))
    }
}

/// Milliseconds from the beginning of the month (UTC) to `now_ms`, a time of the epoch in
/// milliseconds: the time part of a [`UniqueId`].
pub fn since_month_ms(now_ms: i64) -> u32 {
    const DAY_MS: i64 = 86_400_000;
    let (days, in_day) = (now_ms.div_euclid(DAY_MS), now_ms.rem_euclid(DAY_MS));
    // Days since 0000-03-01, which begins a cycle of 400 years; the months from March on have
    // lengths that repeat every five (153 days).
    let of_era = (days + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5;
    // At most 31 days, which is below 2^32 milliseconds.
    u32::try_from(of_month * DAY_MS + in_day).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_offset_message_id_reads_as_documented() {
        let id =
            OffsetMessageId { broker: "10.0.0.1:10911".parse().unwrap(), physical_offset: 4096 };
        assert_eq!(id.to_string(), "0A00000100002A9F0000000000001000");
        assert_eq!(OffsetMessageId::parse("0a00000100002a9f0000000000001000"), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "0A", &"0".repeat(31), &"g".repeat(32), &"é".repeat(16), &"0".repeat(58)]
        {
            assert_eq!(OffsetMessageId::parse(text), Err(IdError), "{text}");
            assert_eq!(UniqueId::parse(text), Err(IdError), "{text}");
        }
        let port = "0A000001FFFFFFFF0000000000001000";
        assert_eq!(OffsetMessageId::parse(port), Err(IdError), "no such port");
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        // 2023-11-14T22:13:20Z, 1970-01-01, the last millisecond of 2024-02-29, the first of March.
        assert_eq!(since_month_ms(1_700_000_000_000), 13 * 86_400_000 + 80_000_000);
        assert_eq!(since_month_ms(0), 0);
        assert_eq!(since_month_ms(1_709_251_199_999), 29 * 86_400_000 - 1);
        assert_eq!(since_month_ms(1_709_251_200_000), 0);
    }

    proptest! {
        #[test]
        fn ids_survive_a_round_trip(broker: (IpAddr, u16), physical_offset: u64, parts: (u16, u32, u32, u16)) {
            let (process, loader, since_month_ms, counter) = parts;
            let id = OffsetMessageId { broker: broker.into(), physical_offset };
            prop_assert_eq!(OffsetMessageId::parse(&id.to_string()), Ok(id));
            let id = UniqueId { ip: broker.0, process, loader, since_month_ms, counter };
            prop_assert_eq!(UniqueId::parse(&id.to_string()), Ok(id));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String, hex in "[0-9A-Fa-fx]{32}|[0-9A-Fa-f]{56}") {
            let _ = (OffsetMessageId::parse(&text), UniqueId::parse(&hex));
        }

        #[test]
        fn no_month_is_longer_than_31_days(now in 0_i64..4_102_444_800_000) {
            prop_assert!(since_month_ms(now) < 31 * 86_400_000);
        }
    }
}
