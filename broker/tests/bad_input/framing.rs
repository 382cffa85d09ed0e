//! Rows 3 to 32: bytes that are no frame, no header, or come in no bearable way.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rocketkube_protocol::{Command, HeaderForm, RequestCode, ResponseCode, frame::MAX_FRAME};
use rocketkube_testkit::{Wire, request};

use crate::pair::{PATIENCE, Pair};

/// What has to happen to the connection.
#[derive(Debug, Clone, Copy)]
enum Then {
    Closed,
    /// It is answered with this code and goes on.
    Answered(ResponseCode),
    /// It is not answered and goes on.
    Kept,
}

struct Row {
    number: u32,
    what: &'static str,
    bytes: Vec<u8>,
    then: Then,
}

fn row(number: u32, what: &'static str, bytes: impl Into<Vec<u8>>, then: Then) -> Row {
    Row { number, what, bytes: bytes.into(), then }
}

/// A frame from its parts, whatever they are.
fn framed(form: u8, header: &[u8]) -> Vec<u8> {
    let len = u32::try_from(header.len()).expect("rows are short");
    let mut bytes = (len + 4).to_be_bytes().to_vec();
    bytes.extend_from_slice(&(u32::from(form) << 24 | len).to_be_bytes());
    bytes.extend_from_slice(header);
    bytes
}

fn json(header: impl AsRef<[u8]>) -> Vec<u8> {
    framed(0, header.as_ref())
}

/// A frame of eight bytes: a length, and the word that says form and length of the header.
fn head(length: u32, header_word: u32) -> Vec<u8> {
    [length.to_be_bytes(), header_word.to_be_bytes()].concat()
}

/// A sound request in binary form, with these bytes in place of remark and fields.
fn binary(after_flag: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend_from_slice(&30_i16.to_be_bytes());
    header.push(0);
    header.extend_from_slice(&0_i16.to_be_bytes());
    header.extend_from_slice(&[0; 8]);
    header.extend_from_slice(after_flag);
    framed(1, &header)
}

/// The parts of a binary header behind the flag, with lengths as given.
fn tail(remark: i32, fields: i32, rest: &[u8]) -> Vec<u8> {
    [&remark.to_be_bytes()[..], &fields.to_be_bytes()[..], rest].concat()
}

fn run(rows: &[Row]) -> Result<()> {
    let pair = Pair::start()?;
    let mut wrong = Vec::new();
    for row in rows {
        for (server, addr) in [("broker", pair.broker), ("name server", pair.namesrv)] {
            if let Err(error) = run_one(&pair, addr, row) {
                wrong.push(format!("row {}, {}, {server}: {error:#}", row.number, row.what));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    Ok(())
}

fn run_one(pair: &Pair, addr: SocketAddr, row: &Row) -> Result<()> {
    let mut wire = Wire::connect(addr, PATIENCE)?;
    // A peer that closes at the first bad byte may do so before the last one is sent.
    let sent = wire.send(&row.bytes);
    match row.then {
        Then::Closed => {
            let took = wire.wait_closed(PATIENCE).context("was not closed")?;
            ensure!(took < Duration::from_secs(1), "closed only after {took:?}");
        }
        Then::Answered(code) => {
            sent?;
            let answer = wire.receive().context("no answer")?;
            ensure!(answer.response_code() == code, "{:?}", answer.response_code());
            Pair::ask_something(&mut wire).context("was not kept")?;
        }
        Then::Kept => {
            sent?;
            Pair::ask_something(&mut wire).context("was not kept")?;
        }
    }
    pair.serves_others()
}

#[test]
fn frames_with_impossible_lengths_close_the_connection() -> Result<()> {
    let cap = u32::try_from(MAX_FRAME)?;
    run(&[
        row(3, "length 0", head(0, 0), Then::Closed),
        row(4, "length 1", head(1, 0), Then::Closed),
        row(4, "length 2", head(2, 0), Then::Closed),
        row(4, "length 3", head(3, 0), Then::Closed),
        row(5, "longest positive length", head(i32::MAX.cast_unsigned(), 0), Then::Closed),
        row(6, "length -1", head(u32::MAX, 0), Then::Closed),
        row(6, "smallest length", head(1 << 31, 0), Then::Closed),
        row(7, "one byte over the cap", head(cap + 1, 2), Then::Closed),
        row(9, "header longer than its frame", head(8, 5), Then::Closed),
        row(10, "header of no bytes", head(8, 0), Then::Closed),
        row(11, "longest header in a small frame", head(8, 0x00FF_FFFF), Then::Closed),
        row(12, "form 2", framed(2, b"{}"), Then::Closed),
        row(12, "form 127", framed(127, b"{}"), Then::Closed),
        row(12, "form 255", framed(255, b"{}"), Then::Closed),
    ])
}

#[test]
fn json_headers_that_are_none_close_the_connection() -> Result<()> {
    let deep = format!("{{\"code\":30,\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let unfinished = format!("{{\"code\":30,\"x\":{}", "{\"x\":".repeat(10_000));
    let keys: Vec<String> = (0..1_000_000).map(|key| format!("\"{key}\":\"\"")).collect();
    let many = format!("{{\"code\":30,\"opaque\":1,\"extFields\":{{{}}}}}", keys.join(","));
    run(&[
        row(13, "not UTF-8", json(b"{\"code\":30,\"remark\":\"\xff\"}"), Then::Closed),
        row(14, "cut", json(b"{\"code\":30,\"opaque\""), Then::Closed),
        row(14, "more than an object", json(b"{\"code\":30}garbage"), Then::Closed),
        row(15, "array", json(b"[30]"), Then::Closed),
        row(15, "number", json(b"30"), Then::Closed),
        row(15, "null", json(b"null"), Then::Closed),
        row(16, "10,000 arrays deep", json(deep), Then::Closed),
        row(16, "10,000 objects deep", json(unfinished), Then::Closed),
        row(17, "a million fields", json(many), Then::Closed),
        row(19, "code 1e400", json(b"{\"code\":1e400,\"opaque\":1}"), Then::Closed),
        row(19, "code 2^32", json(b"{\"code\":4294967296,\"opaque\":1}"), Then::Closed),
        row(19, "code a text", json(b"{\"code\":\"x\",\"opaque\":1}"), Then::Closed),
        row(20, "opaque too large", json(b"{\"code\":30,\"opaque\":2147483648}"), Then::Closed),
        row(20, "opaque a text", json(b"{\"code\":30,\"opaque\":\"x\"}"), Then::Closed),
    ])
}

#[test]
fn odd_json_headers_are_answered() -> Result<()> {
    let unsupported = Then::Answered(ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    run(&[
        row(18, "the last code of two", json(b"{\"code\":30,\"code\":9999}"), unsupported),
        row(19, "no code", json(b"{\"opaque\":1}"), unsupported),
        row(19, "code -1", json(b"{\"code\":-1,\"opaque\":1}"), unsupported),
        row(20, "no opaque", json(b"{\"code\":9999}"), unsupported),
        row(21, "unknown language", json(b"{\"code\":9999,\"language\":\"COBOL\"}"), unsupported),
        row(22, "version -1", json(b"{\"code\":9999,\"version\":-1}"), unsupported),
        row(22, "version far ahead", json(b"{\"code\":9999,\"version\":2000000}"), unsupported),
        row(23, "answer to nothing", json(b"{\"code\":0,\"opaque\":7,\"flag\":1}"), Then::Kept),
        row(24, "one-way", json(b"{\"code\":9999,\"opaque\":7,\"flag\":2}"), Then::Kept),
    ])
}

#[test]
fn binary_headers_with_impossible_lengths_close_the_connection() -> Result<()> {
    let entry = |key: i16, rest: &[u8]| {
        let len = i32::try_from(rest.len() + 2).expect("rows are short");
        binary(&tail(0, len, &[&key.to_be_bytes(), rest].concat()))
    };
    run(&[
        row(25, "remark of -1 bytes", binary(&tail(-1, 0, b"")), Then::Closed),
        row(25, "remark over the header", binary(&tail(1_000, 0, b"")), Then::Closed),
        row(25, "remark over the fields", binary(&tail(6, 0, b"abc")), Then::Closed),
        row(26, "fields of -1 bytes", binary(&tail(0, -1, b"")), Then::Closed),
        row(26, "fields over the header", binary(&tail(0, 1_000, b"")), Then::Closed),
        row(26, "fields that end inside one", binary(&tail(0, 3, b"\x00\x01k")), Then::Closed),
        row(27, "key of 0x8000 bytes", entry(i16::MIN, b"key\0\0\0\0"), Then::Closed),
        row(27, "key past the end", entry(1_000, b"key\0\0\0\0"), Then::Closed),
    ])
}

#[test]
fn other_protocols_close_the_connection() -> Result<()> {
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[7; 500]].concat();
    run(&[
        row(29, "TLS", hello, Then::Closed),
        row(30, "HTTP/1.1", *b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Then::Closed),
        row(30, "HTTP/2", *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Then::Closed),
        row(30, "SSH", *b"SSH-2.0-OpenSSH_9.6\r\n", Then::Closed),
        row(30, "Redis", *b"PING\r\n*1\r\n$4\r\nPING\r\n", Then::Closed),
    ])
}

#[test]
fn a_peer_that_takes_no_answers_is_not_read_on_and_loses_nothing() -> Result<()> {
    const REQUESTS: i32 = 10_000;
    let pair = Pair::start()?;
    let mut bytes = Vec::new();
    for opaque in 0..REQUESTS {
        let ask = request(RequestCode::GET_ALL_TOPIC_CONFIG.0, &[], b"");
        Command { opaque, ..ask }.encode_into(&mut bytes)?;
    }
    let mut wire = pair.connect()?;
    let mut sender = wire.try_clone()?;
    std::thread::scope(|scope| {
        // The server stops reading, so this stops writing until the answers are taken.
        let sending = scope.spawn(move || sender.send(&bytes));
        for _ in 0..10 {
            pair.serves_others()?;
        }
        for opaque in 0..REQUESTS {
            let answer = wire.receive().with_context(|| format!("answer {opaque}"))?;
            ensure!(answer.opaque == opaque, "{} instead of {opaque}", answer.opaque);
        }
        sending.join().expect("sending does not panic")?;
        Pair::ask_something(&mut wire)
    })
}

#[test]
fn a_peer_that_only_stops_sending_still_gets_its_answer() -> Result<()> {
    let pair = Pair::start()?;
    for addr in [pair.broker, pair.namesrv] {
        let mut wire = Wire::connect(addr, PATIENCE)?;
        wire.send(&json(b"{\"code\":9999,\"opaque\":7}"))?;
        wire.finish_sending()?;
        ensure!(wire.receive()?.opaque == 7, "another answer");
        wire.wait_closed(PATIENCE)?;
    }
    pair.serves_others()
}

#[test]
fn thousands_of_answers_that_nobody_asked_for_close_the_connection() -> Result<()> {
    let pair = Pair::start()?;
    let stray = Command { flag: 1, ..request(0, &[], b"") };
    let mut bytes = Vec::new();
    for _ in 0..5_000 {
        stray.encode_into(&mut bytes)?;
    }
    let mut wire = pair.connect()?;
    // It may be closed before all is sent.
    let _ = wire.send(&bytes);
    wire.wait_closed(PATIENCE)?;
    pair.serves_others()
}

#[test]
fn a_storm_of_connections_delays_nobody() -> Result<()> {
    const CONNECTIONS: u32 = 2_000;
    let pair = Pair::start()?;
    let mut existing = pair.connect()?;
    let started = Instant::now();
    let mut slow = 0;
    for number in 0..CONNECTIONS {
        TcpStream::connect(pair.broker)?.shutdown(Shutdown::Both)?;
        if number % 20 == 0 {
            let asked = Instant::now();
            Pair::ask_something(&mut existing)?;
            slow += u32::from(asked.elapsed() > Duration::from_millis(100));
        }
    }
    // One request in a hundred may meet a busy machine.
    ensure!(slow <= 1, "{slow} requests took over 100 ms in {:?}", started.elapsed());
    Ok(())
}

#[test]
fn both_forms_of_a_header_are_answered_alike() -> Result<()> {
    let pair = Pair::start()?;
    for form in [HeaderForm::Json, HeaderForm::Binary] {
        let mut wire = pair.connect()?;
        let mut bytes = Vec::new();
        let ask = request(9999, &[], b"");
        Command { form, opaque: 3, ..ask }.encode_into(&mut bytes)?;
        wire.send(&bytes)?;
        let answer = wire.receive()?;
        if (answer.form, answer.code) != (form, 3) {
            bail!("{form:?}: {answer:?}");
        }
    }
    Ok(())
}
