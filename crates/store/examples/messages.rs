//! How long appending and reading take, without network: `cargo run --release -p rocketkube-store --example messages`.
//!
//! One thread, 1 KiB bodies, flush in the background. Prints nanoseconds per message: the median
//! of the rounds and the worst of them.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{error::Error, net::SocketAddr, path::Path, sync::Arc, time::Instant};

use rocketkube_store::{
    Batch, Limits, MessageParts, Options, Queue, QueueOffset, Store, TopicConfig,
};

const ROUNDS: usize = 9;
const MESSAGES: usize = 50_000;
const BODY: [u8; 1024] = [7; 1024];
const PROPERTIES: &str = "KEYS\u{1}order-4711\u{2}UNIQ_KEY\u{1}0A00000200001F9018B4AAC2A1B20001\u{2}\
                          WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}";

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("rocketkube-append-{}", std::process::id()));
    let result = measure(&dir);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (store, _) = Store::open(Options::new(dir, SocketAddr::from(([127, 0, 0, 1], 10_911))))?;
    store.create_topic("bench", &TopicConfig::with_queues(8), 0)?;
    let topic = store.topic("bench").ok_or("created above")?;
    encode(topic.queues())?;
    for size in [1, 64] {
        append(&store, topic.queues(), size)?;
    }
    read(&store, &topic.queues()[0])?;
    store.close(1)?;
    let start = Instant::now();
    let (store, opening) =
        Store::open(Options::new(dir, SocketAddr::from(([127, 0, 0, 1], 10_911))))?;
    println!("open after a clean stop at {}: {:?}", opening.log.end, start.elapsed());
    drop(store);
    let start = Instant::now();
    for derived in ["index", "snapshot"] {
        std::fs::remove_dir_all(dir.join(derived))?;
    }
    Store::open(Options::new(dir, SocketAddr::from(([127, 0, 0, 1], 10_911))))?;
    println!("open without derived files: {:?}", start.elapsed());
    Ok(())
}

fn report(what: &str, mut rounds: Vec<f64>) {
    rounds.sort_by(f64::total_cmp);
    println!("{what}: {:.0} ns (worst {:.0})", rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 nanoseconds")]
fn each(start: Instant, count: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

fn parts<'a>() -> MessageParts<'a> {
    MessageParts {
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: SocketAddr::from(([127, 0, 0, 1], 50_000)),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        properties: PROPERTIES,
        appended_properties: &[("MSG_REGION", "DefaultRegion"), ("TRACE_ON", "true")],
        body: &BODY,
    }
}

/// Encoding alone, outside the log's tail.
fn encode(queues: &[Arc<Queue>]) -> Result<(), Box<dyn Error>> {
    let (mut batch, mut rounds) = (Batch::default(), Vec::new());
    let empty = batch.checkpoint();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for n in 0..MESSAGES {
            if n % 64 == 0 {
                batch.roll_back(empty);
            }
            batch.push_message(&queues[n % queues.len()], &parts())?;
        }
        rounds.push(each(start, MESSAGES));
    }
    report("encode", rounds);
    Ok(())
}

fn append(store: &Store, queues: &[Arc<Queue>], size: usize) -> Result<(), Box<dyn Error>> {
    let (mut batch, mut rounds) = (Batch::default(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for n in 0..MESSAGES / size {
            for at in 0..size {
                batch.push_message(&queues[(n + at) % queues.len()], &parts())?;
            }
            batch = store.append(batch, 1)?.into_batch();
        }
        rounds.push(each(start, MESSAGES / size * size));
    }
    report(&format!("encode and append, batches of {size}"), rounds);
    Ok(())
}

fn read(store: &Store, queue: &Queue) -> Result<(), Box<dyn Error>> {
    let limits = Limits { max_messages: 32, max_bytes: 256 << 10 };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (start, mut from, mut messages) = (Instant::now(), QueueOffset(0), 0);
        while from < queue.max() {
            let read = store.read(queue, from, limits, &|_| true)?;
            messages += read.messages;
            from = read.next;
        }
        rounds.push(each(start, messages));
    }
    report("find where to read, 32 at a time", rounds);
    Ok(())
}
