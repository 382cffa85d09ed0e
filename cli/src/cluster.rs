//! Which cluster a command is for, and what a person can do when it is not there.

use std::env;
use std::future::Future;

use anyhow::{Context, Result};
use clap::Args;
use rocketkube_client::{Client, ClientError};
use rocketkube_protocol::ResponseCode;
use rocketkube_remoting::ConnectError;

/// The flag that every command has which talks to a cluster.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Name servers, HOST:PORT, several separated by `;` [default: the variable
    /// `ROCKETKUBE_NAMESRV`, or else `NAMESRV_ADDR`, or else 127.0.0.1:9876]
    #[arg(
        long,
        short = 'n',
        global = true,
        value_name = "ADDR",
        env = "ROCKETKUBE_NAMESRV",
        default_value_t = default_name_server(),
        value_parser = parse_name_servers,
        hide_env = true,
        hide_default_value = true
    )]
    pub(crate) namesrv: String,
}

impl ClusterArgs {
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.namesrv)?)
    }

    /// Runs a command; what the cluster answers is explained with what to do about it.
    pub(crate) fn run<F: Future<Output = Result<()>>>(
        &self,
        command: impl FnOnce(Client) -> F,
    ) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { command(self.client()?).await }).map_err(|error| {
            match error.downcast_ref::<ClientError>().and_then(|cause| self.advice(cause)) {
                Some(advice) => error.context(advice),
                None => error,
            }
        })
    }

    fn advice(&self, error: &ClientError) -> Option<String> {
        match error {
            ClientError::Connect(
                ConnectError::Io { addr, .. } | ConnectError::TimedOut { addr, .. },
            ) => Some(if self.namesrv.contains(addr.as_str()) {
                no_name_server(&self.namesrv)
            } else {
                format!("the name server tells of a broker at {addr}, which cannot be reached")
            }),
            ClientError::Refused { code: ResponseCode::TOPIC_NOT_EXIST, .. } => Some(
                "there is no such topic: see `rkctl topic list`, or `rkctl topic create`".into(),
            ),
            _ => None,
        }
    }
}

/// What to say when none of the addresses answers.
pub(crate) fn no_name_server(list: &str) -> String {
    format!("no name server at {list}: start one with `rkctl dev`, or give another with --namesrv")
}

fn parse_name_servers(list: &str) -> Result<String, String> {
    let is_addr = |text: &str| {
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let mut addrs = list.split(';').map(str::trim).filter(|addr| !addr.is_empty()).peekable();
    if addrs.peek().is_some() && addrs.all(is_addr) {
        Ok(list.to_owned())
    } else {
        Err("write HOST:PORT, such as 127.0.0.1:9876, several separated by `;`".to_owned())
    }
}

/// Where the name server is if no flag and no variable of ours says so: the variable that
/// RocketMQ's own clients read, or this machine.
fn default_name_server() -> String {
    env::var("NAMESRV_ADDR").unwrap_or_else(|_| "127.0.0.1:9876".to_owned())
}

/// The masters of all clusters; an error if there are none.
pub(crate) async fn masters(admin: &rocketkube_client::Admin) -> Result<Vec<String>> {
    let mut masters = admin.masters(None).await?;
    masters.sort();
    (!masters.is_empty())
        .then_some(masters)
        .context("the name server knows no broker: wait until one has registered, or start one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_hosts_with_ports() {
        for list in ["127.0.0.1:9876", "a:1; b:2 ;", "[::1]:9876"] {
            assert_eq!(parse_name_servers(list).as_deref(), Ok(list));
        }
        for list in ["", " ; ", "localhost", "a:1;b", ":1", "a:0", "a:70000"] {
            assert!(parse_name_servers(list).is_err(), "{list}");
        }
    }
}
