//! The operator, as a process, and what it uses.

use std::fmt;
use std::fs::{File, OpenOptions, read_to_string};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::sleep;

/// Longest wait for its orderly end.
const END: Duration = Duration::from_secs(10);

/// An operator that runs; dropping it kills it.
pub(crate) struct Operator(Child);

/// What a process has used, in bytes and seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    resident: u64,
    anonymous: u64,
    pub(crate) peak: u64,
    processor: f64,
}

impl Operator {
    pub(crate) fn start(program: &Path, kubeconfig: &Path, log: &Path) -> Result<Self> {
        let log: File = OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(["--broker-image", "test.local/rocketkube:0.1.0", "--identity", "scale"])
            .args(["--http", "127.0.0.1:0"])
            .env("KUBECONFIG", kubeconfig)
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self(child))
    }

    /// Ends it as Kubernetes does, so that it gives its Lease back.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.0.id().to_string()).status()?;
        let start = Instant::now();
        loop {
            match self.0.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the operator ended with {status}"),
                None => ensure!(start.elapsed() < END, "the operator does not end"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let read = |file: &str| {
            read_to_string(format!("/proc/{}/{file}", self.0.id()))
                .context("the operator has ended")
        };
        let status = read("status")?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let kib = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            kib.map(|kib| kib << 10).with_context(|| format!("no {key} in /proc"))
        };
        Ok(Usage {
            resident: bytes("VmRSS")?,
            anonymous: bytes("RssAnon")?,
            peak: bytes("VmHWM")?,
            processor: processor(&read("stat")?).context("unknown form of /proc/PID/stat")?,
        })
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself; and nobody else waits for it.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Seconds of all processors: ticks of 10 ms in user's and in the kernel's code.
fn processor(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, anonymous, peak] =
            [self.resident, self.anonymous, self.peak].map(|bytes| bytes >> 20);
        write!(
            f,
            "{resident} MiB resident ({anonymous} anonymous), {peak} MiB at its peak, {:.0} s of a \
             processor",
            self.processor
        )
    }
}
