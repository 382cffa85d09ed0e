//! A non-blocking connection that carries length-prefixed frames, and the set of them one thread
//! waits for. Knows nothing of what the frames say.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One read takes what a full answer of a pull (256 KiB of messages) needs, so that large answers
/// do not cost many system calls.
const READ_SIZE: usize = 512 * 1024;
/// Longer frames do not exist: Apache refuses them above 16 MiB.
const MAX_FRAME: usize = 64 * 1024 * 1024;
const LENGTH: usize = 4;

/// One connection.
pub(crate) struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of `input` that hold data.
    filled: usize,
    /// Whole frames, length prefix included, to be sent by [`Link::flush`].
    pub(crate) output: Vec<u8>,
    written: usize,
    /// Whether the poller tells when the socket can take more.
    watched_for_room: bool,
}

impl Link {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT)
            .with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_nodelay(true)?;
        Self::new(stream)
    }

    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        let (input, output) = (vec![0; READ_SIZE], Vec::new());
        Ok(Self { stream, input, filled: 0, output, written: 0, watched_for_room: false })
    }

    /// Reads once and hands over every complete frame, without its length prefix.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => self.filled += read,
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(error).context("cannot read"),
        }
        let mut start = 0;
        while let Some(frame) = next_frame(&self.input[start..self.filled])? {
            take(frame);
            start += LENGTH + frame.len();
        }
        self.input.copy_within(start..self.filled, 0);
        self.filled -= start;
        if let Some(length) = announced(&self.input[..self.filled])? {
            // Grown by what is received, not at once to what is announced.
            let wanted = (LENGTH + length).min(2 * self.filled + READ_SIZE);
            self.input.resize(self.input.len().max(wanted), 0);
        }
        Ok(())
    }

    /// Writes what the socket takes and has `poller` tell when it takes the rest.
    pub(crate) fn flush(&mut self, poller: &Poller, token: usize) -> Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(written) => self.written += written,
                Err(error) if is_transient(&error) => break,
                Err(error) => return Err(error).context("cannot write"),
            }
        }
        let blocked = self.written < self.output.len();
        if !blocked {
            self.output.clear();
            self.written = 0;
        }
        if blocked != self.watched_for_room {
            poller.watch_for_room(&self.stream, token, blocked)?;
            self.watched_for_room = blocked;
        }
        Ok(())
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn announced(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(prefix) = bytes.first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > MAX_FRAME {
        bail!("the server announced a frame of {length} bytes");
    }
    Ok(Some(length))
}

fn next_frame(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let Some(length) = announced(bytes)? else { return Ok(None) };
    Ok(bytes[LENGTH..].get(..length))
}

/// Waits for any of many connections.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot create an epoll")?;
        Ok(Self { epoll, events: Vec::with_capacity(256) })
    }

    pub(crate) fn add(&self, link: &Link, token: usize) -> Result<()> {
        epoll::add(&self.epoll, &link.stream, data(token), epoll::EventFlags::IN)
            .context("cannot watch a connection")
    }

    /// Tokens of the connections that can be read, or take more output, within `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<usize>) -> Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for connections"),
        }
        ready.clear();
        ready.extend(self.events.iter().map(|event| {
            let data = event.data;
            usize::try_from(data.u64()).expect("tokens were made from usize")
        }));
        Ok(())
    }

    fn watch_for_room(&self, stream: &TcpStream, token: usize, on: bool) -> Result<()> {
        let flags =
            if on { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        epoll::modify(&self.epoll, stream, data(token), flags).context("cannot watch a connection")
    }
}

fn data(token: usize) -> epoll::EventData {
    epoll::EventData::new_u64(token as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link::connect(listener.local_addr().unwrap()).unwrap();
        (link, listener.accept().unwrap().0)
    }

    /// Receives until `count` frames are there.
    fn frames(link: &mut Link, poller: &mut Poller, count: usize) -> Vec<Vec<u8>> {
        let (mut frames, mut ready) = (Vec::new(), Vec::new());
        while frames.len() < count {
            poller.wait(Duration::from_secs(5), &mut ready).unwrap();
            assert_eq!(ready, [7]);
            link.receive(|frame| frames.push(frame.to_vec())).unwrap();
        }
        frames
    }

    #[test]
    fn frames_arrive_whole_however_they_were_cut() {
        let (mut link, mut peer) = pair();
        let mut poller = Poller::new().unwrap();
        poller.add(&link, 7).unwrap();
        let long = vec![5; 3 * READ_SIZE];
        let mut bytes = b"\0\0\0\x02ab\0\0\0\0".to_vec();
        bytes.extend(u32::try_from(long.len()).unwrap().to_be_bytes());
        bytes.extend(&long);
        let sender = std::thread::spawn(move || {
            for chunk in bytes.chunks(300_001) {
                peer.write_all(chunk).unwrap();
            }
            peer
        });
        let received = frames(&mut link, &mut poller, 3);
        assert_eq!(received, [b"ab".to_vec(), Vec::new(), long]);
        drop(sender.join().unwrap());
        assert!(link.receive(|_| ()).unwrap_err().to_string().contains("closed"));
    }

    #[test]
    fn an_absurd_length_is_an_error() {
        assert!(next_frame(&[0xff; 8]).is_err());
        assert!(next_frame(&[0, 0, 0]).unwrap().is_none());
        assert!(next_frame(&[0, 0, 0, 2, 1]).unwrap().is_none());
    }
}
