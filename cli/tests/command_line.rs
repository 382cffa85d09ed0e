//! What a person meets who calls `rkctl` with too little or with nonsense.

use assert_cmd::Command;

fn rkctl(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rkctl").expect("the binary is built with this test");
    command.args(args);
    command
}

fn stderr_of_failure(args: &[&str], code: i32) -> String {
    let assert = rkctl(args).assert().failure().code(code);
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

#[test]
fn help_names_every_command_and_succeeds() {
    let assert = rkctl(&["--help"]).assert().success();
    let help = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    for command in ["topic", "message", "send", "consume", "bench"] {
        assert!(help.contains(command), "{command} is missing in {help}");
    }
}

#[test]
fn help_of_the_load_tool_explains_both_loops() {
    let assert = rkctl(&["bench", "produce", "--help"]).assert().success();
    let help = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    for flag in ["--connections", "--in-flight", "--rate", "--size", "--batch", "--server-pid"] {
        assert!(help.contains(flag), "{flag} is missing in {help}");
    }
}

#[test]
fn a_wrong_flag_is_a_usage_error_that_shows_the_right_one() {
    let stderr = stderr_of_failure(&["bench", "produce", "--conections", "4"], 2);
    assert!(stderr.contains("--connections"), "{stderr}");
}

#[test]
fn values_out_of_range_say_what_may_be_written() {
    for (flag, value, hint) in [
        ("--size", "8", "from 40"),
        ("--in-flight", "0", "from 1 to 65536"),
        ("--duration", "10", "500ms, 10s, 2m or 1h"),
        ("--rate", "-5", "as 20000"),
        ("--batch", "many", "from 1 to 10000"),
        ("--duration", "0s", "more than zero"),
        ("--messages", "0", "0 is not in 1.."),
    ] {
        let stderr = stderr_of_failure(&["bench", "produce", &format!("{flag}={value}")], 2);
        assert!(stderr.contains(hint), "{flag} {value}: {stderr}");
    }
}

#[test]
fn a_port_offset_below_zero_is_a_value_out_of_range() {
    let stderr = stderr_of_failure(&["dev", "--port-offset", "-1"], 2);
    assert!(stderr.contains("-1 is not in 0..=54000"), "{stderr}");
}

#[test]
fn a_topic_may_have_as_many_queues_as_a_broker_takes() {
    let create = |queues| ["topic", "create", "T", "-n", "127.0.0.1:1", "--queues", queues];
    let stderr = stderr_of_failure(&create("65537"), 2);
    assert!(stderr.contains("65537 is not in 1..=65536"), "{stderr}");
    let stderr = stderr_of_failure(&create("65536"), 1);
    assert!(stderr.contains("no name server"), "{stderr}");
}

#[test]
fn an_address_that_is_none_is_no_server_that_is_away() {
    let stderr = stderr_of_failure(&["topic", "list", "-n", "localhost"], 2);
    assert!(stderr.contains("write HOST:PORT"), "{stderr}");
}

#[test]
fn a_message_on_the_command_line_is_not_empty() {
    let stderr = stderr_of_failure(&["send", "T", "", "-n", "127.0.0.1:1"], 2);
    assert!(stderr.contains("[MESSAGE]"), "{stderr}");
}

#[test]
fn help_tells_one_default_of_the_name_server() {
    let mut command = rkctl(&["topic", "list", "--help"]);
    let assert = command.env("NAMESRV_ADDR", "10.9.8.7:1").assert().success();
    let help = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(help.contains("127.0.0.1:9876]") && !help.contains("10.9.8.7"), "{help}");
    assert!(!help.contains("[env:"), "{help}");
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let stderr = stderr_of_failure(&["bench", "produce", "--broker", "127.0.0.1:1"], 1);
    assert!(stderr.contains("cannot reach a broker at 127.0.0.1:1"), "{stderr}");
}

#[test]
fn an_echo_run_reports_in_json() {
    let args = ["bench", "echo", "-m", "2000", "-c", "2", "-w", "8", "-o", "json"];
    let assert = rkctl(&args).assert().success();
    let report: serde_json::Value =
        serde_json::from_slice(&assert.get_output().stdout).expect("stdout is JSON only");
    assert_eq!(report["workload"], "echo");
    assert_eq!(report["messages"], 2000);
    assert_eq!(report["errors"].as_array().map(Vec::len), Some(0));
    assert!(report["latencyUs"]["p99"].as_f64().is_some_and(|p99| p99 > 0.0));
}

#[test]
fn a_name_server_that_is_not_there_is_named_with_the_way_out() {
    for args in [
        &["topic", "list", "-n", "127.0.0.1:1"][..],
        &["send", "-n", "127.0.0.1:1", "hello", "text"],
        &["message", "tail", "hello", "-n", "127.0.0.1:1"],
        &["bench", "consume", "-n", "127.0.0.1:1"],
    ] {
        let stderr = stderr_of_failure(args, 1);
        assert!(stderr.contains("no name server at 127.0.0.1:1: start one with"), "{stderr}");
    }
}

#[test]
fn the_name_server_is_also_taken_from_the_environment() {
    for variable in ["ROCKETKUBE_NAMESRV", "NAMESRV_ADDR"] {
        let assert = rkctl(&["topic", "list"]).env(variable, "127.0.0.1:2").assert().failure();
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(stderr.contains("no name server at 127.0.0.1:2"), "{variable}: {stderr}");
    }
}
