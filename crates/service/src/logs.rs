//! Logs on standard error: text for people, JSON for collectors.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("{variable} is {value:?}: {reason}; write e.g. info or rocketkube_broker=debug")]
    Filter { variable: &'static str, value: String, reason: String },
    #[error("logs were set up before")]
    AlreadySet,
}

/// The variable that says what is logged.
pub const LEVEL_VARIABLE: &str = "ROCKETKUBE_LOG";

/// Starts logging for the process. `ROCKETKUBE_LOG` says what (default `info`), e.g. `debug` or
/// `info,rocketkube_store=trace`.
pub fn start(format: LogFormat) -> Result<(), LogsError> {
    let value = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&value).map_err(|error| LogsError::Filter {
        variable: LEVEL_VARIABLE,
        value,
        reason: error.to_string(),
    })?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for people at a terminal; in a file they only hide what is searched for.
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LogsError::AlreadySet)
}
