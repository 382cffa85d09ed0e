//! Settings in layers: defaults, file, environment, flags; later ones win.
//!
//! A process has one struct with defaults for everything; its serialised form says which keys there
//! are. Unknown keys are refused, because a setting that is misspelt is a setting that is not made.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is no YAML: {reason}", path.display())]
    Syntax { path: PathBuf, reason: String },
    #[error("{origin} sets {key}, which does not exist; known are {known}")]
    UnknownKey { origin: String, key: String, known: String },
    #[error("{origin} sets {key} to {value}: {reason}")]
    Value { origin: String, key: String, value: String, reason: String },
}

/// A value that its type allows and the process does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}; write {expected}")]
pub struct Invalid {
    pub key: &'static str,
    pub value: String,
    pub expected: String,
}

/// Refuses a number outside of `range`; `unit` is what is counted, in the plural.
pub fn check_range<T: Copy + PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    range: &RangeInclusive<T>,
    unit: &str,
) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("{} to {} {unit}", range.start(), range.end());
    Err(Invalid { key, value: value.to_string(), expected })
}

/// Collects the layers of one process's settings.
#[derive(Debug)]
pub struct Layers {
    known: Map<String, Value>,
    values: Map<String, Value>,
    /// Where each value came from, for errors.
    origins: Vec<(String, String)>,
}

impl Layers {
    /// The first layer: the defaults, which also say which keys there are.
    pub fn defaults<T: Serialize + Default>() -> Self {
        let known = match serde_json::to_value(T::default()) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        Self { values: known.clone(), known, origins: Vec::new() }
    }

    /// A YAML file with keys in camelCase.
    pub fn file(mut self, path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let syntax = |reason| ConfigError::Syntax { path: path.to_owned(), reason };
        let value: Option<Map<String, Value>> =
            serde_saphyr::from_str(&text).map_err(|error| syntax(error.to_string()))?;
        let origin = path.display().to_string();
        for (key, value) in value.unwrap_or_default() {
            self.put(&origin, &key, value)?;
        }
        Ok(self)
    }

    /// Variables that start with `prefix`: the keys in upper case with `_` between words.
    pub fn environment(
        mut self,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let found = self.known.keys().find(|key| upper_snake(key) == rest).cloned();
            let Some(key) = found else {
                let known: Vec<_> =
                    self.known.keys().map(|key| format!("{prefix}{}", upper_snake(key))).collect();
                let known = known.join(", ");
                return Err(ConfigError::UnknownKey {
                    origin: "environment".into(),
                    key: name,
                    known,
                });
            };
            let value = self.typed(&key, value);
            self.put(&name, &key, value)?;
        }
        Ok(self)
    }

    /// A flag of the command line, if it was given.
    pub fn flag(
        mut self,
        flag: &str,
        key: &str,
        value: Option<impl ToString>,
    ) -> Result<Self, ConfigError> {
        if let Some(value) = value {
            let value = self.typed(key, value.to_string());
            self.put(flag, key, value)?;
        }
        Ok(self)
    }

    /// The settings, if they have the right types and `check` finds nothing wrong with them.
    pub fn build<T: DeserializeOwned>(
        &self,
        check: impl FnOnce(&T) -> Result<(), Invalid>,
    ) -> Result<T, ConfigError> {
        let settings = self.typed_settings()?;
        match check(&settings) {
            Ok(()) => Ok(settings),
            Err(invalid) => Err(self.refusal(invalid.key, format!("write {}", invalid.expected))),
        }
    }

    fn typed_settings<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        // One key at a time over the defaults, so that the error can say which one it is.
        let mut values = self.known.clone();
        for (key, value) in &self.values {
            values.insert(key.clone(), value.clone());
            if let Err(error) = serde_json::from_value::<T>(Value::Object(values.clone())) {
                let example = match self.known.get(key) {
                    None | Some(Value::Null) => String::new(),
                    Some(default) => format!("; the default is {}", plain(default)),
                };
                return Err(self.refusal(key, format!("{error}{example}")));
            }
        }
        let invalid = |error: serde_json::Error| ConfigError::Value {
            origin: "the settings together".into(),
            key: String::new(),
            value: String::new(),
            reason: error.to_string(),
        };
        serde_json::from_value(Value::Object(values)).map_err(invalid)
    }

    /// What is wrong with the value of `key`, which layer it came from included.
    fn refusal(&self, key: &str, reason: String) -> ConfigError {
        let origin = self.origins.iter().rev().find(|(known, _)| known == key);
        ConfigError::Value {
            origin: origin.map_or("the default", |(_, origin)| origin).to_owned(),
            key: key.to_owned(),
            value: self.values.get(key).map(plain).unwrap_or_default(),
            reason,
        }
    }

    fn put(&mut self, origin: &str, key: &str, value: Value) -> Result<(), ConfigError> {
        if !self.known.contains_key(key) {
            let known = self.known.keys().cloned().collect::<Vec<_>>().join(", ");
            let (origin, key) = (origin.to_owned(), key.to_owned());
            return Err(ConfigError::UnknownKey { origin, key, known });
        }
        self.origins.push((key.to_owned(), origin.to_owned()));
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    /// Text as the type that the default has.
    fn typed(&self, key: &str, text: String) -> Value {
        match self.known.get(key) {
            Some(Value::Bool(_) | Value::Number(_)) => {
                serde_json::from_str(text.trim()).unwrap_or(Value::String(text))
            }
            _ => Value::String(text),
        }
    }
}

/// The variables of the process, for [`Layers::environment`]. What is not UTF-8 in them becomes
/// U+FFFD, which no setting accepts.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// A value as somebody would write it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `dataDir` as `DATA_DIR`.
fn upper_snake(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
    struct Config {
        data_dir: PathBuf,
        max_size: u32,
        #[serde(with = "humantime_serde")]
        retention: Duration,
        advertise: Option<String>,
        vip: bool,
    }

    impl Default for Config {
        fn default() -> Self {
            Self {
                data_dir: "data".into(),
                max_size: 4,
                retention: Duration::from_hours(1),
                advertise: None,
                vip: true,
            }
        }
    }

    fn sound(config: &Config) -> Result<(), Invalid> {
        check_range("maxSize", config.max_size, &(1..=10), "bytes")
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn variable(name: &str, value: &str) -> [(String, String); 1] {
        [(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn without_layers_there_are_the_defaults() {
        assert_eq!(Layers::defaults::<Config>().build(sound).unwrap(), Config::default());
    }

    #[test]
    fn a_later_layer_wins() {
        let file = file("dataDir: /file\nmaxSize: 5\nretention: 2h\nadvertise: 1.2.3.4\n");
        let config: Config = Layers::defaults::<Config>()
            .file(file.path())
            .unwrap()
            .environment("RK_", variable("RK_MAX_SIZE", "6"))
            .unwrap()
            .environment("RK_", variable("RK_VIP", "false"))
            .unwrap()
            .flag("--data-dir", "dataDir", Some("/flag"))
            .unwrap()
            .build(sound)
            .unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/flag"));
        assert_eq!((config.max_size, config.vip), (6, false));
        assert_eq!(config.retention, Duration::from_hours(2));
        assert_eq!(config.advertise.as_deref(), Some("1.2.3.4"));
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        let file = file("# nothing\n");
        let layers = Layers::defaults::<Config>().file(file.path()).unwrap();
        assert_eq!(layers.build(sound).unwrap(), Config::default());
    }

    #[test]
    fn a_misspelt_key_is_refused_with_those_that_exist() {
        let file = file("datadir: x\n");
        let error = Layers::defaults::<Config>().file(file.path()).unwrap_err().to_string();
        assert!(error.contains("sets datadir, which does not exist; known are dataDir, maxSize"));
        let error = Layers::defaults::<Config>()
            .environment("RK_", variable("RK_MAXSIZE", "1"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("RK_MAXSIZE") && error.contains("RK_MAX_SIZE"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_key_value_and_origin() {
        let error = Layers::defaults::<Config>()
            .environment("RK_", variable("RK_MAX_SIZE", "big"))
            .unwrap()
            .build(sound)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("RK_MAX_SIZE sets maxSize to big: "), "{error}");
        assert!(error.ends_with("; the default is 4"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_key_value_range_and_origin() {
        let file = file("maxSize: 11\n");
        let layers = Layers::defaults::<Config>().file(file.path()).unwrap();
        let error = layers.build(sound).unwrap_err().to_string();
        let path = file.path().display();
        assert_eq!(error, format!("{path} sets maxSize to 11: write 1 to 10 bytes"));
        let layers = layers.flag("--max-size", "maxSize", Some(0)).unwrap();
        let error = layers.build(sound).unwrap_err().to_string();
        assert_eq!(error, "--max-size sets maxSize to 0: write 1 to 10 bytes");
        let layers = layers.flag("--max-size", "maxSize", Some(10)).unwrap();
        assert_eq!(layers.build(sound).unwrap().max_size, 10);
    }
}
