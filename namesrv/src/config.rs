//! Settings of the name server process.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9876)),
            http: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            data_dir: PathBuf::from("data"),
            order_config: false,
            topic_list: true,
        }
    }
}
