//! Our client with our broker and name server, all in this process; or with another cluster, whoever
//! made it: `ROCKETKUBE_TEST_NAMESRV=host:port`. That one must create topics when they are written to.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use rocketkube_client::{
    Admin, Client, Consumer, ConsumerOptions, From, Message, Producer, PullConsumer, PullOptions,
    PullStatus, ResetTo, SendStatus, TopicSettings,
};
use rocketkube_namesrv::NameServer;
use rocketkube_protocol::ResponseCode;
use rocketkube_protocol::body::{SubscriptionGroupConfig, TopicConfig};
use rocketkube_service::http::Health;
use rocketkube_service::metrics::Registry;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const CLUSTER: &str = "DefaultCluster";

/// A client, and the cluster that ends with it.
async fn cluster() -> (Client, Option<Cluster>) {
    if let Ok(namesrv) = std::env::var("ROCKETKUBE_TEST_NAMESRV") {
        return (Client::new(&namesrv).unwrap(), None);
    }
    let dir = tempfile::tempdir().unwrap();
    let (stop, registry) = (CancellationToken::new(), Arc::new(Registry::default()));
    let config = rocketkube_namesrv::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: dir.path().join("namesrv"),
        ..rocketkube_namesrv::Config::default()
    };
    let namesrv = NameServer::start(config, &registry, stop.clone()).await.unwrap();
    let config = rocketkube_broker::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        vip: false,
        namesrv: namesrv.addr().to_string(),
        data_dir: dir.path().join("broker"),
        auto_create_topics: true,
        ..rocketkube_broker::Config::default()
    };
    let health = Arc::new(Health::default());
    let broker = rocketkube_broker::start(config, health, registry, stop.clone()).await.unwrap();
    let client = Client::new(&namesrv.addr().to_string()).unwrap();
    let admin = Admin::new(client.clone());
    until(async || admin.masters(Some(CLUSTER)).await.is_ok_and(|all| !all.is_empty())).await;
    let cluster = Cluster { _dir: dir, _namesrv: namesrv, _broker: broker, stop };
    (client, Some(cluster))
}

/// Asks again until something is so: each answer takes as long as it takes, and all together no longer
/// than a broken server deserves.
async fn until(is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), asking).await.unwrap();
}

/// Servers of one test; their tasks end with its runtime.
struct Cluster {
    _broker: rocketkube_broker::Running,
    _namesrv: NameServer,
    _dir: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
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
    until(async || admin.client().route(topic).await.is_ok()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_pulled_found_and_counted() {
    let (client, _cluster) = cluster().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_committed_and_searched() {
    let (client, _cluster) = cluster().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_group_consumes_everything_once_and_goes_on_where_it_stopped() {
    let (client, _cluster) = cluster().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_groups_come_and_go() {
    let (client, _cluster) = cluster().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_created_by_the_first_message() {
    let (client, _cluster) = cluster().await;
    let producer = Producer::new(client, "producers");
    let sent = producer.send(&Message::new(name("New"), "first")).await.unwrap();
    assert_eq!(sent.queue_offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_sends_meets_changed_settings_with_its_next_message() {
    let (client, _cluster) = cluster().await;
    let (admin, topic) = (Admin::new(client.clone()), name("Grows"));
    create(&admin, &topic).await;
    let producer = Producer::new(client, "producers");
    let message = Message::new(&*topic, "body");
    let sent = producer.send(&message).await.unwrap();
    let settings = TopicSettings { write_queues: 9, read_queues: 9, ..TopicSettings::default() };
    for addr in admin.masters(Some(CLUSTER)).await.unwrap() {
        admin.set_topic(&addr, &topic, &settings).await.unwrap();
    }
    let queue = rocketkube_client::Queue { id: 8, ..sent.queue };
    assert_eq!(producer.send_to(&queue, &message).await.unwrap().status, SendStatus::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_topics_and_groups_are_made_at_once_and_all_of_them_are_read() {
    let (client, _cluster) = cluster().await;
    let admin = Admin::new(client);
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    let (prefix, count) = (name("Many"), 600);
    let topics: Vec<_> = (0..count)
        .map(|n| TopicConfig {
            topic_name: format!("{prefix}-{n}"),
            read_queue_nums: 2,
            write_queue_nums: 1,
            attributes: [("message.type".to_owned(), "NORMAL".to_owned())].into(),
            ..TopicConfig::default()
        })
        .collect();
    for part in topics.chunks(500) {
        admin.set_topics(addr, part).await.unwrap();
    }
    let read = admin.topic_table(addr).await.unwrap().topic_config_table;
    for topic in &topics {
        assert_eq!(read.get(&topic.topic_name), Some(topic));
    }

    let groups: Vec<_> = (0..count)
        .map(|n| SubscriptionGroupConfig {
            group_name: format!("{prefix}-{n}"),
            consume_broadcast_enable: false,
            ..SubscriptionGroupConfig::default()
        })
        .collect();
    admin.set_groups(addr, &groups).await.unwrap();
    let read = admin.groups(addr).await.unwrap().subscription_group_table;
    for group in &groups {
        assert_eq!(read.get(&group.group_name), Some(group));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_one_name_that_cannot_be_makes_none() {
    let (client, _cluster) = cluster().await;
    let admin = Admin::new(client);
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    let good = name("Good");
    let topics = [&*good, "no topic"]
        .map(|name| TopicConfig { topic_name: name.to_owned(), ..TopicConfig::default() });
    let error = admin.set_topics(addr, &topics).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::INVALID_PARAMETER), "{error}");
    let error = admin.topic(addr, &good).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::TOPIC_NOT_EXIST), "{error}");

    let groups = [&*good, "no group"].map(|name| SubscriptionGroupConfig {
        group_name: name.to_owned(),
        ..SubscriptionGroupConfig::default()
    });
    let error = admin.set_groups(addr, &groups).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::INVALID_PARAMETER), "{error}");
    let read = admin.groups(addr).await.unwrap();
    assert!(!read.subscription_group_table.contains_key(&good));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_read_again_only_after_a_change() {
    let (client, _cluster) = cluster().await;
    let (admin, topic, group) = (Admin::new(client), name("Version"), name("version"));
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    create(&admin, &topic).await;
    create_group(&admin, &group).await;
    // The name servers hear of the topic, which may count as one more change.
    until(async || {
        let known = admin.topic_table(addr).await.unwrap().data_version;
        admin.topics_after(addr, Some(known)).await.unwrap().is_none()
    })
    .await;
    let topics = admin.topic_table(addr).await.unwrap().data_version;
    let groups = admin.groups(addr).await.unwrap().data_version;

    let settings = TopicSettings { perm: 4, ..TopicSettings::default() };
    admin.set_topic(addr, &topic, &settings).await.unwrap();
    let changed = admin.topics_after(addr, Some(topics)).await.unwrap().unwrap();
    assert_eq!(changed.topic_config_table[&topic].perm, 4);
    assert_ne!(changed.data_version, topics);

    admin.delete_group(addr, &group, true).await.unwrap();
    let changed = admin.groups_after(addr, Some(groups)).await.unwrap().unwrap();
    assert!(!changed.subscription_group_table.contains_key(&group));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_behind_knows_for_how_long() {
    let (client, _cluster) = cluster().await;
    let (admin, topic, group) = (Admin::new(client.clone()), name("Behind"), name("behind"));
    create(&admin, &topic).await;
    create_group(&admin, &group).await;
    let producer = Producer::new(client.clone(), "producers");
    let sent = producer.send(&Message::new(&*topic, "one")).await.unwrap();
    producer.send_to(&sent.queue, &Message::new(&*topic, "two")).await.unwrap();
    let reader = PullConsumer::new(client, &*group);
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    let span = async || {
        let spans = admin.time_span(addr, &group, &topic).await.unwrap().consume_time_span_set;
        assert_eq!(spans.len(), 4);
        spans.into_iter().find(|it| it.message_queue.queue_id == sent.queue.id).unwrap()
    };
    reader.commit(&sent.queue, 1).await.unwrap();
    let waiting = span().await;
    assert!(waiting.min_time_stamp > 0 && waiting.max_time_stamp >= waiting.min_time_stamp);
    assert_eq!(waiting.consume_time_stamp, waiting.min_time_stamp);
    until(async || span().await.delay_time > waiting.delay_time).await;
    reader.commit(&sent.queue, 2).await.unwrap();
    let done = span().await;
    assert_eq!((done.delay_time, done.consume_time_stamp), (0, done.max_time_stamp));
    assert_eq!(admin.groups_of(addr, &topic).await.unwrap(), [group]);
}

/// A topic whose first message is in `queue`, followed by others there, and a group.
async fn stored(admin: &Admin, count: usize) -> (String, String, rocketkube_client::Queue) {
    let (topic, group) = (name("Reset"), name("reset"));
    create(admin, &topic).await;
    create_group(admin, &group).await;
    let producer = Producer::new(admin.client().clone(), "producers");
    let queue = producer.send(&Message::new(&*topic, "first")).await.unwrap().queue;
    for _ in 1..count {
        producer.send_to(&queue, &Message::new(&*topic, "more")).await.unwrap();
    }
    (topic, group, queue)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_reset_by_time_and_by_offset_though_nobody_is_online() {
    let (client, _cluster) = cluster().await;
    let admin = Admin::new(client.clone());
    let (topic, group, queue) = stored(&admin, 3).await;
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    let reader = PullConsumer::new(client, &*group);
    let reset = async |to| admin.reset_offsets(addr, &group, &topic, to, None).await;
    for (to, expected) in [
        (ResetTo::Latest, 3),
        (ResetTo::Earliest, 0),
        (ResetTo::Offset(2), 2),
        (ResetTo::Offset(99), 3),
        (ResetTo::Time(1), 0),
    ] {
        let offsets = reset(to).await.unwrap();
        assert_eq!(offsets.len(), 4, "{to:?}");
        let of_queue = offsets.iter().find(|(it, _)| it.queue_id == queue.id).unwrap();
        assert_eq!(of_queue.1, expected, "{to:?}");
        let expected = expected.cast_unsigned();
        assert_eq!(reader.committed(&queue).await.unwrap(), Some(expected), "{to:?}");
    }
    // Who begins there is told nothing, and its commits count.
    let pulled = reader.pull(&queue, 0, &PullOptions::default()).await.unwrap();
    assert_eq!((pulled.status, pulled.messages.len()), (PullStatus::Found, 3));
    reader.commit(&queue, 3).await.unwrap();
    assert_eq!(reader.committed(&queue).await.unwrap(), Some(3));
    let error = reset(ResetTo::Time(-5)).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::INVALID_PARAMETER), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_with_a_name_is_done_once() {
    let (client, _cluster) = cluster().await;
    let admin = Admin::new(client.clone());
    let (topic, group, queue) = stored(&admin, 3).await;
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    let reader = PullConsumer::new(client, &*group);
    for (id, to, expected) in [
        ("a", ResetTo::Offset(1), 1),
        ("b", ResetTo::Latest, 3),
        ("a", ResetTo::Offset(1), 3),
        ("c", ResetTo::Earliest, 0),
        ("b", ResetTo::Latest, 0),
    ] {
        admin.reset_offsets(addr, &group, &topic, to, Some(id)).await.unwrap();
        assert_eq!(reader.committed(&queue).await.unwrap(), Some(expected), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_waits_is_told_at_once_and_what_it_commits_late_counts_for_nothing() {
    let (client, _cluster) = cluster().await;
    let admin = Admin::new(client.clone());
    let (topic, group, queue) = stored(&admin, 3).await;
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    // Somebody is in the group, and reads something else.
    let other = name("Other");
    create(&admin, &other).await;
    let options = ConsumerOptions::new(&*group, &*other);
    let consumer = Consumer::start(client.clone(), options).await.unwrap();
    until(async || admin.members(addr, &group).await.is_ok()).await;
    let reader = PullConsumer::new(client, &*group);
    let (waiting, at) = (reader.clone(), queue.clone());
    let wait = PullOptions { wait: Duration::from_secs(30), ..PullOptions::default() };
    let parked = tokio::spawn(async move { waiting.pull(&at, 3, &wait).await });
    admin.reset_offsets(addr, &group, &topic, ResetTo::Offset(1), None).await.unwrap();
    reader.commit(&queue, 3).await.unwrap();
    let told = timeout(Duration::from_secs(10), parked).await.unwrap().unwrap().unwrap();
    assert_eq!((told.status, told.next), (PullStatus::OutOfRange, 1));
    reader.commit(&queue, 3).await.unwrap();
    assert_eq!(reader.committed(&queue).await.unwrap(), Some(1));
    // From where it was told to go on, everything is as ever.
    let pulled = reader.pull(&queue, 1, &PullOptions::default()).await.unwrap();
    assert_eq!((pulled.status, pulled.messages.len()), (PullStatus::Found, 2));
    reader.commit(&queue, 3).await.unwrap();
    assert_eq!(reader.committed(&queue).await.unwrap(), Some(3));
    consumer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn our_consumer_goes_along_with_a_reset_and_forgets_what_it_was_given_before() {
    let (client, _cluster) = cluster().await;
    let admin = Admin::new(client.clone());
    let (topic, group, queue) = stored(&admin, 3).await;
    let addr = &admin.masters(Some(CLUSTER)).await.unwrap()[0];
    let options = ConsumerOptions { from: From::First, ..ConsumerOptions::new(&*group, &*topic) };
    let mut consumer = Consumer::start(client.clone(), options).await.unwrap();
    let next = async |consumer: &mut Consumer| {
        timeout(Duration::from_secs(30), consumer.next()).await.unwrap().unwrap()
    };
    let before = next(&mut consumer).await;
    assert_eq!(before.messages.len(), 3);
    admin.reset_offsets(addr, &group, &topic, ResetTo::Offset(1), None).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((again.messages.len(), again.messages[0].queue_offset), (2, 1));
    before.done();
    consumer.close().await.unwrap();
    let reader = PullConsumer::new(client, &*group);
    assert_eq!(reader.committed(&queue).await.unwrap(), Some(1));
}
