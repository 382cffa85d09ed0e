//! Rows 36 to 43, 75 and 76: names and shapes of topics.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use rocketkube_protocol::{RequestCode, ResponseCode};

use crate::{
    ask::{Ask, Row, create, pull, row, run, send},
    pair::Pair,
};

const INVALID: &[ResponseCode] = &[ResponseCode::INVALID_PARAMETER];
const FORBIDDEN: &[ResponseCode] = &[ResponseCode::NO_PERMISSION];
const OK: &[ResponseCode] = &[ResponseCode::SUCCESS];

/// A row for each way to name a topic.
fn names<'a>(number: u32, names: impl IntoIterator<Item = &'a str>) -> Vec<Row> {
    let mut rows = Vec::new();
    for name in names {
        let what = |how: &str| {
            let shown: String = name.chars().take(20).collect();
            format!("{how} {shown:?}")
        };
        rows.push(row(number, what("send to"), send(name), INVALID));
        rows.push(row(number, what("create"), create(name), INVALID));
    }
    rows
}

/// Every directory below one.
fn directories(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(directories(&entry.path())?);
            found.insert(entry.path());
        }
    }
    Ok(found)
}

#[test]
fn names_that_are_no_topics_are_refused_and_make_no_directory() -> Result<()> {
    let pair = Pair::start()?;
    let before = directories(pair.data())?;
    let long = "t".repeat(128);
    let retry = format!("%RETRY%{}", "g".repeat(249));
    let dead = format!("%DLQ%{}", "g".repeat(251));
    let mut rows = names(36, ["", " ", "\t"]);
    rows.extend(names(37, ["../../x", "a/b", "a\\b", ".", "..", "C:"]));
    rows.extend(names(38, ["a b", "a\u{7}b", "a\u{0}", "tópico", "主题", "a%00/"]));
    rows.extend(names(39, [long.as_str(), &retry, &dead]));
    run(&pair, &rows)?;
    let after = directories(pair.data())?;
    ensure!(before == after, "new directories {:?}", after.difference(&before));
    Ok(())
}

#[test]
fn topics_of_the_broker_itself_take_no_messages() -> Result<()> {
    let pair = Pair::start()?;
    let reserved = [
        "SCHEDULE_TOPIC_XXXX",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
    ];
    let rows: Vec<Row> =
        reserved.iter().map(|topic| row(40, *topic, send(topic), FORBIDDEN)).collect();
    run(&pair, &rows)
}

#[test]
fn an_unknown_topic_is_told_if_it_is_not_to_be_created() -> Result<()> {
    let pair = Pair::start_without_auto_creation()?;
    run(
        &pair,
        &[
            row(41, "send", send("unknown"), &[ResponseCode::TOPIC_NOT_EXIST]),
            row(41, "pull", pull("unknown"), &[ResponseCode::TOPIC_NOT_EXIST]),
        ],
    )
}

#[test]
fn queues_that_a_topic_does_not_have_are_refused() -> Result<()> {
    let pair = Pair::start()?;
    pair.create_topic("queues", 4)?;
    run(
        &pair,
        &[
            row(42, "send to 4 of 4", send("queues").with("e", 4), INVALID),
            row(42, "send to the highest", send("queues").with("e", i32::MAX), INVALID),
            row(42, "pull 4 of 4", pull("queues").with("queueId", 4), INVALID),
            row(42, "pull the highest", pull("queues").with("queueId", i32::MAX), INVALID),
            row(43, "send to -1", send("queues").with("e", -1), OK),
            row(43, "send to the lowest", send("queues").with("e", i32::MIN), OK),
            row(44, "pull -1", pull("queues").with("queueId", -1), INVALID),
        ],
    )
}

#[test]
fn topics_of_impossible_shape_are_not_created() -> Result<()> {
    let pair = Pair::start()?;
    let mut rows = vec![row(75, "perm 99", create("shape").with("perm", 99), INVALID)];
    for queues in [0_i64, -1, 1_000_000_000] {
        let read = create("shape").with("readQueueNums", queues);
        let both = read.clone().with("writeQueueNums", queues);
        rows.push(row(75, format!("{queues} read queues"), read, INVALID));
        rows.push(row(75, format!("{queues} queues"), both, INVALID));
    }
    let attribute = create("shape").with("attributes", "+no.such.attribute=1");
    rows.push(row(75, "unknown attribute", attribute, INVALID));
    for flag in [-1, 4, i32::MAX] {
        let ask = create("shape").with("topicSysFlag", flag);
        rows.push(row(75, format!("system flag {flag}"), ask, INVALID));
    }
    let filter = create("shape").with("topicFilterType", "NO_SUCH_TYPE");
    rows.push(row(75, "unknown filter type", filter, INVALID));
    // None of them left a topic behind.
    let one = Ask::new(RequestCode::GET_TOPIC_CONFIG, &[("topic", "shape")]);
    rows.push(row(75, "is not there", one, &[ResponseCode::TOPIC_NOT_EXIST]));
    run(&pair, &rows)
}

#[test]
fn a_list_of_topics_with_too_many_queues_makes_none_of_them() -> Result<()> {
    let pair = Pair::start()?;
    let topics: Vec<String> = (0..40)
        .map(|n| {
            format!(
                r#"{{"topicName":"wide-{n}","readQueueNums":65536,"writeQueueNums":65536,"perm":6}}"#
            )
        })
        .collect();
    let body = format!(r#"{{"topicConfigList":[{}]}}"#, topics.join(","));
    let list = Ask::new(RequestCode::UPDATE_AND_CREATE_TOPIC_LIST, &[]).body(body);
    let first = Ask::new(RequestCode::GET_TOPIC_CONFIG, &[("topic", "wide-0")]);
    run(
        &pair,
        &[
            row(75, "2.6 million queues", list, INVALID),
            row(75, "the first of them is not there", first, &[ResponseCode::TOPIC_NOT_EXIST]),
        ],
    )
}

#[test]
fn topics_of_the_system_are_not_deleted() -> Result<()> {
    let pair = Pair::start()?;
    let delete = |topic| Ask::new(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", topic)]);
    run(
        &pair,
        &[
            row(76, "template", delete("TBW102"), INVALID),
            row(76, "schedule", delete("SCHEDULE_TOPIC_XXXX"), INVALID),
            row(76, "all", delete("*"), INVALID),
            row(76, "empty", delete(""), INVALID),
        ],
    )
}
