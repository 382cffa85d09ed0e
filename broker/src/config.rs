//! Settings of the broker process.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the broker process. Keys in files are camelCase; see `rocketkube-broker --help`
/// for flags and variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Cluster that the broker announces itself in. Default `DefaultCluster`, as in Apache RocketMQ.
    pub cluster: String,
    /// Name of the broker group. Clients see it as `brokerName`. Default `broker-a`.
    pub name: String,
    /// Where the remoting protocol listens. Default `[::]:10911`.
    pub listen: SocketAddr,
    /// Whether the port two below `listen` is served as well; old clients send to it
    /// (`vipChannelEnabled`). Default true; a port that is taken costs a warning.
    pub vip: bool,
    /// Address that clients are told, `IP` or `IP:PORT`. It becomes part of message ids.
    /// Default: the address the machine would use to reach others, and the port of `listen`.
    pub advertise: Option<String>,
    /// Name servers, `host:port` separated by `;`. Default none: nobody finds the broker.
    pub namesrv: String,
    /// Where metrics and probes are served. Default `[::]:8080`.
    pub http: SocketAddr,
    /// Directory of the log and everything derived from it. Default `data`.
    pub data_dir: PathBuf,
    /// When a send may be answered OK. Default `auto`.
    pub flush: FlushMode,
    /// Whether a send to an unknown topic creates it. Default false.
    pub auto_create_topics: bool,
    /// Whether an unknown consumer group is created by its first heartbeat. Default true.
    pub auto_create_groups: bool,
    /// Most queues that an auto-created topic gets. Default 8, as in Apache RocketMQ.
    pub default_queues: u32,
    /// Longest accepted message body, in bytes. Default 4 MiB, as in Apache RocketMQ.
    pub max_body_size: usize,
    /// How long a message is kept after it was stored, e.g. `72h`. Default 72 h.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// Size of one file of the log, in bytes; at most an eighth of the volume, down to 16 MiB.
    /// Default 256 MiB.
    pub segment_size: u64,
    /// Most client connections. Default 65 536; more are closed at once.
    pub max_connections: usize,
}

/// What an OK to a send waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlushMode {
    /// The page cache of two or more in-sync members; alone, the disk.
    Auto,
    /// The disk (`fdatasync`), always.
    Sync,
    /// The page cache. A power loss can take back the last 200 ms; a killed process nothing.
    Async,
}

impl FlushMode {
    /// As it stands in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

impl std::str::FromStr for FlushMode {
    type Err = UnknownFlushMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "sync" => Ok(Self::Sync),
            "async" => Ok(Self::Async),
            _ => Err(UnknownFlushMode(text.to_owned())),
        }
    }
}

/// A flush mode that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("flush mode {0:?} is not known; write auto, sync or async")]
pub struct UnknownFlushMode(String);

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "DefaultCluster".into(),
            name: "broker-a".into(),
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 10911)),
            vip: true,
            advertise: None,
            namesrv: String::new(),
            http: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            data_dir: PathBuf::from("data"),
            flush: FlushMode::Auto,
            auto_create_topics: false,
            auto_create_groups: true,
            default_queues: 8,
            max_body_size: 4 << 20,
            retention: Duration::from_hours(72),
            segment_size: 256 << 20,
            max_connections: 65_536,
        }
    }
}

/// Why the settings make no broker.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("advertise is {value:?}; write an IP address, or IP:PORT")]
    Advertise { value: String },
    #[error("{key} is {value:?}; write 1 to 127 of the characters a-z A-Z 0-9 _ - % |")]
    Name { key: &'static str, value: String },
    #[error("{key} is {value}; write {expected}")]
    OutOfRange { key: &'static str, value: u64, expected: &'static str },
}

impl Config {
    /// Checks what types cannot say, and resolves the advertised address.
    /// `bound` is the address that the listener got.
    pub fn advertised(&self, bound: SocketAddr) -> Result<SocketAddr, ConfigError> {
        let Some(value) = &self.advertise else {
            let ip = if bound.ip().is_unspecified() { own_address() } else { bound.ip() };
            return Ok(SocketAddr::new(ip, bound.port()));
        };
        let with_port = value.parse::<SocketAddr>();
        let bare = value.parse().map(|ip| SocketAddr::new(ip, bound.port()));
        with_port.or(bare).map_err(|_| ConfigError::Advertise { value: value.clone() })
    }

    /// Refuses names and sizes that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [("cluster", &self.cluster), ("name", &self.name)] {
            if !is_name(value) {
                return Err(ConfigError::Name { key, value: value.clone() });
            }
        }
        let range = |key, value: u64, ok: bool, expected| {
            if ok { Ok(()) } else { Err(ConfigError::OutOfRange { key, value, expected }) }
        };
        let body = self.max_body_size as u64;
        range("maxBodySize", body, (1..=8 << 20).contains(&body), "1 to 8388608 bytes")?;
        let queues = u64::from(self.default_queues);
        range("defaultQueues", queues, (1..=1024).contains(&queues), "1 to 1024")?;
        let segment = self.segment_size;
        let fits = (16 << 20..=2 << 30).contains(&segment);
        range("segmentSize", segment, fits, "16777216 to 2147483648 bytes")
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-%|".contains(&b);
    (1..=127).contains(&text.len()) && text.bytes().all(allowed)
}

/// The address that packets to the outside would carry; nothing is sent to find it.
/// The target is from a block reserved for documentation (RFC 5737).
fn own_address() -> std::net::IpAddr {
    let probe = || {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    probe().map_or_else(|_| Ipv4Addr::LOCALHOST.into(), |addr| addr.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_ip_takes_the_port_of_the_listener() {
        let config = Config { advertise: Some("10.1.2.3".into()), ..Config::default() };
        let bound = "127.0.0.1:4711".parse().unwrap();
        assert_eq!(config.advertised(bound).unwrap(), "10.1.2.3:4711".parse().unwrap());
        let config = Config { advertise: Some("[fd00::1]:99".into()), ..Config::default() };
        assert_eq!(config.advertised(bound).unwrap(), "[fd00::1]:99".parse().unwrap());
    }

    #[test]
    fn an_advertised_host_name_is_refused_with_what_to_write() {
        let config = Config { advertise: Some("broker".into()), ..Config::default() };
        let error = config.advertised("127.0.0.1:1".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "advertise is \"broker\"; write an IP address, or IP:PORT");
    }

    #[test]
    fn a_listener_on_one_address_advertises_it() {
        let bound = "127.0.0.1:10911".parse().unwrap();
        assert_eq!(Config::default().advertised(bound).unwrap(), bound);
    }

    #[test]
    fn names_and_sizes_that_cannot_work_are_refused() {
        assert!(Config::default().validate().is_ok());
        let config = Config { name: "a/b".into(), ..Config::default() };
        assert!(config.validate().unwrap_err().to_string().starts_with("name is \"a/b\""));
        let config = Config { segment_size: 1, ..Config::default() };
        assert!(config.validate().unwrap_err().to_string().starts_with("segmentSize is 1;"));
    }
}
