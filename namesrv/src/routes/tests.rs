use proptest::prelude::*;
use rocketkube_protocol::body::{BrokerData, QueueData, TopicConfig, TopicList};

use super::*;

const FIRST: ConnectionId = ConnectionId(1);
const SECOND: ConnectionId = ConnectionId(2);

fn version(counter: i64) -> DataVersion {
    DataVersion { counter, state_version: 0, timestamp: 0 }
}

fn member<'a>(broker: &'a str, id: i64, addr: &'a str) -> Registration<'a> {
    Registration {
        cluster: "C",
        broker,
        id,
        addr,
        ha_addr: "1.1.1.1:10912",
        zone: None,
        timeout: None,
        version: version(1),
        topics: 2,
    }
}

fn topic(name: &str, queues: i32) -> TopicConfig {
    TopicConfig {
        topic_name: name.to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        ..TopicConfig::default()
    }
}

fn registered(routes: &mut Routes, registration: &Registration<'_>, now: Instant) -> Registered {
    routes.register(registration, FIRST, now).unwrap()
}

/// A master of `b1` with topics `T1` (4 queues) and `T2` (8).
fn one_broker(now: Instant) -> Routes {
    let mut routes = Routes::default();
    assert!(registered(&mut routes, &member("b1", 0, "1.1.1.1:10911"), now).wants_topics);
    assert_eq!(routes.put_topics("b1", &[topic("T1", 4), topic("T2", 8)]), 0);
    routes
}

#[test]
fn a_registered_topic_has_a_route() {
    let routes = one_broker(Instant::now());
    let route = routes.route("T1").unwrap();
    let expected = QueueData {
        broker_name: "b1".into(),
        perm: 6,
        read_queue_nums: 4,
        topic_sys_flag: 0,
        write_queue_nums: 4,
    };
    assert_eq!(route.queue_datas, [expected]);
    let expected = BrokerData {
        broker_addrs: BTreeMap::from([(0, "1.1.1.1:10911".into())]),
        broker_name: "b1".into(),
        cluster: "C".into(),
        ..BrokerData::default()
    };
    assert_eq!(route.broker_datas, [expected]);
    assert_eq!(routes.route("T3"), None);
}

#[test]
fn an_unchanged_broker_is_not_asked_for_its_topics() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    let master = member("b1", 0, "1.1.1.1:10911");
    assert!(!registered(&mut routes, &master, now).wants_topics);
    let changed = Registration { version: version(2), ..master };
    assert!(registered(&mut routes, &changed, now).wants_topics);
}

#[test]
fn a_member_that_is_silent_for_its_timeout_takes_its_topics_along() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    assert_eq!(routes.expire(now + Duration::from_millis(119_999)), 0);
    assert!(routes.route("T1").is_some());
    assert_eq!(routes.expire(now + DEFAULT_TIMEOUT), 1);
    assert_eq!(routes.counts(), Counts { brokers: 0, members: 0, topics: 0 });
}

#[test]
fn a_member_chooses_its_timeout_and_a_sign_of_life_starts_it_again() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut routes = Routes::default();
    let quick = Registration { timeout: Some(10 * second), ..member("b1", 0, "a:1") };
    registered(&mut routes, &quick, now);
    assert_eq!(routes.touch("C", "b1", "a:1", FIRST, now + 9 * second), Some(version(1)));
    assert_eq!(routes.expire(now + 18 * second), 0);
    assert_eq!(routes.expire(now + 19 * second), 1);
    assert_eq!(routes.touch("C", "b1", "a:1", FIRST, now + 20 * second), None);
}

#[test]
fn the_end_of_a_connection_takes_its_members_but_not_those_that_moved() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    registered(&mut routes, &member("b2", 0, "2.2.2.2:10911"), now);
    routes.touch("C", "b1", "1.1.1.1:10911", SECOND, now);
    assert_eq!(routes.connection_closed(FIRST), 1);
    assert!(routes.route("T1").is_some());
    assert_eq!(routes.connection_closed(SECOND), 1);
    assert!(routes.route("T1").is_none());
}

#[test]
fn a_replica_learns_its_master_and_does_not_change_topics() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    let answer = registered(&mut routes, &member("b1", 1, "2.2.2.2:10911"), now);
    assert!(!answer.wants_topics);
    assert_eq!(answer.master, Some(("1.1.1.1:10911".into(), "1.1.1.1:10912".into())));
    assert_eq!(routes.unregister("C", "b1", 0, "1.1.1.1:10911", FIRST), Ok(true));
    // Consumers go on reading from the replica.
    let route = routes.route("T1").unwrap();
    assert_eq!(route.broker_datas[0].broker_addrs, BTreeMap::from([(1, "2.2.2.2:10911".into())]));
}

#[test]
fn an_address_has_one_id_at_a_time() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    registered(&mut routes, &member("b1", 1, "1.1.1.1:10911"), now);
    let addrs = routes.member_group("C", "b1").broker_addrs;
    assert_eq!(addrs, BTreeMap::from([(1, "1.1.1.1:10911".into())]));
    assert_eq!(routes.counts().members, 1);
}

#[test]
fn an_older_master_cannot_take_the_place_of_a_newer_one() {
    let now = Instant::now();
    let mut routes = Routes::default();
    let epoch = |state_version| DataVersion { state_version, ..version(1) };
    let newer = Registration { version: epoch(7), ..member("b1", 0, "a:1") };
    registered(&mut routes, &newer, now);
    let older = Registration { version: epoch(6), ..member("b1", 0, "b:1") };
    let refused = routes.register(&older, FIRST, now).unwrap_err();
    assert!(matches!(refused, Refused::OlderState { newer: 7, older: 6, .. }));
    let next = Registration { version: epoch(8), ..older };
    registered(&mut routes, &next, now);
    assert_eq!(routes.member_group("C", "b1").broker_addrs[&0], "b:1");
}

#[test]
fn a_name_belongs_to_one_cluster() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    let other = Registration { cluster: "D", ..member("b1", 1, "a:1") };
    let refused = routes.register(&other, FIRST, now).unwrap_err();
    assert_eq!(refused.to_string(), "broker b1 belongs to cluster C");
    assert_eq!(routes.unregister("D", "b1", 0, "1.1.1.1:10911", FIRST), Ok(false));
    assert_eq!(routes.touch("D", "b1", "1.1.1.1:10911", FIRST, now), None);
}

#[test]
fn one_topic_of_an_unknown_broker_is_refused() {
    let mut routes = Routes::default();
    let one = Registration { topics: 1, ..member("b1", 0, "a:1") };
    let refused = routes.register(&one, FIRST, Instant::now());
    assert_eq!(refused, Err(Refused::OneTopicOfUnknownBroker));
    assert_eq!(routes.counts().brokers, 0);
}

#[test]
fn too_many_members_and_topics_are_refused() {
    let now = Instant::now();
    let mut routes = Routes::default();
    let names: Vec<String> = (0..=MAX_MEMBERS).map(|i| format!("b{i}")).collect();
    for name in &names[..MAX_MEMBERS] {
        registered(&mut routes, &member(name, 0, "a:1"), now);
    }
    let last = member(&names[MAX_MEMBERS], 0, "a:1");
    let refused = routes.register(&last, FIRST, now);
    assert_eq!(refused, Err(Refused::TooManyMembers { max: MAX_MEMBERS }));
    registered(&mut routes, &member("b0", 0, "a:1"), now);
    let refused =
        routes.register(&Registration { topics: 1_000_000, ..member("b0", 0, "a:1") }, FIRST, now);
    assert!(matches!(refused, Err(Refused::TooManyTopics { count: 1_000_000, .. })));
}

#[test]
fn topics_of_all_brokers_have_a_limit_that_is_told() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    routes.queues_count = MAX_TOPIC_QUEUES - 1; // as with many other brokers
    let refused = routes.register(&member("b2", 0, "a:1"), FIRST, now).unwrap_err();
    let expected = "broker b2 brings 2 topics, and 1000000 of all brokers is the limit";
    assert_eq!(refused.to_string(), expected);
    // Who brings nothing more than before is welcome.
    registered(&mut routes, &member("b1", 0, "1.1.1.1:10911"), now);
    assert_eq!(routes.put_topics("b1", &[topic("T3", 1), topic("T4", 1)]), 1);
    assert!(routes.is_full());
}

#[test]
fn only_the_connection_that_registered_a_member_unregisters_it_while_it_is_open() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    let unregister = |routes: &mut Routes, connection| {
        routes.unregister("C", "b1", 0, "1.1.1.1:10911", connection)
    };
    let foreign = Refused::OtherConnection { broker: "b1".into(), id: 0 };
    assert_eq!(unregister(&mut routes, SECOND), Err(foreign.clone()));
    // A sign of life on another connection makes that one no owner, neither by its end
    routes.touch("C", "b1", "1.1.1.1:10911", SECOND, now);
    assert_eq!(unregister(&mut routes, SECOND), Err(foreign));
    assert_eq!(routes.connection_closed(SECOND), 0);
    assert!(routes.route("T1").is_some());
    // before the end of the first.
    routes.touch("C", "b1", "1.1.1.1:10911", SECOND, now);
    assert_eq!(routes.connection_closed(FIRST), 0);
    assert_eq!(unregister(&mut routes, SECOND), Ok(true));
    assert!(routes.route("T1").is_none());
}

#[test]
fn topics_that_cannot_be_topics_are_left_out() {
    let mut routes = one_broker(Instant::now());
    let bad = [topic("../x", 4), topic("", 4), topic("T3", -1), topic("T4", i32::MAX)];
    assert_eq!(routes.put_topics("b1", &bad), 4);
    assert_eq!(routes.put_topics("nobody", &[topic("T5", 1)]), 0);
    assert_eq!(routes.counts().topics, 2);
}

#[test]
fn write_permission_is_wiped_until_a_change_and_can_be_given_back() {
    let mut routes = one_broker(Instant::now());
    let perm = |routes: &Routes| routes.route("T1").unwrap().queue_datas[0].perm;
    assert_eq!((routes.wipe_write("b1"), perm(&routes)), (2, 4));
    assert_eq!((routes.add_write("b1"), perm(&routes)), (2, 6));
    routes.wipe_write("b1");
    routes.put_topics("b1", &[topic("T1", 4)]);
    assert_eq!(perm(&routes), 6);
    assert_eq!(routes.wipe_write("nobody"), 0);
}

#[test]
fn a_topic_can_be_deleted_in_one_cluster() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    let other = Registration { cluster: "D", ..member("d1", 0, "d:1") };
    registered(&mut routes, &other, now);
    routes.put_topics("d1", &[topic("T1", 2)]);
    routes.delete_topic("T1", Some("C"));
    assert_eq!(routes.route("T1").unwrap().queue_datas[0].broker_name, "d1");
    assert_eq!(routes.topics_of_cluster("C").topic_list, ["T2"]);
    routes.delete_topic("T1", None);
    routes.delete_topic("absent", None);
    assert_eq!(routes.route("T1"), None);
}

#[test]
fn lists_and_clusters_name_everything_there_is() {
    let now = Instant::now();
    let mut routes = one_broker(now);
    registered(&mut routes, &member("b2", 0, "2.2.2.2:10911"), now);
    let unit = TopicConfig { topic_sys_flag: 3, ..topic("U", 1) };
    let subscribed = TopicConfig { topic_sys_flag: 2, ..topic("S", 1) };
    routes.put_topics("b2", &[unit, subscribed]);
    let sorted = |mut list: TopicList| {
        list.topic_list.sort();
        list.topic_list.join(" ")
    };
    assert_eq!(sorted(routes.topic_list()), "S T1 T2 U");
    assert_eq!(sorted(routes.unit_topics(UnitTopics::OfUnits)), "U");
    assert_eq!(sorted(routes.unit_topics(UnitTopics::WithUnitSubscribers)), "S U");
    assert_eq!(sorted(routes.unit_topics(UnitTopics::WithUnitSubscribersOnly)), "S");
    let system = routes.system_topics();
    assert_eq!(system.broker_addr.as_deref(), Some("1.1.1.1:10911"));
    assert_eq!(sorted(system), "C b1 b2");
    let info = routes.cluster_info();
    assert_eq!(
        info.cluster_addr_table,
        BTreeMap::from([("C".into(), vec!["b1".into(), "b2".into()])])
    );
    assert_eq!(info.broker_addr_table["b2"].broker_addrs[&0], "2.2.2.2:10911");
}

#[test]
fn a_topic_is_registered_only_on_known_brokers() {
    let mut routes = one_broker(Instant::now());
    let on = |broker: &str| QueueData {
        broker_name: broker.into(),
        perm: 6,
        read_queue_nums: 1,
        topic_sys_flag: 0,
        write_queue_nums: 1,
    };
    routes.register_topic("T9", &[on("b1")]).unwrap();
    assert!(routes.route("T9").is_some());
    let refused = routes.register_topic("T10", &[on("b1"), on("x")]);
    assert_eq!(refused, Err(Refused::NoSuchBroker { broker: "x".into() }));
    assert_eq!(routes.route("T10"), None);
}

#[derive(Debug, Clone)]
enum Step {
    Register { broker: u8, id: i64, addr: u8, connection: u64, version: i64, topics: Vec<u8> },
    Unregister { broker: u8, id: i64, addr: u8, connection: u64 },
    Close { connection: u64 },
    Pass { seconds: u64 },
    Touch { broker: u8, addr: u8, connection: u64 },
    Delete { topic: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (broker, id, addr, connection) = (0..4_u8, 0..3_i64, 0..5_u8, 0..4_u64);
    prop_oneof![
        4 => (broker.clone(), id.clone(), addr.clone(), connection.clone(), 0..3_i64,
              prop::collection::vec(0..6_u8, 0..4))
            .prop_map(|(broker, id, addr, connection, version, topics)| Step::Register {
                broker, id, addr, connection, version, topics
            }),
        1 => (broker.clone(), id, addr.clone(), connection.clone())
            .prop_map(|(broker, id, addr, connection)| Step::Unregister {
                broker, id, addr, connection
            }),
        1 => connection.clone().prop_map(|connection| Step::Close { connection }),
        1 => (0..90_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => (broker, addr, connection)
            .prop_map(|(broker, addr, connection)| Step::Touch { broker, addr, connection }),
        1 => (0..6_u8).prop_map(|topic| Step::Delete { topic }),
    ]
}

fn take(routes: &mut Routes, step: Step, now: &mut Instant) {
    let name = |broker| format!("b{broker}");
    let at = |addr| format!("10.0.0.{addr}:1");
    match step {
        Step::Register { broker, id, addr, connection, version: counter, topics } => {
            let (broker, addr) = (name(broker), at(addr));
            let registration = Registration {
                version: version(counter),
                topics: topics.len(),
                ..member(&broker, id, &addr)
            };
            let wants = routes.register(&registration, ConnectionId(connection), *now);
            if wants.is_ok_and(|registered| registered.wants_topics) {
                let topics: Vec<_> = topics.iter().map(|it| topic(&format!("T{it}"), 4)).collect();
                routes.put_topics(&broker, &topics);
            }
        }
        Step::Unregister { broker, id, addr, connection } => {
            let connection = ConnectionId(connection);
            let _ = routes.unregister("C", &name(broker), id, &at(addr), connection);
        }
        Step::Close { connection } => {
            routes.connection_closed(ConnectionId(connection));
        }
        Step::Pass { seconds } => {
            *now += Duration::from_secs(seconds);
            routes.expire(*now);
        }
        Step::Touch { broker, addr, connection } => {
            routes.touch("C", &name(broker), &at(addr), ConnectionId(connection), *now);
        }
        Step::Delete { topic } => routes.delete_topic(&format!("T{topic}"), None),
    }
}

fn assert_consistent(routes: &Routes, now: Instant) {
    let members: usize = routes.brokers.values().map(|broker| broker.members.len()).sum();
    assert_eq!(members, routes.member_count);
    let queues: usize = routes.topics.values().map(|it| it.keys().count()).sum();
    assert_eq!(queues, routes.queues_count);
    let of_brokers: usize = routes.brokers.values().map(|broker| broker.topics.len()).sum();
    assert_eq!(of_brokers, queues);
    for broker in routes.brokers.values() {
        assert!(!broker.members.is_empty(), "a broker without members stays");
        let addrs: HashSet<&str> = broker.members.values().map(|it| it.addr.as_str()).collect();
        assert_eq!(addrs.len(), broker.members.len(), "an address has two ids");
        assert!(broker.members.values().all(|it| it.deadline >= now));
    }
    for (topic, by_broker) in &routes.topics {
        assert!(!by_broker.is_empty());
        for broker in by_broker.keys() {
            assert!(routes.brokers[broker].topics.contains(topic));
        }
        let route = routes.route(topic).unwrap();
        assert_eq!(route.queue_datas.len(), route.broker_datas.len());
    }
}

proptest! {
    /// Whatever brokers and connections do, no route leads to a broker that is gone.
    #[test]
    fn topics_and_brokers_always_agree(steps in prop::collection::vec(step(), 0..60)) {
        let mut routes = Routes::default();
        let mut now = Instant::now();
        for step in steps {
            take(&mut routes, step, &mut now);
            assert_consistent(&routes, now);
        }
    }
}
