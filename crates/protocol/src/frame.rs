//! Where one command ends and the next begins.
//!
//! ```text
//! i32 length of what follows | u8 header form | u24 header length | header | body
//! ```
//!
//! This module looks at the first eight bytes only; the header is read by [`crate::command`].

use crate::command::HeaderForm;

/// Longest frame in bytes, its length field included: what Java peers accept
/// (`com.rocketmq.remoting.frameMaxLength`). Longer ones make them close the connection.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Bytes of the length field in front of every frame.
pub const LENGTH_FIELD: usize = 4;

/// Bytes of the word that holds the header's form and length.
const HEADER_WORD: usize = 4;

/// Why bytes cannot be the beginning of a frame. The connection has lost its place, so the only
/// answer to any of these is to close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A TLS handshake where plain frames are expected.
    #[error("peer speaks TLS on a plaintext connection")]
    Tls,
    /// Longer than a Java peer would accept, negative, or not this protocol at all.
    #[error("frame length {announced:#010x} is over {MAX_FRAME} bytes")]
    TooLong {
        /// The length field as it came.
        announced: u32,
    },
    /// Too short to hold the word with the header's length.
    #[error("frame length {announced} leaves no room for a header")]
    TooShort {
        /// The length field as it came.
        announced: u32,
    },
    /// Neither JSON nor binary.
    #[error("unknown header form {0}")]
    UnknownForm(u8),
    /// Empty, or longer than the frame it is in.
    #[error("header of {header} bytes in a frame of {frame} bytes")]
    HeaderLength {
        /// Length of the header as it came.
        header: usize,
        /// Bytes of the frame after the length field.
        frame: usize,
    },
}

/// Looks for a whole frame at the beginning of `buffer` and returns its size in bytes, length field
/// included; `None` if more bytes are needed.
///
/// The frame for [`Request::decode`](crate::command::Request::decode) is then
/// `buffer[LENGTH_FIELD..size]`. What is wrong is found as soon as the first eight bytes are there,
/// so no memory has to be set aside for a frame that cannot be.
///
/// # Errors
/// If the bytes cannot begin a frame; see [`FrameError`].
pub fn split(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let size = announced_size(buffer)?;
    if let (Some(size), Some(head)) = (size, buffer.get(LENGTH_FIELD..LENGTH_FIELD + HEADER_WORD)) {
        header(head, size - LENGTH_FIELD)?;
        return Ok((buffer.len() >= size).then_some(size));
    }
    Ok(None)
}

/// Size of the frame that `buffer` begins, length field included, once it is known: for readers
/// that want to know how much is still to come.
///
/// # Errors
/// If no frame can have this length.
pub fn announced_size(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_FIELD>() else { return Ok(None) };
    let announced = u32::from_be_bytes(*length);
    // A handshake record starts with 0x16 and the major version 3.
    if length[..2] == [0x16, 0x03] {
        return Err(FrameError::Tls);
    }
    match usize::try_from(announced) {
        Ok(length) if length <= MAX_FRAME - LENGTH_FIELD => {
            if length < HEADER_WORD {
                return Err(FrameError::TooShort { announced });
            }
            Ok(Some(LENGTH_FIELD + length))
        }
        _ => Err(FrameError::TooLong { announced }),
    }
}

/// Splits a frame (without its length field) into header form, header and body.
pub(crate) fn parts(frame: &[u8]) -> Result<(HeaderForm, &[u8], &[u8]), FrameError> {
    let Some((head, rest)) = frame.split_at_checked(HEADER_WORD) else {
        let announced = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        return Err(FrameError::TooShort { announced });
    };
    let (form, length) = header(head, frame.len())?;
    let (header, body) = rest
        .split_at_checked(length)
        .ok_or(FrameError::HeaderLength { header: length, frame: frame.len() })?;
    Ok((form, header, body))
}

/// Reads the word with form and length of the header. `frame` is the length of the whole frame
/// after its length field.
fn header(word: &[u8], frame: usize) -> Result<(HeaderForm, usize), FrameError> {
    let &[form, a, b, c] = word else { return Err(FrameError::TooShort { announced: 0 }) };
    let form = match form {
        0 => HeaderForm::Json,
        1 => HeaderForm::Binary,
        other => return Err(FrameError::UnknownForm(other)),
    };
    let header = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if header == 0 || header > frame.saturating_sub(HEADER_WORD) {
        return Err(FrameError::HeaderLength { header, frame });
    }
    Ok((form, header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use proptest::prelude::*;

    #[test]
    fn a_frame_is_found_only_when_it_is_whole() {
        let bytes = hex!("00000006 00000001 7b 01 ffff");
        for end in 0..10 {
            assert_eq!(split(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(split(&bytes[..10]), Ok(Some(10)));
        assert_eq!(split(&bytes), Ok(Some(10)));
        assert_eq!(parts(&bytes[4..10]), Ok((HeaderForm::Json, &b"{"[..], &hex!("01")[..])));
    }

    #[test]
    fn lengths_no_frame_can_have_are_refused_at_once() {
        for announced in 0..4_u32 {
            let expected = Err(FrameError::TooShort { announced });
            assert_eq!(split(&announced.to_be_bytes()), expected);
        }
        for announced in [0x7fff_ffff, 0xffff_ffff, 0x8000_0000, 0x0100_0001, 0x00ff_fffd] {
            let expected = Err(FrameError::TooLong { announced });
            assert_eq!(split(&announced.to_be_bytes()), expected);
        }
        assert_eq!(split(&0x00ff_fffc_u32.to_be_bytes()), Ok(None), "the longest Java accepts");
    }

    #[test]
    fn headers_that_do_not_fit_are_refused_before_the_frame_is_whole() {
        let long = FrameError::HeaderLength { header: 0x00ff_ffff, frame: 16 };
        assert_eq!(split(&hex!("00000010 00ffffff")), Err(long));
        let by_one = FrameError::HeaderLength { header: 13, frame: 16 };
        assert_eq!(split(&hex!("00000010 0000000d")), Err(by_one));
        let empty = FrameError::HeaderLength { header: 0, frame: 16 };
        assert_eq!(split(&hex!("00000010 00000000")), Err(empty));
        for form in 2..=255 {
            let bytes = [0, 0, 0, 16, form, 0, 0, 1];
            assert_eq!(split(&bytes), Err(FrameError::UnknownForm(form)));
        }
    }

    #[test]
    fn other_protocols_are_not_taken_for_frames() {
        assert_eq!(split(&hex!("1603010200 01")), Err(FrameError::Tls));
        for text in
            ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "SSH-2.0-x\r\n", "*1\r\n$4\r\nPING"]
        {
            assert!(matches!(split(text.as_bytes()), Err(FrameError::TooLong { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(bytes: Vec<u8>) {
            if let Ok(Some(size)) = split(&bytes) {
                prop_assert!(size <= bytes.len());
                prop_assert!(parts(&bytes[4..size]).is_ok());
            }
            let _ = parts(&bytes);
        }
    }
}
