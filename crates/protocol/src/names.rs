//! Names of topics and groups: which are allowed, which are the server's own, how they are derived.
//!
//! The texts of [`NameError`] are Apache's, seen on 5.4.0, because tools and users read them.
//! Whether a topic exists is not asked here.

/// Longest topic in bytes.
pub const MAX_TOPIC: usize = 127;
/// Longest retry or dead-letter topic in bytes.
pub const MAX_RETRY_TOPIC: usize = 255;
/// Most queues of a topic on one broker.
pub const MAX_QUEUES: u32 = 65_536;
/// Longest consumer or producer group in bytes.
pub const MAX_GROUP: usize = 120;

/// Beginning of the topic that holds a group's messages to be tried again.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Beginning of the topic that holds a group's given-up messages.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Beginning of light queues.
pub const LMQ_PREFIX: &str = "%LMQ%";
/// Beginning of system topics.
pub const SYSTEM_PREFIX: &str = "rmq_sys_";
/// Beginning of system groups.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// Template of automatically created topics.
pub const DEFAULT_TOPIC: &str = "TBW102";
/// Where delayed messages wait.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where half messages wait.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Where it stands which half messages are decided.
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Where half messages end that nobody decided.
pub const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// A topic for tests of a broker by itself.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Historic; tools list it.
pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
/// A topic for load tools.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// Where clients send traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// Group of `mqadmin` and other tools.
pub const TOOLS_GROUP: &str = "TOOLS_CONSUMER";

/// Topics of the server, besides those with [`SYSTEM_PREFIX`] and those named after cluster and
/// broker. They cannot be created, changed or deleted by request (29).
pub const SYSTEM_TOPICS: [&str; 10] = [
    DEFAULT_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    HALF_TOPIC,
    TRACE_TOPIC,
    OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
    "CHECKPOINT_TOPIC",
];

/// Topics clients may not send to (16).
const FORBIDDEN_TO_SEND: [&str; 6] = [
    SCHEDULE_TOPIC,
    HALF_TOPIC,
    OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
];

/// Groups of the server and its tools, besides those with [`SYSTEM_GROUP_PREFIX`].
pub const SYSTEM_GROUPS: [&str; 13] = [
    "DEFAULT_CONSUMER",
    "DEFAULT_PRODUCER",
    TOOLS_GROUP,
    "SCHEDULE_CONSUMER",
    "FILTERSRV_CONSUMER",
    "__MONITOR_CONSUMER",
    "CLIENT_INNER_PRODUCER",
    "SELF_TEST_P_GROUP",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_ONSAPI_PULL",
];

/// Why a name is refused, as `INVALID_PARAMETER` (29) with this text as remark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("The specified {what} is blank.")]
    Blank {
        /// `topic` or `group`.
        what: &'static str,
    },
    /// A character outside the set.
    #[error(
        "The specified {what}: {name}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
    )]
    Illegal {
        /// `topic` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Over the limit.
    #[error("The specified {what}: {name}, is longer than {what} max length: {max}")]
    TooLong {
        /// `topic` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The limit in bytes.
        max: usize,
    },
    /// A retry or dead-letter topic over its own limit.
    #[error(
        "The specified topic is DLQ or Retry topic: {name}, and it's longer than topic max length: {MAX_RETRY_TOPIC}"
    )]
    RetryTooLong {
        /// The name.
        name: String,
    },
}

/// Checks the name of a topic.
///
/// # Errors
/// If it is blank, has other characters than `%|a-zA-Z0-9_-`, or is longer than [`MAX_TOPIC`]
/// ([`MAX_RETRY_TOPIC`] for retry and dead-letter topics).
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    if !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(DLQ_PREFIX) {
        return check("topic", topic, MAX_TOPIC);
    }
    check("topic", topic, MAX_RETRY_TOPIC).map_err(|error| match error {
        NameError::TooLong { name, .. } => NameError::RetryTooLong { name },
        other => other,
    })
}

/// Checks the name of a consumer or producer group.
///
/// # Errors
/// If it is blank, has other characters than `%|a-zA-Z0-9_-`, or is longer than [`MAX_GROUP`].
pub fn check_group(group: &str) -> Result<(), NameError> {
    check("group", group, MAX_GROUP)
}

fn check(what: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    if name.trim().is_empty() {
        return Err(NameError::Blank { what });
    }
    if !name.bytes().all(allowed) {
        return Err(NameError::Illegal { what, name: name.to_owned() });
    }
    if name.len() > max {
        return Err(NameError::TooLong { what, name: name.to_owned(), max });
    }
    Ok(())
}

/// Whether a topic is the server's own by its name alone. Topics named after cluster and broker are
/// too, but only the broker knows those names.
pub fn is_system_topic(topic: &str) -> bool {
    topic.starts_with(SYSTEM_PREFIX) || SYSTEM_TOPICS.contains(&topic)
}

/// Whether clients must not send to a topic; the refusal is
/// `Sending message to topic[X] is forbidden.` with `NO_PERMISSION` (16).
pub fn is_forbidden_to_send(topic: &str) -> bool {
    FORBIDDEN_TO_SEND.contains(&topic)
}

/// Whether a group is the server's own or one of its tools'.
pub fn is_system_group(group: &str) -> bool {
    group.starts_with(SYSTEM_GROUP_PREFIX) || SYSTEM_GROUPS.contains(&group)
}

/// The topic of a group's messages to be tried again.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The topic of a group's given-up messages.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// The topic of replies within a cluster.
pub fn reply_topic(cluster: &str) -> String {
    format!("{cluster}_REPLY_TOPIC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(topic: &str) -> String {
        check_topic(topic).map_or_else(|error| error.to_string(), |()| "allowed".to_owned())
    }

    #[test]
    fn refusals_are_worded_as_apaches() {
        assert_eq!(refusal(" "), "The specified topic is blank.");
        assert_eq!(
            refusal("a/b"),
            "The specified topic: a/b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
        );
        let long = "x".repeat(128);
        assert_eq!(
            refusal(&long),
            format!("The specified topic: {long}, is longer than topic max length: 127")
        );
        let retry = retry_topic(&"g".repeat(249));
        assert_eq!(
            refusal(&retry),
            format!(
                "The specified topic is DLQ or Retry topic: {retry}, and it's longer than topic max length: 255"
            )
        );
        let group = "g".repeat(121);
        assert_eq!(
            check_group(&group).unwrap_err().to_string(),
            format!("The specified group: {group}, is longer than group max length: 120")
        );
    }

    #[test]
    fn names_that_could_be_paths_are_illegal() {
        for name in ["../../x", "a\\b", ".", "..", "C:", "a b", "a\0", "é", "a\u{1}"] {
            assert!(matches!(check_topic(name), Err(NameError::Illegal { .. })), "{name:?}");
        }
        for name in ["T1", "%RETRY%g", "a|b-c_D", &"x".repeat(127), &dlq_topic(&"g".repeat(250))] {
            assert_eq!(check_topic(name), Ok(()));
        }
    }

    #[test]
    fn topics_of_the_server_are_known() {
        assert!(is_system_topic("rmq_sys_wheel_timer") && is_system_topic(SCHEDULE_TOPIC));
        assert!(!is_system_topic("T1"));
        assert!(is_forbidden_to_send(HALF_TOPIC) && !is_forbidden_to_send(DEFAULT_TOPIC));
        assert!(is_system_group("CID_RMQ_SYS_TRANS") && is_system_group(TOOLS_GROUP));
    }
}
