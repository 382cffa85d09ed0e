//! The name server as a process: its start, its pages, its end.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

fn process() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocketkube-namesrv"));
    command
        .env("ROCKETKUBE_NAMESRV_LISTEN", "127.0.0.1:0")
        .args(["--http", "127.0.0.1:0"])
        .stderr(Stdio::piped());
    command
}

fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn terminate(child: &Child) {
    let status = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_process_says_that_it_is_ready_and_ends_on_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = process().arg("--data-dir").arg(dir.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let http = lines.find_map(|line| Some(line.unwrap().split_once("http=")?.1.to_owned()));
    let http = http.unwrap();
    lines.find(|line| line.as_ref().unwrap().contains("name server is ready")).unwrap().unwrap();
    assert!(get(&http, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(&http, "/statusz").contains("\"topics\": 0"));
    let metrics = get(&http, "/metrics");
    assert!(metrics.contains("\nmq_namesrv_brokers 0\n"), "{metrics}");
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_misspelt_variable_ends_the_start_with_those_that_exist() {
    let output = process().env("ROCKETKUBE_NAMESRV_DATADIR", "x").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains("ROCKETKUBE_NAMESRV_DATADIR") && text.contains("_DATA_DIR"), "{text}");
}

#[test]
fn log_lines_are_json_if_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--log-format", "json", "--data-dir"];
    let mut child = process().args(args).arg(dir.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().unwrap().contains("ready")).unwrap().unwrap();
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(
        (&ready["level"], &ready["message"]),
        (&"INFO".into(), &"name server is ready".into())
    );
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_wrong_value_ends_the_start_with_its_layer() {
    let output = process().env("ROCKETKUBE_NAMESRV_LOG_FORMAT", "xml").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains("ROCKETKUBE_NAMESRV_LOG_FORMAT sets logFormat to xml"), "{text}");
}

#[test]
fn too_few_descriptors_end_the_start_with_what_to_do() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 20; exec \"$0\"", env!("CARGO_BIN_EXE_rocketkube-namesrv")]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with("error: this process may open 20 files and sockets, and needs 128"));
}

#[test]
fn a_start_that_fails_says_why_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = process();
    command.env("RUST_BACKTRACE", "1").arg("--data-dir").arg(dir.path());
    let output = command.args(["--listen", "nowhere"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with("error: --listen sets listen to nowhere: "), "{text}");
}

#[test]
fn a_failure_is_a_log_line_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let args = ["--log-format", "json", "--data-dir"];
    let output = process().args(args).arg(dir.path().join("file")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let error = line["error"].as_str().unwrap();
    assert!(error.starts_with("cannot use the data directory: cannot create "), "{error}");
}
