//! Rows 33 to 35 and 45 to 77: requests with wrong fields and bodies, to the broker.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rocketkube_protocol::{Command, RequestCode, ResponseCode, record::RecordView};
use rocketkube_testkit::{Wire, request};

use crate::{
    ask::{Ask, Row, pull, row, run, send},
    namesrv::bomb,
    pair::{Pair, TOPIC},
};

const INVALID: &[ResponseCode] = &[ResponseCode::INVALID_PARAMETER];
const ILLEGAL: &[ResponseCode] = &[ResponseCode::MESSAGE_ILLEGAL];
const FORBIDDEN: &[ResponseCode] = &[ResponseCode::NO_PERMISSION];
const ERROR: &[ResponseCode] = &[ResponseCode::SYSTEM_ERROR];
const OK: &[ResponseCode] = &[ResponseCode::SUCCESS];

/// Every number that is or might be a request code.
fn codes() -> impl Iterator<Item = i32> {
    (0..1_100).chain(2_000..2_010).chain(3_000..3_020).chain(200_040..200_160)
}

/// Every field that some request of a client has.
const FIELDS: [&str; 40] = [
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
    "i",
    "j",
    "k",
    "l",
    "m",
    "n",
    "producerGroup",
    "consumerGroup",
    "group",
    "groupName",
    "topic",
    "defaultTopic",
    "queueId",
    "queueOffset",
    "maxMsgNums",
    "sysFlag",
    "commitOffset",
    "suspendTimeoutMillis",
    "subVersion",
    "subscription",
    "offset",
    "timestamp",
    "key",
    "maxNum",
    "beginTimestamp",
    "endTimestamp",
    "clientID",
    "readQueueNums",
    "writeQueueNums",
    "perm",
    "order",
    "topicFilterType",
];

#[test]
fn every_request_code_without_fields_is_answered() -> Result<()> {
    let pair = Pair::start()?;
    for addr in [pair.broker, pair.namesrv] {
        let mut wire = Wire::connect(addr, crate::pair::PATIENCE)?;
        for code in codes() {
            let answer = wire.call(code, &[], b"").with_context(|| format!("code {code}"))?;
            ensure!(answer.is_response(), "code {code}: {answer:?}");
        }
    }
    pair.serves_others()
}

#[test]
fn every_known_request_code_with_any_field_value_is_answered() -> Result<()> {
    let pair = Pair::start()?;
    let mut wire = pair.connect()?;
    let known = known_codes(&mut wire)?;
    ensure!(known.len() > 20, "{known:?}");
    let long = "x".repeat(1024 * 1024);
    let values =
        ["", "\u{0}", "\u{1F980}", "-1", "9223372036854775807", "99999999999999999999", "NaN"];
    for code in known {
        for value in values {
            let fields: Vec<_> = FIELDS.iter().map(|field| (*field, value)).collect();
            let answer = wire.call(code, &fields, b"");
            answer.with_context(|| format!("code {code}, every field {value:?}"))?;
        }
        let fields = ["b", "topic", "group", "consumerGroup", "clientID"].map(|f| (f, &*long));
        wire.call(code, &fields, b"").with_context(|| format!("code {code}, long fields"))?;
        pair.serves_others().with_context(|| format!("after code {code}"))?;
    }
    Ok(())
}

fn known_codes(wire: &mut Wire) -> Result<Vec<i32>> {
    let mut known = Vec::new();
    for code in codes() {
        let answer = wire.call(code, &[], b"")?;
        if answer.response_code() != ResponseCode::REQUEST_CODE_NOT_SUPPORTED {
            known.push(code);
        }
    }
    Ok(known)
}

#[test]
fn messages_of_illegal_size_are_refused() -> Result<()> {
    let pair = Pair::start()?;
    let properties = |size: usize| format!("k\u{1}{}\u{2}", "v".repeat(size - 3));
    run(
        &pair,
        &[
            row(45, "no body", send(TOPIC).body(b""), ILLEGAL),
            row(46, "4 MiB and 1 byte", send(TOPIC).body(vec![7; (4 << 20) + 1]), ILLEGAL),
            row(46, "4 MiB", send(TOPIC).body(vec![7; 4 << 20]), OK),
            row(47, "32 KiB + 1 of properties", send(TOPIC).with("i", properties(32_769)), ILLEGAL),
        ],
    )
}

/// An address may be another broker's by now; an OK would hide the message from its consumers.
#[test]
fn a_message_for_another_broker_is_not_acknowledged() -> Result<()> {
    let pair = Pair::start()?;
    let other = send(TOPIC).with("n", "orders-b0").call(&mut pair.connect()?)?;
    ensure!(other.response_code() == ResponseCode::SERVICE_NOT_AVAILABLE, "{other:?}");
    let remark = other.remark.as_deref().unwrap_or_default();
    let own = rocketkube_broker::Config::default().name;
    ensure!(remark.contains("orders-b0") && remark.contains(&own), "{remark}");
    let asks = [send(TOPIC).with("n", own), send(TOPIC).with("n", ""), send(TOPIC)];
    for ask in asks {
        let answer = ask.call(&mut pair.connect()?)?;
        ensure!(answer.response_code() == ResponseCode::SUCCESS, "{answer:?}");
    }
    Ok(())
}

#[test]
fn odd_properties_are_stored_and_those_we_cannot_honour_refused() -> Result<()> {
    let pair = Pair::start()?;
    let mut rows = Vec::new();
    let stored = ["x", "\u{1}v\u{2}", "k\u{1}a\u{2}k\u{1}b\u{2}", "\u{2}\u{2}", "\u{1}\u{1}\u{1}"];
    for text in stored {
        rows.push(row(48, format!("{text:?}"), send(TOPIC).with("i", text), OK));
    }
    let refused = ["DELAY\u{1}x", "DELAY\u{1}-1", "TIMER_DELIVER_MS\u{1}x", "TIMER_DELAY_MS\u{1}-"];
    for text in refused {
        rows.push(row(49, format!("{text:?}"), send(TOPIC).with("i", text), ILLEGAL));
    }
    let garbage = send(TOPIC).with("f", 1).body(*b"\x78\x9c garbage");
    rows.push(row(51, "compressed flag on garbage", garbage, OK));
    let bomb = send(TOPIC).with("f", 1).body(bomb(256 << 20)?);
    rows.push(row(51, "compressed, a thousandth of its content", bomb, OK));
    run(&pair, &rows)
}

/// Apache's broker takes them and sets its own beside them; a client's must not reach consumers.
#[test]
fn properties_that_only_a_broker_sets_are_taken_from_no_client() -> Result<()> {
    let pair = Pair::start()?;
    let text = "POP_CK\u{1}forged\u{2}k\u{1}v\u{2}CLUSTER\u{1}forged\u{2}TRACE_ON\u{1}forged\u{2}";
    run(&pair, &[row(48, "a broker's properties", send(TOPIC).with("i", text), OK)])?;
    let pulled = pull(TOPIC).call(&mut pair.connect()?)?;
    let record = RecordView::parse(&pulled.body)?;
    let properties = record.properties();
    ensure!(properties.get("k") == Some("v"), "{properties:?}");
    ensure!(properties.get("CLUSTER") == Some("DefaultCluster"), "{properties:?}");
    ensure!(!pulled.body.windows(6).any(|bytes| bytes == b"forged"), "{properties:?}");
    Ok(())
}

/// One element of a batch, its own lengths as given.
fn element(total: i32, body_len: i32, body: &[u8], properties: &str) -> Vec<u8> {
    let properties_len = i16::try_from(properties.len()).expect("rows are short");
    [
        &total.to_be_bytes()[..],
        &[0; 12],
        &body_len.to_be_bytes(),
        body,
        &properties_len.to_be_bytes(),
        properties.as_bytes(),
    ]
    .concat()
}

fn batch(body: impl Into<Vec<u8>>) -> Ask {
    let ask = send(TOPIC).with("m", true).body(body);
    Ask { code: RequestCode::SEND_BATCH_MESSAGE, ..ask }
}

#[test]
fn batches_that_do_not_hold_together_are_refused_as_a_whole() -> Result<()> {
    let pair = Pair::start()?;
    let good = element(26, 4, b"body", "");
    let mut half = good.clone();
    half.extend_from_slice(&good[..20]);
    let delayed = element(34, 4, b"body", "DELAY\u{1}3\u{2}");
    let half_message = element(41, 4, b"body", "TRAN_MSG\u{1}true\u{2}");
    let before = pair.max_offset(TOPIC)?;
    run(
        &pair,
        &[
            row(52, "no element", batch(b""), ILLEGAL),
            row(52, "element of -1 bytes", batch(element(-1, 4, b"body", "")), ILLEGAL),
            row(52, "element of 0 bytes", batch(element(0, 4, b"body", "")), ILLEGAL),
            row(52, "element past the end", batch(element(1_000, 4, b"body", "")), ILLEGAL),
            row(52, "body of -1 bytes", batch(element(26, -1, b"body", "")), ILLEGAL),
            row(52, "body past its element", batch(element(26, 1_000, b"body", "")), ILLEGAL),
            row(52, "second element cut", batch(half), ILLEGAL),
            row(53, "delayed element", batch([good.clone(), delayed].concat()), ILLEGAL),
            row(53, "half message", batch([good.clone(), half_message].concat()), ILLEGAL),
        ],
    )?;
    ensure!(pair.max_offset(TOPIC)? == before, "something of a refused batch was stored");
    run(&pair, &[row(52, "sound", batch(good), OK)])
}

#[test]
fn half_messages_and_their_ends_are_refused() -> Result<()> {
    let pair = Pair::start()?;
    run(
        &pair,
        &[
            row(54, "flag", send(TOPIC).with("f", 4).with("a", ""), ILLEGAL),
            row(54, "property", send(TOPIC).with("i", "TRAN_MSG\u{1}true\u{2}"), ILLEGAL),
        ],
    )
}

#[test]
fn pulls_of_impossible_numbers_and_places_give_no_data() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    let moved = &[ResponseCode::PULL_OFFSET_MOVED];
    let nowhere = &[ResponseCode::PULL_OFFSET_MOVED, ResponseCode::PULL_NOT_FOUND];
    let parse = &[ResponseCode::SUBSCRIPTION_PARSE_FAILED];
    let unknown = &[ResponseCode::SUBSCRIPTION_NOT_EXIST];
    let expression = "x".repeat(1024 * 1024);
    run(
        &pair,
        &[
            // What the stock Go pull consumer asks for; Apache's broker gives it messages as well.
            row(57, "0 messages", pull(TOPIC).with("maxMsgNums", 0), OK),
            row(57, "-1 messages", pull(TOPIC).with("maxMsgNums", -1), INVALID),
            row(57, "most messages", pull(TOPIC).with("maxMsgNums", i32::MAX), OK),
            row(58, "offset -1", pull(TOPIC).with("queueOffset", -1), moved),
            row(58, "last offset", pull(TOPIC).with("queueOffset", i64::MAX), nowhere),
            row(60, "no subscription", pull(TOPIC).with("sysFlag", 0), unknown),
            row(61, "1 MiB of tags", pull(TOPIC).with("subscription", expression), parse),
            row(63, "wait -1", waiting_pull(&pair, -1)?, &[ResponseCode::PULL_NOT_FOUND]),
            row(63, "wait 0", waiting_pull(&pair, 0)?, &[ResponseCode::PULL_NOT_FOUND]),
        ],
    )
}

#[test]
fn only_so_many_long_filters_wait_on_one_connection() -> Result<()> {
    const PULLS: usize = 200;
    let pair = Pair::start()?;
    let tags = (0..8_000).map(|tag| format!("t{tag}")).collect::<Vec<_>>().join("||");
    let ask = waiting_pull(&pair, 30_000)?.with("subscription", tags);
    let ext: Vec<_> = ask.ext.iter().map(|(key, value)| (&**key, &**value)).collect();
    let mut wire = pair.connect()?;
    for _ in 0..PULLS {
        let mut bytes = Vec::new();
        request(ask.code.0, &ext, b"").encode_into(&mut bytes)?;
        wire.send(&bytes)?;
    }
    // 32,000 bytes of hashes each, of 4 MiB: about 131 wait, the others are answered at once.
    for _ in 0..PULLS - 140 {
        let answer = wire.receive()?;
        ensure!(answer.response_code() == ResponseCode::PULL_NOT_FOUND, "{answer:?}");
    }
    pair.serves_others()
}

/// A pull at the end of a queue that waits for so many milliseconds.
fn waiting_pull(pair: &Pair, ms: i64) -> Result<Ask> {
    let end = pair.max_offset(TOPIC)?;
    let ask = pull(TOPIC).with("queueOffset", end).with("sysFlag", 6);
    Ok(ask.with("suspendTimeoutMillis", ms))
}

#[test]
fn commits_of_impossible_progress_are_refused() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    pair.create_group("bad-input")?;
    let max = pair.max_offset(TOPIC)?;
    let commit = |offset: i64| {
        let ext = [("consumerGroup", "bad-input"), ("topic", TOPIC), ("queueId", "0")];
        Ask::new(RequestCode::UPDATE_CONSUMER_OFFSET, &ext).with("commitOffset", offset)
    };
    let no_group = &[ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST];
    let no_topic = &[ResponseCode::TOPIC_NOT_EXIST];
    run(
        &pair,
        &[
            row(64, "the end", commit(max), OK),
            row(64, "back again", commit(0), OK),
            row(64, "over the end", commit(max + 1), INVALID),
            row(64, "-1", commit(-1), INVALID),
            row(64, "unknown queue", commit(0).with("queueId", 1_000), INVALID),
            row(64, "unknown group", commit(0).with("consumerGroup", "../x"), no_group),
            row(64, "unknown topic", commit(0).with("topic", "unknown"), no_topic),
        ],
    )
}

#[test]
fn resets_that_make_no_sense_are_refused_and_move_nothing() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    let group = Ask::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[]);
    group.body(*br#"{"groupName":"bad-input"}"#).call(&mut pair.connect()?)?;
    let max = pair.max_offset(TOPIC)?;
    let reset = |timestamp: i64| {
        let ext = [("group", "bad-input"), ("topic", TOPIC), ("isForce", "true")];
        Ask::new(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &ext).with("timestamp", timestamp)
    };
    let queue = |queue: i32, offset: i64| reset(0).with("queueId", queue).with("offset", offset);
    let no_group = &[ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST];
    let no_topic = &[ResponseCode::TOPIC_NOT_EXIST];
    run(
        &pair,
        &[
            row(64, "the end", reset(-1), OK),
            row(64, "a negative time", reset(-2), INVALID),
            row(64, "a time long ago", reset(i64::MIN), INVALID),
            row(64, "a time to come", reset(i64::MAX), OK),
            row(64, "unknown queue", queue(1_000, 0), INVALID),
            row(64, "the largest queue", queue(i32::MAX, 0), INVALID),
            row(64, "an offset for all queues", queue(-1, 5), INVALID),
            row(64, "over the end", queue(0, max + 1), ERROR),
            row(64, "the end of one queue", queue(0, max), OK),
            row(64, "unknown group", reset(0).with("group", "../x"), no_group),
            row(64, "unknown topic", reset(0).with("topic", "unknown"), no_topic),
            row(64, "no name", reset(0).with("requestId", ""), INVALID),
            row(64, "a long name", reset(0).with("requestId", "a".repeat(256)), INVALID),
        ],
    )?;
    let ext = [("consumerGroup", "bad-input"), ("topic", TOPIC), ("queueId", "0")];
    let committed =
        Ask::new(RequestCode::QUERY_CONSUMER_OFFSET, &ext).call(&mut pair.connect()?)?;
    let offset = committed.ext.iter().find(|(name, _)| name == "offset");
    ensure!(offset.is_some_and(|(_, it)| *it == max.to_string()), "{offset:?}");
    Ok(())
}

/// Apache's broker answers the same.
#[test]
fn offsets_of_queues_that_are_not_there_are_nowhere() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    let ext = [("consumerGroup", "bad-input"), ("topic", TOPIC)];
    let committed = Ask::new(RequestCode::QUERY_CONSUMER_OFFSET, &ext);
    let mut rows = Vec::new();
    for queue in [-1, 99, i32::MIN, i32::MAX] {
        let what = format!("committed in queue {queue}");
        let ask = committed.clone().with("queueId", queue);
        rows.push(row(64, what, ask, &[ResponseCode::QUERY_NOT_FOUND]));
    }
    run(&pair, &rows)?;
    let mut wire = pair.connect()?;
    for code in [RequestCode::GET_MAX_OFFSET, RequestCode::GET_MIN_OFFSET] {
        for queue in [-1, 99] {
            let ask = Ask::new(code, &[("topic", TOPIC)]).with("queueId", queue);
            let answer = ask.call(&mut wire)?;
            let offset = answer.fields().get("offset");
            ensure!(offset.is_some_and(|offset| offset == "0"), "queue {queue}: {answer:?}");
        }
    }
    Ok(())
}

#[test]
fn queries_find_nothing_that_is_not_there() -> Result<()> {
    let pair = Pair::start()?;
    pair.send_one(TOPIC)?;
    let view = |offset: i64| Ask::new(RequestCode::VIEW_MESSAGE_BY_ID, &[]).with("offset", offset);
    let ext = [("topic", TOPIC), ("key", "none"), ("maxNum", "32")];
    let query = Ask::new(RequestCode::QUERY_MESSAGE, &ext);
    let query = query.with("beginTimestamp", 0).with("endTimestamp", i64::MAX);
    let nothing = &[ResponseCode::QUERY_NOT_FOUND];
    run(
        &pair,
        &[
            row(68, "inside the first record", view(150), ERROR),
            row(68, "-1", view(-1), ERROR),
            row(68, "far beyond the end", view(i64::MAX), ERROR),
            row(69, "unknown key", query.clone(), nothing),
            row(69, "most messages", query.clone().with("maxNum", i32::MAX), nothing),
            row(69, "reversed times", query.with("beginTimestamp", i64::MAX), nothing),
        ],
    )
}

#[test]
fn oversized_bodies_of_clients_are_refused() -> Result<()> {
    let pair = Pair::start()?;
    let queue = |id| format!(r#"{{"topic":"{TOPIC}","brokerName":"b","queueId":{id}}}"#);
    let queues: Vec<String> = (0..100_000).map(queue).collect();
    let lock =
        format!(r#"{{"clientId":"c","consumerGroup":"bad-input","mqSet":[{}]}}"#, queues.join(","));
    let groups: Vec<String> =
        (0..100_000).map(|group| format!(r#"{{"groupName":"g{group}"}}"#)).collect();
    let many = format!(
        r#"{{"clientID":"c","producerDataSet":[{}],"consumerDataSet":[]}}"#,
        groups.join(",")
    );
    let named = |id: &str| {
        let body = format!(
            r#"{{"clientID":"{id}","producerDataSet":[{{"groupName":"g"}}],"consumerDataSet":[]}}"#
        );
        Ask::new(RequestCode::HEART_BEAT, &[]).body(body)
    };
    run(
        &pair,
        &[
            row(
                70,
                "100,000 queues",
                Ask::new(RequestCode::LOCK_BATCH_MQ, &[]).body(lock),
                INVALID,
            ),
            row(71, "100,000 groups", Ask::new(RequestCode::HEART_BEAT, &[]).body(many), INVALID),
            row(71, "client id of 1 MiB", named(&"c".repeat(1024 * 1024)), INVALID),
            row(71, "client id from here", named("client"), OK),
            row(71, "the same from elsewhere", named("client"), OK),
        ],
    )
}

#[test]
fn a_connection_is_in_so_many_groups_and_no_more() -> Result<()> {
    let pair = Pair::start()?;
    let mut wire = pair.connect()?;
    let mut beat = |groups: std::ops::Range<u32>| -> Result<ResponseCode> {
        let groups: Vec<String> = groups.map(|g| format!(r#"{{"groupName":"g{g}"}}"#)).collect();
        let body = format!(r#"{{"clientID":"c","producerDataSet":[{}]}}"#, groups.join(","));
        let answer = Ask::new(RequestCode::HEART_BEAT, &[]).body(body).call(&mut wire)?;
        Ok(answer.response_code())
    };
    ensure!(beat(0..6_000)? == ResponseCode::SUCCESS);
    ensure!(beat(6_000..10_000)? == ResponseCode::SUCCESS);
    ensure!(beat(10_000..10_001)? == ResponseCode::INVALID_PARAMETER);
    ensure!(beat(0..6_000)? == ResponseCode::SUCCESS, "those that are known may beat on");
    pair.serves_others()
}

#[test]
fn a_connection_has_so_many_subscriptions_and_repeats_them_as_fast() -> Result<()> {
    let pair = Pair::start()?;
    let mut wire = Wire::connect(pair.broker, Duration::from_mins(1))?;
    let topic = |number: u32| format!(r#"{{"topic":"t{number}","subString":"*"}}"#);
    let topics = (0..80_000).map(topic).collect::<Vec<_>>().join(",");
    let beat = |wire: &mut Wire, group: &str| -> Result<(ResponseCode, Duration)> {
        let consumer = format!(r#"{{"groupName":"{group}","subscriptionDataSet":[{topics}]}}"#);
        let body = format!(r#"{{"clientID":"c","consumerDataSet":[{consumer}]}}"#);
        let started = Instant::now();
        let answer = Ask::new(RequestCode::HEART_BEAT, &[]).body(body).call(wire)?;
        Ok((answer.response_code(), started.elapsed()))
    };
    let (code, first) = beat(&mut wire, "g0")?;
    ensure!(code == ResponseCode::SUCCESS, "{code:?}");
    let (code, again) = beat(&mut wire, "g0")?;
    ensure!(code == ResponseCode::SUCCESS, "{code:?}");
    ensure!(again < 4 * first + Duration::from_secs(1), "{first:?}, then {again:?}");
    let repeated = r#"{"clientID":"c","withoutSub":true,"consumerDataSet":[{"groupName":"g0"}]}"#;
    Ask::new(RequestCode::HEART_BEAT, &[]).body(repeated).call(&mut wire)?;
    let (code, _) = beat(&mut wire, "g1")?;
    ensure!(code == ResponseCode::INVALID_PARAMETER, "{code:?}");
    pair.serves_others()
}

#[test]
fn a_client_is_unregistered_only_by_itself() -> Result<()> {
    let pair = Pair::start()?;
    let mut wire = pair.connect()?;
    let body =
        br#"{"clientID":"victim","producerDataSet":[{"groupName":"pg"}],"consumerDataSet":[]}"#;
    Ask::new(RequestCode::HEART_BEAT, &[]).body(*body).call(&mut wire)?;
    let ext = [("clientID", "victim"), ("producerGroup", "pg")];
    let unregister = Ask::new(RequestCode::UNREGISTER_CLIENT, &ext);
    run(&pair, &[row(72, "from elsewhere", unregister.clone(), FORBIDDEN)])?;
    let answer = unregister.call(&mut wire)?;
    ensure!(answer.response_code() == ResponseCode::SUCCESS, "{answer:?}");
    Ok(())
}

#[test]
fn settings_are_not_changed_over_the_network() -> Result<()> {
    let pair = Pair::start()?;
    let config = |pair: &Pair| -> Result<Command> {
        Ask::new(RequestCode::GET_BROKER_CONFIG, &[]).call(&mut pair.connect()?)
    };
    let before = config(&pair)?.body;
    let text = String::from_utf8(before.clone())?;
    for secret in ["password", "secret", "token"] {
        ensure!(!text.to_lowercase().contains(secret), "the settings show a {secret}");
    }
    let long = format!("brokerName={}", "x".repeat(1024 * 1024));
    let rows: Vec<Row> = [
        "storePathRootDir=/tmp/elsewhere",
        "rocketmqHome=/;touch /tmp/x",
        "namesrvAddr=evil.example:9876",
        "brokerIP1=10.9.8.7",
        "brokerPermission=0",
        "noSuchSetting=1",
        "noSuchSetting",
        "{}",
        "# a comment\nnothing",
        "listenPort=1\nstorePathRootDir=/tmp/x",
        "a=b=c",
        &long,
    ]
    .into_iter()
    .map(|text| {
        let what: String = text.chars().take(40).collect();
        row(73, what, Ask::new(RequestCode::UPDATE_BROKER_CONFIG, &[]).body(text), FORBIDDEN)
    })
    .collect();
    run(&pair, &rows)?;
    ensure!(config(&pair)?.body == before, "a setting changed");
    Ok(())
}

#[test]
fn a_long_tag_expression_is_refused_within_ten_milliseconds() -> Result<()> {
    let pair = Pair::start()?;
    let ask = pull(TOPIC).with("subscription", "a||".repeat(300_000));
    let mut wire = pair.connect()?;
    let fastest = (0..5).map(|_| -> Result<Duration> {
        let started = Instant::now();
        let answer = ask.call(&mut wire)?;
        let code = answer.response_code();
        ensure!(code == ResponseCode::SUBSCRIPTION_PARSE_FAILED, "{code:?}");
        Ok(started.elapsed())
    });
    let fastest = fastest.collect::<Result<Vec<_>>>()?.into_iter().min();
    // Reading a megabyte of JSON is part of it, and slow in a build without optimisation.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });
    ensure!(fastest.is_some_and(|fastest| fastest < limit), "{fastest:?}");
    Ok(())
}
