//! Thousands of topics, a hundred thousand queues.

use std::{
    net::SocketAddr,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rocketkube_protocol::{Command, RequestCode, ResponseCode, header::SendMessage};
use rocketkube_testkit::{Flush, Process, Wire, request};

use crate::{
    alone, dev,
    measure::{descriptors, maps},
    sized,
};

const PATIENCE: Duration = Duration::from_secs(30);
const CONNECTIONS: u32 = 4;
/// Requests in flight per connection.
const WINDOW: u32 = 64;
const QUEUES_PER_TOPIC: u32 = 1_000;
const MOST_HELD: usize = 200;

/// Sends requests number by number over several connections and waits until all succeeded.
fn run(
    broker: SocketAddr,
    numbers: Range<u32>,
    make: impl Fn(u32) -> Result<Command> + Sync,
) -> Result<Duration> {
    let started = Instant::now();
    let share = numbers.len().div_ceil(CONNECTIONS as usize).max(1);
    let numbers: Vec<u32> = numbers.collect();
    thread::scope(|scope| {
        let make = &make;
        let workers: Vec<_> = numbers
            .chunks(share)
            .map(|numbers| scope.spawn(move || pipeline(broker, numbers, make)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker returns its errors"))
    })?;
    Ok(started.elapsed())
}

fn pipeline(
    broker: SocketAddr,
    numbers: &[u32],
    make: &impl Fn(u32) -> Result<Command>,
) -> Result<()> {
    let mut wire = Wire::connect(broker, PATIENCE)?;
    let mut bytes = Vec::new();
    let mut in_flight = 0;
    for number in numbers {
        let command = Command { opaque: wire.next_opaque(), ..make(*number)? };
        command.encode_into(&mut bytes)?;
        in_flight += 1;
        if in_flight == WINDOW {
            wire.send(&bytes)?;
            bytes.clear();
            take(&mut wire, WINDOW / 2)?;
            in_flight -= WINDOW / 2;
        }
    }
    wire.send(&bytes)?;
    take(&mut wire, in_flight)
}

fn take(wire: &mut Wire, answers: u32) -> Result<()> {
    for _ in 0..answers {
        let (code, remark) = wire.receive_with(|answer| {
            (answer.response_code(), answer.remark.as_deref().map(str::to_owned))
        })?;
        ensure!(code == ResponseCode::SUCCESS, "{code:?} {remark:?}");
    }
    Ok(())
}

fn create(topic: &str, queues: u32) -> Command {
    let queues = queues.to_string();
    let fields = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", queues.as_str()),
        ("writeQueueNums", &queues),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    request(RequestCode::UPDATE_AND_CREATE_TOPIC.0, &fields, b"")
}

fn send(topic: &str, queue: u32) -> Result<Command> {
    let header = SendMessage {
        producer_group: "scale".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queues: 4,
        queue_id: i32::try_from(queue)?,
        born_timestamp: 1_700_000_000_000,
        properties: Some("KEYS\u{1}k\u{2}".into()),
        ..SendMessage::default()
    };
    Ok(Command::request(RequestCode::SEND_MESSAGE_V2, &header).body(*b"one message of a few bytes"))
}

fn many_topic(number: u32) -> String {
    format!("many-{number}")
}

fn ensure_held(process: &Process) -> Result<()> {
    let (descriptors, maps) = (descriptors(process)?, maps(process)?);
    eprintln!("{descriptors} descriptors, {maps} maps");
    ensure!(descriptors <= MOST_HELD, "{descriptors} descriptors");
    ensure!(maps <= MOST_HELD, "{maps} maps");
    Ok(())
}

#[test]
fn ten_thousand_topics_are_created_in_five_seconds() -> Result<()> {
    let _machine = alone();
    let dev = dev()?;
    let running = dev.start(Flush::Async, &mut rand::rng())?;
    let topics = sized(10_000);
    let took = run(running.broker, 0..topics, |number| Ok(create(&many_topic(number), 8)))?;
    eprintln!("{topics} topics created in {took:?}");
    ensure!(took <= Duration::from_secs(5), "{took:?}");
    ensure_held(&running.process)?;
    let last = many_topic(topics - 1);
    let asked = [("topic", last.as_str())];
    let code = RequestCode::GET_ROUTEINFO_BY_TOPIC.0;
    let mut namesrv = Wire::connect(running.namesrv, PATIENCE)?;
    let deadline = Instant::now() + PATIENCE;
    while namesrv.call(code, &asked, b"")?.response_code() != ResponseCode::SUCCESS {
        ensure!(Instant::now() < deadline, "{last} is not routed after {PATIENCE:?}");
    }
    Ok(())
}

#[test]
fn a_hundred_thousand_queues_cost_no_file_and_little_speed() -> Result<()> {
    let _machine = alone();
    let dev = dev()?;
    let mut running = dev.start(Flush::Async, &mut rand::rng())?;
    let queues = sized(100_000);
    run(running.broker, 0..1, |_| Ok(create("one", 8)))?;
    run(running.broker, 0..queues / QUEUES_PER_TOPIC, |number| {
        Ok(create(&many_topic(number), QUEUES_PER_TOPIC))
    })?;
    let one = |number| send("one", number % 8);
    let warm_up = run(running.broker, 0..queues, one)?;
    let one_topic = run(running.broker, 0..queues, one)?;
    let each_queue = run(running.broker, 0..queues, |number| {
        send(&many_topic(number / QUEUES_PER_TOPIC), number % QUEUES_PER_TOPIC)
    })?;
    let again = run(running.broker, 0..queues, one)?;
    let ratio = one_topic.min(again).as_secs_f64() / each_queue.as_secs_f64();
    eprintln!(
        "{queues} sends: {warm_up:?}, {one_topic:?} and {again:?} to one topic, {each_queue:?} to \
         a queue each: {ratio:.2}"
    );
    ensure_held(&running.process)?;
    ensure!(ratio >= 0.7, "{ratio}");
    // Every one of them still has its message after a start from what is on disk.
    running.process.kill()?;
    running = dev.start(Flush::Async, &mut rand::rng())?;
    let held = run(running.broker, 0..queues, |number| {
        let topic = many_topic(number / QUEUES_PER_TOPIC);
        let queue = (number % QUEUES_PER_TOPIC).to_string();
        let fields = [
            ("consumerGroup", "scale"),
            ("topic", topic.as_str()),
            ("queueId", &queue),
            ("queueOffset", "0"),
            ("maxMsgNums", "1"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("subVersion", "0"),
        ];
        Ok(request(RequestCode::PULL_MESSAGE.0, &fields, b""))
    });
    held.context("reading one message of every queue")?;
    ensure_held(&running.process)
}
