//! `rocketkube-broker`: one broker of a cluster.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use rocketkube_broker::{Config, FlushMode, start};
use rocketkube_service::config::{self, Layers};
use rocketkube_service::http::{self, Health, Pages};
use rocketkube_service::metrics::Registry;
use rocketkube_service::{logs, shutdown};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// RocketKube broker. Settings: defaults, then the file, then variables `ROCKETKUBE_BROKER_*`, then
/// flags; later ones win.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// YAML file with settings in camelCase, e.g. `dataDir: /data`.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Cluster that the broker announces itself in.
    #[arg(long)]
    cluster: Option<String>,
    /// Name of the broker group, the `brokerName` that clients see.
    #[arg(long)]
    name: Option<String>,
    /// Where the remoting protocol listens, e.g. `[::]:10911`.
    #[arg(long)]
    listen: Option<String>,
    /// Where metrics and probes are served, e.g. `[::]:8080`.
    #[arg(long)]
    http: Option<String>,
    /// Address that clients are told, `IP` or `IP:PORT`.
    #[arg(long)]
    advertise: Option<String>,
    /// Name servers, `host:port` separated by `;`.
    #[arg(long)]
    namesrv: Option<String>,
    /// Directory of the log.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// What an OK waits for: auto, sync or async.
    #[arg(long)]
    flush: Option<FlushMode>,
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
            .build()?;
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Flags::parse().settings()?;
    // Huge pages would make an idle broker several times as large; it runs where that is refused.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let _logs = logs::start(logs::LogFormat::default())?;
    let stop = shutdown::on_signal()?;
    let (health, metrics) = (Arc::new(Health::default()), Arc::new(Registry::default()));
    let listener = http::bind(config.http).await.with_context(|| {
        format!("cannot listen on {} for HTTP; choose another --http", config.http)
    })?;
    let name = config.name.clone();
    let status = Arc::new(move || serde_json::json!({ "broker": name }));
    let pages = Pages { health: Arc::clone(&health), metrics: Arc::clone(&metrics), status };
    let http = tokio::spawn(http::serve(listener, pages, stop.clone()));
    let broker = start(config, health, metrics, stop).await?;
    broker.stopped().await?;
    http.await?;
    Ok(())
}
