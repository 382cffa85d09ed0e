//! Many queues: descriptors, maps and time must not grow with them.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "clippy knows tests, not their helpers"
)]

mod support;

use std::{fs, time::Instant};

use rocketkube_store::{Batch, Options, QueueOffset, Status, TopicConfig};
use support::{open_with, options, parts, queue};

const TOPICS: usize = 12_500;
const QUEUES: u32 = 8;

fn count(path: &str, wanted: impl Fn(&str) -> bool) -> usize {
    if path.ends_with("maps") {
        return fs::read_to_string(path).unwrap().lines().filter(|line| wanted(line)).count();
    }
    fs::read_dir(path).unwrap().count()
}

#[test]
fn a_hundred_thousand_queues_take_a_bounded_number_of_files_and_maps() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap().to_owned();
    let large = || Options { segment_size: 4 << 20, ..options(dir.path()) };
    let (store, _) = open_with(large());
    let started = Instant::now();
    for n in 0..TOPICS {
        store.create_topic(&format!("topic-{n}"), &TopicConfig::with_queues(QUEUES), 1).unwrap();
    }
    println!("{TOPICS} topics in {:?}", started.elapsed());
    for n in 0..TOPICS {
        let (topic, mut batch) = (store.topic(&format!("topic-{n}")).unwrap(), Batch::default());
        for queue in topic.queues() {
            batch.push_message(queue, &parts(b"one", "")).unwrap();
        }
        store.append(batch, 1).unwrap();
    }
    store.close(2).unwrap();
    drop(store);
    let started = Instant::now();
    let (store, opening) = open_with(large());
    println!("opened in {:?}", started.elapsed());
    assert_eq!(opening.log.items, 0);
    for n in (0..TOPICS).step_by(97) {
        let held = queue(&store, &format!("topic-{n}"), 3);
        let read = store.read(&held, QueueOffset(0), support::ANY, &|_| true).unwrap();
        assert_eq!((read.status, read.messages), (Status::Found, 1));
    }
    let descriptors = count("/proc/self/fd", |_| true);
    let maps = count("/proc/self/maps", |line| line.contains(&folder));
    println!("{descriptors} descriptors, {maps} maps of files of the store");
    assert!(descriptors <= 200 && maps <= 200);
}
