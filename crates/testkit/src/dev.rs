//! `rkctl dev` on a data directory of its own, started again and again.
//!
//! Knows how the program is started and where it listens, and nothing else about it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rand::Rng;
use tempfile::TempDir;

use crate::{
    ports::{PortsError, free_offset},
    process::{Process, ProcessError, Ready},
    wire::{Wire, WireError},
};

const BROKER_PORT: u16 = 10911;
const NAMESRV_PORT: u16 = 9876;
/// The two, the broker's second port, gRPC and HTTP.
const PORTS: [u16; 5] = [BROKER_PORT, NAMESRV_PORT, 10909, 8081, 8080];
/// A start takes milliseconds; a debug build that reads a large log on a busy machine does not.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// Any question about data; a broker that cannot answer yet says [`SERVICE_NOT_AVAILABLE`].
const GET_MAX_OFFSET: i32 = 30;
const SERVICE_NOT_AVAILABLE: i32 = 14;

/// When the broker answers OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    Sync,
    Async,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error("cannot make a data directory")]
    DataDir { source: io::Error },
    #[error(transparent)]
    Ports(#[from] PortsError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("still answers SERVICE_NOT_AVAILABLE after {waited:?}; it printed:\n{output}")]
    NeverServed { waited: Duration, output: String },
}

/// A data directory and the program that serves it.
#[derive(Debug)]
pub struct Dev {
    program: PathBuf,
    data: TempDir,
}

/// It runs.
#[derive(Debug)]
pub struct RunningDev {
    pub process: Process,
    pub broker: SocketAddr,
    pub namesrv: SocketAddr,
}

impl Dev {
    /// A new, empty data directory for `program`, or for the one that the variable `RKCTL` names:
    /// that is how a test meets a release build.
    pub fn new(program: impl Into<PathBuf>) -> Result<Self, DevError> {
        let program = std::env::var_os("RKCTL").map_or_else(|| program.into(), PathBuf::from);
        let data = tempfile::Builder::new().prefix("rocketkube-dev-").tempdir();
        Ok(Self { program, data: data.map_err(|source| DevError::DataDir { source })? })
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Leaves the data directory behind, for whoever looks into a failure.
    pub fn keep(&mut self) {
        self.data.disable_cleanup(true);
    }

    /// Starts it without waiting; on other ports each time, so that no answer can come from an
    /// earlier process.
    pub fn launch(&self, flush: Flush, rng: &mut impl Rng) -> Result<RunningDev, DevError> {
        let offset = free_offset(&PORTS, rng)?;
        let mut command = Command::new(&self.program);
        command.arg("dev").arg("--data-dir").arg(self.data.path());
        command.args(["--host", "127.0.0.1", "--port-offset", &offset.to_string()]);
        command.arg("--flush").arg(match flush {
            Flush::Sync => "sync",
            Flush::Async => "async",
        });
        let process = Process::start(&mut command)?;
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port + offset));
        Ok(RunningDev { process, broker: at(BROKER_PORT), namesrv: at(NAMESRV_PORT) })
    }

    /// Starts it and waits until it serves.
    pub fn start(&self, flush: Flush, rng: &mut impl Rng) -> Result<RunningDev, DevError> {
        let mut running = self.launch(flush, rng)?;
        running.process.wait_ready(&Ready::Port(running.broker), START_PATIENCE)?;
        let mut wire = Wire::connect(running.broker, START_PATIENCE)?;
        let asked = [("topic", "none"), ("queueId", "0")];
        let deadline = Instant::now() + START_PATIENCE;
        while wire.call(GET_MAX_OFFSET, &asked, b"")?.code == SERVICE_NOT_AVAILABLE {
            if Instant::now() >= deadline {
                let output = running.process.output();
                return Err(DevError::NeverServed { waited: START_PATIENCE, output });
            }
        }
        Ok(running)
    }
}
