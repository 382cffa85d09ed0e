//! How full a volume is.

use std::path::Path;

/// Size and free space of a volume, in bytes; zero if it cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Disk {
    pub(crate) total: u64,
    /// What this process may still use.
    pub(crate) free: u64,
}

impl Disk {
    /// Share that is used, from 0 to 1.
    pub(crate) fn used_ratio(self) -> f64 {
        f64::from(self.used_percent()) / 100.0
    }

    /// Share that is used, rounded down.
    pub(crate) fn used_percent(self) -> u8 {
        let used = self.total.saturating_sub(self.free);
        let percent = used.saturating_mul(100).checked_div(self.total).unwrap_or(0);
        u8::try_from(percent).unwrap_or(100)
    }
}

/// Asks the volume that holds `path`.
pub(crate) fn disk_of(path: &Path) -> Disk {
    rustix::fs::statvfs(path).map_or_else(
        |_| Disk::default(),
        |volume| Disk {
            total: volume.f_blocks.saturating_mul(volume.f_frsize),
            free: volume.f_bavail.saturating_mul(volume.f_frsize),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_used_share_is_between_empty_and_full() {
        assert_eq!(Disk { total: 1000, free: 101 }.used_percent(), 89);
        assert_eq!(Disk { total: 1000, free: 0 }.used_percent(), 100);
        assert_eq!(Disk::default().used_percent(), 0);
        assert!(disk_of(Path::new("/")).total > 0);
    }
}
