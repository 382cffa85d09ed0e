//! Rows 70 and 77: consumer groups, and the queues their members lock.

use anyhow::{Result, ensure};
use rocketkube_protocol::{
    RequestCode, ResponseCode,
    body::{Body, LockedQueues},
};
use rocketkube_testkit::Wire;

use crate::{
    ask::{Ask, row, run},
    pair::{Pair, TOPIC},
};

const INVALID: &[ResponseCode] = &[ResponseCode::INVALID_PARAMETER];
const FORBIDDEN: &[ResponseCode] = &[ResponseCode::NO_PERMISSION];
const OK: &[ResponseCode] = &[ResponseCode::SUCCESS];

fn group(field: &str, value: i64) -> Ask {
    let body = format!(r#"{{"groupName":"g","{field}":{value}}}"#);
    Ask::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[]).body(body)
}

fn named(name: &str) -> Ask {
    let body = format!(r#"{{"groupName":"{name}"}}"#);
    Ask::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[]).body(body)
}

#[test]
fn groups_of_impossible_shape_are_not_created() -> Result<()> {
    let pair = Pair::start()?;
    run(
        &pair,
        &[
            row(77, "121 bytes", named(&"g".repeat(121)), INVALID),
            row(77, "120 bytes", named(&"g".repeat(120)), OK),
            row(77, "path", named("../x"), INVALID),
            row(77, "-2 retries", group("retryMaxTimes", -2), INVALID),
            row(77, "a billion retries", group("retryMaxTimes", 1_000_000_000), INVALID),
            row(77, "-1 retry queues", group("retryQueueNums", -1), INVALID),
            row(77, "a billion retry queues", group("retryQueueNums", 1_000_000_000), INVALID),
            row(77, "no retry queues", group("retryQueueNums", 0), OK),
        ],
    )
}

#[test]
fn groups_of_the_system_are_not_deleted() -> Result<()> {
    let pair = Pair::start()?;
    let delete = |group| Ask::new(RequestCode::DELETE_SUBSCRIPTIONGROUP, &[("groupName", group)]);
    run(
        &pair,
        &[
            row(76, "transactions", delete("CID_RMQ_SYS_TRANS"), FORBIDDEN),
            row(
                76,
                "any of the system",
                delete("CID_RMQ_SYS_x").with("cleanOffset", true),
                FORBIDDEN,
            ),
            row(76, "tools", delete("TOOLS_CONSUMER"), FORBIDDEN),
            row(76, "one that is not there", delete("no-such-group"), OK),
            row(76, "empty", delete(""), INVALID),
        ],
    )
}

/// A request of `client` to lock or unlock queues of [`TOPIC`].
fn locking(code: RequestCode, client: &str, queues: &[i32]) -> Ask {
    let queue = |id: &i32| format!(r#"{{"topic":"{TOPIC}","brokerName":"b","queueId":{id}}}"#);
    let queues: Vec<String> = queues.iter().map(queue).collect();
    let queues = queues.join(",");
    let body = format!(r#"{{"clientId":"{client}","consumerGroup":"orderly","mqSet":[{queues}]}}"#);
    Ask::new(code, &[]).body(body)
}

/// Which queues a client was given.
fn locked(wire: &mut Wire, client: &str, queues: &[i32]) -> Result<Vec<i32>> {
    let answer = locking(RequestCode::LOCK_BATCH_MQ, client, queues).call(wire)?;
    ensure!(answer.response_code() == ResponseCode::SUCCESS, "{answer:?}");
    let given = LockedQueues::decode(&answer.body)?.locked;
    Ok(given.iter().map(|queue| queue.queue_id).collect())
}

#[test]
fn queues_are_locked_by_members_for_themselves_and_only_if_they_exist() -> Result<()> {
    let pair = Pair::start()?;
    pair.create_group("orderly")?;
    let mut wire = pair.connect()?;
    let beat = r#"{"clientID":"member","consumerDataSet":[{"groupName":"orderly"}]}"#;
    Ask::new(RequestCode::HEART_BEAT, &[]).body(beat).call(&mut wire)?;
    ensure!(locked(&mut wire, "member", &[-1, 0, 1, 99, i32::MAX])? == [0]);

    let id = "c".repeat(1_025);
    let unknown = Ask::new(RequestCode::LOCK_BATCH_MQ, &[])
        .body(r#"{"clientId":"c","consumerGroup":"no-such-group","mqSet":[]}"#);
    let no_group = &[ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST];
    let (lock, unlock) = (RequestCode::LOCK_BATCH_MQ, RequestCode::UNLOCK_BATCH_MQ);
    run(
        &pair,
        &[
            row(70, "lock for a member", locking(lock, "member", &[0]), FORBIDDEN),
            row(70, "unlock for a member", locking(unlock, "member", &[0]), FORBIDDEN),
            row(70, "unlock what another has", locking(unlock, "other", &[0]), OK),
            row(70, "client id of 1,025 bytes", locking(lock, &id, &[0]), INVALID),
            row(70, "no client id", locking(lock, "", &[0]), INVALID),
            row(70, "unknown group", unknown, no_group),
        ],
    )?;
    let mut other = pair.connect()?;
    ensure!(locked(&mut other, "other", &[0])?.is_empty(), "the lock of the member is gone");
    Ok(())
}
