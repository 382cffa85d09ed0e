//! A broker that may open few files, and clients that would take them all.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use rocketkube_protocol::{RequestCode, ResponseCode};
use rocketkube_testkit::{Process, Ready, Wire, free_offset};

const LIMIT: u32 = 300;
const PATIENCE: Duration = Duration::from_secs(20);
/// As small as they can be.
const SEGMENT: usize = 16 << 20;
const BODY: usize = 4 << 20;

fn start(dir: &std::path::Path, listen: SocketAddr) -> Result<Process> {
    let program = env!("CARGO_BIN_EXE_rocketkube-broker");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {LIMIT}; exec \"$0\" \"$@\""), program])
        .args(["--listen", &listen.to_string(), "--http", "127.0.0.1:0", "--flush", "async"])
        .arg("--data-dir")
        .arg(dir)
        .env("ROCKETKUBE_BROKER_SEGMENT_SIZE", SEGMENT.to_string())
        .env("ROCKETKUBE_BROKER_AUTO_CREATE_TOPICS", "true");
    let mut process = Process::start(&mut command)?;
    process.wait_ready(&Ready::Line("serving".to_owned()), PATIENCE)?;
    Ok(process)
}

fn send(wire: &mut Wire, body: &[u8]) -> Result<ResponseCode> {
    let ext = [("a", "p"), ("b", "t"), ("c", "TBW102"), ("d", "1"), ("e", "0"), ("f", "0")];
    let ext = [&ext[..], &[("g", "1700000000000"), ("h", "0"), ("i", "")]].concat();
    Ok(wire.call(RequestCode::SEND_MESSAGE_V2.0, &ext, body)?.response_code())
}

#[test]
fn connections_never_take_the_descriptors_of_the_log() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let listen = SocketAddr::from((
        [127, 0, 0, 1],
        10_911 + free_offset(&[10_909, 10_911], &mut rand::rng())?,
    ));
    let mut broker = start(dir.path(), listen)?;
    let mut producer = Wire::connect(listen, PATIENCE)?;
    ensure!(send(&mut producer, b"first")? == ResponseCode::SUCCESS);
    let mut taken = Vec::new();
    for _ in 0..LIMIT {
        let mut wire = Wire::connect(listen, PATIENCE)?;
        if wire
            .call(RequestCode::GET_MAX_OFFSET.0, &[("topic", "t"), ("queueId", "0")], b"")
            .is_ok()
        {
            taken.push(wire);
        }
    }
    ensure!((50..200).contains(&taken.len()), "{} connections were taken", taken.len());
    // Several segments more, of which each takes a descriptor.
    for number in 0..3 * SEGMENT / BODY {
        let code = send(&mut producer, &vec![7; BODY])?;
        ensure!(code == ResponseCode::SUCCESS, "{number}: {code}, {}", broker.output());
    }
    ensure!(broker.try_wait()?.is_none(), "{}", broker.output());
    ensure!(broker.output().contains("no more descriptors for connections"));
    drop(taken);
    let (status, _) = broker.terminate(PATIENCE)?;
    ensure!(status.success(), "{status}");
    Ok(())
}
