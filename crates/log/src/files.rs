//! The segment files of a directory, at opening.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    directory::Directory,
    error::LogError,
    frame::StoreId,
    options::Options,
    segment::{Segment, SegmentHeader, start_of},
    verify::Chunks,
};

/// A segment file by its name.
#[derive(Debug)]
pub(crate) struct Found {
    path: PathBuf,
    start: u64,
}

impl Found {
    pub(crate) fn start(&self) -> u64 {
        self.start
    }
}

/// Segment files in order of their starts; deletes what an interrupted allocation left.
pub(crate) fn list(directory: &Directory) -> Result<Vec<Found>, LogError> {
    let dir = directory.segments();
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).map_err(LogError::io("list", &dir))? {
        let path = entry.map_err(LogError::io("list", &dir))?.path();
        if let Some(start) = start_of(&path) {
            found.push(Found { path, start });
        } else if path.extension().is_some_and(|e| e == "tmp") && !path.is_dir() {
            fs::remove_file(&path).map_err(LogError::io("delete", &path))?;
        }
    }
    found.sort_by_key(|found| found.start);
    Ok(found)
}

/// Opens the files; `verified` tells from which physical offset on all will be verified at once,
/// `usual` how large a segment is of which nothing else tells. The second list names those whose
/// header is damaged, which costs no frame.
pub(crate) fn open(
    found: &[Found],
    id: StoreId,
    verified: u64,
    usual: u64,
) -> Result<(Vec<Arc<Segment>>, Vec<usize>), LogError> {
    let (mut segments, mut damaged): (Vec<Arc<Segment>>, _) = (Vec::new(), Vec::new());
    for (index, Found { path, start }) in found.iter().enumerate() {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(LogError::io("open", path))?;
        let size = if let Some(header) = header(&file, path, *start, id)? {
            header.size
        } else {
            damaged.push(index);
            likely_size(&file, path, *start, found.get(index + 1), usual)?
        };
        let before = segments.last().map_or(0, |segment| segment.end());
        if *start < before {
            return Err(LogError::OverlappingSegment { path: path.clone(), end: before });
        }
        let chunks = Chunks::verified_from(verified.saturating_sub(*start).min(size), size);
        let (path, file) = (path.clone(), Arc::new(file));
        segments.push(Arc::new(Segment { path, file, start: *start, size, chunks }));
    }
    Ok((segments, damaged))
}

/// The header, if it is intact, of this store and of this place.
fn header(
    file: &File,
    path: &Path,
    start: u64,
    id: StoreId,
) -> Result<Option<SegmentHeader>, LogError> {
    let Some(header) = SegmentHeader::read(file, path)? else { return Ok(None) };
    if header.id != id {
        return Err(LogError::ForeignSegment { path: path.to_path_buf() });
    }
    if header.start != start {
        return Err(LogError::MisnamedSegment { path: path.to_path_buf(), holds: header.start });
    }
    let plausible = (Options::MIN_SEGMENT_SIZE..=Options::MAX_SEGMENT_SIZE).contains(&header.size)
        && start.checked_add(header.size).is_some_and(|end| end < 1 << 62);
    Ok(plausible.then_some(header))
}

/// Without a header: up to the next segment, however short the file has become. A range that no
/// segment covers would be given out again. Without a next one, at least the usual size.
fn likely_size(
    file: &File,
    path: &Path,
    start: u64,
    next: Option<&Found>,
    usual: u64,
) -> Result<u64, LogError> {
    let length = file.metadata().map_err(LogError::io("look at", path))?.len();
    let length = length.max(usual).clamp(Options::MIN_SEGMENT_SIZE, Options::MAX_SEGMENT_SIZE);
    let reach = next.map(|next| next.start - start);
    Ok(reach.map_or(length, |reach| if reach > Options::MAX_SEGMENT_SIZE { length } else { reach }))
}
