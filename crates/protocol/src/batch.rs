//! The body of `SEND_BATCH_MESSAGE` (320): several messages for one queue.
//!
//! Per message, big-endian: i32 size, i32 magic and i32 CRC (both ignored), i32 flag, i32 body
//! length, body, i16 properties length, properties. Source: `MessageDecoder.encodeMessages`.

use std::str;

use crate::message::Properties;

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    /// Flags of the application.
    pub flag: i32,
    /// Body; never compressed.
    pub body: &'a [u8],
    /// Its own properties, unique id included.
    pub properties: Properties<'a>,
}

/// Why a body is not a batch. Such a send is refused as `MESSAGE_ILLEGAL` (13), whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message {index} of the batch: {reason}")]
pub struct BatchError {
    /// Which message, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A batch that was checked from its first to its last byte.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    body: &'a [u8],
    len: usize,
}

impl<'a> Batch<'a> {
    /// Checks a body.
    ///
    /// # Errors
    /// If there is no message in it, or the lengths of one do not add up.
    pub fn parse(body: &'a [u8]) -> Result<Self, BatchError> {
        let (mut rest, mut len) = (body, 0);
        while !rest.is_empty() || len == 0 {
            take(&mut rest).map_err(|reason| BatchError { index: len, reason })?;
            len += 1;
        }
        Ok(Self { body, len })
    }

    /// How many messages there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The messages in their order.
    pub fn iter(&self) -> impl Iterator<Item = BatchMessage<'a>> + use<'a> {
        let mut rest = self.body;
        std::iter::from_fn(move || take(&mut rest).ok())
    }
}

/// Takes one message from the front.
fn take<'a>(rest: &mut &'a [u8]) -> Result<BatchMessage<'a>, &'static str> {
    let size = i32::from_be_bytes(*rest.first_chunk().ok_or("its size is cut off")?);
    let size = usize::try_from(size).map_err(|_| "its size is negative")?;
    let (message, after) = rest.split_at_checked(size).ok_or("it ends after the body")?;
    // Size, magic and CRC.
    let fields = message.get(12..).ok_or("it is too short")?;
    let (flag, fields) = fields.split_first_chunk().ok_or("it is too short")?;
    let (length, fields) = fields.split_first_chunk().ok_or("it is too short")?;
    let length = usize::try_from(i32::from_be_bytes(*length));
    let length = length.map_err(|_| "the length of its body is negative")?;
    let (body, fields) = fields.split_at_checked(length).ok_or("its body is cut off")?;
    let (length, properties) = fields.split_first_chunk().ok_or("it has no properties")?;
    if usize::try_from(i16::from_be_bytes(*length)) != Ok(properties.len()) {
        return Err("its lengths do not add up");
    }
    let properties = str::from_utf8(properties).map_err(|_| "its properties are not UTF-8")?;
    *rest = after;
    let flag = i32::from_be_bytes(*flag);
    Ok(BatchMessage { flag, body, properties: Properties(properties) })
}

/// Appends one message to the body of a batch.
///
/// # Errors
/// If body or properties are too long for their length fields; `out` is then as before.
pub fn append_message(out: &mut Vec<u8>, message: &BatchMessage<'_>) -> Result<(), BatchError> {
    let properties = message.properties.0;
    let size = i32::try_from(22_usize.saturating_add(message.body.len() + properties.len()));
    let body = i32::try_from(message.body.len());
    let (Ok(size), Ok(body), Ok(length)) = (size, body, i16::try_from(properties.len())) else {
        return Err(BatchError { index: 0, reason: "body or properties are too long" });
    };
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&message.flag.to_be_bytes());
    out.extend_from_slice(&body.to_be_bytes());
    out.extend_from_slice(message.body);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(properties.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use proptest::prelude::*;

    #[test]
    fn broken_batches_are_refused_whole() {
        let good = hex!("00000018 00000000 00000000 00000007 00000001 61 0001 62");
        assert_eq!(Batch::parse(&good).unwrap().len(), 1);
        let reason = |bytes: &[u8]| Batch::parse(bytes).map(|_| ()).unwrap_err().to_string();
        assert_eq!(reason(b""), "message 0 of the batch: its size is cut off");
        let second = [&good[..], &hex!("ffffffff")].concat();
        assert_eq!(reason(&second), "message 1 of the batch: its size is negative");
        let past_end = [&good[..], &hex!("00000100 00")].concat();
        assert_eq!(reason(&past_end), "message 1 of the batch: it ends after the body");
        for (at, value) in
            [(3, 4), (3, 23), (16, 0xff), (19, 9), (19, 2), (21, 0x80), (22, 0), (23, 0xff)]
        {
            let mut bad = good;
            bad[at] = value;
            assert!(Batch::parse(&bad).is_err(), "{at} {value}");
        }
        for size in 0..24 {
            assert!(Batch::parse(&good[..size]).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_batch_survives_a_round_trip(
            messages in prop::collection::vec((any::<i32>(), any::<Vec<u8>>(), ".{0,20}"), 1..8),
        ) {
            let messages: Vec<BatchMessage<'_>> = messages
                .iter()
                .map(|(flag, body, text)| BatchMessage { flag: *flag, body, properties: Properties(text) })
                .collect();
            let mut body = Vec::new();
            for message in &messages {
                append_message(&mut body, message).unwrap();
            }
            let batch = Batch::parse(&body).unwrap();
            prop_assert_eq!(batch.len(), messages.len());
            prop_assert_eq!(batch.iter().collect::<Vec<_>>(), messages);
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..60), size in 0_u8..60) {
            if let Some(head) = bytes.first_chunk_mut::<4>() {
                *head = [0, 0, 0, size];
            }
            if let Ok(batch) = Batch::parse(&bytes) {
                prop_assert_eq!(batch.iter().count(), batch.len());
            }
        }
    }
}
