//! Bytes no well-behaved peer sends: what they cost their sender, and that nobody else pays.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rocketkube_protocol::ResponseCode;
use rocketkube_remoting::{CloseReason, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::*;

/// A frame with this JSON header and no body.
fn json(header: &[u8]) -> Vec<u8> {
    let len = u32::try_from(header.len()).unwrap();
    [&(len + 4).to_be_bytes(), &len.to_be_bytes(), header].concat()
}

/// A frame with a binary header: its fixed fields, then `rest`, which begins with the remark.
fn binary(rest: &[u8]) -> Vec<u8> {
    let header = [&[0, 1, 0, 1, 223, 0, 0, 0, 7, 0, 0, 0, 0], rest].concat();
    let len = u32::try_from(header.len()).unwrap();
    [&(len + 4).to_be_bytes(), &(len | 1 << 24).to_be_bytes(), &header[..]].concat()
}

async fn assert_closes(what: &str, bytes: &[u8]) {
    let server = start();
    let mut stream = server.connect().await;
    stream.write_all(bytes).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), read_to_close(&mut stream)).await;
    assert_eq!(answer.unwrap_or_else(|_| panic!("{what} was not closed")), b"", "{what}");
    server.closed(CloseReason::BadFrame).await;
    server.assert_serves().await;
}

/// What the server answers to one frame, after which it still serves the connection.
async fn answer_and_keep(bytes: &[u8]) -> rocketkube_protocol::Command {
    let server = start();
    let mut stream = server.connect().await;
    stream.write_all(bytes).await.unwrap();
    let answer = read_command(&mut stream).await;
    stream.write_all(&frame(&echo(9, b"next"))).await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"next");
    answer
}

#[tokio::test]
async fn lengths_no_frame_can_have_close_the_connection() {
    for length in [0, 1, 2, 3, 0x7fff_ffff, 0xffff_ffff, 0x8000_0000, 16 * 1024 * 1024 + 1 - 4_u32]
    {
        let bytes = [&length.to_be_bytes()[..], &[0; 8]].concat();
        assert_closes(&format!("length {length:#x}"), &bytes).await;
    }
}

#[tokio::test]
async fn headers_that_do_not_fit_their_frame_close_the_connection() {
    for word in [13_u32, 0, 0x00ff_ffff] {
        let bytes = [&16_u32.to_be_bytes()[..], &word.to_be_bytes(), &[b' '; 12]].concat();
        assert_closes(&format!("header word {word:#x}"), &bytes).await;
    }
}

#[tokio::test]
async fn unknown_header_forms_close_the_connection() {
    for form in [2, 3, 127, 128, 255] {
        assert_closes(&format!("form {form}"), &[0, 0, 0, 6, form, 0, 0, 2, b'{', b'}']).await;
    }
}

#[tokio::test]
async fn json_headers_that_are_no_object_close_the_connection() {
    let deep = [b"{\"a\":".repeat(10_000), b"1".to_vec(), b"}".repeat(10_000)].concat();
    let arrays = [b"{\"a\":".to_vec(), b"[".repeat(10_000), b"]".repeat(10_000), b"}".to_vec()];
    let keys: Vec<String> = (0..1_000_000).map(|n| format!("\"{n}\":\"\"")).collect();
    let many = format!("{{\"code\":1,\"extFields\":{{{}}}}}", keys.join(","));
    let cases: [(&str, &[u8]); 13] = [
        ("not UTF-8", b"{\"code\":1,\"remark\":\"\xff\"}"),
        ("truncated", b"{\"code\":1"),
        ("trailing", b"{\"code\":1}x"),
        ("array", b"[1]"),
        ("number", b"12"),
        ("null", b"null"),
        ("deep objects", &deep),
        ("deep arrays", &arrays.concat()),
        ("a million fields", many.as_bytes()),
        ("code as text", b"{\"code\":\"x\"}"),
        ("code 1e400", b"{\"code\":1e400}"),
        ("code of 33 bits", b"{\"code\":4294967296}"),
        ("opaque of 33 bits", b"{\"code\":1,\"opaque\":4294967296}"),
    ];
    for (what, header) in cases {
        assert_closes(what, &json(header)).await;
    }
}

#[tokio::test]
async fn binary_headers_whose_parts_do_not_fit_close_the_connection() {
    let cases: [(&str, &[u8]); 10] = [
        ("remark length -1", &[255, 255, 255, 255, 0, 0, 0, 0]),
        ("remark past the end", &[0, 0, 1, 0, 0, 0, 0, 0]),
        ("remark over the fields", &[0, 0, 0, 3, 0, 0, 0, 0]),
        ("fields length -1", &[0, 0, 0, 0, 255, 255, 255, 255]),
        ("fields past the end", &[0, 0, 0, 0, 0, 0, 0, 9]),
        ("odd tail", &[0, 0, 0, 0, 0, 0, 0, 1, 0]),
        ("empty key", &[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 1, b'v']),
        ("negative key", &[0, 0, 0, 0, 0, 0, 0, 7, 0x80, 0, 0, 0, 0, 1, b'v']),
        ("key past the end", &[0, 0, 0, 0, 0, 0, 0, 7, 0, 9, b'k', 0, 0, 0, 0]),
        ("value past the end", &[0, 0, 0, 0, 0, 0, 0, 7, 0, 1, b'k', 0, 0, 0, 9]),
    ];
    for (what, rest) in cases {
        assert_closes(what, &binary(rest)).await;
    }
}

#[tokio::test]
async fn other_protocols_are_closed_and_counted() {
    let cases: [(&str, &[u8]); 5] = [
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
    ];
    for (what, bytes) in cases {
        assert_closes(what, bytes).await;
    }
}

#[tokio::test]
async fn odd_but_readable_headers_are_answered() {
    let answer = answer_and_keep(&json(br#"{"code":1,"opaque":1,"opaque":2}"#)).await;
    assert_eq!(answer.opaque, 2, "the last of two keys counts");
    for header in [&br#"{"code":-1,"opaque":3}"#[..], br#"{"opaque":3}"#] {
        let answer = answer_and_keep(&json(header)).await;
        assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    }
    let answer = answer_and_keep(&json(br#"{"code":1}"#)).await;
    assert_eq!(answer.opaque, 0, "no opaque is 0");
    let answer = answer_and_keep(&json(br#"{"code":1,"language":"COBOL","version":-5}"#)).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
}

#[tokio::test]
async fn a_frame_over_the_configured_limit_closes_the_connection() {
    let server = start_with(Echo::default(), Limits { frame: 1000, ..Limits::default() });
    let mut stream = server.connect().await;
    stream.write_all(&frame(&echo(1, &[0; 1000]))[..100]).await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, b"");
    server.closed(CloseReason::BadFrame).await;
}

#[tokio::test]
async fn requests_before_a_bad_frame_are_answered() {
    let server = start();
    let mut stream = server.connect().await;
    let bytes = [frame(&echo(1, b"good")), vec![0; 8]].concat();
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"good");
    assert_eq!(read_to_close(&mut stream).await, b"");
}

#[tokio::test]
async fn a_oneway_request_is_processed_without_an_answer() {
    let server = start();
    let mut stream = server.connect().await;
    let bytes = [frame(&echo(1, b"oneway").oneway()), frame(&echo(2, b"asked"))].concat();
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(read_command(&mut stream).await.opaque, 2);
    assert_eq!(server.counters.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_after_ten_seconds() {
    let server = start();
    let begin = Instant::now();
    let mut stream = server.connect().await;
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert_near(begin, Duration::from_secs(10));
    server.closed(CloseReason::NoFirstByte).await;
}

#[tokio::test(start_paused = true)]
async fn a_few_bytes_and_silence_are_closed_after_thirty_seconds() {
    for bytes in 1..=3 {
        let server = start();
        let begin = Instant::now();
        let mut stream = server.connect().await;
        stream.write_all(&[0; 3][..bytes]).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, b"");
        assert_near(begin, Duration::from_secs(30));
        server.closed(CloseReason::PartialFrame).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_frame_one_byte_per_second_is_closed_after_thirty_seconds() {
    let server = start();
    let begin = Instant::now();
    let mut stream = server.connect().await;
    let bytes = [&(16 * 1024 * 1024 - 4_u32).to_be_bytes()[..], &[0, 0, 1, 0]].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut byte = [0];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut byte)).await;
        match read {
            Ok(_) => break, // the end, or a reset
            Err(_) if stream.write_all(b" ").await.is_err() => break,
            Err(_) => {}
        }
    }
    assert_near(begin, Duration::from_secs(30));
    server.closed(CloseReason::PartialFrame).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_two_minutes_after_its_last_byte() {
    let server = start();
    let mut stream = server.connect().await;
    stream.write_all(&frame(&echo(1, b"one"))).await.unwrap();
    read_command(&mut stream).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    stream.write_all(&frame(&echo(2, b"two"))).await.unwrap();
    read_command(&mut stream).await;
    let last = Instant::now();
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert_near(last, Duration::from_mins(2));
    server.closed(CloseReason::Idle).await;
}

/// Deadlines are kept in ticks of half a second, and are never early.
fn assert_near(begin: Instant, expected: Duration) {
    let elapsed = begin.elapsed();
    assert!(elapsed >= expected, "closed early, after {elapsed:?}");
    assert!(elapsed <= expected + Duration::from_millis(1100), "closed late, after {elapsed:?}");
}

#[tokio::test]
async fn responses_nobody_asked_for_are_ignored_and_counted() {
    let server = start();
    let mut stream = server.connect().await;
    let mut stray = echo(1, b"");
    stray.flag = 1;
    let bytes = [frame(&stray).repeat(1000), frame(&echo(2, b"asked"))].concat();
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"asked");
    assert_eq!(server.counters.stray_responses(), 1000);
    stream.write_all(&frame(&stray).repeat(3000)).await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, b"");
    server.closed(CloseReason::StrayResponses).await;
    server.assert_serves().await;
}

#[tokio::test]
async fn reading_pauses_while_a_peer_does_not_take_its_answers() {
    const REQUESTS: i32 = 10_000;
    const ANSWER: usize = 64 * 1024;
    let limits = Limits { unsent: 1024 * 1024, ..Limits::default() };
    let server = start_with(Echo::default(), limits);
    let (mut reader, mut writer) = server.connect().await.into_split();
    let writing = tokio::spawn(async move {
        for opaque in 0..REQUESTS {
            let mut request = command(ZEROS, opaque);
            request.ext = vec![("len".into(), ANSWER.to_string())];
            writer.write_all(&frame(&request)).await.unwrap();
        }
        writer
    });
    let peer = || server.service.peers.lock().first().cloned();
    until(|| peer().is_some_and(|peer| peer.unsent() >= 1024 * 1024)).await;
    server.assert_serves().await;
    let unsent = peer().unwrap().unsent();
    assert!(unsent <= 1024 * 1024 + ANSWER as u64 + 100, "{unsent} bytes wait");
    assert!(server.counters.requests() < 1000, "all requests were handled unread");
    for opaque in 0..REQUESTS {
        let len = reader.read_u32().await.unwrap();
        let mut bytes = vec![0; len as usize];
        reader.read_exact(&mut bytes).await.unwrap();
        let answer = rocketkube_protocol::Command::decode(&bytes).unwrap();
        assert_eq!((answer.opaque, answer.body.len()), (opaque, ANSWER));
    }
    drop(writing.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn large_frames_that_do_not_come_to_an_end_take_half_of_the_budget() {
    const FRAME: usize = 1 << 20;
    const PART: usize = FRAME - 4096;
    let limits = Limits { frame: FRAME, unfinished: 6 * FRAME, ..Limits::default() };
    let server = start_with(Echo::default(), limits);
    let whole: Arc<[u8]> = frame(&echo(1, &vec![1; FRAME - 1024])).into();
    let begin = Instant::now();
    let mut unfinished = Vec::new();
    for _ in 0..20 {
        let (mut stream, bytes) = (server.connect().await, Arc::clone(&whole));
        let write = async move { stream.write_all(&bytes[..PART]).await.map(|()| stream) };
        unfinished.push(tokio::spawn(write));
    }
    until(|| server.counters.bytes_in() >= 3 * PART as u64).await;
    // Small requests are served as ever; and have given all others time to be read.
    for _ in 0..100 {
        server.assert_serves().await;
    }
    let bytes = usize::try_from(server.counters.bytes_in()).unwrap();
    assert!(bytes < 3 * FRAME + 20 * 32 * 1024, "{bytes} bytes were read");
    // So are frames that are not as large.
    let mut stream = server.connect().await;
    stream.write_all(&frame(&echo(2, &vec![2; FRAME / 4]))).await.unwrap();
    assert_eq!(read_command(&mut stream).await.opaque, 2);
    // Who was let in and did not go on is closed, and then others come in.
    tokio::time::sleep_until(begin + Duration::from_secs(31)).await;
    assert_eq!(server.counters.closed(CloseReason::PartialFrame), 3);
    until(|| server.counters.bytes_in() >= 6 * PART as u64).await;
    drop(stream);
    for writing in unfinished {
        writing.abort();
        let _ = writing.await;
    }
    let mut stream = server.connect().await;
    stream.write_all(&whole).await.unwrap();
    assert_eq!(read_command(&mut stream).await.opaque, 1);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_closed_when_too_much_is_queued() {
    let limits = Limits { queued: 1024 * 1024, ..Limits::default() };
    let server = start_with(Echo::default(), limits);
    let mut stream = server.connect().await;
    until(|| !server.service.peers.lock().is_empty()).await;
    let peer = std::sync::Arc::clone(&server.service.peers.lock()[0]);
    let mut sent = 0_usize;
    while peer.send(&vec![0; 64 * 1024]).is_ok() {
        sent += 64 * 1024;
    }
    assert_eq!(sent, 1024 * 1024);
    assert!(peer.is_closed());
    read_to_close(&mut stream).await;
    server.closed(CloseReason::Overflow).await;
}

#[tokio::test]
async fn accepting_is_paced_and_who_is_connected_is_served_meanwhile() {
    let limits = Limits { accepts_per_second: 100, ..Limits::default() };
    let server = start_with(Echo::default(), limits);
    let mut stream = server.connect().await;
    let begin = std::time::Instant::now();
    let storm: Vec<_> = futures(50, || server.connect()).await;
    stream.write_all(&frame(&echo(1, b"served"))).await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"served");
    until(|| server.counters.accepted() == 51).await;
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    drop(storm);
}

async fn futures<F: Future>(count: usize, make: impl Fn() -> F) -> Vec<F::Output> {
    let mut outputs = Vec::with_capacity(count);
    for _ in 0..count {
        outputs.push(make().await);
    }
    outputs
}

#[tokio::test]
async fn an_answer_due_after_a_half_close_is_still_sent() {
    let server = start();
    let mut stream = server.connect().await;
    stream.write_all(&[frame(&echo(1, b"now")), frame(&command(PARK, 2))].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_command(&mut stream).await.body, b"now");
    assert_eq!(server.counters.open(), 1);
    server.service.answer_parked();
    assert_eq!(read_command(&mut stream).await.opaque, 2);
    assert_eq!(read_to_close(&mut stream).await, b"");
    server.closed(CloseReason::Peer).await;
}

#[tokio::test]
async fn an_end_is_not_delayed_by_answers_nobody_promised() {
    let server = start();
    let mut stream = server.connect().await;
    stream.write_all(&frame(&command(PARK_LOOSELY, 1))).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, b"");
    server.closed(CloseReason::Peer).await;
}

#[tokio::test]
async fn a_service_hears_once_of_a_half_close_and_can_still_answer() {
    let server = start();
    let mut stream = server.connect().await;
    let parked = [command(PARK_TO_THE_END, 1), command(PARK_TO_THE_END, 2), command(PARK, 3)];
    stream.write_all(&parked.map(|request| frame(&request)).concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_command(&mut stream).await.opaque, 1);
    assert_eq!(read_command(&mut stream).await.opaque, 2);
    server.service.answer_parked();
    assert_eq!(read_command(&mut stream).await.opaque, 3);
    assert_eq!(read_to_close(&mut stream).await, b"");
    server.closed(CloseReason::Peer).await;
    assert_eq!(server.service.half_closed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn requests_left_behind_untaken_answers_are_handled_before_a_half_close_is_told() {
    let limits = Limits { unsent: 256 * 1024, ..Limits::default() };
    let server = start_with(Echo::default(), limits);
    let mut stream = server.connect().await;
    let mut many = command(ZEROS, 1);
    many.ext = vec![("len".into(), (8 << 20).to_string())];
    let requests = [frame(&many), frame(&command(PARK_TO_THE_END, 2))];
    stream.write_all(&requests.concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_command(&mut stream).await.body.len(), 8 << 20);
    assert_eq!(read_command(&mut stream).await.opaque, 2);
    assert_eq!(read_to_close(&mut stream).await, b"");
}
