//! The name server as a process.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use rocketkube_namesrv::{Config, NameServer};
use rocketkube_service::config::{Layers, variables};
use rocketkube_service::descriptors;
use rocketkube_service::http::{self, Health, Pages};
use rocketkube_service::logs::{self, LogFormat};
use rocketkube_service::metrics::{Registry, register_process};
use rocketkube_service::shutdown;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Name server of RocketKube: tells RocketMQ clients where topics are.
///
/// Every setting can also be given by a variable: `ROCKETKUBE_NAMESRV_` and the key in upper case.
#[derive(Debug, Parser)]
#[command(name = "rocketkube-namesrv", version)]
struct Args {
    /// YAML file with settings; the flags below win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the remoting protocol listens [default: [::]:9876]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where metrics and probes are served [default: [::]:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Directory of what is kept over restarts [default: data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// All name servers there are, `host:port` separated by `;`: this one is not ready before the
    /// brokers are there that the others know
    #[arg(long, value_name = "ADDRS")]
    peers: Option<String>,
    /// Names of brokers, separated by `,`, that have to be there before this one is ready
    #[arg(long, value_name = "NAMES")]
    expect: Option<String>,
    /// Log lines as text, or as json for collectors [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Args {
    fn config(self) -> anyhow::Result<Config> {
        let mut layers = Layers::defaults::<Config>();
        if let Some(file) = &self.config {
            layers = layers.file(file)?;
        }
        let data_dir = self.data_dir.map(|dir| dir.display().to_string());
        let layers = layers
            .environment("ROCKETKUBE_NAMESRV_", variables())?
            .flag("--listen", "listen", self.listen)?
            .flag("--http", "http", self.http)?
            .flag("--data-dir", "dataDir", data_dir)?
            .flag("--peers", "peers", self.peers)?
            .flag("--expect", "expect", self.expect)?
            .flag("--log-format", "logFormat", self.log_format.map(LogFormat::name))?;
        Ok(layers.build(Config::validate)?)
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Fails only before there are logs. What fails later is logged: who collects log lines reads nothing
/// else.
fn run(args: Args) -> anyhow::Result<ExitCode> {
    descriptors::raise()?;
    let runtime = Runtime::new().context("cannot start threads")?;
    // Before anything that takes time: a signal until then would end the process without a word.
    let stop = runtime.block_on(async { shutdown::on_signal() })?;
    let config = args.config()?;
    let _logs = logs::start(config.log_format)?;
    let served = runtime.block_on(serve(config, stop));
    // A name that is being looked up may hold its thread for long, and nobody wants to know it any more.
    runtime.shutdown_background();
    if let Err(error) = served {
        error!(error = format!("{error:#}"), "name server failed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let metrics = Arc::new(Registry::default());
    register_process(&metrics);
    let health = Arc::new(Health::default());

    let listener = http::bind(config.http).await.with_context(|| {
        format!("cannot listen on {} for HTTP; choose another http", config.http)
    })?;
    let http_addr = listener.local_addr().context("cannot tell the address of HTTP")?;
    let end = CancellationToken::new();
    let server = NameServer::start(config, &metrics, end).await?;
    let pages = Pages { health: Arc::clone(&health), metrics, status: Arc::new(server.status()) };
    // The probes answer until everything else has stopped.
    let http_shutdown = CancellationToken::new();
    let serving = tokio::spawn(http::serve(listener, pages, http_shutdown.clone()));
    info!(listen = %server.addr(), http = %http_addr, "serving");
    server.live(&health, shutdown).await;
    http_shutdown.cancel();
    serving.await.context("the HTTP server failed")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use rocketkube_testkit::help_defaults;

    use super::*;

    #[test]
    fn help_tells_the_defaults() {
        let help = Args::command().term_width(0).render_help().to_string();
        let defaults = help_defaults(&help);
        assert_eq!(defaults.len(), 4, "{defaults:?}");
        for (flag, default) in defaults {
            let args = Args::parse_from(["rocketkube-namesrv", &flag, &default]);
            assert_eq!(args.config().unwrap(), Config::default(), "{flag} {default}");
        }
    }
}
