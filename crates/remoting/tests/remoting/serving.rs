//! What a well-behaved peer gets.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rocketkube_remoting::{AtCapacity, CloseReason, Limits};
use tokio::io::AsyncWriteExt;

use crate::support::*;

#[tokio::test]
async fn requests_of_one_write_are_few_batches_and_are_answered_in_order() {
    let server = start();
    let mut stream = server.connect().await;
    let bytes: Vec<u8> = (0..64).flat_map(|n| frame(&echo(n, &[1, 2, 3]))).collect();
    stream.write_all(&bytes).await.unwrap();
    for opaque in 0..64 {
        let answer = read_command(&mut stream).await;
        assert_eq!((answer.opaque, answer.body.as_slice()), (opaque, &[1, 2, 3][..]));
        assert!(answer.is_response());
    }
    assert_eq!(server.service.batches.load(Ordering::Relaxed), 3, "24, 24 and 16");
    assert_eq!(server.counters.requests(), 64);
    assert_eq!(server.counters.bytes_in(), bytes.len() as u64);
}

#[tokio::test]
async fn requests_without_answers_do_not_hold_up_those_behind_them() {
    let server = start();
    let mut stream = server.connect().await;
    let silent = frame(&command(ECHO, 0).oneway());
    let bytes = [silent.repeat(500), frame(&echo(1, b"last"))].concat();
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"last");
    assert_eq!(server.service.requests.load(Ordering::Relaxed), 501);
}

#[tokio::test]
async fn what_a_peer_sent_is_handled_though_it_resets_the_connection() {
    let server = start();
    let mut stream = server.connect().await;
    // More than a round and a first read, and no more than the kernel takes before the server looks.
    let bytes = frame(&echo(1, &[0; 250])).repeat(100);
    stream.write_all(&bytes).await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    server.closed(CloseReason::Io).await;
    assert_eq!(server.service.requests.load(Ordering::Relaxed), 100);
}

#[tokio::test]
async fn what_comes_between_a_request_and_its_answer_is_handled_though_a_reset_follows() {
    let server = start();
    let mut stream = server.connect().await;
    stream.write_all(&frame(&command(MEANWHILE, 1))).await.unwrap();
    *server.service.meanwhile.lock() = Some(Box::new(move || {
        let bytes = frame(&echo(2, b"more")).repeat(10);
        assert_eq!(stream.try_write(&bytes).unwrap(), bytes.len());
        stream.set_zero_linger().unwrap();
    }));
    server.closed(CloseReason::Io).await;
    assert_eq!(server.service.requests.load(Ordering::Relaxed), 11);
}

#[tokio::test]
async fn a_batch_that_ends_after_others_goes_on_when_all_that_are_ready_had_their_turn() {
    let server = start();
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = server.connect().await;
        // The server knows the connection once it has answered there.
        stream.write_all(&frame(&echo(1, b"here"))).await.unwrap();
        read_command(&mut stream).await;
        streams.push(stream);
    }
    for stream in &mut streams {
        // Into the socket's buffer: nobody else runs in between.
        stream.write_all(&frame(&command(AFTER_OTHERS, 2).body(*b"late"))).await.unwrap();
    }
    for stream in &mut streams {
        assert_eq!(read_command(stream).await.body, b"late");
    }
    assert_eq!(*server.service.batches_before.lock(), [10; 5]);
}

#[tokio::test]
async fn a_batch_that_ends_after_others_is_answered_though_the_peer_ended_its_side() {
    let server = start();
    let request = frame(&command(AFTER_OTHERS, 2).body(*b"late"));
    let mut ended = server.connect().await;
    ended.write_all(&request).await.unwrap();
    ended.shutdown().await.unwrap();
    assert_eq!(read_command(&mut ended).await.body, b"late");
    assert!(read_to_close(&mut ended).await.is_empty());
}

#[tokio::test]
async fn a_batch_that_ends_after_others_is_answered_before_a_bad_frame_closes_the_connection() {
    let server = start();
    let mut stream = server.connect().await;
    let mut bytes = frame(&command(AFTER_OTHERS, 2).body(*b"late"));
    bytes.extend_from_slice(&[0xff; 8]);
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"late");
    assert!(read_to_close(&mut stream).await.is_empty());
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_answered() {
    let server = start();
    let mut stream = server.connect().await;
    for byte in frame(&echo(1, b"slow")) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_command(&mut stream).await.body, b"slow");
}

#[tokio::test]
async fn a_request_of_the_longest_frame_is_answered() {
    let server = start();
    let mut stream = server.connect().await;
    let head = frame(&echo(1, b"")).len();
    let body = vec![7; Limits::default().frame - head];
    let bytes = frame(&echo(1, &body));
    assert_eq!(bytes.len(), Limits::default().frame);
    let (mut reader, mut writer) = stream.split();
    let write = async { writer.write_all(&bytes).await.unwrap() };
    let read = async {
        use tokio::io::AsyncReadExt;
        let len = reader.read_u32().await.unwrap();
        let mut frame = vec![0; len as usize];
        reader.read_exact(&mut frame).await.unwrap();
        frame
    };
    let ((), answer) = tokio::join!(write, read);
    let answer = rocketkube_protocol::Command::decode(&answer).unwrap();
    // The head of the answer is longer than that of the request, so the echo cannot fit.
    assert!(answer.body.is_empty() && answer.remark.is_some());
}

#[tokio::test]
async fn file_ranges_are_sent_between_the_bytes_they_belong_to() {
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_be_bytes).collect();
    file.write_all(&content).unwrap();
    let server =
        start_with(Echo { file: Some(Arc::new(file)), ..Echo::default() }, Limits::default());
    let mut stream = server.connect().await;
    let range = |opaque: i32, position: usize, len: usize| {
        let mut command = command(FILE, opaque);
        command.ext =
            vec![("position".into(), position.to_string()), ("len".into(), len.to_string())];
        frame(&command)
    };
    let requests = [range(0, 10, 1), range(1, 0, 9_000_000), frame(&echo(2, b"x")), range(3, 5, 0)];
    stream.write_all(&requests.concat()).await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, content[10..11]);
    assert_eq!(read_command(&mut stream).await.body, content[..9_000_000]);
    assert_eq!(read_command(&mut stream).await.body, b"x");
    assert_eq!(read_command(&mut stream).await.body, b"");
}

#[tokio::test]
async fn answers_of_other_threads_are_sent() {
    let server = start();
    let mut stream = server.connect().await;
    let requests: Vec<u8> = (0..10).flat_map(|n| frame(&command(PARK_LOOSELY, n))).collect();
    stream.write_all(&requests).await.unwrap();
    until(|| server.service.parked.lock().len() == 10).await;
    let service = Arc::clone(&server.service);
    std::thread::spawn(move || service.answer_parked()).join().unwrap();
    for opaque in 0..10 {
        assert_eq!(read_command(&mut stream).await.opaque, opaque);
    }
}

#[tokio::test]
async fn a_full_server_closes_or_lets_wait_as_told() {
    let limits = |at_capacity| Limits { connections: 1, at_capacity, ..Limits::default() };
    let server = start_with(Echo::default(), limits(AtCapacity::Close));
    let _first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(read_to_close(&mut second).await, b"");
    server.closed(CloseReason::AtCapacity).await;
    assert_eq!(server.counters.open(), 1);

    let server = start_with(Echo::default(), limits(AtCapacity::Wait));
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(&frame(&echo(1, b"waited"))).await.unwrap();
    until(|| server.counters.accepted() == 1).await;
    drop(first);
    assert_eq!(read_command(&mut second).await.body, b"waited");
}

#[tokio::test]
async fn a_stopping_server_answers_what_is_parked_and_closes() {
    let server = start();
    let mut stream = server.connect().await;
    stream.write_all(&frame(&command(PARK, 5))).await.unwrap();
    until(|| server.service.parked.lock().len() == 1).await;
    server.shutdown.cancel();
    assert_eq!(read_command(&mut stream).await.opaque, 5);
    assert_eq!(read_to_close(&mut stream).await, b"");
    drop(stream);
    server.task.await.unwrap();
    assert_eq!(server.counters.closed(CloseReason::Drained), 1);
    assert_eq!(server.service.disconnected.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_waits_neither_for_quiet_peers_nor_for_those_that_take_nothing() {
    let server = start();
    let mut quiet = server.connect().await;
    quiet.write_all(&frame(&echo(1, b"long ago"))).await.unwrap();
    read_command(&mut quiet).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let begin = tokio::time::Instant::now();
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    assert_eq!(server.counters.closed(CloseReason::Drained), 1);

    let server = start();
    let mut stubborn = server.connect().await;
    let mut many = command(ZEROS, 1);
    many.ext = vec![("len".into(), (15 << 20).to_string())];
    stubborn.write_all(&frame(&many)).await.unwrap();
    let peer = || server.service.peers.lock().first().cloned();
    until(|| peer().is_some_and(|peer| peer.unsent() > 0)).await;
    let begin = tokio::time::Instant::now();
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(server.counters.closed(CloseReason::Aborted), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_waits_for_answers_that_were_promised() {
    let server = start();
    let mut stream = server.connect().await;
    until(|| !server.service.peers.lock().is_empty()).await;
    let peer = Arc::clone(&server.service.peers.lock()[0]);
    let promise = peer.defer();
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_secs(7)).await;
    peer.send(&frame(&echo(3, b"from a slow disk"))).unwrap();
    drop(promise);
    assert_eq!(read_command(&mut stream).await.body, b"from a slow disk");
    drop(stream);
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_closed_or_gone_takes_nothing() {
    let server = start();
    let mut stream = server.connect().await;
    until(|| !server.service.peers.lock().is_empty()).await;
    let peer = Arc::clone(&server.service.peers.lock()[0]);
    assert_eq!(peer.remote(), stream.local_addr().unwrap());
    peer.send(&frame(&echo(0, b"first"))).unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"first");
    peer.close();
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert!(peer.is_closed() && peer.send(b"more").is_err());
    server.closed(CloseReason::Local).await;
}

#[tokio::test]
async fn the_unspecified_address_takes_ipv4_peers_and_shows_them_as_such() {
    let mut server = start_on("[::]:0".parse().unwrap(), Echo::default(), Limits::default());
    server.addr = std::net::SocketAddr::from(([127, 0, 0, 1], server.addr.port()));
    server.assert_serves().await;
    let remote = server.service.peers.lock()[0].remote();
    assert!(remote.is_ipv4(), "{remote}");
}
