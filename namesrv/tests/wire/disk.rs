//! What is kept over restarts, on a disk that fails.

use std::fs;
use std::os::unix::fs::symlink;

use rocketkube_protocol::{Command, RequestCode, ResponseCode, header};
use rocketkube_remoting::Connection;

use crate::support::{Running, ask, assert_ok, assert_refused, started, value};

const FULL: &str = "the change is not on disk yet: No space left on device (os error 28)";

fn key() -> header::KvKey<'static> {
    header::KvKey { namespace: "ORDER_TOPIC_CONFIG".into(), key: "T1".into() }
}

async fn put(to: &Connection, text: &'static str) -> Command {
    ask(to, RequestCode::PUT_KV_CONFIG, &value(text)).await
}

async fn delete(to: &Connection) -> Command {
    ask(to, RequestCode::DELETE_KV_CONFIG, &key()).await
}

async fn kept(running: Running, dir: &std::path::Path) -> Option<String> {
    running.stop().await;
    let running = Running::start(dir).await;
    let answer = ask(&running.connect().await, RequestCode::GET_KV_CONFIG, &key()).await;
    running.stop().await;
    answer.fields().get("value").map(std::borrow::Cow::into_owned)
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing_that_was_answered() {
    let (dir, running, client) = started().await;
    assert_ok(&put(&client, "b1:4").await);
    let new = dir.path().join("kept.new");
    symlink("/dev/full", &new).unwrap();
    assert_refused(&put(&client, "b1:8").await, ResponseCode::SYSTEM_ERROR, FULL);
    // It ends as it would with the power: nothing is written on the way out.
    assert_eq!(kept(running, dir.path()).await.as_deref(), Some("b1:4"));
}

#[tokio::test]
async fn once_there_is_room_a_change_is_written_with_those_before_it() {
    let (dir, running, client) = started().await;
    let new = dir.path().join("kept.new");
    symlink("/dev/full", &new).unwrap();
    assert_refused(&put(&client, "b1:8").await, ResponseCode::SYSTEM_ERROR, FULL);
    fs::remove_file(&new).unwrap();
    let other = header::PutKv { key: "T2".into(), ..value("b2:4") };
    assert_ok(&ask(&client, RequestCode::PUT_KV_CONFIG, &other).await);
    assert_eq!(kept(running, dir.path()).await.as_deref(), Some("b1:8"));
}

#[tokio::test]
async fn a_deletion_that_failed_is_no_success_when_it_is_repeated() {
    let (dir, running, client) = started().await;
    assert_ok(&put(&client, "b1:4").await);
    let new = dir.path().join("kept.new");
    symlink("/dev/full", &new).unwrap();
    for _ in 0..2 {
        assert_refused(&delete(&client).await, ResponseCode::SYSTEM_ERROR, FULL);
    }
    fs::remove_file(&new).unwrap();
    assert_ok(&delete(&client).await);
    assert_ok(&delete(&client).await);
    assert_eq!(kept(running, dir.path()).await, None);
}
