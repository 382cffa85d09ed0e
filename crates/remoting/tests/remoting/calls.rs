//! Requests that find their answers, in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rocketkube_protocol::{Request, RequestCode, ResponseCode};
use rocketkube_remoting::{
    CallError, CloseReason, ConnectError, Connection, Handler, Limits, Output,
};

use crate::support::*;

const SOON: Duration = Duration::from_secs(5);

async fn connect(server: &Running) -> Connection {
    Connection::connect(&server.addr.to_string(), SOON).await.unwrap()
}

#[tokio::test]
async fn many_callers_share_a_connection_and_each_gets_its_own_answer() {
    let server = start();
    let connection = Arc::new(connect(&server).await);
    let calls: Vec<_> =
        (0..500_u32).map(|n| connection.submit(echo(0, &n.to_be_bytes())).unwrap()).collect();
    for (n, call) in (0..500_u32).zip(calls) {
        assert_eq!(call.await.unwrap().body, n.to_be_bytes());
    }
    assert_eq!(server.counters.accepted(), 1);
}

#[tokio::test]
async fn answers_may_come_in_another_order() {
    let server = start();
    let connection = connect(&server).await;
    let first = connection.submit(command(PARK, 0).body(b"first")).unwrap();
    let second = connection.call(echo(0, b"second"), SOON).await.unwrap();
    assert_eq!(second.body, b"second");
    server.service.answer_parked();
    assert_eq!(first.await.unwrap().body, b"first");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_in_time_and_its_late_answer_is_dropped() {
    let server = start();
    let connection = connect(&server).await;
    let error = connection.call(command(PARK, 0), Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut { after: Duration::from_secs(3) });
    server.service.answer_parked();
    assert_eq!(connection.call(echo(0, b"next"), SOON).await.unwrap().body, b"next");
}

#[tokio::test]
async fn a_closed_connection_ends_its_calls_and_takes_no_more() {
    let server = start();
    let connection = connect(&server).await;
    let call = connection.submit(command(PARK_LOOSELY, 0)).unwrap();
    until(|| server.service.parked.lock().len() == 1).await;
    server.service.peers.lock()[0].close();
    assert_eq!(call.await.unwrap_err(), CallError::Closed);
    until(|| connection.is_closed()).await;
    assert_eq!(connection.submit(echo(0, b"")).unwrap_err(), CallError::Closed);
}

#[tokio::test]
async fn a_oneway_request_queued_before_the_end_is_sent() {
    let server = start();
    let connection = connect(&server).await;
    connection.send_oneway(echo(0, b"last")).unwrap();
    drop(connection);
    server.closed(CloseReason::Peer).await;
    assert_eq!(server.service.requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_command_over_the_frame_limit_is_refused_before_it_is_sent() {
    let server = start();
    let connection = connect(&server).await;
    let body = vec![0; Limits::default().frame];
    let error = connection.submit(echo(0, &body)).unwrap_err();
    assert!(matches!(error, CallError::TooLong(_)), "{error}");
    assert_eq!(connection.call(echo(0, b"next"), SOON).await.unwrap().body, b"next");
}

#[derive(Default)]
struct Answering(AtomicU64);

impl Handler for Answering {
    fn request(&self, request: Request<'_>, out: &mut Output) {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !request.is_oneway() {
            let answer = request.answer(ResponseCode::SUCCESS);
            answer.write(out.buffer(), |_| (), b"from the client");
        }
    }
}

#[tokio::test]
async fn a_server_can_ask_its_clients() {
    let server = start();
    let handler = Arc::new(Answering::default());
    let addr = server.addr.to_string();
    let connection = Connection::connect_with(&addr, SOON, Arc::clone(&handler)).await.unwrap();
    connection.call(echo(0, b"hello"), SOON).await.unwrap();
    let peer = Arc::clone(&server.service.peers.lock()[0]);
    peer.send_oneway(command(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, 0)).unwrap();
    let answer = peer.call(command(RequestCode::GET_CONSUMER_RUNNING_INFO, 0), SOON).await;
    assert_eq!(answer.unwrap().body, b"from the client");
    assert_eq!(handler.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn nobody_listening_is_an_error_that_names_the_address() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap().to_string();
    drop(free);
    let error = Connection::connect(&addr, SOON).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Io { addr: named, .. } if *named == addr), "{error}");
}

#[tokio::test]
async fn a_woken_session_is_told_on_its_own_task() {
    let server = start();
    let connection = connect(&server).await;
    connection.call(echo(0, b"hello"), SOON).await.unwrap();
    let peer = Arc::clone(&server.service.peers.lock()[0]);
    peer.wake();
    until(|| server.service.woken.load(Ordering::Relaxed) == 1).await;
}
