//! One file of the log, and the ordered list of them.
//!
//! A segment covers as many physical offsets as its file has bytes, header included, so that
//! position in the file = physical offset - start. Frames live behind the header.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{
    directory::Directory,
    error::LogError,
    fault::{Faults, WriteFate, injected},
    frame::StoreId,
    verify::Chunks,
};

/// Bytes of a segment's header.
pub const SEGMENT_HEADER: u64 = 4096;
const MAGIC: [u8; 4] = *b"RKSG";
const VERSION: u32 = 1;
const RECORD: usize = 64;

/// One file of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Shared with readers, so that deleting the segment never takes a file from under them.
    pub(crate) file: Arc<File>,
    pub(crate) start: u64,
    pub(crate) size: u64,
    /// Which parts have been verified since this process started.
    pub(crate) chunks: Chunks,
}

impl Segment {
    /// Makes a segment of zeros that is on disk with its name before this returns.
    pub(crate) fn create(
        directory: &Directory,
        header: SegmentHeader,
        faults: &Faults,
    ) -> Result<Segment, LogError> {
        let path = path_of(&directory.segments(), header.start);
        let fresh = path.with_extension("tmp");
        let file = faults
            .preallocation()
            .and_then(|()| preallocate(&fresh, header))
            .inspect_err(|_| drop(std::fs::remove_file(&fresh)))
            .map_err(LogError::io("allocate", &fresh))?;
        std::fs::rename(&fresh, &path).map_err(LogError::io("rename", &fresh))?;
        directory.sync(&directory.segments())?;
        let chunks = Chunks::verified();
        Ok(Segment { path, file: Arc::new(file), start: header.start, size: header.size, chunks })
    }

    /// Physical offsets from the header to the end of the file.
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.end()
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.size
    }

    /// Whether the file is shorter than it was made.
    pub(crate) fn is_cut(&self) -> bool {
        self.file.metadata().is_ok_and(|file| file.len() < self.size)
    }

    /// Where the first frame starts.
    pub(crate) fn first_frame(&self) -> u64 {
        self.start + SEGMENT_HEADER
    }

    /// Reads up to `buffer.len()` bytes at a physical offset; fewer only at the end of the file.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset - self.start + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Fills the buffer from the page cache; false if the disk would have to be waited for.
    pub(crate) fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        let (wanted, position) = (buffer.len(), offset - self.start);
        let mut buffers = [io::IoSliceMut::new(buffer)];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        match rustix::io::preadv2(&self.file, &mut buffers, position, flags) {
            Ok(read) => Ok(read == wanted),
            // A file system that cannot say is taken for one that need not wait, as the callers
            // that must know have no other way either.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.read(offset, buffer).map(|read| read == wanted)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all slices at a physical offset, in one system call unless it stops short.
    pub(crate) fn write(
        &self,
        offset: u64,
        mut slices: &mut [IoSlice<'_>],
        faults: &Faults,
    ) -> Result<(), LogError> {
        let position = offset - self.start;
        let mut write = || -> io::Result<()> {
            let mut done = match faults.write() {
                WriteFate::Whole => 0,
                WriteFate::Short(bytes) => self.write_prefix(position, slices, bytes)?,
                WriteFate::Torn(bytes) => {
                    self.write_prefix(position, slices, bytes)?;
                    return Err(injected());
                }
            };
            IoSlice::advance_slices(&mut slices, done);
            while !slices.is_empty() {
                match rustix::io::pwritev(&self.file, slices, position + done as u64) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        done += n;
                        IoSlice::advance_slices(&mut slices, n);
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Ok(())
        };
        write().map_err(LogError::io("write", &self.path))
    }

    /// What a disk does that takes only the first `bytes` bytes.
    fn write_prefix(
        &self,
        position: u64,
        slices: &[IoSlice<'_>],
        bytes: usize,
    ) -> io::Result<usize> {
        let all: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).take(bytes).collect();
        self.file.write_all_at(&all, position)?;
        Ok(all.len())
    }

    /// Waits until everything written is on disk.
    pub(crate) fn flush(&self, faults: &Faults) -> Result<(), LogError> {
        faults
            .flush()
            .and_then(|()| self.file.sync_data())
            .map_err(LogError::io("flush", &self.path))
    }
}

/// What a segment file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: StoreId,
    pub(crate) start: u64,
    pub(crate) size: u64,
    /// The epoch that allocated the segment.
    pub(crate) epoch: u64,
}

impl SegmentHeader {
    /// `RKSG`, CRC of what follows, version, 4 zeros, store id, start, size, epoch; big-endian.
    /// The checksum is not sealed, so that a segment of another store is named as such.
    pub(crate) fn encode(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        bytes[16..32].copy_from_slice(&self.id.0);
        bytes[32..40].copy_from_slice(&self.start.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.size.to_be_bytes());
        bytes[48..56].copy_from_slice(&self.epoch.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The header and its format version.
    fn decode(bytes: &[u8]) -> Option<(u32, Self)> {
        let bytes: &[u8; RECORD] = bytes.first_chunk()?;
        let crc = u32::from_be_bytes(*bytes[4..].first_chunk()?);
        let version = u32::from_be_bytes(*bytes[8..].first_chunk()?);
        let header = Self {
            id: StoreId(*bytes[16..].first_chunk()?),
            start: u64::from_be_bytes(*bytes[32..].first_chunk()?),
            size: u64::from_be_bytes(*bytes[40..].first_chunk()?),
            epoch: u64::from_be_bytes(*bytes[48..].first_chunk()?),
        };
        (bytes[..4] == MAGIC && crc == crc32c::crc32c(&bytes[8..])).then_some((version, header))
    }

    /// Reads the header of a file. `None`: it is damaged, which costs no frame.
    pub(crate) fn read(file: &File, path: &Path) -> Result<Option<Self>, LogError> {
        let mut bytes = [0; RECORD];
        match file.read_exact_at(&mut bytes, 0).ok().and_then(|()| Self::decode(&bytes)) {
            None => Ok(None),
            Some((VERSION, header)) => Ok(Some(header)),
            Some((found, _)) => {
                Err(LogError::Version { path: path.to_path_buf(), found, supported: VERSION })
            }
        }
    }
}

/// `log/<start in 20 digits>.seg`.
pub(crate) fn path_of(directory: &Path, start: u64) -> PathBuf {
    directory.join(format!("{start:020}.seg"))
}

/// The start offset that a file name of [`path_of`] stands for.
pub(crate) fn start_of(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let right = path.extension()? == "seg" && stem.len() == 20;
    right.then(|| stem.parse().ok())?
}

fn preallocate(path: &Path, header: SegmentHeader) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
    allocate(&file, header.size)?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Reserves blocks for the whole file, so that no later write can meet a full disk.
pub(crate) fn allocate(file: &File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        // Some file systems have no fallocate: then zeros do it, from the old end on.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => fill(file, size),
        Err(errno) => Err(errno.into()),
    }
}

fn fill(file: &File, size: u64) -> io::Result<()> {
    let zeros = [0; 16 << 10];
    let mut at = file.metadata()?.len();
    while at < size {
        let bytes = zeros.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..bytes], at)?;
        at += bytes as u64;
    }
    Ok(())
}

/// The retained segments in order.
#[derive(Debug)]
pub(crate) struct Segments(RwLock<Vec<Arc<Segment>>>);

impl Segments {
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        Self(RwLock::new(segments))
    }

    /// The segment that covers a physical offset.
    pub(crate) fn find(&self, offset: u64) -> Option<Arc<Segment>> {
        let list = self.0.read();
        let after = list.partition_point(|segment| segment.start <= offset);
        let segment = list.get(after.checked_sub(1)?)?;
        segment.range().contains(&offset).then(|| Arc::clone(segment))
    }

    /// Those that share an offset with the range.
    pub(crate) fn overlapping(&self, range: &Range<u64>) -> Vec<Arc<Segment>> {
        let list = self.0.read();
        let from = list.partition_point(|segment| segment.end() <= range.start);
        let to = list.partition_point(|segment| segment.start < range.end);
        list.get(from..to).map(<[_]>::to_vec).unwrap_or_default()
    }

    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        self.0.read().iter().map(|segment| segment.range()).collect()
    }

    /// End of the one being written.
    pub(crate) fn end(&self) -> u64 {
        self.0.read().last().map_or(0, |segment| segment.end())
    }

    pub(crate) fn push(&self, segment: Arc<Segment>) {
        self.0.write().push(segment);
    }

    /// Takes out those that end at or below `start`; the last one always stays.
    pub(crate) fn take_below(&self, start: u64) -> Vec<Arc<Segment>> {
        let mut list = self.0.write();
        let below = list.partition_point(|segment| segment.end() <= start);
        let keep_last = below.min(list.len().saturating_sub(1));
        list.drain(..keep_last).collect()
    }

    pub(crate) fn start(&self) -> u64 {
        self.0.read().first().map_or(0, |segment| segment.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader { id: StoreId([5; 16]), start: 1 << 28, size: 1 << 20, epoch: 3 }
    }

    #[test]
    fn every_flipped_bit_of_a_segment_header_is_noticed() {
        let good = header().encode();
        assert_eq!(SegmentHeader::decode(&good), Some((VERSION, header())));
        for bit in 0..RECORD * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn names_and_starts_go_both_ways() {
        let path = path_of(Path::new("log"), 268_435_456);
        assert_eq!(path, Path::new("log/00000000000268435456.seg"));
        assert_eq!(start_of(&path), Some(268_435_456));
        for bad in ["log/1.seg", "log/00000000000268435456.tmp", "log/0000000000026843545x.seg"] {
            assert_eq!(start_of(Path::new(bad)), None, "{bad}");
        }
    }
}
