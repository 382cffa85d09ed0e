//! Settings of the broker process.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use rocketkube_protocol::names::MAX_QUEUES;
use rocketkube_service::config::check_range;
use rocketkube_service::logs::LogFormat;
use rocketkube_store::Volume;
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
    /// Name servers, `host:port` separated by `;`. A name may stand for several, and is looked up again
    /// while the broker runs. Default none: nobody finds the broker.
    pub namesrv: String,
    /// Where metrics and probes are served. Default `[::]:8080`.
    pub http: SocketAddr,
    /// Directory of the log and everything derived from it. Default `data`.
    pub data_dir: PathBuf,
    /// Bytes that the files in it may take, where its volume has more: as full as that counts as a
    /// full disk. Default 0: the whole volume.
    pub data_size: u64,
    /// File with `perm: 6`, or 4 to read only, or 0 for neither; read again while the broker runs.
    /// Default none: the broker may be read and written.
    pub state_file: Option<PathBuf>,
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
    /// Log lines as `text` for people or `json` for collectors. Default `text`.
    pub log_format: LogFormat,
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
            data_size: 0,
            state_file: None,
            flush: FlushMode::Auto,
            auto_create_topics: false,
            auto_create_groups: true,
            default_queues: 8,
            max_body_size: 4 << 20,
            retention: Duration::from_hours(72),
            segment_size: 256 << 20,
            max_connections: 65_536,
            log_format: LogFormat::Text,
        }
    }
}

pub use rocketkube_service::config::Invalid as ConfigError;

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
        with_port.or(bare).map_err(|_| refused("advertise", value, "an IP address, or IP:PORT"))
    }

    /// How full the volume of the data directory is, as far as the broker may fill it.
    pub(crate) fn disk(&self) -> Volume {
        // The directory may not be there yet.
        let dir = self.data_dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("."));
        let volume = Volume::of(dir);
        match self.data_size {
            0 => volume,
            size => volume.within(size, &self.data_dir),
        }
    }

    /// Bytes of one segment: several must fit into what the broker may fill.
    pub(crate) fn segment_size(&self) -> u64 {
        match self.data_size {
            0 => self.segment_size,
            size => self.segment_size.min(size / 8),
        }
    }

    /// Refuses what types allow and no broker can work with.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [("cluster", &self.cluster), ("name", &self.name)] {
            if !is_name(value) {
                let expected = "1 to 127 of the characters a-z A-Z 0-9 _ - % |";
                return Err(refused(key, value, expected));
            }
        }
        self.advertised(self.listen)?;
        if !self.namesrv.split(';').map(str::trim).all(|addr| addr.is_empty() || is_addr(addr)) {
            return Err(refused("namesrv", &self.namesrv, "host:port, several separated by ;"));
        }
        check_range("defaultQueues", self.default_queues, &(1..=MAX_QUEUES), "queues")?;
        check_range("maxBodySize", self.max_body_size, &MAX_BODY_SIZE, "bytes")?;
        if self.data_size > 0 {
            check_range("dataSize", self.data_size, &DATA_SIZE, "bytes")?;
        }
        check_range("segmentSize", self.segment_size, &SEGMENT_SIZE, "bytes")?;
        check_range("maxConnections", self.max_connections, &MAX_CONNECTIONS, "connections")?;
        if !RETENTION.contains(&self.retention) {
            let value = format_duration(self.retention).to_string();
            return Err(refused("retention", &value, "1m to 3650d"));
        }
        Ok(())
    }
}

/// Twice the longest body is still below the longest frame, with its properties.
const MAX_BODY_SIZE: RangeInclusive<usize> = 1..=8 << 20;
/// A segment holds several of the longest messages, and its offsets fit in 32 bits.
const SEGMENT_SIZE: RangeInclusive<u64> = 16 << 20..=2 << 30;
/// Eight of the smallest segments: the one being written and the next are never deleted. Up to 1 EiB.
const DATA_SIZE: RangeInclusive<u64> = 128 << 20..=1 << 60;
/// More descriptors than this no kernel gives a process by default.
const MAX_CONNECTIONS: RangeInclusive<usize> = 1..=1 << 20;
/// From what retention can see, to ten years.
const RETENTION: RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(3650 * 24);

fn refused(key: &'static str, value: &str, expected: &str) -> ConfigError {
    ConfigError { key, value: value.to_owned(), expected: expected.to_owned() }
}

fn is_addr(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
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
    use std::collections::BTreeSet;

    use rocketkube_service::config::Layers;
    use rocketkube_testkit::settings_table;

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
        assert_eq!(error.to_string(), "advertise is broker; write an IP address, or IP:PORT");
    }

    #[test]
    fn a_listener_on_one_address_advertises_it() {
        let bound = "127.0.0.1:10911".parse().unwrap();
        assert_eq!(Config::default().advertised(bound).unwrap(), bound);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let sound = Config::default;
        assert!(sound().validate().is_ok());
        for (key, config) in [
            ("name", Config { name: "a/b".into(), ..sound() }),
            ("cluster", Config { cluster: String::new(), ..sound() }),
            ("advertise", Config { advertise: Some("broker".into()), ..sound() }),
            ("namesrv", Config { namesrv: "a:9876; b".into(), ..sound() }),
            ("retention", Config { retention: Duration::ZERO, ..sound() }),
            ("retention", Config { retention: Duration::MAX, ..sound() }),
        ] {
            assert_eq!(config.validate().unwrap_err().key, key);
        }
    }

    #[test]
    fn the_documented_settings_are_those_there_are() {
        let table = settings_table(include_str!("../../docs/settings.md"), "Broker");
        let Ok(serde_json::Value::Object(keys)) = serde_json::to_value(Config::default()) else {
            panic!("settings are an object");
        };
        let documented: BTreeSet<_> = table.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(documented, keys.keys().map(String::as_str).collect());
        let with = |key: &str, value: &str| {
            let layers = Layers::defaults::<Config>().flag("the page", key, Some(value));
            layers.unwrap().build(Config::validate)
        };
        for row in &table {
            if let Some(default) = &row.default {
                assert_eq!(with(&row.key, default).unwrap(), Config::default(), "{}", row.key);
            }
            let Some((least, most)) = &row.range else { continue };
            for bound in [least, most] {
                assert!(with(&row.key, bound).is_ok(), "{} {bound}", row.key);
            }
            if let (Ok(least), Ok(most)) = (least.parse::<u64>(), most.parse::<u64>()) {
                for beyond in [least - 1, most + 1] {
                    assert!(with(&row.key, &beyond.to_string()).is_err(), "{} {beyond}", row.key);
                }
            }
        }
    }
}
