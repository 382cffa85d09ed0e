//! Against a running cluster, whoever made it: `ROCKETKUBE_TEST_NAMESRV=host:port`.
//!
//! Without the variable there is nothing to test against, and the tests say so. The cluster must
//! create topics when they are written to.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

use std::time::Duration;

use rocketkube_client::{
    Admin, Client, Consumer, ConsumerOptions, From, Message, Producer, PullConsumer, PullOptions,
    PullStatus, SendStatus, TopicSettings,
};
use rocketkube_protocol::ResponseCode;
use rocketkube_protocol::body::SubscriptionGroupConfig;
use tokio::time::timeout;

const CLUSTER: &str = "DefaultCluster";

/// A client, or nothing to do.
fn client() -> Option<Client> {
    let namesrv = std::env::var("ROCKETKUBE_TEST_NAMESRV").ok();
    if namesrv.is_none() {
        eprintln!("skipped: ROCKETKUBE_TEST_NAMESRV is not set");
    }
    namesrv.map(|namesrv| Client::new(&namesrv).unwrap())
}

/// A name no test before had.
fn name(of: &str) -> String {
    format!("{of}-{:x}", rand::random::<u64>())
}

async fn create(admin: &Admin, topic: &str) {
    let settings = TopicSettings { write_queues: 4, read_queues: 4, ..TopicSettings::default() };
    for addr in admin.masters(Some(CLUSTER)).await.unwrap() {
        admin.set_topic(&addr, topic, &settings).await.unwrap();
    }
    // The broker tells the name server, then this client asks it.
    timeout(Duration::from_secs(20), async {
        while admin.client().route(topic).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

async fn create_group(admin: &Admin, group: &str) {
    let settings = SubscriptionGroupConfig {
        group_name: group.to_owned(),
        ..SubscriptionGroupConfig::default()
    };
    for addr in admin.masters(Some(CLUSTER)).await.unwrap() {
        admin.set_group(&addr, &settings).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_sent_is_pulled_found_and_counted() {
    let Some(client) = client() else { return };
    let (admin, topic) = (Admin::new(client.clone()), name("Sent"));
    create(&admin, &topic).await;
    let producer = Producer::new(client.clone(), "producers");
    let message = Message::new(&*topic, "body").tag("a").key("k1").property("color", "red");
    let sent = producer.send(&message).await.unwrap();
    assert_eq!(sent.status, SendStatus::Ok);
    let other = producer.send_to(&sent.queue, &Message::new(&*topic, "b").tag("b")).await.unwrap();
    assert_eq!(other.queue_offset, sent.queue_offset + 1);
    let batch: Vec<_> = (0..5).map(|n| Message::new(&*topic, vec![n])).collect();
    let batch = producer.send_batch(&batch).await.unwrap();
    assert_eq!(batch.offset_id.split(',').count(), 5);
    producer.send_oneway(&Message::new(&*topic, "oneway")).await.unwrap();

    let reader = PullConsumer::new(client, name("readers"));
    assert_eq!(reader.queues(&topic).await.unwrap().len(), 4);
    let options = PullOptions { tags: "a".into(), ..PullOptions::default() };
    let pulled = reader.pull(&sent.queue, sent.queue_offset, &options).await.unwrap();
    assert_eq!(pulled.status, PullStatus::Found);
    let found = &pulled.messages[0];
    assert_eq!((&*found.body, found.tag()), (&b"body"[..], Some("a")));
    assert_eq!(found.properties().get("color"), Some("red"));
    assert_eq!(found.unique_id(), Some(&*sent.unique_id));
    assert_eq!(found.offset_id().to_string(), sent.offset_id);

    assert_eq!(admin.message(&topic, &sent.offset_id).await.unwrap(), *found);
    let until = i64::MAX;
    let by_key = admin.messages_by_key(&topic, "k1", 10, 0, until).await.unwrap();
    assert_eq!(by_key, std::slice::from_ref(found));
    assert_eq!(admin.message(&topic, &sent.unique_id).await.unwrap(), *found);
}

#[tokio::test]
async fn offsets_are_committed_and_searched() {
    let Some(client) = client() else { return };
    let (admin, topic) = (Admin::new(client.clone()), name("Offsets"));
    create(&admin, &topic).await;
    let producer = Producer::new(client.clone(), "producers");
    let sent = producer.send(&Message::new(&*topic, "one")).await.unwrap();
    let group = name("readers");
    create_group(&admin, &group).await;
    let reader = PullConsumer::new(client, group);
    assert_eq!(reader.min_offset(&sent.queue).await.unwrap(), 0);
    assert_eq!(reader.max_offset(&sent.queue).await.unwrap(), 1);
    assert_eq!(reader.offset_at(&sent.queue, 0).await.unwrap(), 0);
    reader.commit(&sent.queue, 1).await.unwrap();
    assert_eq!(reader.committed(&sent.queue).await.unwrap(), Some(1));
    let at_once = PullOptions { wait: Duration::ZERO, ..PullOptions::default() };
    let pulled = reader.pull(&sent.queue, 1, &at_once).await.unwrap();
    assert_eq!((pulled.status, pulled.next), (PullStatus::NothingNew, 1));
    let pulled = reader.pull(&sent.queue, 99, &at_once).await.unwrap();
    assert_eq!(pulled.status, PullStatus::OutOfRange);
}

#[tokio::test]
async fn a_group_consumes_everything_once_and_goes_on_where_it_stopped() {
    let Some(client) = client() else { return };
    let (admin, topic, group) = (Admin::new(client.clone()), name("Group"), name("group"));
    create(&admin, &topic).await;
    let producer = Producer::new(client.clone(), "producers");
    let mut expected = Vec::new();
    for n in 0..40 {
        producer.send(&Message::new(&*topic, vec![n])).await.unwrap();
        expected.push(n);
    }
    let options = ConsumerOptions { from: From::First, ..ConsumerOptions::new(&*group, &*topic) };
    let mut consumer = Consumer::start(client.clone(), options.clone()).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 40 {
        let next = timeout(Duration::from_secs(30), consumer.next()).await;
        let delivery = next.unwrap().unwrap();
        bodies.extend(delivery.messages.iter().map(|message| message.body[0]));
        delivery.done();
    }
    bodies.sort_unstable();
    assert_eq!(bodies, expected);
    consumer.close().await.unwrap();

    producer.send(&Message::new(&*topic, vec![99])).await.unwrap();
    let mut consumer = Consumer::start(client, options).await.unwrap();
    let delivery = timeout(Duration::from_secs(30), consumer.next()).await.unwrap().unwrap();
    assert_eq!(delivery.messages[0].body, [99]);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn topics_and_groups_come_and_go() {
    let Some(client) = client() else { return };
    let (admin, topic, group) = (Admin::new(client), name("Topic"), name("group"));
    create(&admin, &topic).await;
    assert!(admin.topics().await.unwrap().contains(&topic));
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    assert_eq!(admin.topic(addr, &topic).await.unwrap().write_queue_nums, 4);
    assert!(admin.topic_table(addr).await.unwrap().topic_config_table.contains_key(&topic));
    assert_eq!(admin.topic_stats(addr, &topic).await.unwrap().offset_table.0.len(), 4);
    create_group(&admin, &group).await;
    let groups = admin.groups(addr).await.unwrap();
    assert!(groups.subscription_group_table.contains_key(&group));
    admin.delete_group(addr, &group, true).await.unwrap();
    assert!(!admin.runtime_info(addr).await.unwrap().is_empty());
    admin.delete_topic(CLUSTER, &topic).await.unwrap();
    let error = admin.topic(addr, &topic).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::TOPIC_NOT_EXIST), "{error}");
}

#[tokio::test]
async fn a_topic_is_created_by_the_first_message() {
    let Some(client) = client() else { return };
    let producer = Producer::new(client, "producers");
    let sent = producer.send(&Message::new(name("New"), "first")).await.unwrap();
    assert_eq!(sent.queue_offset, 0);
}
