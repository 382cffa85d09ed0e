//! The frame: a batch of items that is written, checksummed and flushed as one.
//!
//! Only layout and checksums; no file is touched here.

/// Bytes of a frame header.
pub const FRAME_HEADER: u64 = 96;
/// Every frame starts at a multiple of this, so that a scan finds headers without parsing.
pub const FRAME_ALIGN: u64 = 64;
pub(crate) const ALIGN_BYTES: usize = 64;
/// A frame takes further batches up to this many payload bytes; one item may go over it.
pub(crate) const FRAME_TARGET: u64 = 4 << 20;

pub(crate) const HEADER_BYTES: usize = 96;
pub(crate) const MAGIC: [u8; 4] = *b"RKF1";

/// The next multiple of [`FRAME_ALIGN`].
pub(crate) const fn align_up(offset: u64) -> u64 {
    offset.next_multiple_of(FRAME_ALIGN)
}

/// The random number a store is born with; it never leaves the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

/// Start value of all checksums of one store, so that a frame inside a message body, made by a
/// client or copied from another store, never passes for one of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal(u32);

impl Seal {
    pub(crate) fn new(id: StoreId) -> Self {
        Self(crc32c::crc32c(&id.0))
    }

    /// CRC-32C of the chunks, one after the other.
    pub(crate) fn checksum<'a>(self, chunks: impl IntoIterator<Item = &'a [u8]>) -> u32 {
        chunks.into_iter().fold(self.0, crc32c::crc32c_append)
    }
}

/// What a frame says about itself.
///
/// | bytes    | field         | meaning (integers big-endian)                              |
/// |----------|---------------|------------------------------------------------------------|
/// | `0..4`   | magic         | `RKF1`                                                     |
/// | `4..8`   | header CRC    | sealed CRC-32C of bytes `8..96`                            |
/// | `8..12`  | `payload_len` | bytes of the items, without padding                        |
/// | `12..16` | `items`       | number of items                                            |
/// | `16..24` | `epoch`       | one per opening of the log                                 |
/// | `24..32` | `number`      | one per frame; jumps only over damage                      |
/// | `32..40` | `start`       | physical offset of this header                             |
/// | `40..48` | `durable`     | what the writer had flushed when it wrote this             |
/// | `48..52` | `previous`    | header CRC of the frame before; 0 before the first         |
/// | `52..56` | `payload_crc` | sealed CRC-32C of the payload                              |
/// | `56..60` | `flags`       | 0                                                          |
/// | `60..96` | reserved      | 0                                                          |
///
/// Padding up to the next multiple of 64 is zero and not covered: no reader is given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) payload_len: u32,
    pub(crate) items: u32,
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    pub(crate) start: u64,
    pub(crate) durable: u64,
    pub(crate) previous: u32,
    pub(crate) payload_crc: u32,
    pub(crate) flags: u32,
}

impl FrameHeader {
    /// The bytes, and the header CRC that the next frame has to name.
    pub(crate) fn encode(&self, seal: Seal) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.payload_len.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.items.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.start.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.durable.to_be_bytes());
        bytes[48..52].copy_from_slice(&self.previous.to_be_bytes());
        bytes[52..56].copy_from_slice(&self.payload_crc.to_be_bytes());
        bytes[56..60].copy_from_slice(&self.flags.to_be_bytes());
        let crc = seal.checksum([&bytes[8..]]);
        bytes[4..8].copy_from_slice(&crc.to_be_bytes());
        (bytes, crc)
    }

    /// The header at physical offset `at`, if these bytes are one of this store and of this place.
    pub(crate) fn decode(bytes: &[u8], seal: Seal, at: u64) -> Option<(FrameHeader, u32)> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != MAGIC {
            return None;
        }
        let u32_at = |i: usize| bytes[i..].first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
        let u64_at = |i: usize| bytes[i..].first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
        let crc = u32_at(4);
        if u64_at(32) != at || crc != seal.checksum([&bytes[8..]]) {
            return None;
        }
        let header = FrameHeader {
            payload_len: u32_at(8),
            items: u32_at(12),
            epoch: u64_at(16),
            number: u64_at(24),
            start: at,
            durable: u64_at(40),
            previous: u32_at(48),
            payload_crc: u32_at(52),
            flags: u32_at(56),
        };
        Some((header, crc))
    }

    /// Number, and header CRC of the frame before, that a damaged header says.
    pub(crate) fn claim(bytes: &[u8]) -> Option<(u64, u32)> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let number = u64::from_be_bytes(*bytes[24..].first_chunk()?);
        Some((number, u32::from_be_bytes(*bytes[48..].first_chunk()?)))
    }

    /// Physical offset of the first item.
    pub(crate) fn payload_start(&self) -> u64 {
        self.start + FRAME_HEADER
    }

    /// Physical offset behind the padding: where the next frame starts.
    pub(crate) fn end(&self) -> u64 {
        align_up(self.payload_start() + u64::from(self.payload_len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal(0x1234_5678);

    fn header() -> FrameHeader {
        FrameHeader {
            payload_len: 100,
            items: 3,
            epoch: 7,
            number: 42,
            start: 4096,
            durable: 4000,
            previous: 0xDEAD_BEEF,
            payload_crc: 0xFEED_F00D,
            flags: 0,
        }
    }

    #[test]
    fn header_survives_a_round_trip() {
        let (bytes, crc) = header().encode(SEAL);
        assert_eq!(FrameHeader::decode(&bytes, SEAL, 4096), Some((header(), crc)));
        assert_eq!(header().end(), 4096 + 256);
    }

    #[test]
    fn header_is_refused_at_another_place_or_in_another_store() {
        let (bytes, _) = header().encode(SEAL);
        assert_eq!(FrameHeader::decode(&bytes, SEAL, 4160), None);
        assert_eq!(FrameHeader::decode(&bytes, Seal(1), 4096), None);
        assert_eq!(FrameHeader::decode(&bytes[..95], SEAL, 4096), None);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let (bytes, _) = header().encode(SEAL);
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&flipped, SEAL, 4096), None, "bit {bit}");
        }
    }
}
