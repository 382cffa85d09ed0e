//! Messages from append to read, and what each status means.

use std::time::Duration;

mod support;

use rocketkube_log::{Fault, Faults};
use rocketkube_store::{
    Batch, Flush, KeyQuery, Limits, Options, QueueOffset, Retention, Status, StoreError,
    TopicConfig,
};
use support::{bodies, open, open_with, options, parts, queue, read, send, topic};

#[test]
fn a_message_comes_back_as_it_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = topic(&store, "t", 4);
    let placed = send(&store, &queue, b"hello", "TAGS\u{1}TagA\u{2}", 77);
    assert_eq!(placed.queue_offset, QueueOffset(0));
    let found = read(&store, &queue, 0);
    assert_eq!((found.status, found.messages, found.next), (Status::Found, 1, QueueOffset(1)));
    let mut bytes = Vec::new();
    store.read_bytes(found.extents[0], &mut bytes).unwrap();
    let record = rocketkube_protocol::record::RecordView::parse(&bytes).unwrap();
    assert_eq!((record.body(), record.topic(), record.queue_id()), (&b"hello"[..], "t", 0));
    assert_eq!((record.queue_offset(), record.store_timestamp()), (0, 77));
    assert_eq!(record.physical_offset(), placed.physical_offset.0);
}

#[test]
fn offsets_outside_the_queue_say_where_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = topic(&store, "t", 1);
    let status = |from| {
        let found = read(&store, &queue, from);
        (found.status, found.next.0)
    };
    assert_eq!(status(0), (Status::EmptyQueue, 0));
    assert_eq!(status(3), (Status::OffsetBeyondEnd, 0));
    send(&store, &queue, b"a", "", 1);
    assert_eq!(status(0), (Status::Found, 1));
    assert_eq!(status(1), (Status::EndOfQueue, 1));
    assert_eq!(status(2), (Status::OffsetBeyondEnd, 1));
}

#[test]
fn one_message_comes_even_if_it_is_over_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = topic(&store, "t", 1);
    for _ in 0..40 {
        send(&store, &queue, &[7; 500], "", 1);
    }
    let count = |max_messages, max_bytes| {
        let limits = Limits { max_messages, max_bytes };
        store.read(&queue, QueueOffset(0), limits, &|_| true).unwrap().messages
    };
    assert_eq!(count(32, 1), 1);
    assert_eq!(count(32, 1 << 20), 32);
    assert_eq!(count(0, 1 << 20), 1);
    assert_eq!(count(100, 1 << 20), 40);
    assert_eq!(count(100, 1_300), 2);
}

#[test]
fn a_filter_that_matches_nothing_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = topic(&store, "t", 1);
    for n in 0..100 {
        let tag = if n % 10 == 0 { "TAGS\u{1}TagA\u{2}" } else { "TAGS\u{1}TagB\u{2}" };
        send(&store, &queue, b"x", tag, 1);
    }
    let none = store.read(&queue, QueueOffset(0), support::ANY, &|_| false).unwrap();
    assert_eq!((none.status, none.next, none.messages), (Status::NoMatch, QueueOffset(100), 0));
    let tag_a = store.read(&queue, QueueOffset(1), support::ANY, &|tag| tag == 2_598_919).unwrap();
    assert_eq!((tag_a.messages, tag_a.next), (9, QueueOffset(100)));
    let limits = Limits { max_messages: 2, max_bytes: 1 << 20 };
    let two = store.read(&queue, QueueOffset(0), limits, &|tag| tag == 2_598_919).unwrap();
    assert_eq!((two.messages, two.next), (2, QueueOffset(20)));
}

#[test]
fn messages_of_one_batch_get_consecutive_offsets_and_are_one_extent() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = topic(&store, "t", 1);
    let mut batch = Batch::default();
    for n in 0..10_u8 {
        batch.push_message(&queue, &parts(&[n], "")).unwrap();
    }
    let receipt = store.append(batch, 1).unwrap();
    let offsets: Vec<_> = receipt.placed.iter().map(|p| p.unwrap().queue_offset.0).collect();
    assert_eq!(offsets, (0..10).collect::<Vec<_>>());
    assert_eq!(read(&store, &queue, 0).extents.len(), 1);
    let batch = receipt.into_batch();
    assert!(batch.is_empty() && batch.messages() == 0);
}

#[test]
fn a_batch_rolled_back_leaves_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = topic(&store, "t", 1);
    let mut batch = Batch::default();
    batch.push_message(&queue, &parts(b"kept", "KEYS\u{1}a b")).unwrap();
    let checkpoint = batch.checkpoint();
    batch.push_message(&queue, &parts(b"dropped", "KEYS\u{1}c")).unwrap();
    batch.roll_back(checkpoint);
    assert_eq!(store.append(batch, 1).unwrap().placed.len(), 1);
    assert_eq!(bodies(&store, &queue, 0), [(0, b"kept".to_vec())]);
}

#[test]
fn the_words_of_keys_that_find_a_message_are_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let held = topic(&store, "t", 1);
    let keys: Vec<_> = (0..100).map(|n| format!("k{n}")).collect();
    send(&store, &held, b"x", &format!("KEYS\u{1}{}\u{2}", keys.join(" ")), 1);
    for _ in 0..2 {
        let finds = |key: &String| {
            let stored = 0..=i64::MAX;
            let query = KeyQuery { topic: "t", key, unique_only: false, stored, max_messages: 9 };
            store.find_by_key(&query).unwrap().messages == 1
        };
        let found: Vec<_> = keys.iter().filter(|key| finds(key)).collect();
        assert_eq!(found, keys[..64].iter().collect::<Vec<_>>());
        drop(store);
        store = open(dir.path());
    }
}

#[test]
fn messages_found_by_key_are_4_mib_together_or_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(Options { segment_size: 16 << 20, ..options(dir.path()) });
    let held = topic(&store, "t", 1);
    let found = || {
        let stored = 0..=i64::MAX;
        let query = KeyQuery { topic: "t", key: "k", unique_only: false, stored, max_messages: 9 };
        let found = store.find_by_key(&query).unwrap();
        let bodies: Vec<_> = rocketkube_protocol::record::records(&found.records)
            .map(|record| record.unwrap().body().len())
            .collect();
        assert_eq!(bodies.len(), found.messages);
        bodies
    };
    for size in [100, 1 << 20, 3 << 19, 2 << 20] {
        send(&store, &held, &vec![1; size], "KEYS\u{1}k\u{2}", 1);
    }
    // Newest first; what is older than the one that is too much is left out too.
    assert_eq!(found(), [2 << 20, 3 << 19]);
    send(&store, &held, &vec![1; 4 << 20], "KEYS\u{1}k\u{2}", 1);
    assert_eq!(found(), [4 << 20]);
}

#[test]
fn store_time_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = topic(&store, "t", 1);
    for now in [100, 50, 120] {
        send(&store, &queue, b"x", "", now);
    }
    let mut bytes = Vec::new();
    for extent in read(&store, &queue, 0).extents {
        store.read_bytes(extent, &mut bytes).unwrap();
    }
    let times: Vec<_> = rocketkube_protocol::record::records(&bytes)
        .map(|record| record.unwrap().store_timestamp())
        .collect();
    assert_eq!(times, [100, 100, 120]);
}

#[test]
fn a_message_for_a_deleted_topic_is_placed_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let old = topic(&store, "t", 1);
    send(&store, &old, b"old", "", 1);
    store.delete_topic("t", 1).unwrap();
    assert!(old.is_closed() && store.topic("t").is_none());
    let new = topic(&store, "t", 1);
    let mut batch = Batch::default();
    batch.push_message(&old, &parts(b"late", "")).unwrap();
    batch.push_message(&new, &parts(b"new", "")).unwrap();
    let placed = store.append(batch, 1).unwrap().placed;
    assert_eq!(placed[0], None);
    assert_eq!(placed[1].unwrap().queue_offset, QueueOffset(0));
    assert_eq!(bodies(&store, &new, 0), [(0, b"new".to_vec())]);
    drop(store);
    let store = open(dir.path());
    assert_eq!(bodies(&store, &queue(&store, "t", 0), 0), [(0, b"new".to_vec())]);
}

#[test]
fn a_topic_is_created_once_and_changed_only_if_it_exists() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    topic(&store, "t", 1);
    let config = TopicConfig::with_queues(2);
    let again = store.create_topic("t", &config, 1);
    assert!(matches!(again, Err(StoreError::TopicExists { .. })));
    let missing = store.update_topic("u", &config, 1);
    assert!(matches!(missing, Err(StoreError::NoSuchTopic { .. })));
    store.update_topic("t", &config, 1).unwrap();
    assert_eq!(store.topic("t").unwrap().queues().len(), 2);
    let huge = store.create_topic("v", &TopicConfig::with_queues(1 << 20), 1);
    assert!(matches!(huge, Err(StoreError::TooManyQueues { .. })));
}

#[test]
fn queues_are_bounded_over_all_topics_but_those_there_are_stay() {
    let dir = tempfile::tempdir().unwrap();
    let open_for = |max_queues| open_with(Options { max_queues, ..options(dir.path()) }).0;
    let with = TopicConfig::with_queues;
    let store = open_for(10);
    store.create_topic("t", &with(6), 1).unwrap();
    let refused = store.create_topic("u", &with(5), 1).unwrap_err();
    let operands = StoreError::TooManyQueuesInAll { asked: 5, existing: 6, max: 10 };
    assert_eq!(refused.to_string(), operands.to_string());
    assert!(store.topic("u").is_none());
    store.create_topic("u", &with(3), 1).unwrap();
    let refused = store.update_topic("u", &with(5), 1).unwrap_err();
    assert!(matches!(refused, StoreError::TooManyQueuesInAll { asked: 2, existing: 9, max: 10 }));
    store.update_topic("u", &with(4), 1).unwrap();
    drop(store);

    let store = open_for(4);
    assert_eq!(store.topics().iter().map(|topic| topic.queues().len()).sum::<usize>(), 10);
    store.update_topic("t", &with(2), 2).unwrap();
    store.create_topic("v", &with(1), 2).unwrap_err();
    for name in ["t", "u"] {
        store.delete_topic(name, 2).unwrap();
    }
    store.create_topic("v", &with(4), 2).unwrap();
}

#[test]
fn what_is_so_already_is_still_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let config = TopicConfig::with_queues(1);
    let created = store.create_topic("t", &config, 1).unwrap();
    assert!(store.update_topic("t", &config, 1).unwrap() >= created);
    let created = store.create_group("g", "{}", 1).unwrap();
    assert!(store.create_group("g", "{}", 1).unwrap() >= created);
}

#[test]
fn a_group_that_an_administrator_made_is_not_replaced_by_an_automatic_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put_group("g", "{\"retryMaxTimes\":3}", 1).unwrap();
    store.create_group("g", "{}", 1).unwrap();
    assert_eq!(store.group("g").unwrap().config(), "{\"retryMaxTimes\":3}");
    store.create_group("h", "{}", 1).unwrap();
    assert_eq!(store.group("h").unwrap().config(), "{}");
}

#[test]
fn nothing_is_shown_before_it_is_durable_when_flush_is_sync() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::plan([Fault::Flush(3)]);
    let sync = Options { flush: Flush::Sync, faults, ..options(dir.path()) };
    let (store, _) = open_with(sync);
    store.create_topic("t", &TopicConfig::with_queues(1), 0).unwrap();
    let queue = queue(&store, "t", 0);
    let mut last_max = QueueOffset(0);
    for _ in 0..100 {
        let mut batch = Batch::default();
        batch.push_message(&queue, &parts(b"x", "")).unwrap();
        if store.append(batch, 1).is_err() {
            break;
        }
        last_max = queue.max();
    }
    // Whatever became visible stays, and nothing more does after the failed flush.
    assert!(queue.max() >= last_max);
    let shown = bodies(&store, &queue, 0).len() as u64;
    assert!(shown <= queue.max().0);
}

#[test]
fn queues_beyond_a_reduced_count_survive_even_if_only_the_reduction_is_retained() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { age: Duration::from_millis(10), ..Retention::default() };
    let (store, _) = open_with(Options { retention, ..options(dir.path()) });
    topic(&store, "t", 3);
    let last = queue(&store, "t", 2);
    store.update_topic("t", &TopicConfig::with_queues(1), 1).unwrap();
    // Fills segments until the one with both records is trimmed.
    let mut now = 1;
    while store.start().0 == 0 {
        now += 1;
        send(&store, &last, &[7; 4_000], "", now);
        store.retain(now, &|| support::used(10)).unwrap();
    }
    let (before, bounds) = (bodies(&store, &last, last.min().0), last.bounds());
    drop(store);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    std::fs::remove_dir_all(dir.path().join("snapshot")).unwrap();
    let store = open(dir.path());
    let last = queue(&store, "t", 2);
    assert_eq!(last.bounds(), bounds);
    assert_eq!(bodies(&store, &last, bounds.min.0), before);
}
