//! Settings of the name server process.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use rocketkube_service::config::Invalid;
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
    /// All name servers there are, this one too: `host:port` separated by `;`, where a name may stand
    /// for several. One of several is not ready before the brokers are there that the others know, and
    /// goes on for 5 s after it was asked to stop. Default none: it is alone.
    pub peers: String,
    /// Names of brokers, separated by `,`, without which the name server is not ready in its first
    /// 45 s. Default none.
    pub expect: String,
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
            peers: String::new(),
            expect: String::new(),
            order_config: false,
            topic_list: true,
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Refuses what types allow and no name server can work with.
    pub fn validate(&self) -> Result<(), Invalid> {
        if let Some(peer) = self.peers().find(|peer| !is_address(peer)) {
            let expected = "host:port, several separated by ;".to_owned();
            return Err(Invalid { key: "peers", value: peer.to_owned(), expected });
        }
        let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(name) = self.expected().iter().find(|name| !is_name(name)) {
            let expected = "names of brokers, separated by ,".to_owned();
            return Err(Invalid { key: "expect", value: name.clone(), expected });
        }
        Ok(())
    }

    /// The names of [`Config::peers`].
    pub(crate) fn peers(&self) -> impl Iterator<Item = &str> {
        self.peers.split(';').map(str::trim).filter(|peer| !peer.is_empty())
    }

    /// The names of [`Config::expect`].
    pub(crate) fn expected(&self) -> BTreeSet<String> {
        let names = self.expect.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }
}

fn is_address(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rocketkube_service::config::Layers;
    use rocketkube_testkit::settings_table;

    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let sound = Config {
            peers: "namesrv-peers.mq.svc:9876; [fd00::1]:9876".into(),
            expect: "orders-b0, orders-b1,".into(),
            ..Config::default()
        };
        assert!(sound.validate().is_ok());
        assert_eq!(sound.expected().len(), 2);
        let error = Config { peers: "namesrv".into(), ..sound.clone() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "peers is namesrv; write host:port, several separated by ;");
        let error = Config { expect: "b0;b 1".into(), ..sound }.validate().unwrap_err();
        assert_eq!(error.to_string(), "expect is b0;b 1; write names of brokers, separated by ,");
    }

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
            let settings: Config = layers.unwrap().build(Config::validate).unwrap();
            assert_eq!(settings, Config::default(), "{}", row.key);
        }
    }
}
