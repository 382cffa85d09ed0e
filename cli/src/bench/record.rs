//! As much of a stored message as a load test looks at: where it is and what its body is.
//!
//! A view of the protocol crate would check properties and names as well; that costs more than the
//! whole budget of the load tool for a message.

// Positions of the fixed fields, the same for both magics.
const QUEUE_ID: usize = 12;
const QUEUE_OFFSET: usize = 20;
const SYS_FLAG: usize = 36;
/// Length of the fixed fields with IPv4 hosts; each IPv6 host adds [`IPV6_EXTRA`].
const FIXED: usize = 84;
const IPV6_EXTRA: usize = 12;
const MAGICS: [u32; 2] = [0xDAA3_20A7, 0xDAA3_20AB];
const BORN_HOST_IPV6: u32 = 16;
const STORE_HOST_IPV6: u32 = 32;

/// One message of a pull answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) queue_id: u32,
    pub(crate) queue_offset: u64,
    pub(crate) body: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of an answer and what follows it; `None` if the bytes do not begin with one.
    pub(crate) fn split_first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let size = read_u32(bytes, 0)? as usize;
        let (record, rest) = bytes.split_at_checked(size)?;
        if !MAGICS.contains(&read_u32(record, 4)?) {
            return None;
        }
        let flags = read_u32(record, SYS_FLAG)?;
        let wide_hosts = (flags & (BORN_HOST_IPV6 | STORE_HOST_IPV6)).count_ones() as usize;
        let body_at = FIXED + wide_hosts * IPV6_EXTRA;
        let body_len = read_u32(record, body_at)? as usize;
        let offset = record.get(QUEUE_OFFSET..)?.first_chunk()?;
        let record = Self {
            queue_id: read_u32(record, QUEUE_ID)?,
            queue_offset: u64::from_be_bytes(*offset),
            body: record.get(body_at + 4..)?.get(..body_len)?,
        };
        Some((record, rest))
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record without topic and properties.
    fn record(flags: u32, fixed: usize, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; fixed];
        bytes[4..8].copy_from_slice(&MAGICS[0].to_be_bytes());
        bytes[QUEUE_ID..][..4].copy_from_slice(&3u32.to_be_bytes());
        bytes[QUEUE_OFFSET..][..8].copy_from_slice(&41u64.to_be_bytes());
        bytes[SYS_FLAG..][..4].copy_from_slice(&flags.to_be_bytes());
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        let size = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        bytes
    }

    #[test]
    fn records_follow_each_other_with_hosts_of_any_width() {
        let bytes = [
            record(0, 84, b"one"),
            record(BORN_HOST_IPV6, 96, b"two"),
            record(BORN_HOST_IPV6 | STORE_HOST_IPV6, 108, b""),
        ]
        .concat();
        let mut rest = bytes.as_slice();
        for body in [&b"one"[..], b"two", b""] {
            let (record, after) = Record::split_first(rest).unwrap();
            assert_eq!(record, Record { queue_id: 3, queue_offset: 41, body });
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_record_that_was_cut_or_altered_is_none() {
        let bytes = record(0, 84, b"body");
        for len in 0..bytes.len() {
            assert_eq!(Record::split_first(&bytes[..len]), None, "{len} bytes");
        }
        let mut altered = bytes;
        altered[4] ^= 1;
        assert_eq!(Record::split_first(&altered), None);
    }
}
