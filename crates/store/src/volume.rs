//! How full a volume is, and how large the files of a log on it may be.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Segments that fit into a volume. The one being written and the next, which is set aside before
/// it is needed, are never deleted; with eight, a volume without room for the next one is past the
/// 85 % from which retention deletes regardless of age, so that there is always a way on.
const SEGMENTS: u64 = 8;
/// Segments are never made smaller than this: they must hold the largest frame.
const SMALLEST_SEGMENT: u64 = 16 << 20;
/// Segments are whole pages.
const PAGE: u64 = 4096;

/// Size and free space of a volume, in bytes; zero if it cannot be asked. What nobody uses and this
/// process may not use either is not part of it, so that its share is the one that `df` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Volume {
    pub total: u64,
    /// What this process may still use.
    pub free: u64,
}

impl Volume {
    /// The volume that holds `path`.
    pub fn of(path: &Path) -> Self {
        rustix::fs::statvfs(path).map_or_else(
            |_| Self::default(),
            |volume| {
                let used = volume.f_blocks.saturating_sub(volume.f_bfree);
                Self::of_blocks(used, volume.f_bavail, volume.f_frsize)
            },
        )
    }

    fn of_blocks(used: u64, available: u64, block: u64) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(block);
        Self { total: bytes(used.saturating_add(available)), free: bytes(available) }
    }

    /// As if files below `dir` could take so many bytes only, where the volume has more.
    #[must_use]
    pub fn within(self, size: u64, dir: &Path) -> Self {
        let free = size.saturating_sub(allocated(dir));
        Self { total: self.total.min(size), free: self.free.min(free) }
    }

    /// Share that is used, rounded down.
    pub fn used_percent(self) -> u8 {
        let used = self.total.saturating_sub(self.free);
        let percent = used.saturating_mul(100).checked_div(self.total).unwrap_or(0);
        u8::try_from(percent).unwrap_or(100)
    }

    /// As if so many used bytes were free: they belong to files, but nothing is in them yet.
    pub(crate) fn with_free(self, set_aside: u64) -> Self {
        Self { free: self.free.saturating_add(set_aside).min(self.total), ..self }
    }

    /// The segment size that is asked for, or what there is room for.
    pub(crate) fn segment_size(self, wanted: u64) -> u64 {
        let share = (self.total / SEGMENTS / PAGE * PAGE).max(SMALLEST_SEGMENT);
        if self.total == 0 { wanted } else { wanted.min(share) }
    }
}

/// Bytes on the disk of all files below a directory. What goes away meanwhile, or cannot be looked
/// at, takes none.
fn allocated(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => allocated(&entry.path()),
        // Blocks of `stat` are of 512 bytes, whatever those of the file system are.
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_a_limit_is_as_full_as_its_own_files_make_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::write(dir.path().join("log/segment"), vec![1; 3 << 20]).unwrap();
        let volume = Volume { total: 1 << 40, free: 1 << 39 };
        let limited = volume.within(4 << 20, dir.path());
        assert_eq!((limited.total, limited.used_percent()), (4 << 20, 75));
        assert_eq!(volume.within(2 << 20, dir.path()).free, 0);
        assert_eq!(volume.within(u64::MAX, dir.path()), volume);
        let full = Volume { total: 1 << 40, free: 7 };
        assert_eq!(full.within(4 << 20, dir.path()).free, 7);
    }

    #[test]
    fn the_used_share_is_between_empty_and_full() {
        assert_eq!(Volume { total: 1000, free: 101 }.used_percent(), 89);
        assert_eq!(Volume { total: 1000, free: 0 }.used_percent(), 100);
        assert_eq!(Volume::default().used_percent(), 0);
        assert!(Volume::of(Path::new("/")).total > 0);
    }

    /// As on a file system that keeps much of itself for others: 252 blocks, 58 used, 34 for us.
    #[test]
    fn blocks_kept_from_us_are_not_used() {
        let volume = Volume::of_blocks(58, 34, 4096);
        assert_eq!((volume.free, volume.used_percent()), (34 * 4096, 63));
    }

    #[test]
    fn what_is_set_aside_is_free_but_no_more_than_there_is() {
        let volume = Volume { total: 1000, free: 100 };
        assert_eq!(volume.with_free(600).used_percent(), 30);
        assert_eq!(volume.with_free(u64::MAX).used_percent(), 0);
    }

    #[test]
    fn a_small_volume_has_small_segments() {
        let size = |mib: u64, wanted| Volume { total: mib << 20, free: 0 }.segment_size(wanted);
        assert_eq!(size(4096, 256 << 20), 256 << 20);
        assert_eq!(size(320, 256 << 20), 40 << 20);
        assert_eq!(size(50, 256 << 20), SMALLEST_SEGMENT);
        assert_eq!(size(50, 64 << 10), 64 << 10);
        assert_eq!(Volume { total: 1_000_000_001, free: 0 }.segment_size(256 << 20) % PAGE, 0);
        assert_eq!(Volume::default().segment_size(256 << 20), 256 << 20);
    }
}
