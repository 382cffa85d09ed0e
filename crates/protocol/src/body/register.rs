//! The registration of a broker at a name server (103), plain and compressed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::{
    BodyError, DataVersion, TopicConfig, TopicConfigTable, from_json, or_default, to_json,
};
use crate::peer::version;

/// Most bytes a compressed registration may unpack to.
pub const MAX_UNPACKED: usize = 64 * 1024 * 1024;
/// Most bytes it may unpack to per byte.
pub const MAX_RATIO: usize = 100;

/// Body of `REGISTER_BROKER` (103).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Obsolete.
    #[serde(deserialize_with = "or_default")]
    pub filter_server_list: Vec<String>,
    /// Topics of the broker.
    #[serde(rename = "topicConfigSerializeWrapper", deserialize_with = "or_default")]
    pub topics: TopicConfigTable,
}

impl RegisterBrokerBody {
    /// Reads a body that the header calls compressed or not. Whether its CRC fits is for the caller
    /// to check, see [`body_crc`](crate::record::body_crc).
    ///
    /// # Errors
    /// If it cannot be read, or unpacks to more than [`MAX_UNPACKED`] or [`MAX_RATIO`] allow.
    pub fn decode(body: &[u8], compressed: bool) -> Result<Self, BodyError> {
        if compressed { Self::decode_parts(&unpack(body)?) } else { from_json(body) }
    }

    /// The body, to be called compressed in the header or not. `version` is what the sender says it
    /// is: compressed bodies end with a mapping section from 5.0.0 on.
    pub fn encode(&self, compressed: bool, version: i32) -> Vec<u8> {
        if compressed { pack(&self.encode_parts(version)) } else { to_json(self) }
    }

    /// Data version, topics as text, filter servers. A section of mapped queues may follow and is
    /// not read, because there are no such topics here.
    fn decode_parts(unpacked: &[u8]) -> Result<Self, BodyError> {
        let mut rest = unpacked;
        let data_version: DataVersion = from_json(take(&mut rest, "data version")?)?;
        let count = take_count(&mut rest, "number of topics")?;
        let mut topics = TopicConfigTable { data_version, ..TopicConfigTable::default() };
        for _ in 0..count {
            let text = String::from_utf8_lossy(take(&mut rest, "topic")?);
            let topic = TopicConfig::from_text(&text)?;
            topics.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        let filter_servers = take(&mut rest, "filter servers")?;
        let filter_server_list: Option<Vec<String>> = from_json(filter_servers)?;
        Ok(Self { filter_server_list: filter_server_list.unwrap_or_default(), topics })
    }

    fn encode_parts(&self, version: i32) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, &to_json(&self.topics.data_version));
        let topics = &self.topics.topic_config_table;
        put_count(&mut out, topics.len());
        for topic in topics.values() {
            put(&mut out, topic.to_text().as_bytes());
        }
        put(&mut out, &to_json(&self.filter_server_list));
        if version >= version::V5_0_0 {
            put_count(&mut out, 0);
        }
        out
    }
}

/// Inflates zlib data within the limits.
fn unpack(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    let limit = body.len().saturating_mul(MAX_RATIO).min(MAX_UNPACKED);
    let mut unpacked = Vec::new();
    // One byte over the limit is enough to know.
    let mut decoder = ZlibDecoder::new(body).take(limit as u64 + 1);
    decoder.read_to_end(&mut unpacked).map_err(|_| BodyError::Compressed("not a zlib stream"))?;
    if unpacked.len() > limit {
        return Err(BodyError::Compressed("unpacks to more than its size justifies"));
    }
    Ok(unpacked)
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
}

fn take_count(rest: &mut &[u8], part: &'static str) -> Result<usize, BodyError> {
    let (count, after) = rest.split_first_chunk().ok_or(BodyError::CutOff { part })?;
    *rest = after;
    usize::try_from(i32::from_be_bytes(*count)).map_err(|_| BodyError::CutOff { part })
}

/// Bytes after their own length.
fn take<'a>(rest: &mut &'a [u8], part: &'static str) -> Result<&'a [u8], BodyError> {
    let length = take_count(rest, part)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(BodyError::CutOff { part })?;
    *rest = after;
    Ok(bytes)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("registrations stay far below 2 GiB");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}
