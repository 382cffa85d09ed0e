//! How commands write: results to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// JSON for programs
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

/// Writes why a command failed, causes included, to stderr.
pub(crate) fn write_error(error: &anyhow::Error) {
    // Nothing is left to do if stderr is closed.
    _ = writeln!(io::stderr(), "error: {error:#}");
}
