//! The settings that may be changed by request (318), under Apache's names.
//!
//! A closed list: nothing that comes over the network reaches a path, an address, a port or a
//! command, because no [`Change`] holds one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Longest text of changes.
const MAX_TEXT: usize = 64 * 1024;

/// The settings now in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Routes tell how ordered topics are laid out.
    pub(crate) order_config: bool,
    /// Lists of topics are answered.
    pub(crate) topic_list: bool,
}

/// What may be changed while the name server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Change {
    OrderConfig,
    TopicList,
}

impl Change {
    pub(crate) fn apply(self, settings: &mut Settings, value: bool) {
        match self {
            Self::OrderConfig => settings.order_config = value,
            Self::TopicList => settings.topic_list = value,
        }
    }
}

/// Apache's names of what may be changed.
const LIVE: [(&str, Change); 3] = [
    ("enableAllTopicList", Change::TopicList),
    ("enableTopicList", Change::TopicList),
    ("orderMessageEnable", Change::OrderConfig),
];

/// Why changes are refused; then none of them is made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{size} bytes of changes are over the limit of {MAX_TEXT}")]
    TooLong { size: usize },
    #[error("changes are not UTF-8")]
    NotUtf8,
    /// The first sentence is Apache's.
    #[error(
        "Can not update config in black list. {key} cannot be changed by request; it is set at start, \
        if there is such a setting"
    )]
    NotLive { key: String },
    #[error("{key} is {value:?}; write true or false")]
    NoBool { key: String, value: String },
}

/// Reads changes from the text of a request: Java properties.
pub(crate) fn changes(text: &[u8]) -> Result<Vec<(Change, bool)>, SettingsError> {
    if text.len() > MAX_TEXT {
        return Err(SettingsError::TooLong { size: text.len() });
    }
    let text = std::str::from_utf8(text).map_err(|_| SettingsError::NotUtf8)?;
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with(['#', '!']));
    lines.filter(|line| !line.is_empty()).map(change).collect()
}

/// One line: a key, `=`, `:` or blanks, and a value. There are no escapes to resolve: no known key
/// and no value needs one, so a line that has them is one that is refused anyway.
fn change(line: &str) -> Result<(Change, bool), SettingsError> {
    let separator = |letter: char| letter == '=' || letter == ':' || letter.is_whitespace();
    let (key, rest) = line.split_at(line.find(separator).unwrap_or(line.len()));
    // One separator, which may have blanks on both sides.
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
    let shown = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(64).collect();
    let Some((_, change)) = LIVE.iter().find(|(name, _)| *name == key) else {
        return Err(SettingsError::NotLive { key: shown(key) });
    };
    match value {
        "true" => Ok((*change, true)),
        "false" => Ok((*change, false)),
        _ => Err(SettingsError::NoBool { key: key.to_owned(), value: shown(value) }),
    }
}

/// All settings as Java properties, in the order of their names.
pub(crate) fn properties(settings: Settings, listen_port: u16) -> String {
    let values = BTreeMap::from([
        ("enableAllTopicList", settings.topic_list.to_string()),
        ("enableTopicList", settings.topic_list.to_string()),
        ("listenPort", listen_port.to_string()),
        ("orderMessageEnable", settings.order_config.to_string()),
        ("returnOrderTopicConfigToBroker", true.to_string()),
    ]);
    values.into_iter().fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{key}={value}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Settings = Settings { order_config: false, topic_list: true };

    #[test]
    fn changes_are_read_as_java_writes_them() {
        let text = b"# comment\n!another\n\n orderMessageEnable = true\nenableTopicList:false\r\n";
        let expected = vec![(Change::OrderConfig, true), (Change::TopicList, false)];
        assert_eq!(changes(text), Ok(expected));
        assert_eq!(changes(b""), Ok(Vec::new()));
        assert_eq!(changes(b"orderMessageEnable true"), Ok(vec![(Change::OrderConfig, true)]));
    }

    #[test]
    fn no_path_address_port_or_command_can_be_changed() {
        for key in [
            "configStorePath",
            "kvConfigPath",
            "rocketmqHome",
            "configBlackList",
            "listenPort",
            "bindAddress",
            "productEnvName",
            "dataDir",
            "listen",
            "orderMessageEnable\\u003dtrue",
        ] {
            let error = changes(format!("{key}=true").as_bytes()).unwrap_err();
            assert_eq!(error, SettingsError::NotLive { key: key.to_owned() });
            assert!(error.to_string().starts_with("Can not update config in black list."));
        }
    }

    #[test]
    fn one_bad_line_refuses_all() {
        assert!(changes(b"orderMessageEnable=true\nrocketmqHome=/tmp").is_err());
        let error = changes(b"orderMessageEnable=yes").unwrap_err().to_string();
        assert_eq!(error, "orderMessageEnable is \"yes\"; write true or false");
        assert!(changes(b"orderMessageEnable==true").is_err());
        assert!(changes(b"orderMessageEnable : =true").is_err());
        assert!(changes(&vec![b'\n'; MAX_TEXT + 1]).is_err());
    }

    #[test]
    fn what_is_answered_can_be_sent_back_for_every_live_setting() {
        let text = properties(DEFAULTS, 9876);
        let live = |line: &&str| LIVE.iter().any(|(name, _)| line.starts_with(name));
        let mut settings = Settings { order_config: true, topic_list: false };
        let lines: Vec<&str> = text.lines().filter(live).collect();
        for (change, value) in changes(lines.join("\n").as_bytes()).unwrap() {
            change.apply(&mut settings, value);
        }
        assert_eq!(settings, DEFAULTS);
        assert!(text.contains("listenPort=9876\n"));
    }
}
