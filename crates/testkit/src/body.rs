//! Message bodies that prove which send they come from.
//!
//! Knows nothing of topics and brokers: a body names its run, producer and sequence, and a hash
//! over all of it shows any other bit that changed.

/// Bytes of the smallest body: what it must say about itself.
pub const MIN_BODY_SIZE: usize = 32;

const HASH: std::ops::Range<usize> = 24..32;

/// Who sent a body.
///
/// | bytes    | field      | meaning                                          |
/// |----------|------------|--------------------------------------------------|
/// | `0..8`   | `run`      | the run of the test, so that leftovers are seen  |
/// | `8..12`  | `producer` | unique in the run                                |
/// | `12..16` |            | size of the body, so that a cut is seen          |
/// | `16..24` | `sequence` | the producer's number of the message             |
/// | `24..32` |            | hash over everything else                        |
/// | `32..`   |            | bytes that follow from the above                 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub run: u64,
    pub producer: u32,
    pub sequence: u64,
}

/// Why bytes are not a body that a producer of this crate made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("body of {size} bytes is under the {MIN_BODY_SIZE} that every body has")]
    TooShort { size: usize },
    #[error("body says it has {said} bytes and has {size}")]
    Size { said: u32, size: usize },
    #[error("body says its hash is {said:016x} and it is {computed:016x}")]
    Hash { said: u64, computed: u64 },
}

impl Body {
    /// Appends a body of `size` bytes (at least [`MIN_BODY_SIZE`]) and gives its hash.
    pub fn write(&self, size: usize, out: &mut Vec<u8>) -> u64 {
        let size = size.max(MIN_BODY_SIZE);
        let said = u32::try_from(size).expect("a body is far smaller than 4 GiB");
        let (start, end) = (out.len(), out.len() + size);
        out.extend_from_slice(&self.run.to_le_bytes());
        out.extend_from_slice(&self.producer.to_le_bytes());
        out.extend_from_slice(&said.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let mut filler = hash(&out[start..]);
        while out.len() < end {
            filler = filler.wrapping_mul(MULTIPLIER).rotate_left(23);
            let bytes = filler.to_le_bytes();
            let missing = (end - out.len()).min(bytes.len());
            out.extend_from_slice(&bytes[..missing]);
        }
        let sum = body_hash(&out[start..]);
        out[start + HASH.start..start + HASH.end].copy_from_slice(&sum.to_le_bytes());
        sum
    }

    /// Reads and verifies a body; gives who sent it and its hash.
    pub fn read(bytes: &[u8]) -> Result<(Self, u64), BodyError> {
        let Some(head) = bytes.first_chunk::<MIN_BODY_SIZE>() else {
            return Err(BodyError::TooShort { size: bytes.len() });
        };
        let said = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
        if said as usize != bytes.len() {
            return Err(BodyError::Size { said, size: bytes.len() });
        }
        let (said, computed) = (word(&head[HASH]), body_hash(bytes));
        if said != computed {
            return Err(BodyError::Hash { said, computed });
        }
        let body = Self {
            run: word(&head[0..8]),
            producer: u32::from_le_bytes([head[8], head[9], head[10], head[11]]),
            sequence: word(&head[16..24]),
        };
        Ok((body, computed))
    }
}

fn body_hash(bytes: &[u8]) -> u64 {
    hash(&bytes[..HASH.start]) ^ hash(&bytes[HASH.end..]).rotate_left(1)
}

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// A 64-bit hash of bytes: enough against accidents, none against an enemy.
pub fn hash(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut state = MULTIPLIER ^ bytes.len() as u64;
    for bytes in words {
        state = mix(state, u64::from_le_bytes(*bytes));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    mix(mix(state, u64::from_le_bytes(last)), 0)
}

/// Each step is a bijection of `state` for a given word, so one changed word cannot cancel out.
fn mix(state: u64, word: u64) -> u64 {
    let state = (state ^ word).wrapping_mul(MULTIPLIER);
    state ^ (state >> 32)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: Body = Body { run: 9, producer: 4, sequence: 77 };

    fn bytes(size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        BODY.write(size, &mut bytes);
        bytes
    }

    #[test]
    fn a_body_says_who_sent_it() {
        for size in [0, 32, 33, 40, 1000, 4 * 1024 * 1024] {
            let mut bytes = b"before".to_vec();
            let hash = BODY.write(size, &mut bytes);
            assert_eq!(bytes.len(), 6 + size.max(MIN_BODY_SIZE));
            assert_eq!(Body::read(&bytes[6..]), Ok((BODY, hash)));
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = bytes(75);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Body::read(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_and_every_extension_is_seen() {
        let mut body = bytes(100);
        for size in 0..body.len() {
            assert!(Body::read(&body[..size]).is_err(), "{size} bytes");
        }
        body.push(0);
        assert_eq!(Body::read(&body), Err(BodyError::Size { said: 100, size: 101 }));
    }
}
