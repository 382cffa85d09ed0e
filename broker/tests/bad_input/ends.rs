//! Row 32: clients that end their side, or all of it, while a pull of theirs waits.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rocketkube_protocol::{RequestCode, ResponseCode};
use rocketkube_testkit::{Wire, request};

use crate::{
    ask::{Ask, pull},
    pair::{PATIENCE, Pair, TOPIC},
};

/// How long the pulls here want to wait. Whatever takes this long waited for the deadline.
const WAIT_MS: i64 = 30_000;
/// What they may take instead.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A connection with so many parked pulls: the answer to another request says that they were seen.
fn park(pair: &Pair, pulls: usize) -> Result<Wire> {
    let end = pair.max_offset(TOPIC)?;
    let ask = pull(TOPIC).with("queueOffset", end).with("sysFlag", 6);
    let ask = ask.with("suspendTimeoutMillis", WAIT_MS);
    let ext: Vec<_> = ask.ext.iter().map(|(key, value)| (&**key, &**value)).collect();
    let mut wire = pair.connect()?;
    for _ in 0..pulls {
        let mut pull = request(ask.code.0, &ext, b"");
        pull.opaque = wire.next_opaque();
        let mut bytes = Vec::new();
        pull.encode_into(&mut bytes)?;
        wire.send(&bytes)?;
    }
    Pair::ask_something(&mut wire)?;
    Ok(wire)
}

#[test]
fn pulls_that_wait_are_answered_when_the_client_ends_its_side() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    let mut wire = park(&pair, 3)?;
    let started = Instant::now();
    wire.finish_sending()?;
    for _ in 0..3 {
        let answer = wire.receive()?;
        ensure!(answer.response_code() == ResponseCode::PULL_NOT_FOUND, "{answer:?}");
        let next = answer.fields().get("nextBeginOffset");
        ensure!(next.is_some_and(|next| next == "1"), "{answer:?}");
    }
    wire.wait_closed(PATIENCE)?;
    ensure!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    pair.serves_others()
}

#[test]
fn a_client_that_closes_while_its_pull_waits_leaves_its_group_at_once() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    let members = Ask::new(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "left")]);
    let mut wire = park(&pair, 1)?;
    let beat = br#"{"clientID":"c","producerDataSet":[],"consumerDataSet":[{"groupName":"left"}]}"#;
    Ask::new(RequestCode::HEART_BEAT, &[]).body(*beat).call(&mut wire)?;
    let mut other = pair.connect()?;
    let answer = members.call(&mut other)?;
    ensure!(answer.response_code() == ResponseCode::SUCCESS, "{answer:?}");

    let started = Instant::now();
    drop(wire);
    while members.call(&mut other)?.response_code() == ResponseCode::SUCCESS {
        ensure!(started.elapsed() < AT_ONCE, "the group still has its member");
    }
    Ok(())
}
