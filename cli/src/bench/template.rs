//! Request frames that are made once and patched for every send: the reason why the load tool
//! costs less than what it measures.

use anyhow::{Context, Result};
use rocketkube_protocol::{Command, RequestCode, version};

use super::slots::FIRST_OPAQUE;

/// A whole frame, length prefix included, with the position of its opaque.
pub(crate) struct Template {
    frame: Vec<u8>,
    body: usize,
    opaque: usize,
}

impl Template {
    /// Encodes `command` with an opaque of ten digits.
    pub(crate) fn new(mut command: Command) -> Result<Self> {
        command.opaque = FIRST_OPAQUE;
        let mut frame = Vec::new();
        command.encode_into(&mut frame).context("choose a smaller --size or --batch")?;
        let body = frame.len() - command.body.len();
        let opaque = find_once(&frame[..body], &FIRST_OPAQUE.to_string());
        Ok(Self { frame, body, opaque })
    }

    /// Where the value of an ext field begins.
    pub(crate) fn field(&self, name: &str) -> usize {
        let key = format!("\"{name}\":\"");
        self.header(&key) + key.len()
    }

    /// Where `text` begins in the header; it must be there exactly once.
    pub(crate) fn header(&self, text: &str) -> usize {
        find_once(&self.frame[..self.body], text)
    }

    /// Where the ten digits of the opaque begin.
    pub(crate) fn opaque(&self) -> usize {
        self.opaque
    }

    /// Where the body begins.
    pub(crate) fn body(&self) -> usize {
        self.body
    }

    /// Appends a copy with this opaque and lends it for further patches.
    pub(crate) fn append<'o>(&self, opaque: i32, out: &'o mut Vec<u8>) -> &'o mut [u8] {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        write_decimal(&mut frame[self.opaque..][..10], u64::from(opaque.unsigned_abs()));
        frame
    }
}

/// A request with these ext fields.
pub(crate) fn request(code: RequestCode, fields: &[(&str, &str)], body: Vec<u8>) -> Command {
    let ext = fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    Command { code: code.0, version: version::OURS, ext, body, ..Command::default() }
}

/// Fills `place` with the last digits of `value`, zeros in front.
pub(crate) fn write_decimal(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Fills `place` with the last hexadecimal digits of `value`, zeros in front.
pub(crate) fn write_hex(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b"0123456789ABCDEF"[(value & 15) as usize];
        value >>= 4;
    }
}

fn find_once(header: &[u8], text: &str) -> usize {
    let is_here = |&at: &usize| header[at..].starts_with(text.as_bytes());
    let mut positions = (0..header.len()).filter(is_here);
    let position = positions.next().expect("the text was put into the command");
    assert!(positions.next().is_none(), "{text} must be unique in the header");
    position
}

#[cfg(test)]
mod tests {
    use rocketkube_protocol::Request;

    use super::*;

    #[test]
    fn numbers_fill_their_place() {
        let mut place = *b"xxxxx";
        write_decimal(&mut place, 42);
        assert_eq!(&place, b"00042");
        write_hex(&mut place, 0x0ABC_DEF0);
        assert_eq!(&place, b"CDEF0");
    }

    #[test]
    fn a_copy_differs_in_its_opaque_only() {
        let body = b"1000000000".to_vec();
        let template =
            Template::new(request(RequestCode::SEND_MESSAGE_V2, &[("e", "7")], body)).unwrap();
        let mut out = b"before".to_vec();
        template.append(FIRST_OPAQUE + 5, &mut out);
        let request = Request::decode(&out["before".len() + 4..]).unwrap();
        assert_eq!(request.opaque, FIRST_OPAQUE + 5);
        assert_eq!(request.body, b"1000000000");
        assert_eq!(out["before".len()..][template.field("e")], b'7');
        assert_eq!(&out["before".len()..][template.body()..], b"1000000000");
    }
}
