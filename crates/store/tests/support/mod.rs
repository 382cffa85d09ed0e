//! What the tests of the store share: stores in small, and short ways to say things.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "clippy knows tests, not their helpers")]

use std::{net::SocketAddr, path::Path, sync::Arc};

use rocketkube_store::{
    Batch, Limits, MessageParts, Opening, Options, Placed, Queue, QueueOffset, Read, Store,
    TopicConfig, Volume,
};

pub const SMALL_SEGMENT: u64 = 64 << 10;
pub const ANY: Limits = Limits { max_messages: 1_000, max_bytes: 1 << 30 };

pub fn options(dir: &Path) -> Options {
    let segment_size = SMALL_SEGMENT;
    Options { segment_size, ..Options::new(dir, SocketAddr::from(([10, 0, 0, 1], 10_911))) }
}

pub fn open(dir: &Path) -> Store {
    open_with(options(dir)).0
}

pub fn open_with(options: Options) -> (Store, Opening) {
    Store::open(options).unwrap()
}

/// Path of the segment that starts at an offset.
pub fn segment(dir: &Path, start: u64) -> std::path::PathBuf {
    dir.join("log").join(format!("{start:020}.seg"))
}

pub fn queue(store: &Store, topic: &str, id: u32) -> Arc<Queue> {
    Arc::clone(store.topic(topic).unwrap().queue(id).unwrap())
}

pub fn topic(store: &Store, name: &str, queues: u32) -> Arc<Queue> {
    store.create_topic(name, &TopicConfig::with_queues(queues), 0).unwrap();
    queue(store, name, 0)
}

pub fn parts<'a>(body: &'a [u8], properties: &'a str) -> MessageParts<'a> {
    MessageParts {
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: SocketAddr::from(([10, 0, 0, 2], 40_000)),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        properties,
        appended_properties: &[],
        body,
    }
}

pub fn send(store: &Store, queue: &Arc<Queue>, body: &[u8], properties: &str, now: i64) -> Placed {
    let mut batch = Batch::default();
    batch.push_message(queue, &parts(body, properties)).unwrap();
    store.append(batch, now).unwrap().placed[0].unwrap()
}

/// A volume of which so much is used, large enough for what a log sets aside not to count.
pub fn used(percent: u8) -> Volume {
    Volume { total: 100 << 40, free: (u64::from(100 - percent) << 40) - (1 << 30) }
}

pub fn read(store: &Store, queue: &Queue, from: u64) -> Read {
    store.read(queue, QueueOffset(from), ANY, &|_| true).unwrap()
}

/// Queue offset and body of every visible message from `from` on.
pub fn bodies(store: &Store, queue: &Queue, from: u64) -> Vec<(u64, Vec<u8>)> {
    let (mut from, mut all) = (from, Vec::new());
    loop {
        let found = read(store, queue, from);
        if found.messages == 0 && found.next.0 <= from {
            return all;
        }
        let mut bytes = Vec::new();
        for extent in &found.extents {
            store.read_bytes(*extent, &mut bytes).unwrap();
        }
        for record in rocketkube_protocol::record::records(&bytes) {
            let record = record.unwrap();
            assert!(record.has_sound_body());
            all.push((record.queue_offset(), record.body().to_vec()));
        }
        from = found.next.0;
    }
}
