//! A day with `rkctl dev`: start, send, read, stop, start again, and nothing is lost.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rocketkube_testkit::{Process, Ready, Seed, free_offset};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);
const RKCTL: &str = env!("CARGO_BIN_EXE_rkctl");

/// Ports are the only random thing here.
fn free_ports() -> u16 {
    let mut rng = Seed::from_env("ROCKETKUBE_TEST_SEED").part(0);
    free_offset(&[9876, 10911, 10909, 8080], &mut rng).expect("some ports are free")
}

fn start(data_dir: &Path, offset: u16) -> Process {
    let mut command = Command::new(RKCTL);
    command.args(["dev", "--port-offset", &offset.to_string(), "--data-dir"]).arg(data_dir);
    let mut process = Process::start(&mut command).expect("rkctl is built with this test");
    process
        .wait_ready(&Ready::Line("RocketKube is ready".into()), PATIENCE)
        .expect("dev starts on free ports");
    process
}

fn rkctl(offset: u16, args: &[&str]) -> String {
    let name_server = format!("127.0.0.1:{}", 9876 + offset);
    let output = Command::new(RKCTL).args(args).env("NAMESRV_ADDR", name_server).output();
    let output = output.expect("rkctl is built with this test");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rkctl {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn messages_survive_a_stop_and_are_read_again() {
    let offset = free_ports();
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path(), offset);
    rkctl(offset, &["topic", "create", "hello", "--queues", "2"]);
    for text in ["one", "two", "three"] {
        rkctl(offset, &["send", "hello", text, "--tag", "A"]);
    }
    let (status, _) = broker.terminate(PATIENCE).unwrap();
    assert!(status.success(), "{status}");

    let broker = start(data.path(), offset);
    let read = rkctl(offset, &["consume", "hello", "--no-follow", "-o", "json"]);
    let mut bodies: Vec<String> = read
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|message| message["body"].as_str().unwrap().to_owned())
        .collect();
    bodies.sort();
    assert_eq!(bodies, ["one", "three", "two"]);
    let queues = rkctl(offset, &["topic", "describe", "hello", "-o", "json"]);
    let queues: Vec<serde_json::Value> = serde_json::from_str(&queues).unwrap();
    assert_eq!(queues.iter().filter_map(|queue| queue["messages"].as_i64()).sum::<i64>(), 3);

    rkctl(offset, &["topic", "delete", "hello", "--yes"]);
    assert!(!rkctl(offset, &["topic", "list"]).contains("hello"));
    broker.terminate(PATIENCE).unwrap();
}

/// Runs `rkctl` with this on its standard input; gives exit code, stdout and stderr.
fn rkctl_reading(offset: u16, args: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = Command::new(RKCTL)
        .args(args)
        .env("NAMESRV_ADDR", format!("127.0.0.1:{}", 9876 + offset))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn lines_are_sent_until_one_that_cannot_be_is_named() {
    let offset = free_ports();
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path(), offset);
    rkctl(offset, &["topic", "create", "lines"]);
    let send = |input: &[u8]| rkctl_reading(offset, &["send", "lines"], input);
    let (code, stdout, stderr) = send(b"one\ntwo\n");
    assert_eq!((code, stdout.as_str()), (Some(0), "2 messages sent to lines\n"), "{stderr}");

    let empty = "error: 2 messages sent, then line 3 failed: it is empty";
    let binary = "error: 1 message sent, then line 2 failed: it is not UTF-8";
    let too_long = "error: 1 message sent, then line 2 failed: 127.0.0.1:";
    let long = [b"one\n".as_slice(), &vec![b'x'; (4 << 20) + 1]].concat();
    for (input, expected) in
        [(&b"one\ntwo\n\nfour\n"[..], empty), (b"one\n\xff\xfe\n", binary), (&long, too_long)]
    {
        let (code, stdout, stderr) = send(input);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.starts_with(expected), "{stderr}");
    }
    let read = rkctl(offset, &["consume", "lines", "--no-follow"]);
    assert_eq!(read.lines().count(), 2 + 2 + 1 + 1, "{read}");
    broker.terminate(PATIENCE).unwrap();
}

#[test]
fn ctrl_c_ends_a_stream_of_messages_with_their_number() {
    let offset = free_ports();
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path(), offset);
    rkctl(offset, &["topic", "create", "stream"]);
    let mut child = Command::new(RKCTL)
        .args(["send", "stream", "-o", "json", "-n", &format!("127.0.0.1:{}", 9876 + offset)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open, so that the stream has no end.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    let mut sent = BufReader::new(child.stdout.take().unwrap());
    sent.read_line(&mut String::new()).unwrap();
    interrupt(child.id());
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "interrupted: 1 message sent\n");
    assert_eq!(output.status.code(), Some(130));
    broker.terminate(PATIENCE).unwrap();
}

#[test]
fn ctrl_c_ends_a_load_with_the_figures_until_then() {
    let offset = free_ports();
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path(), offset);
    let namesrv = format!("127.0.0.1:{}", 9876 + offset);
    let args = ["bench", "produce", "-d", "1h", "--warmup", "0s", "-o", "json", "-n", &namesrv];
    let mut load = Command::new(RKCTL);
    let load = load.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !has_messages(offset, "rkctl-bench") {
        assert!(Instant::now() < deadline, "nothing was sent");
    }
    interrupt(load.id());
    let output = load.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.starts_with("interrupted: "), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["interrupted"], true);
    assert!(report["messages"].as_u64() > Some(0), "{report}");
    broker.terminate(PATIENCE).unwrap();
}

/// Whether the topic exists and has a message.
fn has_messages(offset: u16, topic: &str) -> bool {
    let namesrv = format!("127.0.0.1:{}", 9876 + offset);
    let args = ["topic", "describe", topic, "-o", "json", "-n", &namesrv];
    let output = Command::new(RKCTL).args(args).output().unwrap();
    let queues: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    queues.iter().any(|queue| queue["messages"].as_u64() > Some(0))
}

fn interrupt(process: u32) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).unwrap();
    kill_process(process, Signal::INT).unwrap();
}

#[test]
fn ctrl_c_stops_dev_in_order() {
    let offset = free_ports();
    let data = tempfile::tempdir().unwrap();
    let (status, _) = start(data.path(), offset).interrupt(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named_with_the_flag() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let port_offset = free_ports().to_string();
    let mut command = Command::new(RKCTL);
    command.args(["dev", "--port-offset", &port_offset, "--data-dir"]).arg(file.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let path = file.path().display();
    let expected = format!("error: cannot keep messages in {path}, choose another --data-dir: ");
    assert!(stderr.starts_with(&expected), "{stderr}");
}

#[test]
fn a_load_that_gets_fewer_messages_than_asked_for_says_so() {
    let offset = free_ports();
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path(), offset);
    rkctl(offset, &["bench", "produce", "-m", "100"]);
    let (code, stdout, stderr) = rkctl_reading(offset, &["bench", "consume", "-m", "150"], b"");
    assert!(stdout.contains("100 in "), "{stdout}");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("50 messages fewer than asked for"), "{stderr}");
    broker.terminate(PATIENCE).unwrap();
}

#[test]
fn the_load_tool_finds_nothing_wrong() {
    let offset = free_ports();
    let data = tempfile::tempdir().unwrap();
    let broker = start(data.path(), offset);
    rkctl(offset, &["bench", "produce", "-m", "5000", "-c", "3", "-w", "16"]);
    rkctl(offset, &["bench", "produce", "-m", "6400", "-c", "2", "-w", "4", "-b", "32"]);
    let report = rkctl(offset, &["bench", "consume", "-c", "2", "--verify-every=1", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["messages"], 11_400);
    assert_eq!(report["records"]["verified"], 11_400);
    broker.terminate(PATIENCE).unwrap();
}
