//! `rkctl dev`: a name server and a broker in this process, for one developer on one machine.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use rocketkube_broker::{BrokerError, FlushMode};
use rocketkube_namesrv::{NameServer, StartError};
use rocketkube_service::descriptors;
use rocketkube_service::http::{self, Health, Pages};
use rocketkube_service::logs::{self, LogFormat};
use rocketkube_service::metrics::Registry;
use rocketkube_service::shutdown;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const NAME_SERVER: u16 = 9876;
const BROKER: u16 = 10911;
const HTTP: u16 = 8080;
/// How long the broker may take to tell the name server that it is there; it takes a millisecond.
const REGISTRATION_PATIENCE: Duration = Duration::from_secs(5);
const REGISTRATION_PAUSE: Duration = Duration::from_millis(1);
/// Keeps the highest port, 10911, below 65,536.
const MAX_OFFSET: i64 = 54_000;

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where messages are kept; created if it does not exist
    #[arg(long, value_name = "DIR", default_value = "./rocketkube-data")]
    data_dir: PathBuf,
    /// Address to listen on, which clients are told as well; 0.0.0.0 for every network
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", value_parser = parse_host)]
    host: IpAddr,
    /// What an OK waits for: the disk (auto, sync) or the page cache (async)
    #[arg(long, value_name = "MODE", default_value = "auto")]
    flush: FlushMode,
    /// Added to every port, to run beside something else
    #[arg(long, value_name = "N", default_value_t = 0, allow_hyphen_values = true,
          value_parser = clap::value_parser!(u16).range(..=MAX_OFFSET))]
    port_offset: u16,
}

pub(crate) fn run(args: &DevArgs) -> Result<()> {
    descriptors::raise()?;
    // With huge pages every allocator arena costs whole 2 MiB pages for a few KiB, and an idle
    // broker is several times as large. Where the kernel refuses, it runs as well.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let runtime = tokio::runtime::Runtime::new()?;
    // Before anything that takes time: a signal until then would end the process without a word.
    let stop = runtime.block_on(async { shutdown::on_signal() })?;
    let _logs = logs::start(LogFormat::Text)?;
    let addresses = Addresses::new(args.host, args.port_offset);
    addresses.check_free()?;
    runtime.block_on(serve(args, addresses, stop))
}

async fn serve(args: &DevArgs, addresses: Addresses, stop: CancellationToken) -> Result<()> {
    // The broker says good-bye to the name server, so that one ends later.
    let end = CancellationToken::new();
    let listener = http::bind(addresses.http).await.context("cannot serve metrics")?;
    let (health, registry) = (Arc::new(Health::default()), Arc::new(Registry::default()));
    let name_server = NameServer::start(name_server(args, addresses), &registry, end.clone()).await;
    let name_server = name_server.map_err(|error| {
        let dir = matches!(error, StartError::Disk(_)).then_some(&*args.data_dir);
        let error = anyhow::Error::from(error);
        let failure = failure(dir, &error, "name server");
        error.context(failure)
    })?;
    // Before the log is read, which may take long: the probes tell so.
    let (live, metrics) = (Arc::clone(&health), Arc::clone(&registry));
    let pages = Pages { health: live, metrics, status: status(&name_server, addresses.broker) };
    let http = tokio::spawn(http::serve(listener, pages, end.clone()));
    let config = broker(args, addresses);
    let (ready, metrics) = (Arc::clone(&health), Arc::clone(&registry));
    let broker = rocketkube_broker::start(config, ready, metrics, stop.clone()).await;
    let broker = broker.map_err(|error| {
        let dir = matches!(error, BrokerError::Open { .. }).then_some(&*args.data_dir);
        let error = anyhow::Error::from(error);
        let failure = failure(dir, &error, "broker");
        error.context(failure)
    })?;
    await_registration(&name_server, &stop).await;
    write!(io::stdout(), "{}", Welcome { addresses, data_dir: &args.data_dir })?;
    let stopped = broker.stopped().await;
    end.cancel();
    name_server.stopped().await;
    http.await?;
    Ok(stopped?)
}

/// What went wrong, in terms of the flags: a directory that cannot be used, or a part. Only where
/// nothing can be in the directory yet is another one of any help.
fn failure(directory: Option<&Path>, error: &anyhow::Error, part: &str) -> String {
    use io::ErrorKind::{AlreadyExists, NotADirectory};
    let Some(dir) = directory else { return format!("cannot start the {part}") };
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    let dir_is_wrong = cause.is_some_and(|it| matches!(it.kind(), AlreadyExists | NotADirectory))
        || !dir.join("broker").exists();
    let advice = if dir_is_wrong { ", choose another --data-dir" } else { "" };
    format!("cannot keep messages in {}{advice}", dir.display())
}

/// Returns once clients find the broker, so that the first command works. A broker that takes long is
/// no reason to say nothing: whoever comes too early is told to wait.
async fn await_registration(name_server: &NameServer, stop: &CancellationToken) {
    let status = name_server.status();
    let registered = async {
        while status()["brokers"] == 0 {
            sleep(REGISTRATION_PAUSE).await;
        }
    };
    tokio::select! {
        () = registered => {}
        () = sleep(REGISTRATION_PATIENCE) => {}
        () = stop.cancelled() => {}
    }
}

fn status(
    name_server: &NameServer,
    broker: SocketAddr,
) -> Arc<dyn Fn() -> serde_json::Value + Send + Sync> {
    let name_server = name_server.status();
    Arc::new(
        move || serde_json::json!({ "nameServer": name_server(), "broker": { "listen": broker.to_string() } }),
    )
}

fn name_server(args: &DevArgs, addresses: Addresses) -> rocketkube_namesrv::Config {
    rocketkube_namesrv::Config {
        listen: addresses.name_server,
        data_dir: args.data_dir.join("namesrv"),
        ..rocketkube_namesrv::Config::default()
    }
}

fn broker(args: &DevArgs, addresses: Addresses) -> rocketkube_broker::Config {
    // Nobody can connect to the address that means all addresses.
    let advertise = (!args.host.is_unspecified()).then(|| args.host.to_string());
    rocketkube_broker::Config {
        listen: addresses.broker,
        advertise,
        namesrv: addresses.reachable_name_server().to_string(),
        http: addresses.http,
        data_dir: args.data_dir.join("broker"),
        flush: args.flush,
        auto_create_topics: true,
        ..rocketkube_broker::Config::default()
    }
}

/// Where the parts listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Addresses {
    name_server: SocketAddr,
    broker: SocketAddr,
    http: SocketAddr,
}

impl Addresses {
    fn new(host: IpAddr, offset: u16) -> Self {
        let at = |port| SocketAddr::new(host, port + offset);
        Self { name_server: at(NAME_SERVER), broker: at(BROKER), http: at(HTTP) }
    }

    /// The name server as somebody on this machine reaches it.
    fn reachable_name_server(&self) -> SocketAddr {
        let mut addr = self.name_server;
        match addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip([127, 0, 0, 1].into()),
            IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip([0, 0, 0, 0, 0, 0, 0, 1].into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        addr
    }

    /// Fails on the first address that cannot be had, naming it and the way out.
    fn check_free(&self) -> Result<()> {
        let parts =
            [("name server", self.name_server), ("broker", self.broker), ("metrics", self.http)];
        for (part, addr) in parts {
            if let Err(error) = TcpListener::bind(addr) {
                bail!("cannot listen on {addr} ({part}): {error}; {}", way_out(addr.ip(), &error));
            }
        }
        Ok(())
    }
}

/// What to do about an address that cannot be listened on.
fn way_out(host: IpAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop what uses the port, or choose others with \
            --port-offset, as in `rkctl dev --port-offset 100`"
            .to_owned(),
        _ => format!(
            "is {host} an address of this machine? Choose another with --host: 127.0.0.1 is for \
             this machine alone, 0.0.0.0 for every network"
        ),
    }
}

fn parse_host(text: &str) -> Result<IpAddr, String> {
    let host = if text == "localhost" { "127.0.0.1" } else { text };
    match host.parse::<IpAddr>() {
        Ok(ip) if !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST) => Ok(ip),
        _ => Err("write the IP address of one machine, such as 127.0.0.1, or 0.0.0.0".to_owned()),
    }
}

/// What a developer copies into a program.
struct Welcome<'a> {
    addresses: Addresses,
    data_dir: &'a Path,
}

impl fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Addresses { broker, http, .. } = self.addresses;
        let name_server = self.addresses.reachable_name_server();
        let data_dir = self.data_dir.display();
        // rkctl looks at the default address by itself.
        let is_default = name_server == SocketAddr::from(([127, 0, 0, 1], NAME_SERVER));
        let flag = if is_default { String::new() } else { format!(" -n {name_server}") };
        write!(
            f,
            "RocketKube is ready. Messages are kept in {data_dir}; Ctrl-C stops it.

  name server  {name_server}
  broker       {broker}
  metrics      http://{http}/metrics

  Java   producer.setNamesrvAddr(\"{name_server}\");
  Go     producer.WithNameServer([]string{{\"{name_server}\"}})
  shell  rkctl send hello \"first message\"{flag}
         rkctl consume hello{flag}
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn welcome(host: IpAddr, offset: u16) -> String {
        let addresses = Addresses::new(host, offset);
        Welcome { addresses, data_dir: Path::new("data") }.to_string()
    }

    #[test]
    fn the_default_address_needs_no_flag() {
        let text = welcome(LOOPBACK, 0);
        assert!(text.contains("setNamesrvAddr(\"127.0.0.1:9876\")"), "{text}");
        assert!(!text.contains(" -n "), "{text}");
    }

    #[test]
    fn any_other_address_is_in_every_line_to_copy() {
        let text = welcome(LOOPBACK, 100);
        assert_eq!(text.matches("-n 127.0.0.1:9976").count(), 2, "{text}");
        let text = welcome([0, 0, 0, 0].into(), 100);
        assert!(text.contains("WithNameServer([]string{\"127.0.0.1:9976\"})"), "{text}");
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let mut addresses = Addresses::new(LOOPBACK, 0);
        addresses.name_server.set_port(0);
        addresses.broker = taken.local_addr().unwrap();
        let error = addresses.check_free().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {} (broker)", addresses.broker)));
        assert!(error.contains("--port-offset"), "{error}");
    }

    /// The address is one of a block reserved for documentation (RFC 5737).
    #[test]
    fn an_address_of_another_machine_is_told_from_a_taken_port() {
        let error = Addresses::new([192, 0, 2, 1].into(), 0).check_free().unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on 192.0.2.1:9876 (name server)"), "{error}");
        assert!(error.contains("--host") && !error.contains("--port-offset"), "{error}");
    }

    #[test]
    fn a_host_is_the_address_of_one_machine() {
        assert_eq!(parse_host("localhost"), Ok(LOOPBACK));
        assert!(parse_host("::1").is_ok());
        for text in ["", "broker", "127.0.0.1:9876", "224.0.0.1", "255.255.255.255"] {
            assert!(parse_host(text).unwrap_err().contains("such as 127.0.0.1"), "{text}");
        }
    }

    #[test]
    fn the_readme_names_the_ports() {
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&format!("name server ({NAME_SERVER})")));
        assert!(readme.contains(&format!("broker ({BROKER})")));
    }

    #[test]
    fn the_highest_port_fits_with_the_greatest_offset() {
        let offset = u16::try_from(MAX_OFFSET).unwrap();
        assert_eq!(Addresses::new(LOOPBACK, offset).broker.port(), BROKER + offset);
    }
}
