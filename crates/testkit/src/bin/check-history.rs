//! `check-history` says whether what one producer and one consumer group of the scenarios saw is what
//! was promised: one line of JSON, and exit status 0 for kept, 1 for broken, 2 for logs it cannot read.

#![forbid(unsafe_code)]

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use rocketkube_testkit::{LoadLog, Verdict};

const BROKEN: u8 = 1;
/// As clap has it for arguments it cannot read.
const UNREADABLE: u8 = 2;

/// Compare what a producer and a consumer group of e2e/scenarios/clients saw with what was promised
#[derive(Debug, Parser)]
struct Args {
    /// Another producer, whose messages may be received without its log; may be repeated
    #[arg(long = "other", value_name = "NAME")]
    others: Vec<String>,
    /// What one producer and the consumers of one group said [default: standard input]
    logs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(verdict) if verdict.violations == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(BROKEN),
        Err(error) => {
            // Nothing is left to do if stderr is closed.
            _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(UNREADABLE)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<Verdict> {
    let mut log = LoadLog::default();
    if args.logs.is_empty() {
        let mut said = Vec::new();
        io::stdin().read_to_end(&mut said).context("cannot read standard input")?;
        log.add(&String::from_utf8_lossy(&said)).context("standard input is no log")?;
    }
    for path in &args.logs {
        let said = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // A body that was altered may be anything, and has to be told.
        let said = String::from_utf8_lossy(&said);
        log.add(&said).with_context(|| format!("{} is no log", path.display()))?;
    }
    let verdict = log.judge(&args.others);
    let line = serde_json::to_string(&verdict).context("cannot print the verdict")?;
    writeln!(io::stdout(), "{line}").context("cannot print the verdict")?;
    Ok(verdict)
}
