//! The operator as a process.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use rocketkube_operator::{Clock, Config, Context, run as run_operator};
use rocketkube_service::config::{Layers, variables};
use rocketkube_service::http::{self, Health, Pages};
use rocketkube_service::logs::{self, LogFormat};
use rocketkube_service::metrics::{Registry, register_process};
use rocketkube_service::shutdown;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Modules that log each request which failed, whoever asked and whatever became of it; the operator
/// logs those that it did not expect.
const QUIET: [&str; 1] = ["kube_client"];

/// Kubernetes operator of RocketKube: runs the brokers and name servers that manifests ask for.
///
/// Every setting can also be given by a variable: `ROCKETKUBE_OPERATOR_` and the key in upper case.
/// Which Kubernetes cluster it works in comes from its pod, or from KUBECONFIG.
#[derive(Debug, Parser)]
#[command(name = "rocketkube-operator", version)]
struct Args {
    /// YAML file with settings; the flags below win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Image of brokers and name servers for manifests that name none
    #[arg(long, value_name = "IMAGE")]
    broker_image: Option<String>,
    /// Namespaces to look after, separated by commas; without it all
    #[arg(long, value_name = "NAMES")]
    namespaces: Option<String>,
    /// Lease by which several operators agree on the one that acts [default: rocketkube-operator]
    #[arg(long, value_name = "NAME")]
    lease: Option<String>,
    /// Name of this process in the Lease; without it the host name
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Where metrics and probes are served [default: [::]:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Log lines as text, or as json for collectors [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Args {
    fn layers(self) -> anyhow::Result<Layers> {
        let mut layers = Layers::defaults::<Config>();
        if let Some(file) = &self.config {
            layers = layers.file(file)?;
        }
        Ok(layers
            .environment("ROCKETKUBE_OPERATOR_", variables())?
            .flag("--broker-image", "brokerImage", self.broker_image)?
            .flag("--namespaces", "namespaces", self.namespaces)?
            .flag("--lease", "lease", self.lease)?
            .flag("--identity", "identity", self.identity)?
            .flag("--http", "http", self.http)?
            .flag("--log-format", "logFormat", self.log_format.map(LogFormat::name))?)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Fails only before there are logs. What fails later is logged: who collects log lines reads nothing
/// else.
async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config: Config = args.layers()?.build(Config::check)?;
    let _logs = logs::start_without(config.log_format, &QUIET)?;
    if let Err(error) = serve(config).await {
        error!(error = format!("{error:#}"), "operator failed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let metrics = Arc::new(Registry::default());
    register_process(&metrics);
    let health = Arc::new(Health::default());
    let listener = http::bind(config.http).await.with_context(|| {
        format!("cannot listen on {} for HTTP; choose another http", config.http)
    })?;
    let http_addr = listener.local_addr().context("cannot tell the address of HTTP")?;
    let client = client().await?;
    let context = Context::new(client, config, &metrics, Clock::default());
    let status = Arc::new(|| serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }));
    let pages = Pages { health: Arc::clone(&health), metrics, status };
    // The probes answer until everything else has stopped.
    let http_shutdown = CancellationToken::new();
    let serving = tokio::spawn(http::serve(listener, pages, http_shutdown.clone()));
    info!(http = %http_addr, "operator started");

    let result = run_operator(context, &health, shutdown).await;
    http_shutdown.cancel();
    serving.await.context("the HTTP server failed")?;
    Ok(result?)
}

/// A client of the cluster that the process runs in, or that KUBECONFIG names.
async fn client() -> anyhow::Result<kube::Client> {
    let mut config = kube::Config::infer().await.context(
        "found no Kubernetes cluster: run in a pod with a service account, or set KUBECONFIG",
    )?;
    // Reconciling has its own back-off, and a renewal that comes late is worse than one that fails.
    config.default_retry = false;
    kube::Client::try_from(config).context("cannot make a client of the Kubernetes cluster")
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
        assert_eq!(defaults.len(), 3, "{defaults:?}");
        for (flag, default) in defaults {
            let args = Args::parse_from(["rocketkube-operator", &flag, &default]);
            let config: Config = args.layers().unwrap().build(|_| Ok(())).unwrap();
            assert_eq!(config, Config::default(), "{flag} {default}");
        }
    }
}
