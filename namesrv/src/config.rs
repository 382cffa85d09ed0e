//! Settings of the name server process.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use rocketkube_service::logs::LogFormat;
use serde::{Deserialize, Serialize};

/// Settings of the name server process. Keys in files are camelCase; variables are
/// `ROCKETKUBE_NAMESRV_` and the key in upper case with `_`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Where the remoting protocol listens. Default `[::]:9876`.
    pub listen: SocketAddr,
    /// Where metrics and probes are served. Default `[::]:8080`.
    pub http: SocketAddr,
    /// Directory of key-value configuration and of settings changed by request. Default `data`.
    pub data_dir: PathBuf,
    /// Whether routes tell how ordered topics are laid out. Default false, as in Apache RocketMQ
    /// (`orderMessageEnable`). May be changed by request.
    pub order_config: bool,
    /// Whether lists of topics are answered. Default true, as in Apache RocketMQ
    /// (`enableTopicList`). May be changed by request.
    pub topic_list: bool,
    /// Log lines as `text` for people or `json` for collectors. Default `text`.
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9876)),
            http: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            data_dir: PathBuf::from("data"),
            order_config: false,
            topic_list: true,
            log_format: LogFormat::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rocketkube_service::config::Layers;
    use rocketkube_testkit::settings_table;

    use super::*;

    #[test]
    fn the_documented_settings_are_those_there_are() {
        let table = settings_table(include_str!("../../docs/settings.md"), "Name server");
        let Ok(serde_json::Value::Object(keys)) = serde_json::to_value(Config::default()) else {
            panic!("settings are an object");
        };
        let documented: BTreeSet<_> = table.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(documented, keys.keys().map(String::as_str).collect());
        for row in table {
            let layers = Layers::defaults::<Config>().flag("the page", &row.key, row.default);
            let settings: Config = layers.unwrap().build(|_| Ok(())).unwrap();
            assert_eq!(settings, Config::default(), "{}", row.key);
        }
    }
}
