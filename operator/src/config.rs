//! Settings of the operator process.

use std::net::{Ipv6Addr, SocketAddr};

use rocketkube_service::config::Invalid;
use rocketkube_service::logs::LogFormat;
use serde::{Deserialize, Serialize};

/// Settings of the operator process. Keys in files are camelCase; variables are
/// `ROCKETKUBE_OPERATOR_` and the key in upper case with `_`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Image of brokers and name servers whose `BrokerSet` names none: the one of this release.
    pub broker_image: String,
    /// Namespaces to look after, separated by commas. Default: all.
    pub namespaces: String,
    /// Lease by which several operators agree on the one that acts. Default `rocketkube-operator`.
    pub lease: String,
    /// Name of this process in the Lease. Default: its host name, which is the name of its pod.
    pub identity: String,
    /// Where metrics and probes are served. Default `[::]:8080`.
    pub http: SocketAddr,
    /// Log lines as `text` for people or `json` for collectors. Default `text`.
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker_image: String::new(),
            namespaces: String::new(),
            lease: "rocketkube-operator".to_owned(),
            identity: String::new(),
            http: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// What no default can be right for.
    pub fn check(&self) -> Result<(), Invalid> {
        let refuse = |key, value: &str, expected: &str| {
            Err(Invalid { key, value: value.to_owned(), expected: expected.to_owned() })
        };
        if self.broker_image.trim().is_empty() {
            return refuse(
                "brokerImage",
                "empty",
                "the image of brokers and name servers, e.g. registry.example.com/rocketkube:0.1.0",
            );
        }
        if let Some(bad) = self.watched().iter().find(|name| !is_label(name)) {
            return refuse("namespaces", bad, "names of namespaces, separated by commas");
        }
        if !is_label(&self.lease) {
            return refuse("lease", &self.lease, "a name of a-z, 0-9 and -");
        }
        Ok(())
    }

    /// Namespaces to look after; none means all.
    pub fn watched(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.namespaces.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Whether Kubernetes takes it as the name of a namespace.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rocketkube_service::config::Layers;
    use rocketkube_testkit::settings_table;

    use super::*;

    #[test]
    fn the_documented_settings_are_those_there_are() {
        let table = settings_table(include_str!("../../docs/settings.md"), "Operator");
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

    fn config(image: &str, namespaces: &str) -> Config {
        let (broker_image, namespaces) = (image.to_owned(), namespaces.to_owned());
        Config { broker_image, namespaces, ..Config::default() }
    }

    #[test]
    fn an_operator_without_an_image_for_brokers_does_not_start() {
        assert_eq!(config("", "").check().unwrap_err().key, "brokerImage");
        assert_eq!(config("rocketkube:1", "").check(), Ok(()));
    }

    #[test]
    fn namespaces_are_a_list_of_names() {
        assert_eq!(config("x", "").watched(), Vec::<&str>::new());
        assert_eq!(config("x", " b, a,b,").watched(), ["a", "b"]);
        assert_eq!(config("x", "a,B").check().unwrap_err().value, "B");
    }
}
