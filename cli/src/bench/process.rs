//! CPU time and memory of a process, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks per second in `/proc/PID/stat`: fixed by the kernel's interface to user space.
const TICKS_PER_SECOND: u64 = 100;

/// A process that is watched while it is under load.
pub(crate) struct Process {
    pid: u32,
}

/// What a process used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time of all its threads, user and system.
    pub(crate) cpu_us: u64,
    /// Anonymous memory that is resident (`RssAnon`): no page cache, no mapped files.
    pub(crate) rss_anon_bytes: u64,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.pid);
            fs::read_to_string(&path)
                .with_context(|| format!("cannot read {path}: is {} a running process?", self.pid))
        };
        let stat = read("stat")?;
        let status = read("status")?;
        Ok(Usage {
            cpu_us: cpu_us(&stat).with_context(|| format!("unexpected stat line {stat:?}"))?,
            rss_anon_bytes: rss_anon_bytes(&status).context("no RssAnon in /proc/PID/status")?,
        })
    }
}

/// CPU time of the calling thread in microseconds; 0 where `/proc` does not tell.
pub(crate) fn thread_cpu_us() -> u64 {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = schedstat.split(' ').next().and_then(|field| field.parse::<u64>().ok());
    nanoseconds.unwrap_or(0) / 1_000
}

fn cpu_us(stat: &str) -> Option<u64> {
    // The command name may hold spaces and parentheses; the fields after the last one do not.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * (1_000_000 / TICKS_PER_SECOND))
}

fn rss_anon_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_parentheses() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(cpu_us(stat), Some(3_000_000));
        assert_eq!(cpu_us("42 (short) S 1"), None);
    }

    #[test]
    fn anonymous_memory_is_read_in_bytes() {
        assert_eq!(rss_anon_bytes("Name:\tx\nRssAnon:\t    12 kB\n"), Some(12 * 1024));
        assert_eq!(rss_anon_bytes("Name:\tx\n"), None);
    }

    #[test]
    fn a_process_can_be_watched() {
        assert!(Process::new(std::process::id()).usage().unwrap().rss_anon_bytes > 0);
        let error = Process::new(u32::MAX).usage().unwrap_err().to_string();
        assert!(error.contains("is 4294967295 a running process?"), "{error}");
    }
}
