//! Routes that change, and name servers that go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rocketkube_client::{Client, Message, Producer, PullConsumer, PullOptions};
use rocketkube_protocol::header::{OffsetAnswer, PullAnswer};
use rocketkube_protocol::{Command, Request, RequestCode, ResponseCode};

use crate::support::{Running, Say, receipt, route, serve};

/// A broker that takes messages and has none.
fn broker(request: &Request<'_>) -> Command {
    match request.code {
        RequestCode::SEND_MESSAGE_V2 => receipt(0),
        RequestCode::PULL_MESSAGE => {
            let header = PullAnswer { next_begin_offset: 3, ..PullAnswer::default() };
            let answer = Command::request(RequestCode(0), &header);
            Command { code: ResponseCode::PULL_NOT_FOUND.0, ..answer }
        }
        _ => Command::request(RequestCode(0), &OffsetAnswer { offset: 5 }),
    }
}

/// A name server whose route can be changed, and how often it was asked.
fn changing_namesrv(first: Command) -> (String, Arc<Mutex<Command>>, Arc<AtomicUsize>) {
    let (current, asked) = (Arc::new(Mutex::new(first)), Arc::new(AtomicUsize::new(0)));
    let (answer, count) = (Arc::clone(&current), Arc::clone(&asked));
    let addr = serve(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        answer.lock().clone()
    });
    (addr, current, asked)
}

#[tokio::test]
async fn a_master_that_moved_is_found_by_whoever_was_refused_at_its_old_place() {
    let old = Running::start(broker);
    let (namesrv, current, _) = changing_namesrv(route(&[("b", old.addr.clone())], 4));
    let client = Client::new(&namesrv).unwrap();
    let producer = Producer::new(client.clone(), "g");
    let sent = producer.send(&Message::new("T", "x")).await.unwrap();
    let reader = PullConsumer::new(client, "g");
    assert_eq!(reader.max_offset(&sent.queue).await.unwrap(), 5);

    old.stop().await;
    *current.lock() = route(&[("b", serve(broker))], 4);
    // Whoever tries once learns from it; whoever tries again succeeds at once.
    assert!(reader.max_offset(&sent.queue).await.is_err());
    assert_eq!(reader.max_offset(&sent.queue).await.unwrap(), 5);
    producer.send(&Message::new("T", "y")).await.unwrap();
}

#[tokio::test]
async fn a_send_and_a_pull_follow_a_master_that_moved() {
    let old = Running::start(broker);
    let (namesrv, current, _) = changing_namesrv(route(&[("b", old.addr.clone())], 4));
    let client = Client::new(&namesrv).unwrap();
    let sent = Producer::new(client.clone(), "g").send(&Message::new("T", "x")).await.unwrap();
    old.stop().await;
    *current.lock() = route(&[("b", serve(broker))], 4);
    let producer = Producer::new(client.clone(), "g");
    producer.send(&Message::new("T", "y")).await.unwrap();

    let reader = PullConsumer::new(client, "g");
    let at_once = PullOptions { wait: Duration::ZERO, ..PullOptions::default() };
    assert_eq!(reader.pull(&sent.queue, 3, &at_once).await.unwrap().next, 3);
}

#[tokio::test]
async fn a_route_is_asked_for_again_once_it_is_old() {
    let (namesrv, current, asked) = changing_namesrv(route(&[("b", "b:1".into())], 4));
    let client = Client::new(&namesrv).unwrap();
    for _ in 0..3 {
        assert_eq!(client.route("T").await.unwrap().writable().len(), 4);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    *current.lock() = route(&[("b", "b:1".into())], 8);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(client.route("T").await.unwrap().writable().len(), 8);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_is_left_for_one_that_does() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let broken = serve(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Say::Close
    });
    let sound = serve(|_| route(&[("b", "b:1".into())], 4));
    let client = Client::new(&format!("{broken};{sound}")).unwrap();
    for _ in 0..5 {
        client.forget_route("T");
        client.route("T").await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) <= 1, "the one that answered is asked first");
}
