//! What a process holds, as the kernel tells it.

use std::fs;

use anyhow::{Context as _, Result};
use rocketkube_testkit::Process;

pub(crate) fn descriptors(process: &Process) -> Result<usize> {
    let dir = format!("/proc/{}/fd", process.id());
    Ok(fs::read_dir(&dir).with_context(|| dir.clone())?.count())
}

pub(crate) fn maps(process: &Process) -> Result<usize> {
    let path = format!("/proc/{}/maps", process.id());
    Ok(fs::read_to_string(&path).with_context(|| path.clone())?.lines().count())
}

/// Bytes of memory that no file stands behind.
pub(crate) fn anonymous_bytes(process: &Process) -> Result<u64> {
    let path = format!("/proc/{}/status", process.id());
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no RssAnon")?;
    Ok(kib.parse::<u64>()? * 1024)
}
