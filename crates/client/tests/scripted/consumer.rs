//! A member of a group whose brokers come and go.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rocketkube_client::{Client, Consumer, ConsumerOptions, From};
use rocketkube_protocol::body::{ConsumerIdList, HeartbeatData};
use rocketkube_protocol::header::OffsetAnswer;
use rocketkube_protocol::{Body, Command, Request, RequestCode, ResponseCode};
use tokio::sync::Notify;
use tokio::time::{self, timeout};

use crate::support::{PATIENCE, Say, code, gone, namesrv, serve};

/// A broker that knows the members who sent it heartbeats.
#[derive(Default)]
struct Group {
    members: Mutex<Vec<String>>,
    heard: Notify,
    pulled: Notify,
}

impl Group {
    fn answer(&self, request: &Request<'_>) -> Say {
        match request.code {
            RequestCode::HEART_BEAT => {
                let heartbeat = HeartbeatData::decode(request.body).unwrap();
                *self.members.lock() = vec![heartbeat.client_id];
                self.heard.notify_one();
                code(ResponseCode::SUCCESS).into()
            }
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
                let list = ConsumerIdList { consumer_id_list: self.members.lock().clone() };
                code(ResponseCode::SUCCESS).body(list.encode()).into()
            }
            RequestCode::QUERY_CONSUMER_OFFSET => code(ResponseCode::QUERY_NOT_FOUND).into(),
            RequestCode::PULL_MESSAGE => {
                self.pulled.notify_one();
                Say::Nothing
            }
            _ => Command::request(RequestCode(0), &OffsetAnswer { offset: 0 }).into(),
        }
    }
}

fn options() -> ConsumerOptions {
    ConsumerOptions { from: From::First, ..ConsumerOptions::new("g", "T") }
}

/// Brokers are gone through in the order of their names, so the one that is gone comes first.
#[tokio::test]
async fn a_broker_that_is_gone_keeps_nobody_from_consuming_the_others() {
    let group = Arc::new(Group::default());
    let at_broker = Arc::clone(&group);
    let broker = serve(move |request| at_broker.answer(request));
    let namesrv = namesrv("T", vec![("a", gone()), ("b", broker)]);
    let client = Client::new(&namesrv).unwrap();
    let consumer = Consumer::start(client, options()).await.unwrap();
    timeout(PATIENCE, group.pulled.notified()).await.unwrap();
    assert!(consumer.queues().await.iter().all(|queue| &*queue.broker == "b"));
}

#[tokio::test]
async fn a_member_that_no_broker_takes_does_not_start() {
    let client = Client::new(&namesrv("T", vec![("a", gone())])).unwrap();
    assert!(Consumer::start(client, options()).await.is_err());
}

#[tokio::test]
async fn a_member_that_its_broker_forgot_is_back_when_it_looks_for_its_share() {
    let group = Arc::new(Group::default());
    let at_broker = Arc::clone(&group);
    let broker = serve(move |request| at_broker.answer(request));
    let client = Client::new(&namesrv("T", vec![("b", broker)])).unwrap();
    let consumer = Consumer::start(client, options()).await.unwrap();
    while consumer.queues().await.len() < 4 {
        timeout(PATIENCE, group.pulled.notified()).await.unwrap();
    }
    while timeout(Duration::ZERO, group.heard.notified()).await.is_ok() {}
    group.members.lock().clear();
    time::pause();
    time::advance(Duration::from_secs(21)).await;
    time::resume();
    timeout(Duration::from_secs(5), group.heard.notified()).await.unwrap();
    assert_eq!(consumer.queues().await.len(), 4);
}
