//! Sending: what is tried again, where, and what is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rocketkube_client::{Client, ClientError, ClientOptions, Message, Producer, ProducerOptions};
use rocketkube_protocol::ResponseCode;
use rocketkube_protocol::header::SendMessage;
use rocketkube_remoting::{CallError, ConnectError};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::{PATIENCE, Say, code, gone, namesrv, receipt, serve, unique_id};

#[tokio::test]
async fn a_refused_message_is_tried_elsewhere_with_the_same_unique_id() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (at_busy, at_fine) = (Arc::clone(&seen), Arc::clone(&seen));
    let busy = serve(move |request| {
        at_busy.lock().push(("busy", unique_id(request)));
        code(ResponseCode::SYSTEM_BUSY)
    });
    let fine = serve(move |request| {
        at_fine.lock().push(("fine", unique_id(request)));
        receipt(2)
    });
    let namesrv = namesrv("T", vec![("busy", busy), ("fine", fine)]);
    let producer = Producer::new(Client::new(&namesrv).unwrap(), "g");
    for _ in 0..8 {
        let sent = producer.send(&Message::new("T", "x")).await.unwrap();
        assert_eq!((&*sent.queue.broker, sent.queue_offset), ("fine", 7));
    }
    let seen = seen.lock();
    let refused: Vec<_> = seen.windows(2).filter(|pair| pair[0].0 == "busy").collect();
    assert!(!refused.is_empty(), "queues are taken in turn, so some tries meet the busy broker");
    for pair in refused {
        assert_eq!((pair[1].0, &pair[0].1), ("fine", &pair[1].1));
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_right_is_not_tried_again() {
    let tries = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&tries);
    let broker = serve(move |_| {
        *counted.lock() += 1;
        code(ResponseCode::MESSAGE_ILLEGAL)
    });
    let producer = Producer::new(Client::new(&namesrv("T", vec![("b", broker)])).unwrap(), "g");
    let error = producer.send(&Message::new("T", "x")).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::MESSAGE_ILLEGAL));
    assert_eq!(*tries.lock(), 1);
}

#[tokio::test]
async fn a_new_topic_goes_to_the_brokers_of_the_template() {
    let broker = serve(|request| {
        let send: SendMessage<'_> = request.header().unwrap();
        assert_eq!((&*send.topic, &*send.default_topic), ("New", "TBW102"));
        receipt(send.queue_id)
    });
    let producer =
        Producer::new(Client::new(&namesrv("TBW102", vec![("b", broker)])).unwrap(), "g");
    producer.send(&Message::new("New", "x")).await.unwrap();
}

#[tokio::test]
async fn a_topic_nobody_knows_or_creates_is_named_in_the_error() {
    let client = Client::new(&namesrv("Other", Vec::new())).unwrap();
    let error = Producer::new(client, "g").send(&Message::new("T", "x")).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::TOPIC_NOT_EXIST));
}

#[tokio::test]
async fn a_name_server_that_is_gone_is_passed_over() {
    let broker = serve(|_| receipt(0));
    let namesrv = format!("{};{}", gone(), namesrv("T", vec![("b", broker)]));
    let producer = Producer::new(Client::new(&namesrv).unwrap(), "g");
    producer.send(&Message::new("T", "x")).await.unwrap();
}

#[tokio::test]
async fn an_answer_without_its_fields_is_an_error_that_says_which() {
    let broker = serve(|_| code(ResponseCode::SUCCESS));
    let producer = Producer::new(Client::new(&namesrv("T", vec![("b", broker)])).unwrap(), "g");
    let error = producer.send(&Message::new("T", "x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Header { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again_and_the_message_keeps_its_id() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let at_broker = Arc::clone(&seen);
    let broker = serve(move |request| {
        let mut seen = at_broker.lock();
        seen.push(unique_id(request));
        // The first two connections end without an answer.
        if seen.len() < 3 { Say::Close } else { receipt(0).into() }
    });
    let producer = Producer::new(Client::new(&namesrv("T", vec![("b", broker)])).unwrap(), "g");
    let sent = producer.send(&Message::new("T", "x")).await.unwrap();
    assert_eq!(*seen.lock(), [&*sent.unique_id; 3]);
    // And it stays usable.
    producer.send(&Message::new("T", "y")).await.unwrap();
    assert_eq!(seen.lock().len(), 4);
}

#[tokio::test]
async fn a_message_is_not_tried_without_end() {
    let tries = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&tries);
    let broker = serve(move |_| {
        *counted.lock() += 1;
        Say::Close
    });
    let client = Client::new(&namesrv("T", vec![("b", broker)])).unwrap();
    let options = ProducerOptions { retries: 1, timeout: PATIENCE, ..ProducerOptions::default() };
    let producer = Producer::with_options(client, "g", options);
    let error = producer.send(&Message::new("T", "x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Call { source: CallError::Closed, .. }), "{error}");
    assert_eq!(*tries.lock(), 2);
}

#[tokio::test]
async fn a_broker_that_is_gone_costs_no_message() {
    let broker = serve(|_| receipt(0));
    let namesrv = namesrv("T", vec![("gone", gone()), ("there", broker)]);
    let producer = Producer::new(Client::new(&namesrv).unwrap(), "g");
    for _ in 0..8 {
        let sent = producer.send(&Message::new("T", "x")).await.unwrap();
        assert_eq!(&*sent.queue.broker, "there");
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_costs_the_timeout_and_no_more() {
    let broker = serve(|_| Say::Nothing);
    let client = Client::new(&namesrv("T", vec![("b", broker)])).unwrap();
    let timeout = Duration::from_millis(100);
    let options = ProducerOptions { timeout, ..ProducerOptions::default() };
    let producer = Producer::with_options(client, "g", options);
    let begin = Instant::now();
    let error = producer.send(&Message::new("T", "x")).await.unwrap_err();
    let timed_out = matches!(error, ClientError::Call { source: CallError::TimedOut { .. }, .. });
    assert!(timed_out, "{error}");
    let took = begin.elapsed();
    assert!(took >= timeout && took < PATIENCE, "{took:?}");
}

/// A listener that nobody accepts from, and whose queue others have filled.
async fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let (addr, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
    let moment = Duration::from_millis(100);
    while let Ok(connected) = timeout(moment, TcpStream::connect(addr)).await {
        waiting.push(connected.unwrap());
    }
    (listener, waiting)
}

#[tokio::test]
async fn a_broker_that_does_not_accept_costs_the_timeout_and_no_more() {
    let (listener, _waiting) = full().await;
    let addr = listener.local_addr().unwrap().to_string();
    let namesrv = namesrv("T", vec![("b", addr)]);
    let options = ClientOptions { connect_timeout: PATIENCE, ..ClientOptions::default() };
    let client = Client::with_options(&namesrv, options).unwrap();
    let options =
        ProducerOptions { timeout: Duration::from_millis(100), ..ProducerOptions::default() };
    let producer = Producer::with_options(client, "g", options);
    let begin = Instant::now();
    let error = producer.send(&Message::new("T", "x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect(ConnectError::TimedOut { .. })), "{error}");
    assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
}
