//! Appends 1 KiB records for a second per line and prints the rate.
//!
//! `cargo run --release -p rocketkube-log --example append [DIR]`: the directory decides which
//! disk is measured; default is a temporary one.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::{
    error::Error,
    ops::Range,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rocketkube_log::{Flush, Item, Log, Machine, Options};

const RECORD: usize = 1024;
const LASTS: Duration = Duration::from_secs(1);

/// Records without meaning, in an encoded batch.
struct Records(Vec<u8>);

impl Records {
    fn new(count: usize) -> Self {
        let mut record = vec![b'x'; RECORD];
        record[..4].copy_from_slice(&[0, 0, 4, 0]);
        Self(record.repeat(count))
    }
}

/// Stamps and counts as a store does, and keeps nothing.
#[derive(Default)]
struct Counter(u64);

impl Machine for Counter {
    type Batch = Records;

    fn bytes<'b>(&self, batch: &'b Records) -> &'b [u8] {
        &batch.0
    }

    fn stamp(&mut self, batch: &mut Records, start: u64, now_ms: i64) {
        for (offset, record) in (start..).step_by(RECORD).zip(batch.0.chunks_mut(RECORD)) {
            record[8..16].copy_from_slice(&offset.to_be_bytes());
            record[16..24].copy_from_slice(&now_ms.to_be_bytes());
        }
    }

    fn apply(&mut self, item: Item<'_>) {
        self.0 += item.bytes.len() as u64;
    }

    fn sealed(&mut self, _segment: Range<u64>) {}
}

/// Records per second, each confirmed before its thread appends the next batch.
fn measure(dir: &Path, flush: Flush, threads: usize, batch: usize) -> Result<u64, Box<dyn Error>> {
    let options = Options { flush, ..Options::new(dir) };
    let (log, _) = Log::open(options, Counter::default(), 0)?;
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| append(&log, flush, batch, started));
        }
    });
    let elapsed = started.elapsed();
    let records = log.with_machine(|counter| counter.0) / RECORD as u64;
    log.close()?;
    Ok(records * 1_000_000 / u64::try_from(elapsed.as_micros())?)
}

fn append(log: &Log<Counter>, flush: Flush, batch: usize, started: Instant) {
    let mut records = Records::new(batch);
    while started.elapsed() < LASTS {
        let Ok(appended) = log.append(records, 0) else { return };
        if flush == Flush::Sync && log.flush_to(appended.end).is_err() {
            return;
        }
        records = appended.batch;
    }
}

/// Bytes per second of an opening that walks and verifies everything.
fn reopen(dir: &Path) -> Result<(u64, Duration), Box<dyn Error>> {
    let started = Instant::now();
    let (log, recovery) = Log::open(Options::new(dir), Counter::default(), 0)?;
    let elapsed = started.elapsed();
    log.close()?;
    Ok((recovery.end - recovery.start, elapsed))
}

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = std::env::temp_dir().join(format!("log-append-{}", std::process::id()));
    let base = std::env::args().nth(1).map_or(temporary, PathBuf::from);
    let dir = base.join("measured");
    for flush in [Flush::Async, Flush::Sync] {
        for batch in [1, 64] {
            for threads in [1, 2, 4] {
                let rate = measure(&dir, flush, threads, batch)?;
                println!("{flush:?} batch {batch:2} threads {threads}: {rate:>9} rec/s");
                if flush == Flush::Async && batch == 64 && threads == 4 {
                    let (bytes, elapsed) = reopen(&dir)?;
                    let rate = u128::from(bytes) / elapsed.as_micros().max(1);
                    println!("opening: {} MB in {elapsed:?}, {rate} MB/s", bytes / 1_000_000);
                }
                std::fs::remove_dir_all(&dir)?;
            }
        }
    }
    Ok(())
}
