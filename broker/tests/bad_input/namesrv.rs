//! Rows 78 to 81: requests to the name server.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, write::ZlibEncoder};
use rocketkube_protocol::{RequestCode, ResponseCode};
use rocketkube_testkit::Wire;

use crate::{
    ask::{Ask, Row, row},
    pair::{PATIENCE, Pair},
};

const INVALID: &[ResponseCode] = &[ResponseCode::INVALID_PARAMETER];
const OK: &[ResponseCode] = &[ResponseCode::SUCCESS];

fn run(pair: &Pair, rows: &[Row]) -> Result<()> {
    let mut wrong = Vec::new();
    for row in rows {
        let result = run_one(pair, row);
        wrong.extend(result.err().map(|error| format!("{}: {error:#}", row.what)));
    }
    ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    Ok(())
}

fn run_one(pair: &Pair, row: &Row) -> Result<()> {
    let mut wire = Wire::connect(pair.namesrv, PATIENCE)?;
    let answer = row.ask.call(&mut wire)?;
    let code = answer.response_code();
    ensure!(row.codes.contains(&code), "row {}: {code:?} {:?}", row.number, answer.remark);
    Pair::ask_something(&mut wire).context("the connection was not kept")
}

fn register() -> Ask {
    let ext = [
        ("brokerName", "intruder"),
        ("brokerAddr", "127.0.0.1:1"),
        ("clusterName", "DefaultCluster"),
        ("haServerAddr", "127.0.0.1:2"),
        ("brokerId", "0"),
        ("bodyCrc32", "0"),
    ];
    Ask::new(RequestCode::REGISTER_BROKER, &ext)
}

#[test]
fn registrations_that_are_none_are_refused() -> Result<()> {
    let pair = Pair::start()?;
    let any = &[ResponseCode::SYSTEM_ERROR, ResponseCode::INVALID_PARAMETER];
    let mut rows = vec![
        row(79, "garbage", register().body(*b"garbage"), any),
        row(79, "wrong checksum", register().with("bodyCrc32", 7).body(*b"{}"), any),
    ];
    for missing in ["brokerName", "brokerAddr", "clusterName", "brokerId"] {
        let mut ask = register();
        ask.ext.retain(|(key, _)| key != missing);
        rows.push(row(78, format!("no {missing}"), ask, any));
    }
    for (field, value) in [("brokerName", ""), ("brokerAddr", ""), ("brokerId", "x")] {
        rows.push(row(78, format!("{field} {value:?}"), register().with(field, value), any));
    }
    run(&pair, &rows)
}

/// Whoever sends these is no broker, or no longer knows what it sends.
#[test]
fn compressed_registrations_that_do_not_hold_together_close_the_connection() -> Result<()> {
    let pair = Pair::start()?;
    let negative = (-1_i32).to_be_bytes();
    let huge = i32::MAX.to_be_bytes();
    let deflated = |bytes: &[u8]| stored_zlib(bytes);
    let bodies = [
        ("garbage", b"garbage".to_vec()),
        ("256 MiB of zeros", bomb(256 << 20)?),
        ("cut", deflated(b"abc")[..5].to_vec()),
        ("data version of -1 bytes", deflated(&negative)),
        ("data version past the end", deflated(&huge)),
        ("-1 topics", deflated(&[&[0, 0, 0, 2][..], b"{}", &negative].concat())),
        ("2^31 - 1 topics", deflated(&[&[0, 0, 0, 2][..], b"{}", &huge].concat())),
    ];
    for (what, body) in bodies {
        let mut wire = Wire::connect(pair.namesrv, PATIENCE)?;
        let answer = register().with("compressed", true).body(body).call(&mut wire);
        ensure!(answer.is_err(), "{what}: {answer:?}");
        wire.wait_closed(PATIENCE).with_context(|| format!("{what} did not close"))?;
    }
    pair.serves_others()
}

/// A zlib stream of so many zeros, a thousandth of their size.
pub(crate) fn bomb(size: usize) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..size / zeros.len() {
        encoder.write_all(&zeros)?;
    }
    Ok(encoder.finish()?)
}

/// A zlib stream of one block that is not compressed.
fn stored_zlib(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("rows are short");
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let adler = (b << 16 | a).to_be_bytes();
    [&[0x78, 1, 1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), bytes, &adler].concat()
}

#[test]
fn keys_with_separators_and_huge_values_are_refused() -> Result<()> {
    let pair = Pair::start()?;
    let put = |namespace: &str, key: &str, value: &str| {
        let ext = [("namespace", namespace), ("key", key), ("value", value)];
        Ask::new(RequestCode::PUT_KV_CONFIG, &ext)
    };
    run(
        &pair,
        &[
            row(81, "sound", put("ORDER_TOPIC_CONFIG", "topic", "b1:4;b2:4"), OK),
            row(81, "path as namespace", put("../../x", "key", "v"), INVALID),
            row(81, "separator in the key", put("n", "a/b", "v"), INVALID),
            row(81, "line end in the key", put("n", "a\nb", "v"), INVALID),
            row(81, "empty key", put("n", "", "v"), INVALID),
            row(81, "value of 1 MiB", put("n", "key", &"v".repeat(1024 * 1024)), INVALID),
        ],
    )
}
