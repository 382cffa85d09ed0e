//! A message as it stands in the log and is sent to consumers, byte for byte.
//!
//! | field             | bytes      | meaning                                               |
//! |-------------------|------------|-------------------------------------------------------|
//! | size              | 4          | of the whole record                                   |
//! | magic             | 4          | [`MAGIC_V1`] or [`MAGIC_V2`]                           |
//! | body CRC          | 4          | CRC-32 of the stored body without its highest bit     |
//! | queue id          | 4          |                                                       |
//! | flag              | 4          | of the application                                    |
//! | queue offset      | 8          |                                                       |
//! | physical offset   | 8          |                                                       |
//! | system flags      | 4          | see [`sys_flag`]                                       |
//! | born timestamp    | 8          | milliseconds                                          |
//! | born host         | 8 or 20    | address and port; IPv6 if the system flags say so     |
//! | store timestamp   | 8          | milliseconds                                          |
//! | store host        | 8 or 20    | address and port of the broker                        |
//! | reconsume times   | 4          |                                                       |
//! | prepared offset   | 8          | of the half message, after a commit                   |
//! | body              | 4 + n      |                                                       |
//! | topic             | 1 + n      | 2 + n with [`MAGIC_V2`]                                |
//! | properties        | 2 + n      | see [`Properties`]                                     |
//!
//! Everything is big-endian. Source: `MessageDecoder` and `CommitLog` of Apache RocketMQ 5.
//! This module knows no log: offsets and times are numbers it is given.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::str;

use crate::message::Properties;

/// Magic of a record whose topic has at most 127 bytes; the only one Go clients read.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record with a longer topic.
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Longest properties in bytes; their length field is a signed 16-bit number.
pub const MAX_PROPERTIES: usize = 32_767;
/// Longest topic a record can hold, in bytes.
pub const MAX_TOPIC: usize = 32_767;
/// Longest topic of a record with [`MAGIC_V1`], in bytes.
const MAX_TOPIC_V1: usize = 127;

/// Bits of a message's system flags. Source: `MessageSysFlag` of Apache RocketMQ 5.
pub mod sys_flag {
    /// The body is compressed.
    pub const COMPRESSED: i32 = 1;
    /// The tag property holds several tags.
    pub const MULTI_TAGS: i32 = 2;
    /// A half message.
    pub const PREPARED: i32 = 4;
    /// A committed transactional message.
    pub const COMMIT: i32 = 8;
    /// A rolled back transactional message; also the mask of the transaction state.
    pub const ROLLBACK: i32 = 12;
    /// The born host is an IPv6 address.
    pub const BORN_HOST_V6: i32 = 16;
    /// The store host is an IPv6 address.
    pub const STORE_HOST_V6: i32 = 32;
    /// The consumer has to split the body into the messages of a batch.
    pub const NEED_UNWRAP: i32 = 64;
    /// The record holds a batch.
    pub const INNER_BATCH: i32 = 128;
    /// Mask of the kind of compression; 0 means zlib, as sent by old clients.
    pub const COMPRESSION: i32 = 0x700;
    /// LZ4 frame format.
    pub const LZ4: i32 = 0x100;
    /// Zstandard.
    pub const ZSTD: i32 = 0x200;
    /// zlib.
    pub const ZLIB: i32 = 0x300;
}

/// Positions of fields that do not depend on the hosts.
const BODY_CRC: usize = 8;
const QUEUE_ID: usize = 12;
const FLAG: usize = 16;
const QUEUE_OFFSET: usize = 20;
const PHYSICAL_OFFSET: usize = 28;
const SYS_FLAG: usize = 36;
const BORN_TIMESTAMP: usize = 40;
const BORN_HOST: usize = 48;

/// CRC of a body as records carry it: CRC-32 (IEEE) without the highest bit, because Java's
/// integers have a sign.
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7fff_ffff
}

/// Why bytes are no record, or a message cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field ends after the record, or the record after the bytes.
    #[error("record is cut off in its {field}")]
    CutOff {
        /// The field.
        field: &'static str,
    },
    /// Neither of the two magics.
    #[error("magic {0:#010x} is not that of a record")]
    Magic(u32),
    /// The fields add up to another size than the record says.
    #[error("record of {size} bytes has fields of {fields} bytes")]
    Size {
        /// The size it says.
        size: usize,
        /// The sum of its fields.
        fields: usize,
    },
    /// A length or a port is outside its range.
    #[error("{field} of {value} is outside the range of a record")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// Topic or properties are not UTF-8.
    #[error("{field} of the record is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
}

/// A message to be written as a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Queue within the topic.
    pub queue_id: i32,
    /// Flags of the application.
    pub flag: i32,
    /// Position in the queue, in messages. Usually stamped later, see [`RecordMut`].
    pub queue_offset: u64,
    /// Position in the log, in bytes. Usually stamped later.
    pub physical_offset: u64,
    /// See [`sys_flag`]; writing sets the bits of the two hosts by their addresses.
    pub sys_flag: i32,
    /// When the client made the message, in milliseconds.
    pub born_timestamp: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// When the broker stored it, in milliseconds. Usually stamped later.
    pub store_timestamp: i64,
    /// Advertised address of the broker: tools connect to it.
    pub store_host: SocketAddr,
    /// How often it was tried before.
    pub reconsume_times: i32,
    /// Physical offset of the half message of a committed one, else 0.
    pub prepared_transaction_offset: u64,
    /// As it is stored: perhaps compressed.
    pub body: &'a [u8],
    /// Topic.
    pub topic: &'a str,
    /// Properties in their string form.
    pub properties: &'a str,
}

impl Record<'_> {
    /// Appends the record to `out` and returns its size in bytes. The CRC of the body is computed
    /// here, so that nothing expensive is left for the moment of appending.
    ///
    /// # Errors
    /// If topic, properties or body are too long for their length fields; `out` is then as before.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<u32, RecordError> {
        self.write_with(out, |_| ())
    }

    /// The same, with more properties: `append` puts them after [`Record::properties`], for example
    /// by [`append_property`](crate::message::append_property).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_with(
        &self,
        out: &mut Vec<u8>,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u32, RecordError> {
        let start = out.len();
        let written = self.write_fields(out, append);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_fields(
        &self,
        out: &mut Vec<u8>,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u32, RecordError> {
        let start = out.len();
        let body_len = fitting::<i32>("body length", self.body.len())?;
        let topic_len = fitting::<i16>("topic length", self.topic.len())?;
        let short_topic = self.topic.len() <= MAX_TOPIC_V1;
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&if short_topic { MAGIC_V1 } else { MAGIC_V2 }.to_be_bytes());
        out.extend_from_slice(&body_crc(self.body).to_be_bytes());
        out.extend_from_slice(&self.queue_id.to_be_bytes());
        out.extend_from_slice(&self.flag.to_be_bytes());
        out.extend_from_slice(&self.queue_offset.to_be_bytes());
        out.extend_from_slice(&self.physical_offset.to_be_bytes());
        out.extend_from_slice(&self.sys_flag_with_hosts().to_be_bytes());
        out.extend_from_slice(&self.born_timestamp.to_be_bytes());
        write_host(out, self.born_host);
        out.extend_from_slice(&self.store_timestamp.to_be_bytes());
        write_host(out, self.store_host);
        out.extend_from_slice(&self.reconsume_times.to_be_bytes());
        out.extend_from_slice(&self.prepared_transaction_offset.to_be_bytes());
        out.extend_from_slice(&body_len.to_be_bytes());
        out.extend_from_slice(self.body);
        let length = topic_len.to_be_bytes();
        out.extend_from_slice(if short_topic { &length[1..] } else { &length });
        out.extend_from_slice(self.topic.as_bytes());
        let properties = out.len();
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(self.properties.as_bytes());
        append(out);
        let length = fitting::<i16>("properties length", out.len() - properties - 2)?;
        out[properties..properties + 2].copy_from_slice(&length.to_be_bytes());
        let size = fitting::<i32>("size", out.len() - start)?;
        out[start..start + 4].copy_from_slice(&size.to_be_bytes());
        Ok(size.unsigned_abs())
    }

    fn sys_flag_with_hosts(&self) -> i32 {
        let bit = |host: SocketAddr, bit| if host.is_ipv6() { bit } else { 0 };
        self.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6)
            | bit(self.born_host, sys_flag::BORN_HOST_V6)
            | bit(self.store_host, sys_flag::STORE_HOST_V6)
    }
}

/// A length as the type of its field.
fn fitting<T: TryFrom<usize>>(field: &'static str, length: usize) -> Result<T, RecordError> {
    T::try_from(length)
        .map_err(|_| RecordError::Range { field, value: i64::try_from(length).unwrap_or(i64::MAX) })
}

fn write_host(out: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&u32::from(host.port()).to_be_bytes());
}

/// A record where it is, checked once.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    store_timestamp: usize,
    born_host: SocketAddr,
    store_host: SocketAddr,
    /// Where the fields after the store host begin.
    tail: usize,
    body: &'a [u8],
    topic: &'a str,
    properties: &'a str,
}

impl<'a> RecordView<'a> {
    /// Reads the record at the start of `bytes`; more may follow.
    ///
    /// # Errors
    /// If there is no whole record, or its fields do not hold together. The CRC of the body is not
    /// looked at, see [`has_sound_body`](Self::has_sound_body).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut fields = Fields { bytes, at: 0 };
        let size = fields.length::<i32>("size")?;
        fields.bytes = bytes.get(..size).ok_or(RecordError::CutOff { field: "size" })?;
        let magic = u32::from_be_bytes(fields.array("magic")?);
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::Magic(magic));
        }
        fields.skip(SYS_FLAG - fields.at, "offsets")?;
        let flags = i32::from_be_bytes(fields.array("system flags")?);
        fields.skip(8, "born timestamp")?;
        let born_host = fields.host(flags & sys_flag::BORN_HOST_V6 != 0, "born host")?;
        let store_timestamp = fields.at;
        fields.skip(8, "store timestamp")?;
        let store_host = fields.host(flags & sys_flag::STORE_HOST_V6 != 0, "store host")?;
        let tail = fields.at;
        fields.skip(12, "prepared transaction offset")?;
        let body = fields.length::<i32>("body")?;
        let body = fields.skip(body, "body")?;
        let topic = match magic {
            MAGIC_V1 => fields.length::<i8>("topic")?,
            _ => fields.length::<i16>("topic")?,
        };
        let topic = fields.text(topic, "topic")?;
        let properties = fields.length::<i16>("properties")?;
        let properties = fields.text(properties, "properties")?;
        if fields.at != size {
            return Err(RecordError::Size { size, fields: fields.at });
        }
        let bytes = fields.bytes;
        Ok(Self { bytes, store_timestamp, born_host, store_host, tail, body, topic, properties })
    }

    /// The record's bytes and nothing else.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Size of the record in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Queue within the topic.
    pub fn queue_id(&self) -> i32 {
        i32::from_be_bytes(self.array(QUEUE_ID))
    }

    /// Flags of the application.
    pub fn flag(&self) -> i32 {
        i32::from_be_bytes(self.array(FLAG))
    }

    /// Position in the queue, in messages.
    pub fn queue_offset(&self) -> u64 {
        u64::from_be_bytes(self.array(QUEUE_OFFSET))
    }

    /// Position in the log, in bytes.
    pub fn physical_offset(&self) -> u64 {
        u64::from_be_bytes(self.array(PHYSICAL_OFFSET))
    }

    /// See [`sys_flag`].
    pub fn sys_flag(&self) -> i32 {
        i32::from_be_bytes(self.array(SYS_FLAG))
    }

    /// When the client made the message, in milliseconds.
    pub fn born_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.array(BORN_TIMESTAMP))
    }

    /// Who sent it.
    pub fn born_host(&self) -> SocketAddr {
        self.born_host
    }

    /// When the broker stored it, in milliseconds.
    pub fn store_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.array(self.store_timestamp))
    }

    /// Advertised address of the broker that stored it.
    pub fn store_host(&self) -> SocketAddr {
        self.store_host
    }

    /// How often it was tried before.
    pub fn reconsume_times(&self) -> i32 {
        i32::from_be_bytes(self.array(self.tail))
    }

    /// Physical offset of the half message of a committed one, else 0.
    pub fn prepared_transaction_offset(&self) -> u64 {
        u64::from_be_bytes(self.array(self.tail + 4))
    }

    /// As it is stored: perhaps compressed.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// CRC of the body as it stands in the record.
    pub fn body_crc(&self) -> u32 {
        u32::from_be_bytes(self.array(BODY_CRC))
    }

    /// Whether the body has the CRC the record says.
    pub fn has_sound_body(&self) -> bool {
        self.body_crc() == body_crc(self.body)
    }

    /// Topic.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Properties.
    pub fn properties(&self) -> Properties<'a> {
        Properties(self.properties)
    }

    /// Bytes at a position that [`parse`](Self::parse) has seen.
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    /// The same message as parts, to be written again.
    pub fn to_record(&self) -> Record<'a> {
        Record {
            queue_id: self.queue_id(),
            flag: self.flag(),
            queue_offset: self.queue_offset(),
            physical_offset: self.physical_offset(),
            sys_flag: self.sys_flag(),
            born_timestamp: self.born_timestamp(),
            born_host: self.born_host,
            store_timestamp: self.store_timestamp(),
            store_host: self.store_host,
            reconsume_times: self.reconsume_times(),
            prepared_transaction_offset: self.prepared_transaction_offset(),
            body: self.body,
            topic: self.topic,
            properties: self.properties,
        }
    }
}

/// The records of a pull answer, one after the other. Ends after the first error, because what
/// follows cannot be found.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<RecordView<'_>, RecordError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = RecordView::parse(rest);
        rest = record.as_ref().map_or(&[][..], |record| &rest[record.size()..]);
        Some(record)
    })
}

/// Reads fields in their order.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn skip(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], RecordError> {
        let range = self.at..self.at.saturating_add(length);
        let bytes = self.bytes.get(range).ok_or(RecordError::CutOff { field })?;
        self.at += length;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let bytes = self.skip(N, field)?;
        bytes.try_into().map_err(|_| RecordError::CutOff { field })
    }

    /// A length field of type `T`.
    fn length<T: LengthField>(&mut self, field: &'static str) -> Result<usize, RecordError> {
        let bytes = self.skip(size_of::<T>(), field)?;
        let value = T::read(bytes);
        usize::try_from(value).map_err(|_| RecordError::Range { field, value })
    }

    fn text(&mut self, length: usize, field: &'static str) -> Result<&'a str, RecordError> {
        str::from_utf8(self.skip(length, field)?).map_err(|_| RecordError::NotUtf8 { field })
    }

    fn host(&mut self, v6: bool, field: &'static str) -> Result<SocketAddr, RecordError> {
        let ip: IpAddr =
            if v6 { self.array::<16>(field)?.into() } else { self.array::<4>(field)?.into() };
        let port = i32::from_be_bytes(self.array(field)?);
        match u16::try_from(port) {
            Ok(port) => Ok(SocketAddr::new(ip, port)),
            Err(_) => Err(RecordError::Range { field, value: port.into() }),
        }
    }
}

/// A signed number in front of bytes, as Java has them.
trait LengthField {
    fn read(bytes: &[u8]) -> i64;
}

macro_rules! length_fields {
    ($($number:ty),*) => {$(
        impl LengthField for $number {
            fn read(bytes: &[u8]) -> i64 {
                bytes.try_into().map_or(-1, |bytes| i64::from(<$number>::from_be_bytes(bytes)))
            }
        }
    )*};
}

length_fields!(i8, i16, i32);

/// Sets the fields of a record that are known only when it is appended.
#[derive(Debug)]
pub struct RecordMut<'a> {
    bytes: &'a mut [u8],
    store_timestamp: usize,
}

impl<'a> RecordMut<'a> {
    /// Takes the record at the start of `bytes`. Cheap: it looks at the system flags only, so the
    /// bytes have to come from [`Record::write`] or have been parsed. `None` if they are too few.
    pub fn new(bytes: &'a mut [u8]) -> Option<Self> {
        let flags = i32::from_be_bytes(*bytes.get(SYS_FLAG..)?.first_chunk()?);
        let host = |bit| if flags & bit != 0 { 20 } else { 8 };
        let store_timestamp = BORN_HOST + host(sys_flag::BORN_HOST_V6);
        let hosts_end = store_timestamp + 8 + host(sys_flag::STORE_HOST_V6);
        (bytes.len() >= hosts_end).then_some(Self { bytes, store_timestamp })
    }

    /// Sets the position in the queue, in messages.
    pub fn set_queue_offset(&mut self, queue_offset: u64) {
        self.set(QUEUE_OFFSET, queue_offset.to_be_bytes());
    }

    /// Sets the position in the log, in bytes.
    pub fn set_physical_offset(&mut self, physical_offset: u64) {
        self.set(PHYSICAL_OFFSET, physical_offset.to_be_bytes());
    }

    /// Sets the time of storing, in milliseconds.
    pub fn set_store_timestamp(&mut self, store_timestamp: i64) {
        self.set(self.store_timestamp, store_timestamp.to_be_bytes());
    }

    /// Sets the CRC of the body.
    pub fn set_body_crc(&mut self, body_crc: u32) {
        self.set(BODY_CRC, body_crc.to_be_bytes());
    }

    fn set<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        let range: Range<usize> = at..at + N;
        self.bytes[range].copy_from_slice(&value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use proptest::prelude::*;

    const EXAMPLE: [u8; 116] = hex!(
        "00000074 daa320a7 3610a686 00000002 00000000 0000000000000005 0000000000001000 00000000"
        "0000018bcfe56800 0a000009 0000c350 0000018bcfe5687b 0a000001 00002a9f 00000000"
        "0000000000000000 00000005 68656c6c6f 02 5431 0012 54414753015461674102 4b455953016b3102"
    );

    fn example() -> Record<'static> {
        Record {
            queue_id: 2,
            flag: 0,
            queue_offset: 5,
            physical_offset: 4096,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            born_host: "10.0.0.9:50000".parse().unwrap(),
            store_timestamp: 1_700_000_000_123,
            store_host: "10.0.0.1:10911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"hello",
            topic: "T1",
            properties: "TAGS\u{1}TagA\u{2}KEYS\u{1}k1\u{2}",
        }
    }

    #[test]
    fn a_record_is_written_and_read_byte_for_byte() {
        let mut bytes = Vec::new();
        assert_eq!(example().write(&mut bytes), Ok(116));
        assert_eq!(bytes, EXAMPLE);
        let view = RecordView::parse(&EXAMPLE).unwrap();
        assert_eq!(view.to_record(), example());
        assert!(view.has_sound_body());
        assert_eq!(view.properties().get("TAGS"), Some("TagA"));
    }

    #[test]
    fn stamps_go_where_the_fields_are_whatever_the_hosts() {
        for host in ["10.0.0.9:5", "[::1]:5"] {
            let mut record = example();
            record.born_host = host.parse().unwrap();
            record.store_host = host.parse().unwrap();
            let mut bytes = Vec::new();
            record.write(&mut bytes).unwrap();
            let mut stamp = RecordMut::new(&mut bytes).unwrap();
            stamp.set_queue_offset(7);
            stamp.set_physical_offset(8);
            stamp.set_store_timestamp(9);
            stamp.set_body_crc(10);
            let view = RecordView::parse(&bytes).unwrap();
            let sys_flag = view.sys_flag();
            let stamped = Record {
                queue_offset: 7,
                physical_offset: 8,
                store_timestamp: 9,
                sys_flag,
                ..record
            };
            assert_eq!(view.to_record(), stamped);
            assert_eq!((view.body_crc(), view.has_sound_body()), (10, false));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_no_bytes() {
        let long = "x".repeat(32_768);
        let mut out = b"before".to_vec();
        let topic = Record { topic: &long, ..example() }.write(&mut out);
        assert_eq!(topic, Err(RecordError::Range { field: "topic length", value: 32_768 }));
        let properties = Record { properties: &long, ..example() }.write(&mut out);
        assert_eq!(
            properties,
            Err(RecordError::Range { field: "properties length", value: 32_768 })
        );
        assert!(example().write_with(&mut out, |out| out.resize(40_000, 0)).is_err());
        assert_eq!(out, b"before");
    }

    #[test]
    fn a_cut_or_stretched_record_is_refused() {
        for end in 0..EXAMPLE.len() {
            assert!(RecordView::parse(&EXAMPLE[..end]).is_err(), "{end}");
        }
        let mut stretched = EXAMPLE.to_vec();
        stretched.push(0);
        stretched[3] += 1;
        let error = RecordView::parse(&stretched).unwrap_err();
        assert_eq!(error, RecordError::Size { size: 117, fields: 116 });
    }

    #[test]
    fn lengths_in_a_record_are_checked() {
        let changed = |at: usize, bytes: &[u8]| {
            let mut record = EXAMPLE;
            record[at..at + bytes.len()].copy_from_slice(bytes);
            RecordView::parse(&record).map(|_| ()).unwrap_err()
        };
        assert_eq!(changed(0, &[0xff; 4]), RecordError::Range { field: "size", value: -1 });
        assert_eq!(changed(4, &[0; 4]), RecordError::Magic(0));
        assert_eq!(changed(84, &[0xff; 4]), RecordError::Range { field: "body", value: -1 });
        assert_eq!(changed(84, &[0, 0, 1, 0]), RecordError::CutOff { field: "body" });
        assert_eq!(changed(93, &[0x80]), RecordError::Range { field: "topic", value: -128 });
        assert_eq!(changed(94, &[0xff]), RecordError::NotUtf8 { field: "topic" });
        assert_eq!(
            changed(96, &[0x80, 0]),
            RecordError::Range { field: "properties", value: -32_768 }
        );
        assert_eq!(
            changed(52, &[0, 1, 0, 0]),
            RecordError::Range { field: "born host", value: 65_536 }
        );
    }

    #[test]
    fn records_are_walked_until_the_first_that_is_broken() {
        let mut bytes = EXAMPLE.repeat(3);
        assert_eq!(records(&bytes).flatten().count(), 3);
        bytes[120] = 0;
        let found: Vec<bool> = records(&bytes).map(|record| record.is_ok()).collect();
        assert_eq!(found, [true, false]);
    }

    prop_compose! {
        fn any_record()(
            numbers: [i32; 4],
            longs: [u64; 5],
            born in any::<(IpAddr, u16)>(),
            store in any::<(IpAddr, u16)>(),
            body: Vec<u8>,
            topic in "[a-z%é]{1,300}",
            properties in ".{0,60}",
        ) -> (Record<'static>, Vec<u8>, String, String) {
            let record = Record {
                queue_id: numbers[0],
                flag: numbers[1],
                queue_offset: longs[0],
                physical_offset: longs[1],
                sys_flag: numbers[2],
                born_timestamp: longs[2].cast_signed(),
                born_host: born.into(),
                store_timestamp: longs[3].cast_signed(),
                store_host: store.into(),
                reconsume_times: numbers[3],
                prepared_transaction_offset: longs[4],
                body: b"",
                topic: "",
                properties: "",
            };
            (record, body, topic, properties)
        }
    }

    proptest! {
        #[test]
        fn a_record_survives_a_round_trip((record, body, topic, properties) in any_record()) {
            let record = Record { body: &body, topic: &topic, properties: &properties, ..record };
            let mut bytes = Vec::new();
            let size = record.write(&mut bytes).unwrap();
            prop_assert_eq!(size as usize, bytes.len());
            let view = RecordView::parse(&bytes).unwrap();
            let expected = Record { sys_flag: record.sys_flag_with_hosts(), ..record };
            prop_assert_eq!(view.to_record(), expected);
            prop_assert!(view.has_sound_body());
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            size in 0_u32..210,
            magic in prop::sample::select(vec![MAGIC_V1, MAGIC_V2, 0]),
        ) {
            if let Some(head) = bytes.first_chunk_mut::<8>() {
                head[..4].copy_from_slice(&size.to_be_bytes());
                head[4..].copy_from_slice(&magic.to_be_bytes());
            }
            for record in records(&bytes) {
                prop_assert!(record.is_err() || record.unwrap().size() <= bytes.len());
            }
            let _ = RecordMut::new(&mut bytes);
        }
    }
}
