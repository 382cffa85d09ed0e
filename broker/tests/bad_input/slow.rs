//! Rows that are about waiting: 1, 2, 8 and 63. They run side by side, as long as the longest.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rocketkube_protocol::{ResponseCode, frame::MAX_FRAME};
use rocketkube_testkit::{Wire, WireError};

use crate::{
    ask::pull,
    pair::{Pair, TOPIC},
};

/// Silence after which a connection that has sent nothing is closed.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// The longest a frame may take to arrive.
const PARTIAL_FRAME: Duration = Duration::from_secs(30);
/// The longest a pull may wait.
const LONGEST_POLL: Duration = Duration::from_secs(30);
/// How much later than its deadline something may happen: a sweep looks once a second or so, and
/// the machine may be busy.
const LATE: Duration = Duration::from_secs(6);

#[test]
fn whoever_says_nothing_or_too_little_is_closed_at_the_deadline() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    thread::scope(|scope| {
        let rows = [
            scope.spawn(|| closed_after(&pair, b"", FIRST_BYTE)),
            scope.spawn(|| closed_after(&pair, &[0], PARTIAL_FRAME)),
            scope.spawn(|| closed_after(&pair, &[0, 0, 1], PARTIAL_FRAME)),
            scope.spawn(|| trickle(&pair)),
            scope.spawn(|| longest_poll(&pair)),
        ];
        for row in rows {
            row.join().expect("rows do not panic")?;
        }
        pair.serves_others()
    })
}

fn closed_after(pair: &Pair, bytes: &[u8], deadline: Duration) -> Result<()> {
    let mut wire = pair.connect()?;
    wire.send(bytes)?;
    let took = wire.wait_closed(deadline + LATE)?;
    ensure!(took + Duration::from_secs(1) > deadline, "{bytes:?} closed after {took:?}");
    Ok(())
}

/// The largest frame there is, one byte a second.
fn trickle(pair: &Pair) -> Result<()> {
    let mut wire = pair.connect()?;
    let length = u32::try_from(MAX_FRAME - 4)?;
    wire.send(&length.to_be_bytes())?;
    wire.send(&2_u32.to_be_bytes())?;
    let started = Instant::now();
    loop {
        match wire.wait_closed(Duration::from_secs(1)) {
            Err(WireError::Silent { .. }) if wire.send(b"{").is_ok() => {}
            Ok(_) | Err(WireError::Silent { .. }) => break,
            Err(other) => return Err(other.into()),
        }
        ensure!(started.elapsed() < PARTIAL_FRAME + LATE, "a trickle was not closed");
    }
    let took = started.elapsed();
    ensure!(took + Duration::from_secs(2) > PARTIAL_FRAME, "closed after {took:?}");
    Ok(())
}

/// However long a pull wants to wait, it is answered.
fn longest_poll(pair: &Pair) -> Result<()> {
    let end = pair.max_offset(TOPIC)?;
    let ask = pull(TOPIC).with("queueOffset", end).with("sysFlag", 6);
    let ask = ask.with("suspendTimeoutMillis", i64::MAX);
    let mut wire = Wire::connect(pair.broker, LONGEST_POLL + LATE)?;
    let started = Instant::now();
    let answer = ask.call(&mut wire)?;
    ensure!(answer.response_code() == ResponseCode::PULL_NOT_FOUND, "{answer:?}");
    ensure!(started.elapsed() > LONGEST_POLL / 2, "after {:?}", started.elapsed());
    Ok(())
}
