//! The program that judges logs of the scenarios: what it prints, and its exit status.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

const PRODUCER: &str =
    "acked p-0 b0/1 0 1000\nfailed p-1 1300 timeout\nacked p-2 b0/1 1 1500\ndone\n";

fn judge(words: &[&Path], input: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_check-history"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    program.wait_with_output().unwrap()
}

/// Its exit status and verdict on these two logs.
fn verdict(producer: &str, consumer: &str) -> (Option<i32>, Value) {
    let dir = tempfile::tempdir().unwrap();
    let logs = [("producer.log", producer), ("consumer.log", consumer)];
    let [sent, got] = logs.map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let output = judge(&[Path::new("--other=q"), &sent, &got], "");
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_history_that_was_kept_ends_with_0_and_its_numbers() {
    let got = "got p-0 b0/1 0 1\ngot p-2 b0/1 1 1\ngot p-2 b0/1 1 1\ngot q-0 b0/1 2 1\ndone\n";
    let expected = json!({
        "acknowledged": 2, "failed": 1, "received": 4, "repeated": 1, "longest_gap_ms": 500,
        "violations": 0, "shown": [],
    });
    assert_eq!(verdict(PRODUCER, got), (Some(0), expected));
}

#[test]
fn a_history_with_a_lost_message_ends_with_1_and_names_it() {
    let (status, verdict) = verdict(PRODUCER, "got p-0 b0/1 0 1\ndone\n");
    assert_eq!((status, &verdict["violations"]), (Some(1), &json!(1)));
    assert_eq!(verdict["shown"], json!(["p-2 was acknowledged at b0/1 1 and never received"]));
}

#[test]
fn a_log_can_come_from_standard_input() {
    let output = judge(&[], "acked p-0 b0/1 0 1\ngot p-0 b0/1 0 1\ndone\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_no_log_ends_with_2_and_is_told_on_standard_error() {
    let missing = judge(&[Path::new("/does/not/exist.log")], "");
    let cut = judge(&[], "acked p-0 b0/1 0 1\n");
    for (output, said) in [(missing, "cannot read /does/not/exist.log"), (cut, "not \"done\"")] {
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{error}");
        assert!(error.starts_with("error: ") && error.contains(said), "{error}");
    }
}
