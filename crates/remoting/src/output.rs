//! Answers on their way out: bytes in memory, and ranges of files that never pass through it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

/// What one connection is to be sent, in order.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` the kernel has taken.
    sent: usize,
    /// Ranges of files, each to be sent when `bytes` are sent up to its `after`; ascending.
    files: VecDeque<FileRange>,
    /// Bytes of all `files`.
    file_bytes: u64,
    /// Bytes of answers that are made but may not leave yet; see [`Output::owe`].
    owed: u64,
}

/// Sent bytes are forgotten once they are so many and most of the buffer.
const COMPACT: usize = 64 << 10;

#[derive(Debug)]
struct FileRange {
    after: usize,
    file: Arc<File>,
    position: u64,
    len: u64,
}

impl Output {
    /// Where to append bytes. What is in it already must stay.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a range of a file, to be sent without copying it.
    ///
    /// The range must stay as it is until it is sent: a file that gets shorter than promised cannot
    /// be told from a broken connection, which is what the peer then sees.
    pub fn file(&mut self, file: Arc<File>, position: u64, len: u64) {
        if len > 0 {
            self.file_bytes += len;
            self.files.push_back(FileRange { after: self.bytes.len(), file, position, len });
        }
    }

    /// Bytes still to be sent, those in files included.
    pub fn unsent(&self) -> u64 {
        self.in_memory() as u64 + self.file_bytes
    }

    /// Counts bytes that somebody keeps for this peer until they may leave: a peer that is owed too
    /// much is not read from, as one that does not take its answers.
    pub fn owe(&mut self, bytes: usize) {
        self.owed += bytes as u64;
    }

    /// The opposite of [`Output::owe`]: they were appended now, or never will be.
    pub fn settle(&mut self, bytes: usize) {
        self.owed = self.owed.saturating_sub(bytes as u64);
    }

    /// What counts against the limit for a peer: bytes to be sent, and bytes owed.
    pub(crate) fn burden(&self) -> u64 {
        self.unsent() + self.owed
    }

    /// Bytes still to be sent that are held in memory.
    pub(crate) fn in_memory(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent() == 0
    }

    /// Gives back the memory of an output that is empty.
    pub(crate) fn free(&mut self) {
        *self = Self { owed: self.owed, ..Self::default() };
    }

    /// Appends all of `other`, which is empty afterwards.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            let owed = self.owed + other.owed;
            *self = Self { owed, ..std::mem::take(other) };
            return;
        }
        // Nothing sends from a queue that is filled by others, so its `sent` is 0.
        let shift = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.files.extend(
            other.files.drain(..).map(|range| FileRange { after: range.after + shift, ..range }),
        );
        self.file_bytes += std::mem::take(&mut other.file_bytes);
    }

    /// Gives the socket as much as it takes, and returns how much that was; pending if nothing.
    pub(crate) fn poll_send(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>> {
        let before = self.unsent();
        while !self.is_empty() {
            match self.poll_send_once(stream, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.unsent() == before => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        self.compact();
        Poll::Ready(Ok(before - self.unsent()))
    }

    /// Forgets what was sent, so that a peer which is never quite served costs what it is owed and
    /// not what it was ever sent.
    fn compact(&mut self) {
        if self.unsent() == 0 {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT && self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.files.iter_mut().for_each(|range| range.after -= self.sent);
            self.sent = 0;
        }
    }

    fn poll_send_once(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let until = self.files.front().map_or(self.bytes.len(), |range| range.after);
        let bytes = &self.bytes[self.sent..until];
        if bytes.is_empty() {
            return self.poll_send_file(stream, cx);
        }
        let sent = if self.files.is_empty() {
            ready!(Pin::new(stream).poll_write(cx, bytes))?
        } else {
            // Without `MORE` the head of an answer would travel in a packet of its own.
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            ready!(poll_io(stream, cx, |stream| Ok(rustix::net::send(stream, bytes, flags)?)))?
        };
        self.sent += sent;
        Poll::Ready(if sent == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) })
    }

    fn poll_send_file(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(range) = self.files.front_mut() else { return Poll::Ready(Ok(())) };
        let len = usize::try_from(range.len).unwrap_or(usize::MAX);
        let sent = ready!(poll_io(stream, cx, |stream| {
            let mut position = range.position;
            Ok(rustix::fs::sendfile(stream, &*range.file, Some(&mut position), len)?)
        }))?;
        let sent = sent as u64;
        range.position += sent;
        range.len -= sent;
        self.file_bytes -= sent;
        if range.len == 0 {
            self.files.pop_front();
        }
        Poll::Ready(if sent == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) })
    }
}

/// Runs a non-blocking write of the socket, and registers for writability if it would block.
fn poll_io(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_io(Interest::WRITABLE, || write(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}
