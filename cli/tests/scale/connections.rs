//! Thousands of connections that say nothing, or almost nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rocketkube_testkit::{Flush, Wire};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{alone, dev, measure::anonymous_bytes};

const CONNECTIONS: usize = 10_000;
const MOST_BYTES: u64 = 10 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
const GET_MAX_OFFSET: i32 = 30;

/// Ours and, by inheritance, the server's.
fn raise_descriptor_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(())
}

fn ask(wire: &mut Wire) -> Result<Duration> {
    let started = Instant::now();
    wire.call(GET_MAX_OFFSET, &[("topic", "none"), ("queueId", "0")], b"")?;
    Ok(started.elapsed())
}

#[test]
fn ten_thousand_silent_connections_cost_ten_mebibytes_and_delay_nobody() -> Result<()> {
    let _machine = alone();
    raise_descriptor_limit()?;
    let dev = dev()?;
    let running = dev.start(Flush::Async, &mut rand::rng())?;
    let mut existing = Wire::connect(running.broker, PATIENCE)?;
    for _ in 0..1_000 {
        ask(&mut existing)?;
    }
    let before = anonymous_bytes(&running.process)?;
    let mut silent = Vec::with_capacity(CONNECTIONS);
    let mut delays = Vec::new();
    for number in 0..CONNECTIONS {
        let mut wire = Wire::connect(running.broker, PATIENCE)?;
        // A third says nothing, a third begins a length, a third begins a large frame.
        match number % 3 {
            0 => {}
            1 => wire.send(&[0, 0, 1])?,
            _ => wire.send(&[0, 0xFF, 0xFF, 0xFF, 0, 0, 0, 9, b'{'])?,
        }
        silent.push(wire);
        if number % 100 == 99 {
            delays.push(ask(&mut existing)?);
        }
    }
    // The server has taken all of them once it answers one that came after.
    ask(&mut Wire::connect(running.broker, PATIENCE)?)?;
    let after = anonymous_bytes(&running.process)?;
    delays.sort_unstable();
    let slow = delays[delays.len() * 99 / 100];
    let cost = after.saturating_sub(before);
    eprintln!("{CONNECTIONS} silent connections: {cost} bytes, request p99 {slow:?}");
    ensure!(cost <= MOST_BYTES, "{cost} bytes");
    ensure!(slow <= Duration::from_millis(100), "p99 {slow:?}");
    Ok(())
}
