//! The grammar of the command line: noun, then verb.

use clap::{Parser, Subcommand};

use crate::bench::BenchCommand;
use crate::cluster::ClusterArgs;
use crate::dev::DevArgs;
use crate::message::{MessageCommand, SendArgs, TailArgs};
use crate::output::Format;
use crate::topic::TopicCommand;

/// Administration and load tool of RocketKube.
///
/// Works with every broker that speaks RocketMQ's remoting protocol.
#[derive(Debug, Parser)]
#[command(name = "rkctl", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Results as columns for people, or as JSON for programs
    #[arg(long, short = 'o', value_name = "FORMAT", global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a name server and a broker here, for development
    Dev(DevArgs),
    /// Create, list, describe and delete topics
    Topic {
        #[command(flatten)]
        cluster: ClusterArgs,
        #[command(subcommand)]
        command: TopicCommand,
    },
    /// Send and read messages
    Message {
        #[command(flatten)]
        cluster: ClusterArgs,
        #[command(subcommand)]
        command: MessageCommand,
    },
    /// Send one message, or one per line of stdin (short for `message send`)
    Send {
        #[command(flatten)]
        cluster: ClusterArgs,
        #[command(flatten)]
        args: SendArgs,
    },
    /// Print the messages of a topic as they come (short for `message tail`)
    Consume {
        #[command(flatten)]
        cluster: ClusterArgs,
        #[command(flatten)]
        args: TailArgs,
    },
    /// Measure a broker under load
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_output_flag_may_come_last() {
        let cli = Cli::try_parse_from(["rkctl", "bench", "produce", "-o", "json"]).unwrap();
        assert_eq!(cli.output, Format::Json);
    }
}
