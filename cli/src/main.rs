//! `rkctl`: one command line for RocketKube and for any broker that speaks RocketMQ's protocol.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod duration;
mod output;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Bench { command } => bench::run(command, cli.output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::write_error(&error);
            ExitCode::FAILURE
        }
    }
}
