//! Tables of settings that come in parts, and change in between.

use std::sync::Arc;

use parking_lot::Mutex;
use rocketkube_client::{Admin, Client, ClientError, ClientOptions};
use rocketkube_protocol::body::{Body, DataVersion, TopicConfig, TopicConfigTable};
use rocketkube_protocol::header::{AllTopicConfigAnswer, GetAllTopicConfig};
use rocketkube_protocol::{Command, Request, RequestCode, ResponseCode};

use crate::support::{code, serve};

fn version(counter: i64) -> DataVersion {
    DataVersion { counter, state_version: 0, timestamp: 1 }
}

/// The answer with topics `names` of so many in all.
fn part(names: &[&str], counter: i64, total: Option<i32>) -> Command {
    let topic = |name: &&str| {
        let topic_name = (*name).to_owned();
        (topic_name.clone(), TopicConfig { topic_name, ..TopicConfig::default() })
    };
    let topic_config_table = names.iter().map(topic).collect();
    let table = TopicConfigTable { data_version: version(counter), topic_config_table };
    let answer = match total {
        Some(total) => Command::request(RequestCode(0), &AllTopicConfigAnswer { total }),
        None => code(ResponseCode::SUCCESS),
    };
    answer.body(table.encode())
}

/// What a broker was asked for: the first number, and the version of what was read so far.
type Asked = Arc<Mutex<Vec<(i32, Option<i64>)>>>;

/// A broker with these answers, of which the last one stays.
fn broker(answers: Vec<Command>) -> (String, Asked) {
    let asked = Asked::default();
    let note = Arc::clone(&asked);
    let addr = serve(move |request: &Request<'_>| {
        let header: GetAllTopicConfig<'_> = request.header().unwrap();
        let known = header.data_version.map(|text| DataVersion::decode(text.as_bytes()).unwrap());
        let mut asked = note.lock();
        asked.push((header.topic_seq.unwrap(), known.map(|it| it.counter)));
        answers[(asked.len() - 1).min(answers.len() - 1)].clone()
    });
    (addr, asked)
}

fn admin() -> Admin {
    Admin::new(Client::without_namesrv(ClientOptions::default()))
}

fn names(table: &TopicConfigTable) -> Vec<&str> {
    table.topic_config_table.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn parts_are_read_until_there_are_no_more() {
    let answers =
        vec![part(&["a", "b"], 7, Some(3)), part(&["c"], 7, Some(3)), part(&[], 7, Some(3))];
    let (addr, asked) = broker(answers);
    let table = admin().topic_table(&addr).await.unwrap();
    assert_eq!(names(&table), ["a", "b", "c"]);
    assert_eq!(*asked.lock(), [(0, None), (2, Some(7))]);
    assert!(admin().topics_after(&addr, Some(version(7))).await.unwrap().is_none());
    assert_eq!(asked.lock()[2], (i32::MAX, Some(7)));
}

#[tokio::test]
async fn an_answer_that_tells_no_number_is_everything() {
    let (addr, asked) = broker(vec![part(&["a", "b"], 7, None)]);
    assert_eq!(names(&admin().topic_table(&addr).await.unwrap()), ["a", "b"]);
    // Also if nothing changed and the broker sends everything all the same.
    assert!(admin().topics_after(&addr, Some(version(7))).await.unwrap().is_none());
    assert_eq!(asked.lock().len(), 2);
}

#[tokio::test]
async fn a_change_in_between_starts_from_the_beginning() {
    let answers = vec![
        part(&["a", "b"], 7, Some(3)),
        // `a` was deleted; a broker starts again by itself.
        part(&["b", "c"], 8, Some(2)),
    ];
    let (addr, _) = broker(answers);
    let table = admin().topic_table(&addr).await.unwrap();
    assert_eq!((names(&table), table.data_version.counter), (vec!["b", "c"], 8));
}

#[tokio::test]
async fn a_table_that_never_rests_is_an_error() {
    let answers = (0..50).map(|counter| part(&["a"], counter, Some(9))).collect();
    let (addr, _) = broker(answers);
    let error = admin().topic_table(&addr).await.unwrap_err();
    assert!(matches!(error, ClientError::Unsettled { .. }), "{error}");
}

#[tokio::test]
async fn a_broker_that_repeats_itself_is_not_asked_without_end() {
    let (addr, asked) = broker(vec![part(&["a"], 7, Some(9))]);
    assert_eq!(names(&admin().topic_table(&addr).await.unwrap()), ["a"]);
    assert_eq!(asked.lock().len(), 2);
}

#[tokio::test]
async fn without_a_name_server_addresses_are_asked_and_routes_are_not() {
    let client = Client::without_namesrv(ClientOptions::default());
    assert!(matches!(client.route("T").await, Err(ClientError::NoNamesrv)));
    let addr = serve(|_| code(ResponseCode::SUCCESS));
    Admin::new(client).delete_topic_at(&addr, "T").await.unwrap();
}
