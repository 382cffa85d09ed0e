//! `rocketkube-broker`: one broker of a cluster.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use clap::Parser;
use rocketkube_broker::{Config, FlushMode, start};
use rocketkube_service::config::{self, Layers};
use rocketkube_service::descriptors;
use rocketkube_service::http::{self, Health, Pages};
use rocketkube_service::logs::{self, LogFormat};
use rocketkube_service::metrics::Registry;
use rocketkube_service::shutdown;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::error;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Broker of RocketKube: keeps messages, for clients of RocketMQ.
///
/// Settings come from defaults, the file, variables `ROCKETKUBE_BROKER_*` and flags; later ones win.
/// File and variables know more settings than the flags here: see docs/settings.md.
#[derive(Debug, Parser)]
#[command(name = "rocketkube-broker", version)]
struct Flags {
    /// YAML file with settings in camelCase, e.g. `dataDir: /data`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(
        long,
        value_name = "NAME",
        help = "Cluster that the broker announces itself in [default: DefaultCluster]"
    )]
    cluster: Option<String>,
    /// Name of the broker group, the `brokerName` that clients see [default: broker-a]
    #[arg(long)]
    name: Option<String>,
    /// Where the remoting protocol listens [default: [::]:10911]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where metrics and probes are served [default: [::]:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Address that clients are told, `IP` or `IP:PORT`; without it, the one that this machine
    /// reaches others from
    #[arg(long, value_name = "ADDR")]
    advertise: Option<String>,
    /// Name servers, `host:port` separated by `;`; without any, nobody finds the broker
    #[arg(long, value_name = "ADDRS")]
    namesrv: Option<String>,
    /// Directory of the log and of all that is derived from it [default: data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// What an OK waits for: the disk (auto, sync) or the page cache (async) [default: auto]
    #[arg(long, value_name = "MODE")]
    flush: Option<FlushMode>,
    /// Log lines as text, or as json for collectors [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Flags {
    fn settings(self) -> anyhow::Result<Config> {
        let mut layers = Layers::defaults::<Config>();
        if let Some(path) = &self.config {
            layers = layers.file(path)?;
        }
        let data_dir = self.data_dir.map(|dir| dir.display().to_string());
        let config = layers
            .environment("ROCKETKUBE_BROKER_", config::variables())?
            .flag("--cluster", "cluster", self.cluster)?
            .flag("--name", "name", self.name)?
            .flag("--listen", "listen", self.listen)?
            .flag("--http", "http", self.http)?
            .flag("--advertise", "advertise", self.advertise)?
            .flag("--namesrv", "namesrv", self.namesrv)?
            .flag("--data-dir", "dataDir", data_dir)?
            .flag("--flush", "flush", self.flush.map(FlushMode::name))?
            .flag("--log-format", "logFormat", self.log_format.map(LogFormat::name))?
            .build(Config::validate)?;
        Ok(config)
    }
}

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Fails only before there are logs. What fails later is logged: who collects log lines reads nothing
/// else.
fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    descriptors::raise()?;
    // Huge pages would make an idle broker several times as large; it runs where that is refused.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let runtime = Runtime::new().context("cannot start threads")?;
    // Before anything that takes time: a signal until then would end the process without a word.
    let stop = runtime.block_on(async { shutdown::on_signal() })?;
    let config = flags.settings()?;
    let _logs = logs::start(config.log_format)?;
    let served = runtime.block_on(serve(config, stop));
    // A name that is being looked up may hold its thread for long, and nobody wants to know it any more.
    runtime.shutdown_background();
    if let Err(error) = served {
        error!(error = format!("{error:#}"), "broker failed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let (health, metrics) = (Arc::new(Health::default()), Arc::new(Registry::default()));
    let listener = http::bind(config.http).await.with_context(|| {
        format!("cannot listen on {} for HTTP; choose another http", config.http)
    })?;
    let name = config.name.clone();
    let tell = Arc::new(OnceLock::<Box<dyn Fn() -> Value + Send + Sync>>::new());
    let told = Arc::clone(&tell);
    let status = Arc::new(move || match told.get() {
        Some(tell) => tell(),
        None => json!({ "broker": name }),
    });
    let pages = Pages { health: Arc::clone(&health), metrics: Arc::clone(&metrics), status };
    // The probes answer until everything else has stopped.
    let end = CancellationToken::new();
    let http = tokio::spawn(http::serve(listener, pages, end.clone()));
    let broker = start(config, health, metrics, stop).await?;
    let _ = tell.set(Box::new(broker.status()));
    broker.stopped().await?;
    end.cancel();
    http.await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use rocketkube_testkit::help_defaults;

    use super::*;

    #[test]
    fn help_tells_the_defaults() {
        let help = Flags::command().term_width(0).render_help().to_string();
        let defaults = help_defaults(&help);
        assert_eq!(defaults.len(), 7, "{defaults:?}");
        for (flag, default) in defaults {
            let flags = Flags::parse_from(["rocketkube-broker", &flag, &default]);
            assert_eq!(flags.settings().unwrap(), Config::default(), "{flag} {default}");
        }
    }
}
