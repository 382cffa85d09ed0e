//! `kill -9` of a process that appends: nothing acknowledged is lost, altered or moved.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use rand::RngExt;
use rocketkube_log::{Flush, Options};

use crate::support::*;

const DIR: &str = "LOG_TEST_CHILD_DIR";
const CYCLE: &str = "LOG_TEST_CHILD_CYCLE";
const CYCLES: u64 = 30;
const THREADS: u64 = 3;

fn options_of(cycle: u64, dir: &Path) -> Options {
    let flush = if cycle.is_multiple_of(2) { Flush::Sync } else { Flush::Async };
    Options { flush, segment_size: 256 << 10, ..Options::new(dir) }
}

/// Not a test of its own: appends until it is killed, telling what is acknowledged.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let cycle: u64 = env::var(CYCLE).unwrap().parse().unwrap();
    let (log, _) = open(options_of(cycle, Path::new(&dir)));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for i in 0.. {
                    let tag = cycle << 40 | thread << 32 | i;
                    let appended = append(log, tag, 40 + (tag as usize * 37) % 3000);
                    if cycle.is_multiple_of(2) {
                        log.flush_to(appended.end).unwrap();
                    }
                    assert!(log.confirmed() >= appended.end);
                    let line = format!("\nacknowledged {} {tag}\n", appended.start);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

fn spawn(dir: &Path, cycle: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture"])
        .env(DIR, dir)
        .env(CYCLE, cycle.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Offset and tag of a line that was written whole.
fn acknowledged(line: &str) -> Option<(u64, u64)> {
    let mut words = line.strip_prefix("acknowledged ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[test]
fn killed_processes_lose_and_alter_nothing_acknowledged() {
    let mut random = random();
    let dir = fast_dir();
    let mut known = BTreeMap::new();
    for cycle in 0..CYCLES {
        let mut child = spawn(dir.path(), cycle);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = random.random_range(1..400);
        let seen = lines.by_ref().map_while(Result::ok).filter_map(|l| acknowledged(&l));
        known.extend(seen.take(enough));
        child.kill().unwrap();
        known.extend(lines.map_while(Result::ok).filter_map(|l| acknowledged(&l)));
        child.wait().unwrap();

        let (log, recovery) = open(options_of(cycle, dir.path()));
        let found: BTreeMap<_, _> = items(&log).into_iter().collect();
        assert_eq!(recovery.damage, [], "cycle {cycle}");
        for (offset, tag) in &known {
            assert_eq!(found.get(offset), Some(tag), "cycle {cycle}: item at {offset}");
        }
        assert!(!recovery.clean);
    }
    assert!(known.len() as u64 > CYCLES * 10, "only {} items", known.len());
}
