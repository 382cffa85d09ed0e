//! A day with `rkctl dev`: start, send, read, stop, start again, and nothing is lost.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rocketkube_testkit::{Process, Ready, Seed, free_offset};

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
