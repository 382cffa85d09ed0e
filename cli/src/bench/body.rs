//! Bodies of load messages: who made them, in which order, when, and a hash that finds any change.
//!
//! | bytes    | field      | meaning                                                    |
//! |----------|------------|------------------------------------------------------------|
//! | `0..4`   | magic      | `rkb1`                                                     |
//! | `4..8`   | `producer` | number of the connection that sent it                      |
//! | `8..16`  | `run`      | random number of the run                                   |
//! | `16..24` | `sequence` | counts up per producer                                     |
//! | `24..32` | `sent_ns`  | wall clock at the send, nanoseconds since 1970             |
//! | `32..40` | hash       | [`hash`] of bytes `0..32`, seeded with that of the filler  |
//! | `40..`   | filler     | the same in every message of a run                         |
//!
//! All little-endian. Because the filler is hashed once per run, stamping a message costs four
//! multiplications whatever its size; checking one reads all of it. The hash is no protection
//! against forgery.

/// Bytes in front of the filler; no body is shorter.
pub(crate) const PREFIX_LEN: usize = 40;

const MAGIC: [u8; 4] = *b"rkb1";
const HASHED: usize = 32;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// What one message says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer: u32,
    pub(crate) run: u64,
    pub(crate) sequence: u64,
    pub(crate) sent_ns: u64,
}

/// The part of the bodies that does not change during a run.
pub(crate) struct Filler {
    bytes: Vec<u8>,
    hash: u64,
}

impl Filler {
    /// A filler for bodies of `body_len` bytes, which must be at least [`PREFIX_LEN`].
    pub(crate) fn new(body_len: usize, run: u64) -> Self {
        let mut state = run;
        let mut bytes = Vec::with_capacity(body_len);
        while bytes.len() < body_len - PREFIX_LEN {
            state = mix(state, MULTIPLIER);
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(body_len - PREFIX_LEN);
        let hash = hash(0, &bytes);
        Self { bytes, hash }
    }

    /// A whole body with a prefix of zeros, to be overwritten by [`Filler::stamp`].
    pub(crate) fn body(&self) -> Vec<u8> {
        [&[0; PREFIX_LEN][..], &self.bytes].concat()
    }

    /// Writes the prefix of a body whose filler is this one.
    pub(crate) fn stamp(&self, body: &mut [u8], stamp: Stamp) {
        body[0..4].copy_from_slice(&MAGIC);
        body[4..8].copy_from_slice(&stamp.producer.to_le_bytes());
        body[8..16].copy_from_slice(&stamp.run.to_le_bytes());
        body[16..24].copy_from_slice(&stamp.sequence.to_le_bytes());
        body[24..32].copy_from_slice(&stamp.sent_ns.to_le_bytes());
        let hash = hash(self.hash, &body[..HASHED]);
        body[32..40].copy_from_slice(&hash.to_le_bytes());
    }
}

/// Why a body is not one that a load run sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Too short or without our magic: somebody else's message.
    Foreign,
    /// Says it is ours, but the hash differs.
    Altered,
}

/// Checks every byte of a body.
pub(crate) fn verify(body: &[u8]) -> Result<Stamp, BodyError> {
    let stamp = peek(body).ok_or(BodyError::Foreign)?;
    let expected = hash(hash(0, &body[PREFIX_LEN..]), &body[..HASHED]);
    if word(&body[32..40]) == expected { Ok(stamp) } else { Err(BodyError::Altered) }
}

/// Reads the prefix without checking the hash; `None` for a message of somebody else.
pub(crate) fn peek(body: &[u8]) -> Option<Stamp> {
    if body.len() < PREFIX_LEN || body[..4] != MAGIC {
        return None;
    }
    Some(Stamp {
        producer: u32::from_le_bytes([body[4], body[5], body[6], body[7]]),
        run: word(&body[8..16]),
        sequence: word(&body[16..24]),
        sent_ns: word(&body[24..32]),
    })
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(seed, bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        state = mix(state, word(chunk));
    }
    state
}

fn mix(state: u64, word: u64) -> u64 {
    let product = (state ^ word).wrapping_add(MULTIPLIER).wrapping_mul(MULTIPLIER);
    product ^ (product >> 32)
}

/// Up to eight bytes as a little-endian number.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { producer: 3, run: 0xfeed, sequence: 41, sent_ns: 1_700 };

    fn stamped(len: usize) -> Vec<u8> {
        let filler = Filler::new(len, STAMP.run);
        let mut body = filler.body();
        filler.stamp(&mut body, STAMP);
        body
    }

    #[test]
    fn a_stamped_body_is_verified_at_any_length() {
        for len in PREFIX_LEN..PREFIX_LEN + 40 {
            let body = stamped(len);
            assert_eq!(body.len(), len);
            assert_eq!(verify(&body), Ok(STAMP), "length {len}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let body = stamped(90);
        for bit in 0..body.len() * 8 {
            let mut altered = body.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&altered).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_body_that_lost_its_last_byte_is_altered() {
        let body = stamped(90);
        assert_eq!(verify(&body[..89]), Err(BodyError::Altered));
    }

    #[test]
    fn a_message_of_somebody_else_is_foreign() {
        assert_eq!(verify(b"hello"), Err(BodyError::Foreign));
        assert_eq!(verify(&[7; 100]), Err(BodyError::Foreign));
    }
}
