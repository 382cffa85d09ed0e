//! Against servers that answer what the test says.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;

use parking_lot::Mutex;
use rocketkube_client::{Client, ClientError, Message, Producer};
use rocketkube_protocol::body::{BrokerData, QueueData, RouteForm, TopicRouteData};
use rocketkube_protocol::header::{GetRoute, SendMessage, SendReceipt};
use rocketkube_protocol::message::property;
use rocketkube_protocol::{Command, Properties, Request, RequestCode, ResponseCode};
use rocketkube_remoting::{Limits, Output, Peer, Server, Service};
use tokio_util::sync::CancellationToken;

type Script = Box<dyn Fn(&Request<'_>) -> Command + Send + Sync>;

struct Scripted(Script);

impl Service for Scripted {
    type Session = ();

    fn connected(&self, _: &Arc<Peer>) {}

    fn request(&self, (): &mut (), request: Request<'_>, out: &mut Output) {
        let answer = Command { opaque: request.opaque, flag: 1, ..(self.0)(&request) };
        answer.encode_into(out.buffer()).unwrap();
    }

    fn end_of_batch(&self, (): &mut (), _: &mut Output) {}

    fn disconnected(&self, (): ()) {}
}

/// Starts a server that lives as long as the test's runtime, and returns its address.
fn serve(script: impl Fn(&Request<'_>) -> Command + Send + Sync + 'static) -> String {
    let addr = "127.0.0.1:0".parse().unwrap();
    let service = Arc::new(Scripted(Box::new(script)));
    let server =
        Server::bind(&[addr], service, Limits::default(), CancellationToken::new()).unwrap();
    let addr = server.local_addrs().unwrap()[0].to_string();
    tokio::spawn(server.run());
    addr
}

fn code(code: ResponseCode) -> Command {
    Command { code: code.0, ..Command::default() }
}

/// A name server that knows one topic, with four queues on each of `brokers`.
fn namesrv(topic: &'static str, brokers: Vec<(&'static str, String)>) -> String {
    serve(move |request| {
        if request.header::<GetRoute<'_>>().unwrap().topic != topic {
            return code(ResponseCode::TOPIC_NOT_EXIST);
        }
        let mut route = TopicRouteData::default();
        for (name, addr) in &brokers {
            route.queue_datas.push(QueueData {
                broker_name: (*name).to_owned(),
                perm: 6,
                read_queue_nums: 4,
                write_queue_nums: 4,
                topic_sys_flag: 0,
            });
            route.broker_datas.push(BrokerData {
                broker_name: (*name).to_owned(),
                broker_addrs: [(0, addr.clone())].into(),
                ..BrokerData::default()
            });
        }
        code(ResponseCode::SUCCESS).body(route.encode(RouteForm::Standard))
    })
}

fn receipt(queue_id: i32) -> Command {
    let header =
        SendReceipt { msg_id: "id".into(), queue_id, queue_offset: 7, ..SendReceipt::default() };
    Command::request(RequestCode(0), &header)
}

fn unique_id(request: &Request<'_>) -> String {
    let send: SendMessage<'_> = request.header().unwrap();
    Properties(&send.properties.unwrap()).get(property::UNIQ_KEY).unwrap().to_owned()
}

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
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let namesrv = format!("{gone};{}", namesrv("T", vec![("b", broker)]));
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
