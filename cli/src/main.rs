//! `rkctl`: one command line for RocketKube and for any broker that speaks RocketMQ's protocol.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod cluster;
mod dev;
mod duration;
mod interrupt;
mod lines;
mod message;
mod output;
mod progress;
mod topic;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Cli, Command};
use interrupt::Interrupted;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough, as in `rkctl topic list | head -1`.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            output::write_notice(&error);
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(error) => {
            output::write_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let format = cli.output;
    match &cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Topic { cluster, command } => {
            cluster.run(|client| topic::run(command, client, format))
        }
        Command::Message { cluster, command } => {
            cluster.run(|client| message::run(command, client, format))
        }
        Command::Send { cluster, args } => {
            cluster.run(|client| message::send(args, client, format))
        }
        Command::Consume { cluster, args } => {
            cluster.run(|client| message::tail(args, client, format))
        }
        Command::Bench { command } => bench::run(command, format),
    }
}
