//! Logs on standard error: text for people, JSON for collectors.

use std::error::Error;
use std::io::IsTerminal as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt;

/// Form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl LogFormat {
    /// As it stands in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Text, Self::Json].into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| UnknownLogFormat(text.to_owned()))
    }
}

/// A form of log lines that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("log format {0:?} is not known; write text or json")]
pub struct UnknownLogFormat(String);

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("{variable} is {value:?}: {reason}; write e.g. info or rocketkube_broker=debug")]
    Filter { variable: &'static str, value: String, reason: String },
    #[error("logs were set up before")]
    AlreadySet,
}

/// Logging for as long as it is held; dropping it writes what is left.
#[derive(Debug)]
#[must_use = "lines are lost once it is dropped"]
pub struct Logs(#[expect(dead_code, reason = "held for its end")] WorkerGuard);

/// Lines that wait for whoever reads them. A reader that stalls costs lines, never a request: the
/// rest is dropped.
const LINES: usize = 8_192;

/// The variable that says what is logged.
pub const LEVEL_VARIABLE: &str = "ROCKETKUBE_LOG";

/// Starts logging for the process. `ROCKETKUBE_LOG` says what (default `info`), e.g. `debug` or
/// `info,rocketkube_store=trace`.
pub fn start(format: LogFormat) -> Result<Logs, LogsError> {
    start_without(format, &[])
}

/// As [`start`], without what these modules say, unless `ROCKETKUBE_LOG` names them: for libraries
/// that log the errors which they also return.
pub fn start_without(format: LogFormat, modules: &[&str]) -> Result<Logs, LogsError> {
    let value = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let filter = filter(&value, modules).map_err(|error| LogsError::Filter {
        variable: LEVEL_VARIABLE,
        value,
        reason: error.to_string(),
    })?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES)
        .finish(std::io::stderr());
    let builder = fmt().with_env_filter(filter).with_writer(writer);
    // Colours are for people at a terminal; in a file they only hide what is searched for.
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LogsError::AlreadySet)?;
    Ok(Logs(guard))
}

fn filter(value: &str, without: &[&str]) -> Result<EnvFilter, ParseError> {
    let off = without.iter().map(|module| format!("{module}=off"));
    // Of two words about one module the later one holds.
    let words: Vec<_> = off.chain([value.to_owned()]).collect();
    EnvFilter::try_new(words.join(","))
}

/// An error with its causes, in one line: the first one alone rarely says what to change.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_silent_unless_it_is_named() {
        let said = |value: &str| {
            let filter = filter(value, &["kube_client"]).unwrap().to_string();
            filter.split(',').map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
        };
        let set = |words: [&str; 2]| words.map(str::to_owned).into();
        assert_eq!(said("info"), set(["info", "kube_client=off"]));
        assert_eq!(said("info,kube_client=debug"), set(["info", "kube_client=debug"]));
    }
}
