//! How commands write: results to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// A table without lines. Never wider than the terminal; unlimited in a pipe.
pub(crate) fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

pub(crate) fn write_json(value: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Writes a value on one line, for commands that print many.
pub(crate) fn write_json_line(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    // In one write, so that whoever is stopped between two lines leaves no half of one.
    io::stdout().write_all(&line)?;
    Ok(())
}

/// A time of the wire, milliseconds since 1970, as RFC 3339; `None` for 0, which means never.
pub(crate) fn time(milliseconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(milliseconds).ok()?;
    (milliseconds != 0).then(|| format!("{time:.3}"))
}

/// Whether a command failed because nobody reads its output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        let json =
            || cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        cause.downcast_ref().is_some_and(is_broken_pipe)
            || json() == Some(io::ErrorKind::BrokenPipe)
    })
}

/// Writes something that is no result and no error to stderr.
pub(crate) fn write_notice(notice: &anyhow::Error) {
    // Nothing is left to do if stderr is closed.
    _ = writeln!(io::stderr(), "{notice:#}");
}

/// Writes why a command failed, causes included, to stderr.
pub(crate) fn write_error(error: &anyhow::Error) {
    // Nothing is left to do if stderr is closed.
    _ = writeln!(io::stderr(), "error: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_with_milliseconds() {
        assert_eq!(time(1_700_000_000_123).as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(time(0), None);
        assert_eq!(time(i64::MAX), None);
    }

    #[test]
    fn a_closed_pipe_is_recognised_below_other_causes() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(closed()).context("cannot print")));
        assert!(is_broken_pipe(&serde_json::Error::io(closed()).into()));
        assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
